//! The store's journal as sync reads it.

use domain::journal::{BoxId, Epoch, Lane, Seq, SignedCheckpoint};
use store::{Acknowledged, Place, Store};
use sync::batch::Entry;
use sync::frame::{Cursor, LaneState, Receipt};
use sync::journal::{Fit, Journal, Trouble};
use tokio::sync::watch;

/// Entries of a forked epoch that are told again in one transaction.
const CARRIED: u32 = 256;

/// The journal of a store.
#[derive(Debug)]
pub struct StoreJournal {
    store: Store,
    /// By which the hub signs its receipts.
    hub_key: Vec<u8>,
}

impl StoreJournal {
    /// Over a store. What a fork left to be told again is told now. Blocks.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn new(store: Store, hub_key: Vec<u8>) -> Result<Self, store::Error> {
        let journal = Self { store, hub_key };
        journal.carry()?;
        Ok(journal)
    }

    fn carry(&self) -> Result<(), store::Error> {
        let mut told = 0;
        loop {
            match self.store.carry(CARRIED).wait()? {
                0 if told == 0 => return Ok(()),
                0 => {
                    tracing::warn!(entries = told, "told again in a new epoch, after a fork");
                    return Ok(());
                }
                n => told += n,
            }
        }
    }
}

impl Journal for StoreJournal {
    fn of(&self) -> BoxId {
        self.store.box_id()
    }

    fn lanes(&self) -> Result<Vec<LaneState>, Trouble> {
        let lanes = self.store.lanes()?.into_iter().filter(|lane| !lane.forked);
        Ok(lanes.map(|l| LaneState { epoch: l.epoch, base: l.base, head: l.head }).collect())
    }

    fn entries(
        &self,
        epoch: Epoch,
        lane: Lane,
        after: Seq,
        most: u32,
    ) -> Result<Vec<Entry>, Trouble> {
        let entries = self.store.entries(epoch, lane, after, most)?.into_iter();
        Ok(entries
            .map(|e| Entry { seq: e.seq, record: e.record, chain: e.chain, side: e.side })
            .collect())
    }

    fn acknowledge(&self, cursor: Cursor) -> Result<Fit, Trouble> {
        let Cursor { epoch, head } = cursor;
        let place = Place { epoch, lane: head.lane, seq: head.seq };
        Ok(match self.store.acknowledge(place, head.chain).wait()? {
            Acknowledged::Same => Fit::Same,
            Acknowledged::Other => Fit::Other,
            Acknowledged::Pruned => Fit::Pruned,
        })
    }

    fn checkpoints(&self, after: u64, most: u32) -> Result<Vec<(u64, SignedCheckpoint)>, Trouble> {
        Ok(self.store.checkpoints(after, most)?)
    }

    fn receipted(&self, checkpoint: u64, receipt: &Receipt) -> Result<(), Trouble> {
        if !receipt.verify(&self.hub_key) {
            return Err("the receipt for a checkpoint is not by this box's hub".into());
        }
        Ok(self.store.keep_receipt(checkpoint, postcard::to_stdvec(receipt)?).wait()?)
    }

    fn forked(&self, at: Cursor) -> Result<(), Trouble> {
        let epoch = self.store.fork(at.epoch).wait()?;
        tracing::warn!(%epoch, "the journal goes on in this epoch");
        Ok(self.carry()?)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.store.changes()
    }
}
