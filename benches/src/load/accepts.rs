//! Durable accepts with a slow disk: shared transactions against one for each.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::client::{Client, Times, request};
use crate::goal;
use crate::service::{Service, Setup};

const CLIENTS: usize = 256;
const ROUND: Duration = Duration::from_secs(8);

pub async fn run() -> Result<()> {
    // An address that takes calls and says nothing: the one worker waits there, and the disk is the acceptance's alone.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/photo.jpg", silent.local_addr()?);
    let settings = "workers = 1\n[limits]\nqueue = 1000000\n[fetch]\nallow = [\"127.0.0.0/8\"]\nseconds = 600\n";
    let mut rates = Vec::new();
    for alone in [true, false] {
        let service = Service::start(Setup { settings, slow_sync: true, alone })?;
        let (rate, times) = accept(service.address, &url).await?;
        let how = if alone { "one transaction for each" } else { "shared transactions" };
        println!(
            "{how}: {rate:.0}/s, median {:.0} ms, p95 {:.0} ms",
            times.at(0.5),
            times.at(0.95)
        );
        rates.push(rate);
    }
    goal("durable accepts, shared against each its own", rates[1] / rates[0], 10.0, "×", false);
    Ok(())
}

async fn accept(to: SocketAddr, url: &str) -> Result<(f64, Times)> {
    let body = serde_json::json!({ "media": [{ "url": url }] }).to_string();
    let kind = [("content-type", "application/json")];
    let call = request("POST", "/v1/submissions", &kind, body.as_bytes());
    let began = Instant::now();
    let mut hands = JoinSet::new();
    for _ in 0..CLIENTS {
        let call = call.clone();
        hands.spawn(async move {
            let mut client = Client::open(to).await?;
            let mut times = Vec::new();
            while began.elapsed() < ROUND {
                let answer = client.ask(&call).await?;
                ensure!(answer.status == 202, "{}", String::from_utf8_lossy(&answer.body));
                times.push(answer.took);
            }
            Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = hands.join_next().await {
        all.extend(times??);
    }
    let rate = all.len() as f64 / began.elapsed().as_secs_f64();
    Ok((rate, Times::new(all)))
}
