//! What happens to submissions while somebody listens. Nothing is kept: who comes late looks at the store.
//!
//! Each listener has a box of its own. What comes while it is busy replaces what it has not taken yet of the same stage, so
//! that a slow one gets the newest and no memory grows; the last of each stage stays. What does not rise is not told: a worker
//! that begins anew, or bytes that are sent once more, turn nothing back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::journal::{SubmissionId, TenantId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::http::Problem;

/// Stages that may wait for a slow listener: those of nine media, and some. One with more looks at the state instead.
const BACKLOG: usize = 64;

/// Submissions that are listened to at once.
const MOST: usize = 10_000;

/// Time between two percents of one stage.
const PACE: Duration = Duration::from_millis(100);

/// Where a submission is, in the order of its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its bytes come in.
    Uploading,
    /// Accepted, and waiting.
    Queued,
    /// Its media are being fetched.
    Fetching,
    /// A worker is at it.
    Judging,
    /// A medium becomes pictures.
    Decoding,
    /// The models answer on a medium.
    Detecting,
    /// There is a decision, or it failed for good.
    Settled,
}

impl Stage {
    /// As clients see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Queued => "queued",
            Self::Fetching => "fetching",
            Self::Judging => "judging",
            Self::Decoding => "decoding",
            Self::Detecting => "detecting",
            Self::Settled => "settled",
        }
    }

    /// One sentence for people.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Uploading => "its bytes come in; it is not accepted yet",
            Self::Queued => "accepted; it cannot be lost any more",
            Self::Fetching => "its media are being fetched",
            Self::Judging => "a worker is at it",
            Self::Decoding => "a medium is being decoded",
            Self::Detecting => "a medium is being looked at",
            Self::Settled => "decided",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// In which stage.
    pub stage: Stage,
    /// Of which medium, from 0.
    pub media: Option<usize>,
    /// How much of the stage is done, 0 to 100.
    pub percent: Option<u8>,
    /// Bytes so far, where nobody knows of how many.
    pub bytes: Option<u64>,
}

impl From<Stage> for Event {
    fn from(stage: Stage) -> Self {
        Self { stage, media: None, percent: None, bytes: None }
    }
}

impl Event {
    /// Part of a stage of a medium.
    pub fn of(stage: Stage, media: usize, percent: u8) -> Self {
        Self { media: Some(media), percent: Some(percent), ..Self::from(stage) }
    }

    /// So many bytes of a stage, of `total` where that is known.
    pub fn bytes(stage: Stage, media: Option<usize>, done: u64, total: Option<u64>) -> Self {
        let percent = total.map(|total| share(done, total));
        Self { stage, media, percent, bytes: percent.is_none().then_some(done) }
    }

    /// Whether nothing follows.
    pub fn is_last(self) -> bool {
        self.stage == Stage::Settled
    }

    fn is_same_stage(&self, other: &Self) -> bool {
        (self.stage, self.media) == (other.stage, other.media)
    }

    /// How far it is on the way: decoding and looking take turns, medium by medium.
    fn place(&self) -> impl Ord {
        let phase = if self.stage == Stage::Detecting { Stage::Decoding } else { self.stage };
        (phase, self.media, self.stage, self.percent, self.bytes)
    }
}

/// Percent of a whole, rounded down. Nothing of nothing is all of it.
fn share(done: u64, total: u64) -> u8 {
    (done.min(total) * 100).checked_div(total).map_or(100, |percent| percent as u8)
}

type Key = (TenantId, SubmissionId);

/// Who listens to what.
#[derive(Clone, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Default)]
struct Shared {
    all: Mutex<HashMap<Key, Way>>,
    /// Submissions in `all`: where there are none, telling costs one look at this.
    count: AtomicUsize,
}

/// A submission that is listened to.
#[derive(Default)]
struct Way {
    last: Option<Event>,
    boxes: Vec<Arc<Letters>>,
}

/// What one listener has not taken yet.
#[derive(Default)]
struct Letters {
    inside: Mutex<Inside>,
    came: Notify,
}

#[derive(Default)]
struct Inside {
    events: VecDeque<Event>,
    missed: bool,
}

