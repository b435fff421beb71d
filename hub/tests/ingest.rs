//! Ingest against a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::{Paper, acked, count, ingest, migrated};
use domain::journal::{Epoch, Head, Lane, Seq};
use hub::Database;
use hub::ingest::{Config, Ingest};
use rig::postgres::Postgres;
use sync::frame::{Cursor, Down, Hello, Hole, Refusal, nothing};

async fn send(ingest: &Ingest, paper: &Paper, bytes: &[u8]) -> Down {
    ingest.batch(paper.of, bytes).await.unwrap().answer().await.unwrap()
}

/// Sends a batch until it is taken.
async fn insist(ingest: &Ingest, paper: &Paper, bytes: &[u8]) -> Down {
    loop {
        match send(ingest, paper, bytes).await {
            Down::Nak(nak) if matches!(nak.why, Refusal::Busy { .. }) => {
                tokio::task::yield_now().await
            }
            other => return other,
        }
    }
}

#[tokio::test]
async fn entries_are_kept_byte_for_byte_and_become_what_people_search() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.enrol(&database).await;
    paper.photos(300);
    paper.photo(Lane::Critical, None);
    for batch in paper.batches(Lane::Bulk, 100) {
        send(&ingest, &paper, &batch).await;
    }
    assert_eq!(acked(&send(&ingest, &paper, &paper.batch(Lane::Critical, 0, 10)).await), 2);
    paper.assert_stored(&database, Lane::Bulk).await;
    paper.assert_stored(&database, Lane::Critical).await;
    for (table, rows) in [("verdicts", 301), ("submissions", 301), ("media", 301), ("sides", 602)] {
        assert_eq!(
            count(&database, &format!("SELECT count(*) FROM {table}")).await,
            rows,
            "{table}"
        );
    }
    let verdict = "SELECT count(*) FROM verdicts WHERE tenant = 'acme' AND status = 'rejected' AND severity = 'high'
        AND action = 'reject' AND complete AND number = 0 AND supersedes IS NULL AND at = 1700000000000
        AND policy = 'starter@1' AND reasons = '[\"nsfw\"]'
        AND categories = '{\"sexual\": {\"severity\": \"high\", \"score_thousandths\": 970}}'
        AND received_at BETWEEN now() - interval '1 minute' AND now()";
    assert_eq!(count(&database, verdict).await, 301);
    let hello = Hello { release: "1".into(), schema: 1, lanes: paper.states() };
    let welcome = ingest.hello(paper.of, &hello).await.unwrap();
    let heads: Vec<Head> = welcome.cursors.iter().map(|c| c.head).collect();
    assert_eq!(heads, [paper.head(Lane::Critical), paper.head(Lane::Bulk)]);
}

#[tokio::test]
async fn what_comes_twice_or_too_early_changes_nothing() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.photos(20);
    let gap = send(&ingest, &paper, &paper.batch(Lane::Bulk, 10, 5)).await;
    let Down::Nak(nak) = &gap else { panic!("{gap:?}") };
    assert_eq!((nak.cursor, &nak.why), (nothing(paper.epoch, Lane::Bulk), &Refusal::Gap));
    assert_eq!(acked(&send(&ingest, &paper, &paper.batch(Lane::Bulk, 0, 15)).await), 15);
    assert_eq!(acked(&send(&ingest, &paper, &paper.batch(Lane::Bulk, 5, 5)).await), 15, "known");
    assert_eq!(
        acked(&send(&ingest, &paper, &paper.batch(Lane::Bulk, 10, 30)).await),
        40,
        "overlaps"
    );
    paper.assert_stored(&database, Lane::Bulk).await;
}

#[tokio::test]
async fn altered_bytes_are_refused_told_of_and_never_stored() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.photos(5);
    let good = paper.batch(Lane::Bulk, 0, 10);
    for place in (0..good.len()).step_by(7) {
        let mut altered = good.clone();
        altered[place] ^= 1;
        // What does not even name a lane has no answer.
        if let Ok(pending) = ingest.batch(paper.of, &altered).await {
            let answer = pending.answer().await.unwrap();
            assert!(!matches!(answer, Down::Ack(_)), "byte {place}: {answer:?}");
        }
    }
    // The box's own journal was altered: its chain no longer holds.
    let mut tampered = paper.clone();
    let record = &mut tampered.lanes[1][3].record;
    *record.last_mut().unwrap() ^= 1;
    let answer = send(&ingest, &tampered, &tampered.batch(Lane::Bulk, 0, 10)).await;
    let Down::Nak(nak) = &answer else { panic!("{answer:?}") };
    assert_eq!(nak.why, Refusal::Damaged("chain".parse().unwrap()));
    assert_eq!(count(&database, "SELECT count(*) FROM entries").await, 0);
    let alarms =
        "SELECT count(*) FROM alarms WHERE kind = 'tampered' AND code = 'chain' AND count > 1";
    assert_eq!(count(&database, alarms).await, 1, "one alarm, counted");
    assert_eq!(acked(&send(&ingest, &paper, &good).await), 10);
}

