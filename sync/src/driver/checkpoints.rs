//! Checkpoints on their way to a receipt: sent once the hub has all that they cover.

use std::collections::VecDeque;

use domain::journal::{Checkpoint, Sha256, SignedCheckpoint};

use crate::frame::{Receipt, Up};
use crate::link::Link;

/// One that is not receipted.
struct Open {
    n: u64,
    signed: SignedCheckpoint,
    checkpoint: Checkpoint,
}

#[derive(Default)]
pub(super) struct Checkpoints {
    /// Not sent yet on this connection, oldest first.
    waiting: VecDeque<Open>,
    /// Sent, by the hash under which the receipt comes.
    sent: Vec<(Sha256, u64)>,
    /// The last one that was looked up.
    after: u64,
    /// Whether there may be more in the journal.
    look: bool,
    looking: bool,
}

impl Checkpoints {
    /// A new connection: what has no receipt goes out again.
    pub fn begin(&mut self) {
        *self = Self { look: true, ..Self::default() };
    }

    /// The journal has changed.
    pub fn look_again(&mut self) {
        self.look = true;
    }

    pub fn after(&self) -> u64 {
        self.after
    }

    /// Whether to look for more now. Not in the middle of a backlog: they cover nothing that the hub has.
    pub fn wants_more(&mut self, link: &Link) -> bool {
        let wants = self.look && !self.looking && self.waiting.is_empty() && link.lag() < 10_000;
        self.looking |= wants;
        self.look &= !wants;
        wants
    }

    pub fn found(&mut self, list: Vec<(u64, SignedCheckpoint)>) {
        self.looking = false;
        self.look |= !list.is_empty();
        for (n, signed) in list {
            self.after = self.after.max(n);
            match postcard::from_bytes(&signed.bytes) {
                Ok(checkpoint) => self.waiting.push_back(Open { n, signed, checkpoint }),
                Err(error) => tracing::error!(n, %error, "a checkpoint of the journal is damaged"),
            }
        }
    }

    /// Those whose every entry the hub has.
    pub fn due(&mut self, link: &Link) -> Vec<Up> {
        let mut due = Vec::new();
        while let Some(open) = self.waiting.front() {
            let heads = &open.checkpoint.heads;
            let known = |head: &domain::journal::Head| {
                // A lane that is not sent any more, of a forked epoch, is never covered.
                link.cursor(open.checkpoint.epoch, head.lane).map(|seq| seq >= head.seq)
            };
            match heads.iter().map(known).collect::<Option<Vec<bool>>>() {
                Some(all) if all.iter().all(|known| *known) => {}
                Some(_) => break,
                None => {
                    self.waiting.pop_front();
                    continue;
                }
            }
            if let Some(open) = self.waiting.pop_front() {
                self.sent.push((Sha256::of(&open.signed.bytes), open.n));
                due.push(Up::Checkpoint(open.signed));
            }
        }
        due
    }

    /// The number of the checkpoint to which a receipt belongs.
    pub fn receipted(&mut self, receipt: &Receipt) -> Option<u64> {
        let at = self.sent.iter().position(|(hash, _)| *hash == receipt.checkpoint)?;
        Some(self.sent.swap_remove(at).1)
    }
}
