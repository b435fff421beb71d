//! A box's journal in memory, for benches: keeps what is not acknowledged, and how long the rest took.
#![allow(dead_code, reason = "each bench uses its part")]

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::journal::{
    Actor, Body, BoxId, Epoch, GENESIS, Head, Lane, Millis, Record, Seq, SignedCheckpoint, Subject,
    SubmissionId, link,
};
use sync::Journal;
use sync::batch::Entry;
use sync::frame::{Cursor, LaneState, Receipt};
use sync::journal::{Fit, Trouble};
use tokio::sync::watch;

/// The journal of one box.
pub struct Ledger {
    of: BoxId,
    epoch: Epoch,
    lanes: Mutex<[Kept; 2]>,
    changes: watch::Sender<u64>,
    acked: watch::Sender<u64>,
}

struct Kept {
    /// Acknowledged, and not here any more.
    base: Head,
    head: Head,
    entries: VecDeque<(Entry, Instant)>,
    /// From an entry's commit to the hub's ack.
    took: Vec<Duration>,
}

impl Ledger {
    pub fn new(of: BoxId) -> Self {
        let kept = |lane| {
            let base = Head { lane, seq: Seq(0), chain: GENESIS };
            Kept { base, head: base, entries: VecDeque::new(), took: vec![] }
        };
        let epoch = Epoch(u64::from_le_bytes(of.0.as_bytes()[8..].try_into().unwrap_or_default()));
        let (changes, acked) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { of, epoch, lanes: Mutex::new(Lane::ALL.map(kept)), changes, acked }
    }

    fn lock(&self) -> MutexGuard<'_, [Kept; 2]> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits the entries of a submission together.
    pub fn write(&self, lane: Lane, of: SubmissionId, bodies: Vec<Body>) {
        let mut lanes = self.lock();
        let kept = &mut lanes[usize::from(lane.number())];
        for body in bodies {
            let seq = kept.head.seq.next();
            let at = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let record = Record {
                of: self.of,
                epoch: self.epoch,
                lane,
                seq,
                at: Millis(at.as_millis() as i64),
                actor: Actor::Machine,
                subject: Subject::Submission(of),
                side: None,
                body,
            };
            let Ok(record) = record.encode() else { unreachable!("it is small") };
            let chain = link(kept.head.chain, &record);
            kept.entries.push_back((Entry { seq, record, chain, side: None }, Instant::now()));
            kept.head = Head { lane, seq, chain };
        }
        drop(lanes);
        self.changes.send_modify(|count| *count += 1);
    }

    /// How long entries of a lane took since this was last asked.
    pub fn took(&self, lane: Lane) -> Vec<Duration> {
        std::mem::take(&mut self.lock()[usize::from(lane.number())].took)
    }

    /// Entries that the hub has not acknowledged.
    pub fn waiting(&self) -> usize {
        self.lock().iter().map(|kept| kept.entries.len()).sum()
    }

    /// Entries written so far.
    pub fn written(&self) -> u64 {
        self.lock().iter().map(|kept| kept.head.seq.0).sum()
    }

    /// Waits until everything is acknowledged; whether it was in time.
    pub async fn settled(&self, within: Duration) -> bool {
        let mut acked = self.acked.subscribe();
        let settled = acked.wait_for(|_| self.waiting() == 0);
        tokio::time::timeout(within, settled).await.is_ok()
    }
}

impl Journal for Ledger {
    fn of(&self) -> BoxId {
        self.of
    }

    fn lanes(&self) -> Result<Vec<LaneState>, Trouble> {
        let state = |kept: &Kept| LaneState { epoch: self.epoch, base: kept.base, head: kept.head };
        Ok(self.lock().iter().map(state).collect())
    }

    fn entries(&self, _: Epoch, lane: Lane, after: Seq, most: u32) -> Result<Vec<Entry>, Trouble> {
        let lanes = self.lock();
        let kept = &lanes[usize::from(lane.number())];
        let behind = usize::try_from(after.0.saturating_sub(kept.base.seq.0))?;
        let entries = kept.entries.iter().skip(behind).take(usize::try_from(most)?);
        Ok(entries.map(|(entry, _)| entry.clone()).collect())
    }

    fn acknowledge(&self, cursor: Cursor) -> Result<Fit, Trouble> {
        let (now, Head { lane, seq, chain }) = (Instant::now(), cursor.head);
        let mut lanes = self.lock();
        let Kept { base, entries, took, .. } = &mut lanes[usize::from(lane.number())];
        let fit = match seq.0.checked_sub(base.seq.0) {
            None => Fit::Pruned,
            Some(0) if chain == base.chain => Fit::Same,
            Some(0) => Fit::Other,
            Some(behind) => {
                let behind = usize::try_from(behind)?;
                match entries.get(behind - 1) {
                    Some((entry, _)) if entry.chain == chain => {
                        took.extend(entries.drain(..behind).map(|(_, then)| now - then));
                        *base = cursor.head;
                        Fit::Same
                    }
                    _ => Fit::Other,
                }
            }
        };
        drop(lanes);
        self.acked.send_modify(|count| *count += 1);
        Ok(fit)
    }

    fn checkpoints(&self, _: u64, _: u32) -> Result<Vec<(u64, SignedCheckpoint)>, Trouble> {
        Ok(vec![])
    }

    fn receipted(&self, _: u64, _: &Receipt) -> Result<(), Trouble> {
        Ok(())
    }

    fn forked(&self, at: Cursor) -> Result<(), Trouble> {
        Err(format!("a fork that nobody made at {at:?}").into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