/// One who listens.
pub struct Listener {
    letters: Arc<Letters>,
    key: Key,
    progress: Progress,
    last: Option<(Event, Instant)>,
}

/// More happened than waits for a listener: the state as it is now is what matters.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed;

impl Progress {
    /// Listens to a submission, whether it is known yet or not.
    ///
    /// # Errors
    /// 503 when too many are listened to.
    pub fn listen(&self, tenant: &TenantId, id: SubmissionId) -> Result<Listener, Problem> {
        let key = (tenant.clone(), id);
        let mut all = lock(&self.0.all);
        if all.len() >= MOST && !all.contains_key(&key) {
            let detail = "too many submissions are listened to: ask for its state instead";
            return Err(Problem::unavailable("listeners", detail, Duration::from_secs(5)));
        }
        let letters = Arc::<Letters>::default();
        all.entry(key.clone()).or_default().boxes.push(Arc::clone(&letters));
        self.0.count.store(all.len(), Ordering::Release);
        Ok(Listener { letters, key, progress: self.clone(), last: None })
    }

    /// Tells who listens, unless it is no news.
    pub fn tell(&self, tenant: &TenantId, id: SubmissionId, event: impl Into<Event>) {
        self.spread(tenant, id, event.into(), false);
    }

    /// Tells that it waits once more, and that stages come again.
    pub fn again(&self, tenant: &TenantId, id: SubmissionId) {
        self.spread(tenant, id, Stage::Queued.into(), true);
    }

    fn spread(&self, tenant: &TenantId, id: SubmissionId, event: Event, anew: bool) {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = lock(&self.0.all);
        let Some(way) = all.get_mut(&(tenant.clone(), id)) else { return };
        let risen = way.last.is_none_or(|last| last.place() < event.place());
        if !(anew || risen || event.is_last()) {
            return;
        }
        // Whoever has it judged once more begins at the beginning.
        way.last = (!event.is_last()).then_some(event);
        for letters in &way.boxes {
            letters.put(event);
        }
    }
}

impl Letters {
    fn put(&self, event: Event) {
        let mut inside = lock(&self.inside);
        match inside.events.back_mut() {
            Some(newest) if newest.is_same_stage(&event) => *newest = event,
            _ => {
                if inside.events.len() == BACKLOG {
                    inside.events.clear();
                    inside.missed = true;
                }
                inside.events.push_back(event);
            }
        }
        drop(inside);
        self.came.notify_one();
    }
}

impl Listener {
    /// The next event: of one stage no more than ten a second, but always the last.
    ///
    /// # Errors
    /// When some were missed.
    pub async fn receive(&mut self) -> Result<Event, Missed> {
        loop {
            let wait = {
                let mut inside = lock(&self.letters.inside);
                if std::mem::take(&mut inside.missed) {
                    return Err(Missed);
                }
                let due = inside.events.front().map(|next| match self.last {
                    Some((last, at)) if last.is_same_stage(next) => at + PACE,
                    _ => Instant::now(),
                });
                // What another follows is the last of its stage.
                let is_over = inside.events.len() > 1;
                match due {
                    Some(due) if is_over || due <= Instant::now() => {
                        if let Some(event) = inside.events.pop_front() {
                            self.last = Some((event, Instant::now()));
                            return Ok(event);
                        }
                        None
                    }
                    due => due,
                }
            };
            match wait {
                Some(due) => drop(timeout_at(due, self.letters.came.notified()).await),
                None => self.letters.came.notified().await,
            }
        }
    }

