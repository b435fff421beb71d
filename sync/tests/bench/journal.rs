//! A box's journal in memory.

use std::sync::Mutex;

use domain::journal::{
    Acted, Actor, Body, BoxId, Epoch, GENESIS, Head, Lane, Millis, Record, Seq, SignedCheckpoint,
    Subject, link,
};
use sync::Journal;
use sync::batch::Entry;
use sync::frame::{Cursor, LaneState, Receipt};
use sync::journal::{Fit, Trouble};
use tokio::sync::watch;

pub const EPOCH: Epoch = Epoch(77);

pub struct Paper {
    of: BoxId,
    lanes: Mutex<[Vec<Entry>; 2]>,
    changes: watch::Sender<u64>,
}

fn at(lane: Lane) -> usize {
    usize::from(lane == Lane::Bulk)
}

fn head(lane: Lane, entries: &[Entry], seq: u64) -> Head {
    let chain = (seq as usize).checked_sub(1).map_or(GENESIS, |at| entries[at].chain);
    Head { lane, seq: Seq(seq), chain }
}

impl Paper {
    pub fn new(of: BoxId) -> Self {
        Self { of, lanes: Mutex::default(), changes: watch::channel(0).0 }
    }

    /// Writes so many entries.
    pub fn write(&self, lane: Lane, many: u64) {
        let mut lanes = self.lanes.lock().unwrap();
        let entries = &mut lanes[at(lane)];
        for _ in 0..many {
            let (seq, previous) = entries.last().map_or((0, GENESIS), |e| (e.seq.0, e.chain));
            let record = Record {
                of: self.of,
                epoch: EPOCH,
                lane,
                seq: Seq(seq + 1),
                at: Millis(seq as i64),
                actor: Actor::System,
                subject: Subject::Box,
                side: None,
                body: Body::Acted(Acted { tenant: None, call: "drain".parse().unwrap() }),
            };
            let record = record.encode().unwrap();
            let chain = link(previous, &record);
            entries.push(Entry { seq: Seq(seq + 1), record, chain, side: None });
        }
        drop(lanes);
        self.changes.send_modify(|n| *n += 1);
    }

    /// What was written, by lane.
    pub fn written(&self, lane: Lane) -> Vec<(u64, Vec<u8>)> {
        let lanes = self.lanes.lock().unwrap();
        lanes[at(lane)].iter().map(|entry| (entry.seq.0, entry.record.clone())).collect()
    }
}

impl Journal for Paper {
    fn of(&self) -> BoxId {
        self.of
    }

    fn lanes(&self) -> Result<Vec<LaneState>, Trouble> {
        let lanes = self.lanes.lock().unwrap();
        let state = |lane: Lane| {
            let entries = &lanes[at(lane)];
            let [base, head] = [0, entries.len() as u64].map(|seq| head(lane, entries, seq));
            LaneState { epoch: EPOCH, base, head }
        };
        Ok(Lane::ALL.map(state).to_vec())
    }

    fn entries(&self, _: Epoch, lane: Lane, after: Seq, most: u32) -> Result<Vec<Entry>, Trouble> {
        let lanes = self.lanes.lock().unwrap();
        let rest = lanes[at(lane)].iter().skip(after.0 as usize);
        Ok(rest.take(most as usize).cloned().collect())
    }

    fn acknowledge(&self, cursor: Cursor) -> Result<Fit, Trouble> {
        let lanes = self.lanes.lock().unwrap();
        let entries = &lanes[at(cursor.head.lane)];
        let known = cursor.head.seq.0 <= entries.len() as u64;
        let same = known && head(cursor.head.lane, entries, cursor.head.seq.0) == cursor.head;
        Ok(if same { Fit::Same } else { Fit::Other })
    }

    fn checkpoints(&self, _: u64, _: u32) -> Result<Vec<(u64, SignedCheckpoint)>, Trouble> {
        Ok(Vec::new())
    }

    fn receipted(&self, _: u64, _: &Receipt) -> Result<(), Trouble> {
        Ok(())
    }

    fn forked(&self, at: Cursor) -> Result<(), Trouble> {
        panic!("a fork without a cause, at {at:?}")
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
