//! What a long and bad way costs: 5 % of packets lost in each direction, 200 ms there and back, 20 Mbit/s, between two network namespaces,
//! so that TCP suffers as UDP does. A backlog, the same as JSON over MQTT, and a critical verdict beside a backlog; real hub, Postgres
//! that syncs, Mosquitto. `cargo bench --workspace --bench wan`; `WAN_BACKLOG` sizes it.
#![expect(clippy::unwrap_used, reason = "a bench may stop at what it does not expect")]

#[path = "../tests/common/mod.rs"]
mod common;
mod json;
mod ledger;
mod simulated;
#[path = "../../sync/benches/verdicts/mod.rs"]
mod verdicts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::service::{Hub, init_at, told, weir_hub};
use domain::journal::Lane;
use hub::Database;
use json::Json;
use rig::postgres::Postgres;
use rig::wan::{FAR, Line, NEAR, Wan, isolated};
use simulated::{Simulated, at, authority};
use verdicts::verdict;

const LINE: Line = Line {
    loss: 0.05,
    delay: Duration::from_millis(100),
    rate: 20e6,
    // What is under way within a round trip: as much as routers are told to hold.
    queue: 500_000,
};

/// Verdicts of the comparison.
const COMPARED: usize = 10_000;

/// How long the peer may take.
const PEER: Duration = Duration::from_secs(600);

/// Critical verdicts beside a backlog, and the pause between them.
const CRITICAL: usize = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Verdicts that wait while the critical ones are sent.
const BESIDE: usize = 20_000;

/// Where everything is.
struct Place {
    settings: PathBuf,
    database: Database,
    hub: String,
}

fn main() {
    if let Err(why) = isolated() {
        println!("the long way was not measured: this machine gives no namespace ({why})");
        return;
    }
    let wan = Wan::new(LINE);
    let (postgres, around) = (Postgres::durable(), tempfile::tempdir().unwrap());
    let settings = init_at(around.path(), &postgres, &NEAR.to_string());
    told(&weir_hub(&["tenant", "add", "one", "--database", &postgres.url()]));
    let running = Hub::start(&settings);
    let hub = std::fs::read_to_string(&settings).unwrap();
    let hub = hub.split("quic = [\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let broker = Json::broker(around.path(), &settings);
    let place = Place { settings, database: Database::new(&postgres.url()).unwrap(), hub };
    let far = wan.far(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(measure(&place, &broker));
    });
    far.join().unwrap();
    drop(running);
}

async fn measure(place: &Place, broker: &Json) {
    println!(
        "the way: {:.0} % lost each way, {} ms there and back, {} Mbit/s, {} kB wait at most; boxes at {FAR}",
        LINE.loss * 100.0,
        LINE.delay.as_millis() * 2,
        LINE.rate / 1e6,
        LINE.queue / 1000,
    );
    let most = std::env::var("WAN_BACKLOG").ok().and_then(|most| most.parse().ok());
    let most: usize = most.unwrap_or(100_000);
    let took = backlog(place, 1, most).await;
    println!(
        "backlog of {most} verdicts ({} entries): {:.1} s (asked: at most 12 s for 100,000)",
        most * 3,
        took.as_secs_f64()
    );
    let ours = backlog(place, 2, COMPARED).await;
    let one = Simulated::enrol(&authority(&place.settings), &place.database, 3).await;
    let peer = broker.publish(&one, COMPARED, PEER).await;
    let more = if peer.all { "" } else { " and was not done" };
    let ratio = peer.took.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{COMPARED} verdicts: {:.2} s; as JSON over MQTT (QoS 1, TLS, 100 under way) {:.1} s{more}: ratio {ratio:.1} (asked: at least 10)",
        ours.as_secs_f64(),
        peer.took.as_secs_f64()
    );
    overtaking(place).await;
}

/// From the start of a box with so many verdicts to the hub's last ack.
async fn backlog(place: &Place, number: u128, verdicts: usize) -> Duration {
    let one = Simulated::enrol(&authority(&place.settings), &place.database, number).await;
    write(&one, Lane::Bulk, 0, verdicts);
    let begun = Instant::now();
    let running = one.start(&place.hub, None);
    assert!(one.ledger.settled(Duration::from_secs(600)).await, "not within ten minutes");
    let took = begun.elapsed();
    running.stop().await;
    took
}

fn write(one: &Simulated, lane: Lane, first: usize, verdicts: usize) {
    for n in first..first + verdicts {
        let (id, bodies, _) = verdict(n);
        one.ledger.write(lane, id, bodies);
    }
}

async fn overtaking(place: &Place) {
    let one = Arc::new(Simulated::enrol(&authority(&place.settings), &place.database, 4).await);
    write(&one, Lane::Bulk, 0, BESIDE);
    let mut running = one.start(&place.hub, None);
    let mut next = BESIDE;
    let mut refill = |one: &Simulated| {
        let lack = (BESIDE * 3).saturating_sub(one.ledger.waiting()) / 3;
        write(one, Lane::Bulk, next, lack);
        next += lack;
    };
    // It connects, sees what is lost, and connects anew with the pace that bears it.
    let mut first = vec![];
    while running.status.borrow().connections < 2 {
        write(&one, Lane::Critical, 0, 1);
        refill(&one);
        tokio::time::sleep(PAUSE).await;
    }
    let paced = running.until(Duration::from_secs(30), |status| status.path.is_some()).await;
    assert!(paced, "not connected");
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.extend(one.ledger.took(Lane::Critical));
    for n in 0..CRITICAL {
        write(&one, Lane::Critical, n, 1);
        refill(&one);
        tokio::time::sleep(PAUSE).await;
    }
    let beside = one.ledger.waiting() / 3;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut took = one.ledger.took(Lane::Critical);
    running.stop().await;
    took.sort_unstable();
    first.sort_unstable();
    println!(
        "a critical verdict beside {beside} that wait, {} entries: acknowledged after p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms (asked: p99 800 ms)",
        took.len(),
        at(&took, 0.5),
        at(&took, 0.99),
        at(&took, 1.0)
    );
    println!(
        "the same while the box connects and finds its pace: p50 {:.0} ms, max {:.0} ms",
        at(&first, 0.5),
        at(&first, 1.0)
    );
}