    /// Waits for a stage, or the end, or until something was missed.
    pub async fn reach(&mut self, stage: Stage) {
        while let Ok(event) = self.receive().await {
            if event.stage == stage || event.is_last() {
                return;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut all = lock(&self.progress.0.all);
        if let Some(way) = all.get_mut(&self.key) {
            way.boxes.retain(|letters| !Arc::ptr_eq(letters, &self.letters));
            if way.boxes.is_empty() {
                all.remove(&self.key);
            }
        }
        self.progress.0.count.store(all.len(), Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is sound after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use futures_util::FutureExt as _;

    use super::*;

    fn setting() -> (Progress, TenantId, SubmissionId) {
        (Progress::default(), "a".parse().unwrap(), SubmissionId(uuid::Uuid::now_v7()))
    }

    #[tokio::test]
    async fn who_listens_hears_and_leaves_nothing_behind() {
        let (progress, a, id) = setting();
        let b: TenantId = "b".parse().unwrap();
        let mut first = progress.listen(&a, id).ok().unwrap();
        let mut second = progress.listen(&a, id).ok().unwrap();
        let other = progress.listen(&b, id).ok().unwrap();
        progress.tell(&a, id, Stage::Judging);
        assert_eq!(first.receive().await, Ok(Stage::Judging.into()));
        assert_eq!(second.receive().await, Ok(Stage::Judging.into()));
        assert!(lock(&other.letters.inside).events.is_empty());
        drop(first);
        progress.tell(&a, id, Stage::Settled);
        assert_eq!(second.receive().await, Ok(Stage::Settled.into()));
        drop((second, other));
        assert!(lock(&progress.0.all).is_empty());
        assert_eq!(progress.0.count.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_slow_listener_gets_the_newest_of_each_stage_and_percents_never_fall() {
        let (progress, tenant, id) = setting();
        let mut listener = progress.listen(&tenant, id).ok().unwrap();
        for percent in [0, 40, 30, 90, 10] {
            progress.tell(&tenant, id, Event::of(Stage::Decoding, 0, percent));
        }
        let heard = Instant::now();
        let next = listener.receive().now_or_never();
        assert_eq!(next, Some(Ok(Event::of(Stage::Decoding, 0, 90))));
        // A second one of the same stage waits its time, and is the newest then.
        progress.tell(&tenant, id, Event::of(Stage::Decoding, 0, 95));
        assert_eq!(listener.receive().now_or_never(), None);
        progress.tell(&tenant, id, Event::of(Stage::Decoding, 0, 97));
        assert_eq!(listener.receive().await, Ok(Event::of(Stage::Decoding, 0, 97)));
        assert!(heard.elapsed() >= PACE, "{:?}", heard.elapsed());
        // The last of a stage does not wait, and neither does the next stage.
        progress.tell(&tenant, id, Event::of(Stage::Decoding, 0, 100));
        progress.tell(&tenant, id, Event::of(Stage::Detecting, 0, 100));
        // A part of the same medium, and bytes that are sent once more: no news.
        progress.tell(&tenant, id, Event::of(Stage::Decoding, 0, 50));
        progress.tell(&tenant, id, Event::bytes(Stage::Uploading, None, 1, Some(2)));
        progress.tell(&tenant, id, Event::of(Stage::Decoding, 1, 0));
        for (stage, media, percent) in
            [(Stage::Decoding, 0, 100), (Stage::Detecting, 0, 100), (Stage::Decoding, 1, 0)]
        {
            let next = listener.receive().now_or_never();
            assert_eq!(next, Some(Ok(Event::of(stage, media, percent))));
        }
        // Only a new attempt begins anew.
        progress.again(&tenant, id);
        progress.tell(&tenant, id, Event::of(Stage::Decoding, 0, 0));
        assert_eq!(listener.receive().now_or_never(), Some(Ok(Stage::Queued.into())));
        let next = listener.receive().now_or_never();
        assert_eq!(next, Some(Ok(Event::of(Stage::Decoding, 0, 0))));
    }

    #[tokio::test]
    async fn who_misses_stages_is_told_so_and_goes_on_with_the_newest() {
        let (progress, tenant, id) = setting();
        let mut listener = progress.listen(&tenant, id).ok().unwrap();
        for media in 0..=BACKLOG {
            progress.tell(&tenant, id, Event::of(Stage::Decoding, media, 100));
        }
        assert_eq!(listener.receive().await, Err(Missed));
        assert_eq!(listener.receive().await, Ok(Event::of(Stage::Decoding, BACKLOG, 100)));
    }

    #[test]
    fn a_share_is_within_its_whole() {
        assert_eq!(
            [share(0, 3), share(2, 3), share(3, 3), share(9, 3), share(0, 0)],
            [0, 66, 100, 100, 100]
        );
    }
}
