//! What happens to submissions while somebody listens. Nothing is kept: who comes late looks at the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::journal::{SubmissionId, TenantId};
use tokio::sync::broadcast::{self, error::RecvError};

use super::http::Problem;

/// Events that may wait for a slow listener; what is more, it misses.
const BACKLOG: usize = 32;

/// Submissions that are listened to at once.
const MOST: usize = 10_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Accepted, and waiting.
    Queued,
    /// Its media are being fetched.
    Fetching,
    /// A worker is at it.
    Judging,
    /// There is a decision, or it failed for good.
    Settled,
}

impl Stage {
    /// As clients see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Fetching => "fetching",
            Self::Judging => "judging",
            Self::Settled => "settled",
        }
    }

    /// One sentence for people.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Queued => "accepted; it cannot be lost any more",
            Self::Fetching => "its media are being fetched",
            Self::Judging => "it is being decoded and looked at",
            Self::Settled => "decided",
        }
    }

    /// Whether nothing follows.
    pub fn is_last(self) -> bool {
        self == Self::Settled
    }
}

type Key = (TenantId, SubmissionId);

/// Who listens to what.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<HashMap<Key, broadcast::Sender<Stage>>>>);

/// One who listens.
pub struct Listener {
    receiver: broadcast::Receiver<Stage>,
    key: Key,
    progress: Progress,
}

impl Progress {
    /// Listens to a submission, whether it is known yet or not.
    ///
    /// # Errors
    /// 503 when too many are listened to.
    pub fn listen(&self, tenant: &TenantId, id: SubmissionId) -> Result<Listener, Problem> {
        let key = (tenant.clone(), id);
        let mut all = self.all();
        if all.len() >= MOST && !all.contains_key(&key) {
            let detail = "too many submissions are listened to: ask for its state instead";
            return Err(Problem::unavailable("listeners", detail, Duration::from_secs(5)));
        }
        let sender = all.entry(key.clone()).or_insert_with(|| broadcast::channel(BACKLOG).0);
        Ok(Listener { receiver: sender.subscribe(), key, progress: self.clone() })
    }

    /// Tells who listens.
    pub fn tell(&self, tenant: &TenantId, id: SubmissionId, stage: Stage) {
        if let Some(sender) = self.all().get(&(tenant.clone(), id)) {
            // Nobody there any more is fine.
            let _ = sender.send(stage);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, broadcast::Sender<Stage>>> {
        // The map is sound after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The next event.
    ///
    /// # Errors
    /// When some were missed.
    pub async fn receive(&mut self) -> Result<Stage, RecvError> {
        self.receiver.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut all = self.progress.all();
        // Its own receiver still counts here.
        if all.get(&self.key).is_some_and(|sender| sender.receiver_count() <= 1) {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[tokio::test]
    async fn who_listens_hears_and_leaves_nothing_behind() {
        let (progress, id) = (Progress::default(), SubmissionId(uuid::Uuid::now_v7()));
        let [a, b]: [TenantId; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
        let mut first = progress.listen(&a, id).ok().unwrap();
        let mut second = progress.listen(&a, id).ok().unwrap();
        let other = progress.listen(&b, id).ok().unwrap();
        progress.tell(&a, id, Stage::Judging);
        assert_eq!(first.receive().await, Ok(Stage::Judging));
        assert_eq!(second.receive().await, Ok(Stage::Judging));
        assert!(other.receiver.is_empty());
        drop(first);
        progress.tell(&a, id, Stage::Settled);
        assert_eq!(second.receive().await, Ok(Stage::Settled));
        drop((second, other));
        assert!(progress.all().is_empty());
    }
}
