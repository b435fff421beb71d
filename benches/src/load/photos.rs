//! Photos: five hundred at once, then as many as the box can for a while, then one after the other; and a long soak.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rig::media::scene;
use rig::service::multipart;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::client::{Client, Times, request};
use crate::goal;
use crate::service::{Service, Setup};

/// Simultaneous hand-offs and uploads.
const AT_ONCE: usize = 500;
/// Photos that may wait while the sustained rate is taken: enough that no worker is idle.
const WAITING: u64 = 64;
/// How long it is taken, unless `LOAD_SECONDS` says otherwise.
const SUSTAINED: u64 = 60;

/// Different photos of about 200 kB: JPEGs of ours, each made another by its number in a comment.
struct Photos {
    made: Vec<Vec<u8>>,
    next: AtomicU64,
}

impl Photos {
    fn new() -> Result<Self> {
        let made = (0..12).map(|seed| scene(960, 720, seed).jpeg(80));
        let made: Vec<Vec<u8>> = made.collect::<Result<_, _>>()?;
        let mean = made.iter().map(Vec::len).sum::<usize>() / made.len();
        println!("photos of {} kB on average, 960 × 720", mean / 1000);
        Ok(Self { made, next: AtomicU64::new(0) })
    }

    fn next(&self) -> Vec<u8> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let photo = &self.made[n as usize % self.made.len()];
        // A comment (COM) after the start of the image: no decoder looks at it, and every hash is another.
        let comment = [&[0xff, 0xfe, 0x00, 0x0a][..], &n.to_be_bytes()].concat();
        [&photo[..2], &comment, &photo[2..]].concat()
    }

    fn upload(&self, headers: &[(&str, &str)]) -> Vec<u8> {
        let (kind, body) = multipart(&serde_json::json!({}), &[&self.next()]);
        let all: Vec<_> =
            [("content-type", kind.as_str())].iter().chain(headers).copied().collect();
        request("POST", "/v1/submissions", &all, &body)
    }
}

/// The profile: with neural models where they are (`WEIR_MODELS`), else the one that needs none.
fn profile() -> &'static str {
    let models = std::env::var_os("WEIR_MODELS").is_some();
    if models { "photo-dating" } else { "starter" }
}

fn settings() -> String {
    format!(
        "profile = \"{}\"\n[limits]\nqueue = 100000\n[fetch]\nallow = [\"127.0.0.0/8\"]\n",
        profile()
    )
}

pub async fn run() -> Result<()> {
    let photos = Arc::new(Photos::new()?);
    let settings = settings();
    println!("profile {}", profile());
    let start = || Service::start(Setup { settings: &settings, ..Setup::default() });
    let service = start()?;
    hand_offs(&service, &photos).await?;
    drop(service);
    let service = start()?;
    uploads(&service, &photos).await?;
    sustained(&service, &photos, seconds("LOAD_SECONDS", SUSTAINED)).await?;
    one_by_one(&service, &photos).await
}

fn seconds(name: &str, otherwise: u64) -> Duration {
    let set = std::env::var(name).ok().and_then(|s| s.parse().ok());
    Duration::from_secs(set.unwrap_or(otherwise))
}

/// All at once, each over a connection that is open already; the times to the 202.
async fn at_once(to: SocketAddr, calls: Vec<Vec<u8>>) -> Result<Times> {
    let barrier = Arc::new(Barrier::new(calls.len()));
    let mut hands = JoinSet::new();
    for call in calls {
        let barrier = Arc::clone(&barrier);
        hands.spawn(async move {
            let mut client = Client::open(to).await?;
            barrier.wait().await;
            let answer = client.ask(&call).await?;
            ensure!(answer.status == 202, "{}", String::from_utf8_lossy(&answer.body));
            Ok(answer.took)
        });
    }
    let mut times = Vec::new();
    while let Some(took) = hands.join_next().await {
        times.push(took??);
    }
    Ok(Times::new(times))
}

async fn hand_offs(service: &Service, photos: &Arc<Photos>) -> Result<()> {
    let port = storage(Arc::clone(photos))?;
    let calls = (0..AT_ONCE).map(|n| {
        let url = format!("http://127.0.0.1:{port}/{n}.jpg?X-Signature=secret");
        let body = serde_json::json!({ "media": [{ "url": url }] }).to_string();
        request("POST", "/v1/submissions", &[("content-type", "application/json")], body.as_bytes())
    });
    let times = at_once(service.address, calls.collect()).await?;
    println!("{AT_ONCE} hand-offs: all 202, median {:.0} ms", times.at(0.5));
    goal("hand-offs at once, p95", times.at(0.95), 200.0, "ms", true);
    Ok(())
}

