//! Sessions of connected boxes over a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Paper, count, ingest, migrated};
use domain::journal::Lane;
use hub::Database;
use hub::directives::Feed;
use hub::fleet::{self, Barred, State};
use hub::ingest::Config;
use hub::session::Sessions;
use rig::postgres::Postgres;
use sync::Peer;
use sync::frame::{Down, Hello, Refusal, Up};
use sync::link::Path;
use sync::peer::{UpSender, up_channel};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

struct Hub {
    sessions: Arc<Sessions>,
    database: Database,
    tasks: JoinSet<()>,
    _postgres: Postgres,
}

/// The box's end of a connection.
struct Line {
    up: UpSender,
    down: mpsc::Receiver<Down>,
}

impl Hub {
    async fn start() -> Self {
        let postgres = Postgres::start();
        let database = migrated(&postgres).await;
        let (ingest, mut tasks) = ingest(&database, Config::default());
        let (told, barred) = watch::channel(Barred::default());
        tasks.spawn(fleet::watch(database.clone(), told));
        let sessions = Arc::new(Sessions::new(ingest, barred, Feed::default()));
        Self { sessions, database, tasks, _postgres: postgres }
    }

    fn connect(&mut self, paper: &Paper, path: Path) -> Line {
        let (up, heard) = up_channel();
        let (told, down) = mpsc::channel(sync::peer::QUEUE);
        let remote = "192.0.2.1:4433".into();
        let (of, serial) = (paper.of, vec![1]);
        let peer =
            Peer { of, serial, path, remote, up: heard, down: told, asker: None, fetches: None };
        let sessions = Arc::clone(&self.sessions);
        self.tasks.spawn(async move { sessions.serve(peer).await });
        Line { up, down }
    }
}

impl Line {
    async fn greet(&mut self, paper: &Paper) {
        let hello = Hello { release: "1.2.3".into(), schema: 1, lanes: paper.states() };
        assert!(self.up.send(Up::Hello(hello)).await);
        let welcome = self.down.recv().await;
        assert!(matches!(welcome, Some(Down::Welcome(_))), "{welcome:?}");
    }

    async fn upto(&mut self, seq: u64) {
        loop {
            match self.down.recv().await {
                Some(Down::Ack(cursor)) if cursor.head.seq.0 >= seq => return,
                Some(Down::Ack(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_follow_each_other_without_waiting_and_acks_come_in_order() {
    let mut hub = Hub::start().await;
    let mut paper = Paper::new(7);
    paper.enrol(&hub.database).await;
    paper.photos(100);
    let mut line = hub.connect(&paper, Path::Quic);
    line.greet(&paper).await;
    for batch in paper.batches(Lane::Bulk, 10) {
        assert!(line.up.send(Up::Batch(batch)).await);
    }
    let mut last = 0;
    while last < 200 {
        match line.down.recv().await {
            Some(Down::Ack(cursor)) => {
                assert!(cursor.head.seq.0 > last, "in order");
                last = cursor.head.seq.0;
            }
            other => panic!("{other:?}"),
        }
    }
    paper.assert_stored(&hub.database, Lane::Bulk).await;
    let groups = hub.sessions.ingest().metrics().commits.load(std::sync::atomic::Ordering::Relaxed);
    assert!(groups < 20, "{groups} transactions for 20 batches: none waited for another's commit");
    assert!(line.up.send(Up::Checkpoint(paper.checkpoint())).await);
    assert!(matches!(line.down.recv().await, Some(Down::Receipt(_))));
    let release = "SELECT count(*) FROM boxes WHERE release = '1.2.3' AND seen_at IS NOT NULL";
    assert_eq!(count(&hub.database, release).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_told_of_once_however_many_batches_are_behind_it() {
    let mut hub = Hub::start().await;
    let mut paper = Paper::new(7);
    paper.enrol(&hub.database).await;
    paper.photos(50);
    let mut line = hub.connect(&paper, Path::Mqtt);
    line.greet(&paper).await;
    let batches = paper.batches(Lane::Bulk, 10);
    for batch in &batches[1..] {
        assert!(line.up.send(Up::Batch(batch.clone())).await);
    }
    let complaint = line.down.recv().await;
    assert!(matches!(&complaint, Some(Down::Nak(nak)) if nak.why == Refusal::Gap), "{complaint:?}");
    for batch in batches {
        assert!(line.up.send(Up::Batch(batch)).await);
    }
    line.upto(100).await;
    paper.assert_stored(&hub.database, Lane::Bulk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_box_is_cut_off_within_moments_and_not_let_in_again() {
    let mut hub = Hub::start().await;
    let mut paper = Paper::new(7);
    paper.enrol(&hub.database).await;
    paper.photos(2);
    let mut lines = [hub.connect(&paper, Path::Quic), hub.connect(&paper, Path::Mqtt)];
    for line in &mut lines {
        line.greet(&paper).await;
    }
    let client = hub.database.connect().await.unwrap();
    let revoked = Instant::now();
    fleet::set_state(&client, paper.of, State::Revoked).await.unwrap();
    for line in &mut lines {
        let word = line.down.recv().await;
        assert!(
            matches!(&word, Some(Down::Refused(code)) if code.as_str() == "revoked"),
            "{word:?}"
        );
        assert!(line.down.recv().await.is_none(), "and the connection ends");
    }
    assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
    for (paper, why) in [(&paper, "revoked"), (&Paper::new(9), "unknown")] {
        let mut line = hub.connect(paper, Path::Quic);
        let _ = line.up.send(Up::Batch(vec![])).await;
        let word = line.down.recv().await;
        assert!(matches!(&word, Some(Down::Refused(code)) if code.as_str() == why), "{word:?}");
    }
    assert_eq!(count(&hub.database, "SELECT count(*) FROM entries").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_connection_wins_and_many_of_them_raise_an_alarm() {
    let mut hub = Hub::start().await;
    let paper = Paper::new(7);
    paper.enrol(&hub.database).await;
    let mut last = hub.connect(&paper, Path::Quic);
    last.greet(&paper).await;
    for _ in 0..7 {
        let mut next = hub.connect(&paper, Path::Quic);
        next.greet(&paper).await;
        assert!(last.down.recv().await.is_none(), "the older one ends");
        last = next;
    }
    assert_eq!(hub.sessions.connected().len(), 1);
    assert_eq!(
        count(&hub.database, "SELECT count(*) FROM alarms WHERE kind = 'flapping'").await,
        1
    );
    drop(last);
    while !hub.sessions.connected().is_empty() {
        tokio::task::yield_now().await;
    }
}
