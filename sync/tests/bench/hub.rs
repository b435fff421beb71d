//! A hub in memory: commits what follows its cursors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use domain::journal::{BoxId, Epoch, Head, Lane};
use sync::Peer;
use sync::batch::Batch;
use sync::frame::{Cursor, Down, Nak, Refusal, Up, Welcome, nothing};
use sync::link::{Judged, Path, judge};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::journal::Paper;
use sync::Journal as _;

#[derive(Default)]
struct Committed {
    cursors: BTreeMap<(BoxId, u64, Lane), Cursor>,
    rows: Vec<(BoxId, Lane, u64, Vec<u8>)>,
}

/// What it has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Rows committed.
    pub rows: usize,
    /// Rows committed that came by each way.
    pub quic: usize,
    pub mqtt: usize,
    /// Batches that did not follow.
    pub gaps: usize,
    /// Rows that came again.
    pub again: usize,
    /// Peers that came.
    pub peers: usize,
    /// Batches that wait, or waited, at the limit.
    pub held: usize,
    /// Hellos that were answered.
    pub hellos: usize,
}

pub struct Hub {
    committed: Mutex<Committed>,
    seen: watch::Sender<Seen>,
    /// From so many rows on it takes no more.
    limit: watch::Sender<usize>,
}

impl Hub {
    pub fn new() -> Arc<Self> {
        let (seen, limit) = (watch::channel(Seen::default()).0, watch::channel(usize::MAX).0);
        Arc::new(Self { committed: Mutex::default(), seen, limit })
    }

    pub fn limit(&self, rows: usize) {
        self.limit.send_replace(rows);
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until it has seen what is asked for.
    pub async fn until(&self, what: impl FnMut(&Seen) -> bool) -> Seen {
        self.seen.subscribe().wait_for(what).await.unwrap().clone()
    }

    pub async fn serve(self: Arc<Self>, mut peers: mpsc::Receiver<Peer>) {
        let mut tasks = JoinSet::new();
        while let Some(peer) = peers.recv().await {
            self.seen.send_modify(|seen| seen.peers += 1);
            tasks.spawn(Arc::clone(&self).listen(peer));
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn listen(self: Arc<Self>, mut peer: Peer) {
        let mut limit = self.limit.subscribe();
        while let Some(up) = peer.up.recv().await {
            if matches!(up, Up::Batch(_)) {
                let rows = self.seen().rows;
                if *limit.borrow() <= rows {
                    self.seen.send_modify(|seen| seen.held += 1);
                }
                limit.wait_for(|limit| *limit > rows).await.unwrap();
            }
            let hello = matches!(up, Up::Hello(_));
            let down = self.heard(&peer, up);
            // What was taken over before the box went still counts.
            let _ = peer.down.send(down).await;
            self.seen.send_modify(|seen| seen.hellos += usize::from(hello));
        }
    }

    fn heard(&self, peer: &Peer, up: Up) -> Down {
        let mut committed = self.committed.lock().unwrap();
        match up {
            Up::Hello(hello) => {
                let cursor = |epoch: Epoch, lane| committed.cursor(peer.of, epoch, lane);
                let cursors = hello.lanes.iter().map(|s| cursor(s.epoch, s.head.lane)).collect();
                Down::Welcome(Welcome { release: "test".into(), cursors, credit: 1 << 20 })
            }
            Up::Batch(bytes) => {
                let batch = Batch::open(peer.of, &bytes).unwrap();
                let cursor = committed.cursor(peer.of, batch.epoch, batch.lane);
                let judged = judge(&cursor, &batch);
                self.seen.send_modify(|seen| match judged {
                    Judged::Next { skip } => {
                        let rows = batch.rows.len() - skip;
                        seen.rows += rows;
                        seen.again += skip;
                        match peer.path {
                            Path::Quic => seen.quic += rows,
                            Path::Mqtt => seen.mqtt += rows,
                        }
                    }
                    Judged::Known => seen.again += batch.rows.len(),
                    Judged::Gap => seen.gaps += 1,
                    Judged::Fork => panic!("a fork without a cause"),
                });
                match judged {
                    Judged::Next { skip } => Down::Ack(committed.commit(peer.of, &batch, skip)),
                    Judged::Known => Down::Ack(cursor),
                    _ => Down::Nak(Nak { cursor, why: Refusal::Gap }),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// The rows of a box are its entries, each once and in order.
    pub fn check(&self, paper: &Paper) {
        let committed = self.committed.lock().unwrap();
        for lane in Lane::ALL {
            let rows = committed.rows.iter().filter(|row| (row.0, row.1) == (paper.of(), lane));
            let rows: Vec<(u64, Vec<u8>)> = rows.map(|row| (row.2, row.3.clone())).collect();
            let written = paper.written(lane);
            assert_eq!(rows.len(), written.len(), "{lane:?}");
            assert!(rows == written, "{lane:?}: not the same entries in the same order");
        }
    }
}

impl Committed {
    fn cursor(&self, of: BoxId, epoch: Epoch, lane: Lane) -> Cursor {
        self.cursors.get(&(of, epoch.0, lane)).copied().unwrap_or_else(|| nothing(epoch, lane))
    }

    fn commit(&mut self, of: BoxId, batch: &Batch, skip: usize) -> Cursor {
        for row in &batch.rows[skip..] {
            self.rows.push((of, batch.lane, row.seq.0, row.raw.clone()));
        }
        let head = Head { lane: batch.lane, seq: batch.last(), chain: batch.chain() };
        let cursor = Cursor { epoch: batch.epoch, head };
        self.cursors.insert((of, batch.epoch.0, batch.lane), cursor);
        cursor
    }
}