#[tokio::test]
async fn two_journals_under_one_name_are_told_apart() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.photos(5);
    let mut clone = paper.clone();
    clone.photo(Lane::Bulk, Some(3));
    paper.photos(3);
    assert_eq!(acked(&send(&ingest, &paper, &paper.batch(Lane::Bulk, 0, 12)).await), 12);
    let fork = send(&ingest, &clone, &clone.batch(Lane::Bulk, 10, 10)).await;
    // It ends where the cursor is, with another chain.
    assert!(matches!(fork, Down::Fork(c) if c.head.seq == Seq(12)), "{fork:?}");
    let after = send(&ingest, &paper, &paper.batch(Lane::Bulk, 12, 10)).await;
    assert!(matches!(after, Down::Fork(_)), "nothing of this epoch is taken any more: {after:?}");
    let alarms = "SELECT count(*) FROM alarms WHERE kind = 'fork'";
    assert_eq!(count(&database, alarms).await, 1);
    let mut next = Paper::new(7);
    next.epoch = Epoch(5);
    next.photos(1);
    assert_eq!(acked(&send(&ingest, &next, &next.batch(Lane::Bulk, 0, 9)).await), 2, "a new life");
}

#[tokio::test]
async fn a_hole_is_kept_and_the_lane_goes_on_behind_it() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.photos(10);
    let previous = paper.lanes[1][9].chain;
    let from = nothing(paper.epoch, Lane::Bulk);
    let hole = Hole { from, to: Head { lane: Lane::Bulk, seq: Seq(10), chain: previous } };
    for _ in 0..2 {
        let answer = ingest.hole(paper.of, hole).await.unwrap().answer().await.unwrap();
        assert_eq!(acked(&answer), 10, "and once more changes nothing");
    }
    let wrong =
        Hole { from: Cursor { epoch: Epoch(1), ..from }, to: Head { seq: Seq(0), ..hole.to } };
    let answer = ingest.hole(paper.of, wrong).await.unwrap().answer().await.unwrap();
    assert_eq!(acked(&answer), 0, "a hole that leads nowhere");
    assert_eq!(acked(&send(&ingest, &paper, &paper.batch(Lane::Bulk, 10, 20)).await), 20);
    assert_eq!(count(&database, "SELECT count(*) FROM holes").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM alarms WHERE kind = 'hole'").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM entries").await, 10);
}

#[tokio::test]
async fn checkpoints_are_held_against_what_is_committed() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.enrol(&database).await;
    paper.photos(5);
    let early = paper.checkpoint();
    assert!(ingest.checkpoint(paper.of, &early).await.unwrap().is_empty(), "not here yet");
    paper.photos(5);
    send(&ingest, &paper, &paper.batch(Lane::Bulk, 0, 20)).await;
    let now = paper.checkpoint();
    assert_eq!(ingest.checkpoint(paper.of, &now).await.unwrap().len(), 2, "both hold by now");
    assert_eq!(ingest.checkpoint(paper.of, &now).await.unwrap().len(), 1, "asked again");
    let mut forged = now.clone();
    *forged.signature.last_mut().unwrap() ^= 1;
    assert!(ingest.checkpoint(paper.of, &forged).await.unwrap().is_empty());
    let mut other = Paper::new(7);
    other.photo(Lane::Bulk, Some(9));
    assert!(ingest.checkpoint(paper.of, &other.checkpoint()).await.unwrap().is_empty());
    let codes = "SELECT count(*) FROM alarms WHERE kind = 'checkpoint'";
    assert_eq!(count(&database, codes).await, 2, "a forged one, and one of another chain");
}

