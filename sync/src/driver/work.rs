//! What has to wait for a disk: done on threads of its own, one of a kind at a time where order matters.

use std::sync::Arc;

use domain::directive::Place;
use domain::journal::{Epoch, Head, SignedCheckpoint};
use tokio::task::JoinSet;

use super::orders::Task;
use crate::batch::{self, MOST_ROWS, Packed};
use crate::directives::Taken;
use crate::frame::{Cursor, LaneState, Receipt};
use crate::journal::{Fit, Journal, Trouble};

/// What came of it.
pub(super) enum Done {
    /// `None` where they could not be read, which was logged.
    Lanes(Option<Vec<LaneState>>),
    Packed(u64, Option<Packed>),
    Fits(Cursor, Fit),
    Checkpoints(Vec<(u64, SignedCheckpoint)>),
    Forked,
    Taken(Option<Taken>),
    LookedUp(Option<Vec<Place>>),
    Nothing,
    Failed(String),
}

/// Most checkpoints looked up at once.
const CHECKPOINTS: u32 = 16;

pub(super) struct Work {
    journal: Arc<dyn Journal>,
    tasks: JoinSet<Done>,
    /// Whether the lanes are looked up, and whether they changed since.
    looking: Option<bool>,
}

impl Work {
    pub fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, tasks: JoinSet::new(), looking: None }
    }

    /// What is done next; waits for ever where nothing is under way.
    pub async fn next(&mut self) -> Done {
        match self.tasks.join_next().await {
            Some(Ok(done)) => {
                if matches!(done, Done::Lanes(_)) && self.looking.take() == Some(true) {
                    self.lanes();
                }
                done
            }
            Some(Err(error)) => Done::Failed(error.to_string()),
            None => std::future::pending().await,
        }
    }

    fn spawn(&mut self, work: impl FnOnce(&dyn Journal) -> Result<Done, Trouble> + Send + 'static) {
        let journal = Arc::clone(&self.journal);
        self.tasks.spawn_blocking(move || {
            work(journal.as_ref()).unwrap_or_else(|trouble| Done::Failed(trouble.to_string()))
        });
    }

    /// Looks how the lanes stand, once more where that is under way.
    pub fn lanes(&mut self) {
        if let Some(again) = &mut self.looking {
            *again = true;
            return;
        }
        self.looking = Some(false);
        self.spawn(|journal| {
            let lanes = journal.lanes();
            let lanes =
                lanes.inspect_err(|error| tracing::error!(%error, "the journal cannot be read"));
            Ok(Done::Lanes(lanes.ok()))
        });
    }

    pub fn read(&mut self, ticket: u64, epoch: Epoch, after: Head) {
        let most = u32::try_from(MOST_ROWS).unwrap_or(u32::MAX);
        self.spawn(move |journal| {
            let packed =
                journal.entries(epoch, after.lane, after.seq, most).and_then(
                    |entries| match entries.is_empty() {
                        true => Ok(None),
                        false => {
                            Ok(batch::pack(journal.of(), epoch, after.lane, after.chain, &entries)
                                .map(Some)?)
                        }
                    },
                );
            // The link waits for the answer to its ticket, whatever it is.
            Ok(Done::Packed(
                ticket,
                packed.unwrap_or_else(|error| {
                    tracing::error!(%error, %epoch, after = after.seq.0, "entries cannot be sent");
                    None
                }),
            ))
        });
    }

    pub fn check(&mut self, cursor: Cursor) {
        self.spawn(move |journal| Ok(Done::Fits(cursor, journal.acknowledge(cursor)?)));
    }

    pub fn forked(&mut self, cursor: Cursor) {
        self.spawn(move |journal| journal.forked(cursor).map(|()| Done::Forked));
    }

    pub fn checkpoints(&mut self, after: u64) {
        self.spawn(move |journal| journal.checkpoints(after, CHECKPOINTS).map(Done::Checkpoints));
    }

    pub fn order(&mut self, task: Task) {
        self.tasks.spawn_blocking(move || match task {
            Task::Take(directives, directive) => Done::Taken(
                directives
                    .take(&directive)
                    .inspect_err(|error| tracing::error!(%error, "a directive cannot be taken"))
                    .ok(),
            ),
            Task::LookUp(directives) => Done::LookedUp(
                directives
                    .taken()
                    .inspect_err(|error| tracing::error!(%error, "directives cannot be looked up"))
                    .ok(),
            ),
        });
    }

    pub fn receipted(&mut self, n: u64, receipt: Receipt) {
        self.spawn(move |journal| journal.receipted(n, &receipt).map(|()| Done::Nothing));
    }
}
