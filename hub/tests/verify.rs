//! `verify` finds what was altered in the database behind the hub's back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Paper, acked, count, ingest, migrated};
use domain::journal::{Head, Lane, Seq};
use hub::Database;
use hub::ingest::Config;
use hub::verify::{Verified, verify};
use rig::postgres::Postgres;
use sync::frame::{Hole, nothing};

async fn look(database: &Database) -> Verified {
    verify(&mut database.connect().await.unwrap(), None).await.unwrap()
}

#[tokio::test]
async fn what_is_altered_behind_the_hub_is_found_and_erasure_is_no_alteration() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut paper = Paper::new(7);
    paper.enrol(&database).await;
    paper.photos(20);
    paper.photo(Lane::Bulk, Some(1));
    paper.erase(1);
    for lane in Lane::ALL {
        for batch in paper.batches(lane, 10) {
            acked(&ingest.batch(paper.of, &batch).await.unwrap().answer().await.unwrap());
        }
    }
    let mut late = Paper::new(8);
    late.enrol(&database).await;
    late.photos(10);
    let to = Head { lane: Lane::Bulk, seq: Seq(8), chain: late.lanes[1][7].chain };
    let hole = Hole { from: nothing(late.epoch, Lane::Bulk), to };
    ingest.hole(late.of, hole).await.unwrap().answer().await.unwrap();
    let rest = late.batch(Lane::Bulk, 8, 50);
    ingest.batch(late.of, &rest).await.unwrap().answer().await.unwrap();
    assert_eq!(ingest.checkpoint(paper.of, &paper.checkpoint()).await.unwrap().len(), 1);

    let sound = look(&database).await;
    assert_eq!(sound.problems, Vec::<String>::new());
    assert_eq!((sound.boxes, sound.entries, sound.holes), (2, 43 + 12, 1));
    assert_eq!((sound.checkpoints, sound.checkpoints_held), (1, 1));
    // The bulk lane was there first, the author's two are gone; the other box has a hole.
    assert_eq!((sound.sides, sound.sides_gone), (40 + 12, 2));

    for (what, spoil, mend) in [
        (
            "was altered",
            "UPDATE entries SET record = set_byte(record, 40, get_byte(record, 40) # 1) WHERE seq = 5 AND box::text LIKE '%7'",
            "UPDATE entries SET record = set_byte(record, 40, get_byte(record, 40) # 1) WHERE seq = 5 AND box::text LIKE '%7'",
        ),
        (
            "entry 7 follows 5",
            "CREATE TABLE kept AS SELECT * FROM entries WHERE seq = 6 AND box::text LIKE '%7'; DELETE FROM entries WHERE seq = 6 AND box::text LIKE '%7'",
            "INSERT INTO entries SELECT * FROM kept; DROP TABLE kept",
        ),
        (
            "not the one committed to",
            "UPDATE sides SET bytes = bytes || '\\x00' WHERE seq = 3",
            "UPDATE sides SET bytes = substring(bytes FROM 1 FOR length(bytes) - 1) WHERE seq = 3",
        ),
        (
            "does not end where the cursor says",
            "UPDATE cursors SET chain = set_byte(chain, 0, get_byte(chain, 0) # 1) WHERE lane = 1",
            "UPDATE cursors SET chain = set_byte(chain, 0, get_byte(chain, 0) # 1) WHERE lane = 1",
        ),
        (
            "the signature is not by this device's key",
            "UPDATE checkpoints SET signature = set_byte(signature, 0, get_byte(signature, 0) # 1)",
            "UPDATE checkpoints SET signature = set_byte(signature, 0, get_byte(signature, 0) # 1)",
        ),
        ("entry 9 follows 7", "UPDATE holes SET to_seq = 7", "UPDATE holes SET to_seq = 8"),
    ] {
        let client = database.connect().await.unwrap();
        client.batch_execute(spoil).await.unwrap();
        let spoilt = look(&database).await;
        let found = spoilt.problems.iter().any(|problem| problem.contains(what));
        assert!(found, "{what}: {:?}", spoilt.problems);
        client.batch_execute(mend).await.unwrap();
        assert_eq!(look(&database).await.problems, Vec::<String>::new(), "{what}, mended");
    }
    // What is missing at the front is missing by right once retention dropped those days, and only then.
    let client = database.connect().await.unwrap();
    client
        .batch_execute("DELETE FROM entries WHERE seq < 4; DELETE FROM sides WHERE seq < 4")
        .await
        .unwrap();
    assert!(look(&database).await.problems[0].contains("follows 0"));
    client
        .batch_execute("INSERT INTO retention (dropped_before) VALUES (current_date + 2)")
        .await
        .unwrap();
    assert_eq!(look(&database).await.problems, Vec::<String>::new());
    assert_eq!(count(&database, "SELECT count(*) FROM alarms WHERE kind = 'tampered'").await, 0);
}
