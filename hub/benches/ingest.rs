//! What ingest reaches: entries a second against a bare `COPY BINARY` of the same rows in the same run, and how long an ack takes
//! at half that load. `cargo bench -p weir-hub --bench ingest`; `INGEST_BOXES` and `INGEST_PHOTOS` size it.
#![expect(clippy::unwrap_used, reason = "a bench stops at what it does not expect")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Paper, acked, ingest, migrated};
use domain::journal::{BoxId, Lane};
use futures_util::{SinkExt as _, TryStreamExt as _};
use hub::Database;
use hub::ingest::{Config, Ingest};
use rig::postgres::Postgres;
use tokio::task::JoinSet;

/// Batches that one box has under way.
const WINDOW: usize = 4;

/// How long the half load lasts.
const HALF: Duration = Duration::from_secs(10);

const TABLES: [&str; 5] = ["entries", "verdicts", "submissions", "media", "sides"];

/// The batches of a box.
type Load = (BoxId, Vec<Bytes>);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn load(first: u128, boxes: usize, photos: usize) -> Vec<Load> {
    let one = |number| {
        let mut paper = Paper::new(number);
        paper.photos(photos);
        let mut batches = Vec::new();
        let mut at = 0;
        while at < paper.lanes[1].len() {
            let packed = paper.batch(Lane::Bulk, at as u64, usize::MAX / 2);
            at = usize::try_from(sync::batch::Batch::open(paper.of, &packed).unwrap().last().0)
                .unwrap();
            batches.push(packed.into());
        }
        (paper.of, batches)
    };
    (first..first + boxes as u128).map(one).collect()
}

/// As fast as it goes: every box with a few batches under way.
async fn full(ingest: &Arc<Ingest>, load: &[Load]) -> Duration {
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for (of, batches) in load.iter().cloned() {
        let ingest = Arc::clone(ingest);
        senders.spawn(async move {
            let mut under_way = VecDeque::new();
            for batch in batches {
                if under_way.len() == WINDOW {
                    let pending: hub::ingest::Pending = under_way.pop_front().unwrap();
                    acked(&pending.answer().await.unwrap());
                }
                under_way.push_back(ingest.batch(of, &batch).await.unwrap());
            }
            for pending in under_way {
                acked(&pending.answer().await.unwrap());
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    begun.elapsed()
}

/// At a steady pace, whatever the answers: from when a batch was due to its ack, in milliseconds, sorted.
async fn half(ingest: &Arc<Ingest>, load: &[Load], per_second: f64) -> Vec<f64> {
    let begun = tokio::time::Instant::now();
    let most = load.iter().map(|(_, batches)| batches.len()).max().unwrap();
    let mut waiting = JoinSet::new();
    let mut count = 0u32;
    for round in 0..most {
        for (of, batches) in load {
            let Some(batch) = batches.get(round) else { continue };
            let due = begun + Duration::from_secs_f64(f64::from(count) / per_second);
            count += 1;
            tokio::time::sleep_until(due).await;
            let pending = ingest.batch(*of, batch).await.unwrap();
            waiting.spawn(async move {
                acked(&pending.answer().await.unwrap());
                due.elapsed().as_secs_f64() * 1000.0
            });
        }
    }
    let mut took = Vec::new();
    while let Some(one) = waiting.join_next().await {
        took.push(one.unwrap());
    }
    took.sort_by(f64::total_cmp);
    took
}

async fn empty(database: &Database) {
    let client = database.connect().await.unwrap();
    let all = TABLES.join(", ");
    client.batch_execute(&format!("TRUNCATE {all}, cursors; CHECKPOINT")).await.unwrap();
}

/// The rows of all tables as `COPY` gives and takes them.
async fn dump(database: &Database) -> Vec<(&'static str, Vec<Bytes>)> {
    let client = database.connect().await.unwrap();
    let mut all = Vec::new();
    for table in TABLES {
        let query = format!("COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)");
        let out = client.copy_out(&query).await.unwrap();
        all.push((table, out.try_collect().await.unwrap()));
    }
    all
}

async fn bare(database: &Database, rows: &[(&'static str, Vec<Bytes>)]) -> Duration {
    let client = database.connect().await.unwrap();
    let begun = Instant::now();
    for (table, pieces) in rows {
        let query = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let mut sink = pin!(client.copy_in::<_, Bytes>(&query).await.unwrap());
        for piece in pieces {
            sink.feed(piece.clone()).await.unwrap();
        }
        sink.finish().await.unwrap();
    }
    begun.elapsed()
}

#[tokio::main]
async fn main() {
    let (boxes, photos) = (setting("INGEST_BOXES", 100), setting("INGEST_PHOTOS", 500));
    let settings = ["fsync=on", "shared_buffers=512MB", "max_wal_size=8GB"];
    let postgres = Postgres::start_with(&settings);
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let ingest = Arc::new(ingest);
    let entries = (boxes * photos * 2) as f64;
    let (mut ours, mut theirs, mut alone) = (vec![], vec![], vec![]);
    let mut batches = 0;
    // New boxes each round: this node remembers the cursors of the others.
    for round in 0..3u128 {
        let load = load(1 + round * 10_000, boxes, photos);
        batches = load.iter().map(|(_, batches)| batches.len()).sum();
        ours.push(entries / full(&ingest, &load).await.as_secs_f64());
        let rows = dump(&database).await;
        empty(&database).await;
        theirs.push(entries / bare(&database, &rows).await.as_secs_f64());
        empty(&database).await;
        alone.push(entries / bare(&database, &rows[..1]).await.as_secs_f64());
        empty(&database).await;
    }
    for rates in [&mut ours, &mut theirs, &mut alone] {
        rates.sort_by(f64::total_cmp);
    }
    let (ours, theirs, alone) = (ours[1], theirs[1], alone[1]);
    let rows = entries / batches as f64;
    println!(
        "{entries} entries of {boxes} boxes, {rows:.0} a batch; medians of 3 rounds, fsync on"
    );
    println!("ingest                               {ours:.0} entries/s");
    println!(
        "bare COPY of the same rows           {theirs:.0} entries/s: ratio {:.2}",
        ours / theirs
    );
    println!(
        "bare COPY of the raw entries alone   {alone:.0} entries/s: ratio {:.2}",
        ours / alone
    );

    let wanted = ours / 2.0;
    let photos = (wanted * HALF.as_secs_f64() / boxes as f64 / 2.0) as usize;
    let took = half(&ingest, &load(1_000_000, boxes, photos), wanted / rows).await;
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "at half load, {wanted:.0} entries/s, {} batches: ack p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
