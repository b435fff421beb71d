//! The gate against a bare handler of the same process, over the same kind of connections, in turns.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rig::media::scene;
use rig::service::multipart;
use tokio::task::JoinSet;

use crate::client::{Client, request};
use crate::service::{Service, Setup};
use crate::{goal, pace};

pub const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
/// Media that the gate knows.
const KNOWN: u32 = 32;

pub async fn run() -> Result<()> {
    let service = Service::start(Setup {
        settings: "[auth]\nrequired = true\n[tenant.default]\n",
        ..Setup::default()
    })?;
    let bearer = format!("Bearer {}", service.key()?);
    let key = ("authorization", bearer.as_str());
    let mut questions = Vec::new();
    let mut client = Client::open(service.address).await?;
    for seed in 0..KNOWN {
        let photo = scene(160, 120, seed).jpeg(80)?;
        let (kind, body) = multipart(&serde_json::json!({}), &[&photo]);
        let headers = [key, ("content-type", kind.as_str()), ("prefer", "wait=60")];
        let answer = client.ask(&request("POST", "/v1/submissions", &headers, &body)).await?;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        let view: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let sha256 = view["media"][0]["sha256"].as_str().unwrap_or_default().to_owned();
        questions.push(request("GET", "/v1/gate", &[key, ("x-weir-sha256", &sha256)], b""));
        let answer = client.ask(&questions[questions.len() - 1]).await?;
        ensure!(answer.status == 204, "the gate does not know {sha256}");
    }
    // The same bytes on the wire, so that only the handler differs.
    let bare: Vec<Vec<u8>> = questions
        .iter()
        .map(|q| String::from_utf8_lossy(q).replacen("/v1/gate", "/bare", 1).into_bytes())
        .collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(rate(service.address, &questions).await?);
        theirs.push(rate(service.address, &bare).await?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("gate {ours:.0}/s, bare handler {theirs:.0}/s, {CONNECTIONS} connections");
    goal("gate against a bare handler", ours / theirs, 0.5, "×", false);
    let half = ours / 2.0;
    let (mut p99, mut bare_p99) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        p99.push(pace::paced(service.address, &questions, half, ROUND)?.at(0.99));
        bare_p99.push(pace::paced(service.address, &bare, half, ROUND)?.at(0.99));
    }
    println!(
        "at {half:.0}/s, p99 of each round: gate {p99:.2?} ms, bare handler {bare_p99:.2?} ms"
    );
    goal("p99 of the gate at half its load", median(p99), 2.0, "ms", true);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Requests a second, as fast as all connections can.
async fn rate(to: SocketAddr, questions: &[Vec<u8>]) -> Result<f64> {
    let began = Instant::now();
    let mut hands = JoinSet::new();
    for hand in 0..CONNECTIONS {
        let questions = questions.to_vec();
        hands.spawn(async move {
            let mut client = Client::open(to).await?;
            let mut count = 0usize;
            while began.elapsed() < ROUND {
                let answer = client.ask(&questions[(hand + count) % questions.len()]).await?;
                ensure!(answer.status == 204, "{}", answer.status);
                count += 1;
            }
            Ok(count)
        });
    }
    let mut sum = 0;
    while let Some(count) = hands.join_next().await {
        sum += count??;
    }
    Ok(sum as f64 / began.elapsed().as_secs_f64())
}
