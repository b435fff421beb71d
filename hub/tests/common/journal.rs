//! A box's journal in memory, which the driver of a real box reads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::journal::{BoxId, Epoch, Head, Lane, Seq, SignedCheckpoint};
use sync::Journal;
use sync::batch::Entry;
use sync::frame::{Cursor, LaneState, Receipt};
use sync::journal::{Fit, Trouble};
use tokio::sync::watch;

use super::Paper;

/// The papers of a box: one for each epoch, the last one grows.
pub struct Memory {
    of: BoxId,
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
    acks: watch::Sender<u64>,
}

struct Inner {
    papers: Vec<Paper>,
    forked: Vec<Epoch>,
    acked: BTreeMap<(Epoch, Lane), Seq>,
}

impl Memory {
    pub fn new(paper: Paper) -> Self {
        let inner = Inner { papers: vec![paper], forked: vec![], acked: BTreeMap::new() };
        let (changes, acks) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { of: inner.papers[0].of, inner: Mutex::new(inner), changes, acks }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn write(&self, work: impl FnOnce(&mut Paper)) {
        self.with(|inner| work(inner.papers.last_mut().unwrap()));
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn papers(&self) -> Vec<Paper> {
        self.with(|inner| inner.papers.clone())
    }

    /// Waits until the hub has acknowledged something more, or everything.
    pub async fn next_ack(&self) {
        let mut acks = self.acks.subscribe();
        let before = *acks.borrow_and_update();
        let next = acks.wait_for(|count| *count > before || self.is_acked());
        let next = tokio::time::timeout(Duration::from_secs(60), next).await;
        assert!(next.is_ok(), "the hub acknowledges nothing more");
    }

    /// Waits until everything is acknowledged.
    pub async fn settled(&self) {
        let mut acks = self.acks.subscribe();
        let settled = acks.wait_for(|_| self.is_acked());
        let settled = tokio::time::timeout(Duration::from_secs(90), settled).await;
        assert!(settled.is_ok(), "not everything is acknowledged");
    }

    /// Whether the hub has said that it has everything of every epoch that did not fork.
    pub fn is_acked(&self) -> bool {
        self.with(|inner| {
            let Inner { papers, forked, acked } = inner;
            papers.iter().filter(|paper| !forked.contains(&paper.epoch)).all(|paper| {
                Lane::ALL.iter().all(|lane| {
                    let have = acked.get(&(paper.epoch, *lane)).copied().unwrap_or(Seq(0));
                    have == paper.head(*lane).seq
                })
            })
        })
    }
}

impl Journal for Memory {
    fn of(&self) -> BoxId {
        self.of
    }

    fn lanes(&self) -> Result<Vec<LaneState>, Trouble> {
        Ok(self.with(|inner| {
            let open = inner.papers.iter().filter(|paper| !inner.forked.contains(&paper.epoch));
            open.flat_map(Paper::states).collect()
        }))
    }

    fn entries(
        &self,
        epoch: Epoch,
        lane: Lane,
        after: Seq,
        most: u32,
    ) -> Result<Vec<Entry>, Trouble> {
        Ok(self.with(|inner| {
            let paper = inner.papers.iter().find(|paper| paper.epoch == epoch);
            let entries = paper.map(|paper| &paper.lanes[usize::from(lane.number())]);
            let behind = entries.into_iter().flatten().filter(|entry| entry.seq > after);
            // Small batches, so that a kill finds many on their way.
            behind.take(most.min(20) as usize).cloned().collect()
        }))
    }

    fn acknowledge(&self, cursor: Cursor) -> Result<Fit, Trouble> {
        let fit = self.with(|inner| {
            let (epoch, Head { lane, seq, chain }) = (cursor.epoch, cursor.head);
            let paper = inner.papers.iter().find(|paper| paper.epoch == epoch);
            let entries = paper.map(|paper| &paper.lanes[usize::from(lane.number())]);
            let same = seq == Seq(0)
                || entries.into_iter().flatten().any(|e| e.seq == seq && e.chain == chain);
            if !same {
                return Fit::Other;
            }
            inner.acked.insert((epoch, lane), seq);
            Fit::Same
        });
        self.acks.send_modify(|count| *count += 1);
        Ok(fit)
    }

    fn checkpoints(&self, _: u64, _: u32) -> Result<Vec<(u64, SignedCheckpoint)>, Trouble> {
        Ok(vec![])
    }

    fn receipted(&self, _: u64, _: &Receipt) -> Result<(), Trouble> {
        Ok(())
    }

    /// Goes on in a new epoch, with everything that this journal wrote told there once more.
    fn forked(&self, at: Cursor) -> Result<(), Trouble> {
        self.with(|inner| {
            let Inner { papers, forked, .. } = inner;
            if forked.contains(&at.epoch) {
                return;
            }
            forked.push(at.epoch);
            let old = papers.iter().find(|paper| paper.epoch == at.epoch).cloned().unwrap();
            papers.push(old.again(Epoch(at.epoch.0 / 2 + 1)));
        });
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