#[tokio::test]
async fn erasure_takes_side_records_whichever_lane_is_faster() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.photo(Lane::Bulk, Some(u64::MAX));
    paper.photo(Lane::Bulk, Some(2));
    paper.photo(Lane::Bulk, Some(u64::MAX));
    paper.erase(u64::MAX);
    send(&ingest, &paper, &paper.batch(Lane::Bulk, 0, 4)).await;
    assert_eq!(count(&database, "SELECT count(*) FROM sides").await, 4);
    send(&ingest, &paper, &paper.batch(Lane::Critical, 0, 4)).await;
    assert_eq!(
        count(&database, "SELECT count(*) FROM sides").await,
        2,
        "those of the other author"
    );
    send(&ingest, &paper, &paper.batch(Lane::Bulk, 4, 4)).await;
    assert_eq!(
        count(&database, "SELECT count(*) FROM sides").await,
        2,
        "what comes later is not kept"
    );
    paper.assert_stored(&database, Lane::Bulk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_database_take_each_entry_once() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (one, _tasks) = ingest(&database, Config::default());
    let (other, _more) = ingest(&database, Config::default());
    let nodes = [Arc::new(one), Arc::new(other)];
    let mut papers: Vec<Paper> = (1..=4).map(Paper::new).collect();
    papers.iter_mut().for_each(|paper| paper.photos(200));
    let mut senders = tokio::task::JoinSet::new();
    for paper in &papers {
        for node in &nodes {
            let (node, paper) = (Arc::clone(node), paper.clone());
            senders.spawn(async move {
                let mut at = 0;
                // Each starts where it thinks that the other is.
                while at < 400 {
                    match insist(&node, &paper, &paper.batch(Lane::Bulk, at, 7)).await {
                        Down::Ack(cursor) => at = cursor.head.seq.0,
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    for paper in &papers {
        paper.assert_stored(&database, Lane::Bulk).await;
    }
    let fenced: u64 = nodes.iter().map(|node| node.metrics().fenced.load(Relaxed)).sum();
    assert!(fenced > 0, "they met at the fence");
    assert_eq!(count(&database, "SELECT count(*) FROM alarms").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_dies_between_commit_and_ack_doubles_nothing() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let mut paper = Paper::new(7);
    paper.photos(50);
    let (mut at, mut lives) = (0, 0);
    while at < 100 {
        lives += 1;
        let (ingest, mut tasks) = ingest(&database, Config::default());
        let pending = ingest.batch(paper.of, &paper.batch(Lane::Bulk, at, 10)).await.unwrap();
        // The commit is seen from outside; nobody hears the ack, and the node is gone.
        committed(&database, at + 10).await;
        drop(pending);
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let (again, _tasks) = common::ingest(&database, Config::default());
        at = acked(&send(&again, &paper, &paper.batch(Lane::Bulk, at, 10)).await);
    }
    assert_eq!(lives, 10);
    paper.assert_stored(&database, Lane::Bulk).await;
}

async fn committed(database: &Database, upto: u64) {
    while count(database, "SELECT coalesce(max(seq), 0) FROM cursors").await.cast_unsigned() < upto
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_in_the_midst_loses_and_doubles_nothing() {
    let mut postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) =
        ingest(&database, Config { linger: Duration::ZERO, ..Config::default() });
    let ingest = Arc::new(ingest);
    let mut papers: Vec<Paper> = (1..=3).map(Paper::new).collect();
    papers.iter_mut().for_each(|paper| paper.photos(1500));
    let (told, mut progress) = tokio::sync::mpsc::channel(1024);
    let mut senders = tokio::task::JoinSet::new();
    for paper in papers.clone() {
        let (ingest, told) = (Arc::clone(&ingest), told.clone());
        senders.spawn(async move {
            let (mut at, mut acks) = (0, Vec::new());
            while at < 3000 {
                let answer = insist(&ingest, &paper, &paper.batch(Lane::Bulk, at, 20)).await;
                at = acked(&answer);
                acks.push(at);
                let _ = told.send(at).await;
            }
            acks
        });
    }
    drop(told);
    let mut kills = 0;
    let mut seen = 0;
    while progress.recv().await.is_some() {
        seen += 1;
        if seen % 90 == 0 && kills < 4 {
            kills += 1;
            postgres.kill();
            let before = ingest.metrics().busy.load(Relaxed);
            while ingest.metrics().busy.load(Relaxed) == before {
                tokio::task::yield_now().await;
            }
            postgres.restart();
        }
    }
    assert_eq!(kills, 4);
    while let Some(acks) = senders.join_next().await {
        assert!(acks.unwrap().is_sorted(), "what was acknowledged stayed so");
    }
    for paper in &papers {
        paper.assert_stored(&database, Lane::Bulk).await;
    }
}

#[tokio::test]
async fn a_database_that_takes_nothing_means_busy_and_no_ack() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.photos(10);
    // As a full disk looks to a client: class 53, insufficient resources.
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION full_disk()",
        )
        .await
        .unwrap();
    for _ in 0..20 {
        let answer = send(&ingest, &paper, &paper.batch(Lane::Bulk, 0, 10)).await;
        let Down::Nak(nak) = &answer else { panic!("{answer:?}") };
        assert!(matches!(nak.why, Refusal::Busy { after_ms: 1.. }), "{nak:?}");
    }
    assert_eq!(
        count(&database, "SELECT coalesce(max(seq), 0) FROM cursors").await,
        0,
        "no cursor moved"
    );
    client.batch_execute("DROP TRIGGER full_disk ON entries").await.unwrap();
    assert_eq!(acked(&insist(&ingest, &paper, &paper.batch(Lane::Bulk, 0, 10)).await), 10);
    let rest = paper.batch(Lane::Bulk, 10, 10);
    assert_eq!(acked(&insist(&ingest, &paper, &rest).await), 20);
    paper.assert_stored(&database, Lane::Bulk).await;
}
