//! How long an order of the hub takes to reach the boxes: a real hub on a Postgres that syncs, boxes over QUIC on this machine. From the
//! call that orders it until each box has it (what the box then does is its own; `tests/tests/directives.rs` tells of real ones), and
//! until the hub has every receipt. `cargo bench -p weir-hub --bench directives`.
#![expect(clippy::unwrap_used, reason = "a bench may stop at what it does not expect")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::obeys::Obeys;
use common::service::{Hub, init, told, weir_hub};
use domain::directive::{Address, List};
use domain::journal::Sha256;
use hub::receipt::HubKey;
use hub::{Database, directives};
use rig::postgres::Postgres;

const BOXES: usize = 50;
const ORDERS: u8 = 100;

/// Between orders: a moderator who decides four times a second.
const PAUSE: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() {
    let (postgres, around) = (Postgres::durable(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    told(&weir_hub(&["tenant", "add", "one", "--database", &postgres.url()]));
    let _hub = Hub::start(&settings);
    let boxes: Vec<_> =
        (1..=BOXES as u128).map(|number| Obeys::new(&settings, number, &["one"])).collect();
    let mut running = Vec::new();
    for one in &boxes {
        let mut connected = one.edge.obey(Arc::clone(one) as _);
        connected.until("connected", |status| status.path.is_some()).await;
        running.push(connected);
    }
    let database = Database::new(&postgres.url()).unwrap();
    let mut client = database.connect().await.unwrap();
    let key = HubKey::new(&std::fs::read(settings.with_file_name("hub.key")).unwrap()).unwrap();
    let (mut reached, mut receipted) = (Vec::new(), Vec::new());
    for n in 0..ORDERS {
        let entry = List {
            add: true,
            negative: false,
            hash: Sha256([n; 32]),
            distance: None,
            category: Some(domain::Category::Sexual),
            verified: true,
            protected: false,
        };
        let begun = Instant::now();
        let waits = boxes.iter().map(|one| {
            let one = Arc::clone(one);
            tokio::spawn(async move {
                one.has(usize::from(n) + 1).await;
                begun.elapsed()
            })
        });
        let waits: Vec<_> = waits.collect();
        let to = Address::Tenant("one".parse().unwrap());
        let by = "bench".parse().unwrap();
        directives::give(&mut client, &key, to, by, entry.into()).await.unwrap();
        for wait in waits {
            reached.push(wait.await.unwrap());
        }
        for one in &boxes {
            one.edge.journal.settled().await;
        }
        receipted.push(begun.elapsed());
        tokio::time::sleep(PAUSE.saturating_sub(begun.elapsed())).await;
    }
    for one in running {
        one.stop().await;
    }
    let at = |times: &mut Vec<Duration>, share: f64| {
        times.sort_unstable();
        times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    };
    println!("{BOXES} boxes, {ORDERS} orders to their tenant, one after the other");
    println!(
        "a box has it after        p50 {:.0} ms, p99 {:.0} ms (asked, with what the box does: p99 1,000 ms)",
        at(&mut reached, 0.5),
        at(&mut reached, 0.99)
    );
    println!(
        "all receipts committed after p50 {:.0} ms, p99 {:.0} ms",
        at(&mut receipted, 0.5),
        at(&mut receipted, 0.99)
    );
}
