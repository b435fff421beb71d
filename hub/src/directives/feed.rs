//! What a node knows of new directives: told by the database, and by asking now and then where telling fails. Sessions read from here
//! what has just been ordered, so that a directive to a thousand boxes is read from the database once.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::directive::SignedDirective;
use tokio::sync::watch;
use tokio_postgres::{Client, Row};

use super::behind;
use crate::{Database, Error};

/// How often the heads of all lanes are read even though nobody said that one has grown.
const POLL: Duration = Duration::from_secs(5);

/// Between attempts while the database is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Directives of a lane that are kept in memory, and bytes of them: those of the last moments, for the boxes that are connected.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 1 << 20;

/// New directives of all lanes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lanes: Mutex<HashMap<(i64, String), Lane>>,
    /// Counts news.
    news: watch::Sender<u64>,
    /// Counts changes of what boxes follow.
    assigned: AtomicU64,
}

#[derive(Debug, Default)]
struct Lane {
    /// Which life of the journal: older ones are told first.
    number: i64,
    head: i64,
    /// The last ones, without a gap, up to `head`.
    latest: VecDeque<(i64, SignedDirective)>,
}

/// What the feed has behind a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// The directives themselves, in order; none where the lane has come no further.
    Here(Vec<(i64, SignedDirective)>),
    /// There are more than are kept here: ask the database.
    Ask,
}

impl Default for Feed {
    fn default() -> Self {
        let inner = Inner {
            lanes: Mutex::default(),
            news: watch::Sender::new(0),
            assigned: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Feed {
    /// Counts news, for whoever waits for some.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    /// Rises when boxes may follow other lanes than before.
    pub(super) fn assigned(&self) -> u64 {
        self.inner.assigned.load(Ordering::Acquire)
    }

    fn tell(&self, assigned: bool) {
        if assigned {
            self.inner.assigned.fetch_add(1, Ordering::Release);
        }
        self.inner.news.send_modify(|count| *count += 1);
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<(i64, String), Lane>> {
        self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every life in which a lane has directives, as far as this node knows, oldest first.
    pub(super) fn epochs(&self, lane: &str) -> Vec<i64> {
        let lanes = self.lanes();
        let of = lanes.iter().filter(|((_, name), _)| name == lane);
        let mut epochs: Vec<_> = of.map(|((epoch, _), lane)| (lane.number, *epoch)).collect();
        epochs.sort_unstable();
        epochs.into_iter().map(|(_, epoch)| epoch).collect()
    }

    /// What is known behind a number, at most so many.
    pub(super) fn behind(&self, epoch: i64, lane: &str, seq: i64, most: usize) -> Behind {
        let lanes = self.lanes();
        let Some(known) = lanes.get(&(epoch, lane.to_owned())) else {
            return Behind::Here(Vec::new());
        };
        if known.head <= seq {
            return Behind::Here(Vec::new());
        }
        match known.latest.front() {
            Some((first, _)) if *first <= seq + 1 => {
                let news = known.latest.iter().filter(|(at, _)| *at > seq).take(most);
                Behind::Here(news.cloned().collect())
            }
            _ => Behind::Ask,
        }
    }

    /// Follows the database until nobody asks any more; to be spawned.
    pub async fn run(self, database: Database) {
        loop {
            if let Err(error) = self.follow(&database).await {
                tracing::warn!(%error, "cannot follow directives");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&self, database: &Database) -> Result<(), Error> {
        let (client, mut told) = database.listen("weir_directives").await?;
        // What was told while nobody listened.
        self.inner.assigned.fetch_add(1, Ordering::Release);
        loop {
            for head in self.heads(&client, None).await? {
                self.grow(&client, head).await?;
            }
            self.tell(false);
            let poll = tokio::time::sleep(POLL);
            tokio::pin!(poll);
            loop {
                let lane = tokio::select! {
                    () = &mut poll => break,
                    lane = told.recv() => lane.ok_or(Error::Closed)?,
                };
                if !lane.is_empty() {
                    for head in self.heads(&client, Some(&lane)).await? {
                        self.grow(&client, head).await?;
                    }
                }
                self.tell(lane.is_empty());
            }
        }
    }

    /// How far lanes have come: of one, or all.
    async fn heads(&self, client: &Client, lane: Option<&str>) -> Result<Vec<Head>, Error> {
        let query = "SELECT l.epoch, l.lane, e.number, l.seq FROM directive_lanes l JOIN directive_epochs e ON e.epoch = l.epoch
            WHERE $1::text IS NULL OR l.lane = $1";
        let rows = tokio::time::timeout(POLL, client.query(query, &[&lane])).await;
        let rows = rows.map_err(|_| Error::Slow(POLL))??;
        let head = |row: &Row| {
            Ok(Head {
                key: (row.try_get(0)?, row.try_get(1)?),
                number: row.try_get(2)?,
                seq: row.try_get(3)?,
            })
        };
        rows.iter().map(head).collect()
    }

    /// A lane has come so far.
    async fn grow(&self, client: &Client, head: Head) -> Result<(), Error> {
        let known = self.lanes().get(&head.key).map(|lane| lane.head);
        if known == Some(head.seq) {
            return Ok(());
        }
        // What was there at the start is asked for by those who want it.
        let most = i64::try_from(KEPT).unwrap_or(i64::MAX);
        let after = known.or((head.seq == 1).then_some(0)).map(|at| at.max(head.seq - most));
        let news = match after {
            Some(after) => behind(client, head.key.0, &head.key.1, after, most).await?,
            None => Vec::new(),
        };
        let mut lanes = self.lanes();
        let lane = lanes.entry(head.key).or_default();
        (lane.number, lane.head) = (head.number, head.seq);
        for (seq, directive) in news {
            if lane.latest.back().is_some_and(|(last, _)| *last + 1 != seq) {
                lane.latest.clear();
            }
            lane.head = lane.head.max(seq);
            lane.latest.push_back((seq, directive));
        }
        let bytes = |lane: &Lane| lane.latest.iter().map(|(_, d)| d.bytes.len()).sum::<usize>();
        while lane.latest.len() > KEPT || lane.latest.len() > 1 && bytes(lane) > KEPT_BYTES {
            lane.latest.pop_front();
        }
        Ok(())
    }
}

/// How far a lane has come.
struct Head {
    key: (i64, String),
    number: i64,
    seq: i64,
}