/// An object store: answers each call with a photo. Its threads end with the process.
fn storage(photos: Arc<Photos>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let photo = photos.next();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                photo.len()
            );
            let _ = stream.write_all(&[answer.as_bytes(), &photo].concat());
        }
    });
    Ok(port)
}

async fn uploads(service: &Service, photos: &Photos) -> Result<()> {
    let calls = (0..AT_ONCE).map(|_| photos.upload(&[])).collect();
    let times = at_once(service.address, calls).await?;
    println!(
        "{AT_ONCE} uploads: all 202; from the last byte sent, before the box has read it: median {:.0} ms, p95 {:.0} ms",
        times.at(0.5),
        times.at(0.95)
    );
    let within = metric(service.address, "weir_accept_seconds_bucket{le=\"0.2\"}").await?;
    let share = within as f64 / AT_ONCE as f64;
    goal("uploads durable 200 ms after their last byte was read", share, 0.95, "of all", false);
    let began = Instant::now();
    while decided(service.address).await? < AT_ONCE as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("all decided after {:.1} s more", began.elapsed().as_secs_f64());
    Ok(())
}

/// Decisions since the start.
async fn decided(to: SocketAddr) -> Result<u64> {
    metric(to, "weir_decisions_total{").await
}

/// The sum of all counters whose name with its labels starts so.
async fn metric(to: SocketAddr, prefix: &str) -> Result<u64> {
    let answer = Client::open(to).await?.ask(&request("GET", "/metrics", &[], b"")).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let counts = text.lines().filter_map(|l| l.strip_prefix(prefix));
    Ok(counts.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// Uploads for a time, at a pace or as fast as photos are judged; photos a second, and memory every half second.
async fn feed(
    service: &Service,
    photos: &Photos,
    time: Duration,
    per_second: Option<f64>,
) -> Result<(f64, Vec<u64>)> {
    let mut client = Client::open(service.address).await?;
    let (start, base) = (Instant::now(), decided(service.address).await?);
    let (mut sent, mut known, mut memory) = (0u64, 0u64, Vec::new());
    let mut looked = Instant::now();
    while start.elapsed() < time {
        if looked.elapsed() > Duration::from_millis(500) {
            looked = Instant::now();
            memory.push(service.memory());
            known = decided(service.address).await? - base;
        }
        let due = per_second.map_or(u64::MAX, |rate| (start.elapsed().as_secs_f64() * rate) as u64);
        if sent >= due || (per_second.is_none() && sent >= known + WAITING) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if per_second.is_none() {
                known = decided(service.address).await? - base;
            }
            continue;
        }
        let answer = client.ask(&photos.upload(&[])).await?;
        ensure!(answer.status == 202, "{}", String::from_utf8_lossy(&answer.body));
        sent += 1;
    }
    let done = decided(service.address).await? - base;
    Ok((done as f64 / start.elapsed().as_secs_f64(), memory))
}

async fn sustained(service: &Service, photos: &Photos, time: Duration) -> Result<f64> {
    let (rate, memory) = feed(service, photos, time, None).await?;
    let peak = memory.iter().max().copied().unwrap_or_default();
    goal("photos a minute", rate * 60.0, 500.0, "", false);
    goal("memory of all processes, peak", peak as f64 / 2f64.powi(30), 2.0, "GiB", true);
    Ok(rate)
}

async fn one_by_one(service: &Service, photos: &Photos) -> Result<()> {
    // What still waits is no part of this.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut client = Client::open(service.address).await?;
    let mut times = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        let answer = client.ask(&photos.upload(&[("prefer", "wait=60")])).await?;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        times.push(start.elapsed());
    }
    let times = Times::new(times);
    println!("one after the other: median {:.0} ms", times.at(0.5));
    goal("from the upload to the verdict, not queued, p95", times.at(0.95) / 1e3, 1.8, "s", true);
    Ok(())
}

/// Memory at 80 % load in the first and the last minute.
pub async fn soak() -> Result<()> {
    let photos = Photos::new()?;
    let settings = settings();
    let service = Service::start(Setup { settings: &settings, ..Setup::default() })?;
    let (most, _) = feed(&service, &photos, Duration::from_secs(20), None).await?;
    let time = seconds("SOAK_SECONDS", 600);
    let (rate, memory) = feed(&service, &photos, time, Some(most * 0.8)).await?;
    println!(
        "{:.0} photos a minute at most, {:.0} for {} s",
        most * 60.0,
        rate * 60.0,
        time.as_secs()
    );
    let minute = 120.min(memory.len() / 3);
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64;
    let first = mean(memory.get(..minute).context("too short")?);
    let last = mean(memory.get(memory.len() - minute..).context("too short")?);
    println!("{:.0} MiB at first, {:.0} MiB at last", first / 2f64.powi(20), last / 2f64.powi(20));
    goal("change of memory", ((last / first - 1.0) * 100.0).abs(), 5.0, "%", true);
    Ok(())
}
