//! A fleet at one hub: a thousand boxes that come at once, then write verdicts at a steady pace; whether anything is lost or told twice, how
//! long an ack takes, how much memory the hub holds. Real `weir-hub`, Postgres that syncs, QUIC with mutual TLS, all on this machine.
//! `cargo bench --workspace --bench fleet`; `FLEET_BOXES`, `FLEET_RATE` (verdicts a second), `FLEET_SECONDS` size it.
#![expect(clippy::unwrap_used, reason = "a bench may stop at what it does not expect")]

#[path = "../tests/common/mod.rs"]
mod common;
mod ledger;
mod simulated;
#[path = "../../sync/benches/verdicts/mod.rs"]
mod verdicts;

use std::path::Path;
use std::time::{Duration, Instant};

use common::count;
use common::service::{Hub, init};
use domain::journal::Lane;
use futures_util::future::join_all;
use hub::Database;
use rig::postgres::Postgres;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simulated::{Running, Simulated, at, authority};
use verdicts::verdict;

/// How often a share of the boxes writes.
const TICK: Duration = Duration::from_millis(10);

/// How long the hub may take for what waits at the end.
const SETTLE: Duration = Duration::from_secs(120);

/// From when on the hub's memory is to be flat.
const WARM: Duration = Duration::from_secs(60);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    // A socket for each box.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let (boxes, rate) = (setting("FLEET_BOXES", 1000), setting("FLEET_RATE", 5000));
    let seconds = setting("FLEET_SECONDS", 300);
    let settings = ["fsync=on", "shared_buffers=512MB", "max_wal_size=8GB"];
    let (postgres, around) = (Postgres::start_with(&settings), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let address = std::fs::read_to_string(&settings).unwrap();
    let address = address.split("quic = [\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut hub = Hub::start(&settings);
    let (authority, database) = (authority(&settings), Database::new(&postgres.url()).unwrap());
    let mut fleet = Vec::new();
    for number in 1..=boxes as u128 {
        fleet.push(Simulated::enrol(&authority, &database, number).await);
    }
    let running = connect(&fleet, &address).await;
    let steady = steady(&fleet, &hub, rate, Duration::from_secs(seconds as u64)).await;
    let begun = Instant::now();
    for one in &fleet {
        assert!(one.ledger.settled(SETTLE).await, "{} entries wait", one.ledger.waiting());
    }
    let settled = begun.elapsed();
    let mut took: Vec<_> = fleet.iter().flat_map(|one| one.ledger.took(Lane::Bulk)).collect();
    took.sort_unstable();
    let returned = returns(&fleet, &running, &mut hub, &settings).await;
    let entries: u64 = fleet.iter().map(|one| one.ledger.written()).sum();
    // Each takes three of its round trips to be sure that the hub was told.
    join_all(running.into_iter().map(Running::stop)).await;
    let [rows, once, judged] = [
        "SELECT count(*) FROM entries",
        "SELECT count(*) FROM (SELECT DISTINCT box, epoch, lane, seq FROM entries) e",
        "SELECT count(*) FROM verdicts",
    ]
    .map(|query| count(&database, query));
    let (rows, once, judged) = (rows.await, once.await, judged.await);
    println!(
        "{:.0} verdicts/s for {:.0} s (asked: 5,000 for 300 s), {entries} entries; settled {:.1} s after the last",
        steady.verdicts as f64 / steady.lasted.as_secs_f64(),
        steady.lasted.as_secs_f64(),
        settled.as_secs_f64()
    );
    println!(
        "at the hub: {rows} rows, {} missing, {} twice, {judged} verdicts of {}",
        entries as i64 - once,
        rows - once,
        steady.verdicts + fleet.len()
    );
    println!(
        "from commit to ack: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        at(&took, 0.5),
        at(&took, 0.99),
        at(&took, 1.0)
    );
    println!("the hub's memory, MiB, every ten seconds: {:?}", steady.memory);
    let stored = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relispartition AND relkind = 'r'";
    println!(
        "in the database, indexes included: {} bytes a verdict",
        count(&database, stored).await / judged
    );
    println!(
        "the hub is killed and started again: everything of every box is there after {:.1} s",
        returned.as_secs_f64()
    );
    let all = steady.verdicts + fleet.len();
    assert!(rows == once && once == entries as i64 && judged == all as i64);
}

/// All of them at once; until the last one is greeted.
async fn connect(fleet: &[Simulated], address: &str) -> Vec<Running> {
    let begun = Instant::now();
    let mut running: Vec<_> = fleet.iter().map(|one| one.start(address, None)).collect();
    let mut took = Vec::new();
    for one in &mut running {
        let there = one.until(Duration::from_secs(120), |status| status.path.is_some()).await;
        assert!(there, "a box did not connect: {:?}", *one.status.borrow());
        took.push(begun.elapsed());
    }
    println!("{} boxes came at once: all connected after {:.1} s", took.len(), {
        begun.elapsed().as_secs_f64()
    });
    running
}

/// The hub dies, each box has one more verdict, the hub is there again: until all of it is acknowledged.
async fn returns(
    fleet: &[Simulated],
    running: &[Running],
    hub: &mut Hub,
    settings: &Path,
) -> Duration {
    hub.again(settings, || {
        for (n, one) in fleet.iter().enumerate() {
            let (id, bodies, _) = verdict(n);
            one.ledger.write(Lane::Bulk, id, bodies);
        }
    });
    let begun = Instant::now();
    for (one, running) in fleet.iter().zip(running) {
        let there = one.ledger.settled(SETTLE).await;
        assert!(there, "{} entries wait: {:?}", one.ledger.waiting(), *running.status.borrow());
    }
    begun.elapsed()
}

struct Steady {
    verdicts: usize,
    lasted: Duration,
    /// MiB of the hub, every ten seconds.
    memory: Vec<u64>,
}

/// Boxes write by turns.
async fn steady(fleet: &[Simulated], hub: &Hub, rate: usize, lasts: Duration) -> Steady {
    let begun = Instant::now();
    let (mut written, mut memory) = (0, vec![]);
    let mut tick = tokio::time::interval(TICK);
    while begun.elapsed() < lasts {
        tick.tick().await;
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as usize;
        for n in written..due {
            let (id, bodies, _) = verdict(n);
            fleet[n % fleet.len()].ledger.write(Lane::Bulk, id, bodies);
        }
        written = written.max(due);
        if begun.elapsed().as_secs() / 10 >= memory.len() as u64 {
            memory.push(hub.memory() >> 20);
        }
    }
    let flat = memory.iter().skip((WARM.as_secs() / 10) as usize);
    if let (Some(least), Some(most)) = (flat.clone().min(), flat.max()) {
        println!("the hub's memory after the first minute: {least} to {most} MiB");
    }
    Steady { verdicts: written, lasted: begun.elapsed(), memory }
}
