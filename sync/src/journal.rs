//! What sync needs of a box's journal. The store of the box is one; tests bring their own.

use domain::journal::{BoxId, Epoch, Lane, Seq, SignedCheckpoint};
use tokio::sync::watch;

use crate::batch::Entry;
use crate::frame::{Cursor, LaneState, Receipt};

/// Why a journal could not answer.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// How the hub's cursor fits the box's own entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The same chain there: everything up to it is acknowledged.
    Same,
    /// Another chain there, or the box has not come so far: a fork.
    Other,
    /// It was pruned, so that nobody can tell; the box's entries begin later.
    Pruned,
}

/// A journal as the link sees it. Calls block for as long as a disk takes: the driver makes them from a thread of their own.
pub trait Journal: Send + Sync + 'static {
    /// The box.
    fn of(&self) -> BoxId;

    /// Every lane of every epoch that is still here and did not fork, oldest epoch first: the last one is that which grows.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    fn lanes(&self) -> Result<Vec<LaneState>, Trouble>;

    /// Entries behind `after`, in order, at most `most`: only those that survive a power cut.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    fn entries(
        &self,
        epoch: Epoch,
        lane: Lane,
        after: Seq,
        most: u32,
    ) -> Result<Vec<Entry>, Trouble>;

    /// The hub has everything up to here and nothing behind it: keeps that, if the chain there is ours. It may be less than before,
    /// where the hub was restored from a copy; what it lacks must not be pruned. Where it was pruned already, nothing that
    /// is still here counts as acknowledged.
    ///
    /// # Errors
    /// Where the journal cannot be read or written.
    fn acknowledge(&self, cursor: Cursor) -> Result<Fit, Trouble>;

    /// Signed checkpoints for which the hub has given no receipt and whose number is behind `after`, oldest first, at most `most`.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    fn checkpoints(&self, after: u64, most: u32) -> Result<Vec<(u64, SignedCheckpoint)>, Trouble>;

    /// Keeps the hub's receipt for the checkpoint of a number.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    fn receipted(&self, checkpoint: u64, receipt: &Receipt) -> Result<(), Trouble>;

    /// The hub has another journal under this box's name and epoch. Begins a new epoch, and carries what the hub may not have over into it.
    ///
    /// # Errors
    /// Where the journal cannot be written.
    fn forked(&self, at: Cursor) -> Result<(), Trouble>;

    /// Counts commits.
    fn changes(&self) -> watch::Receiver<u64>;
}
