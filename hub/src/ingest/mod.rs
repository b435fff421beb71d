//! Entries of boxes into the database.
//!
//! # Invariants
//! - Nothing is acknowledged before the transaction that holds it is committed.
//! - A cursor moves in the transaction that writes the rows, and only from where it was believed to be: whatever is sent
//!   twice, by two connections or to two nodes, is written once.
//! - Memory is bounded: queues are, a group is, and while the database is away everything is answered with `Busy`.

mod cursors;
mod plan;
mod shard;
mod writer;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use domain::journal::{BoxId, Code, Lane, SCHEMA, SignedCheckpoint};
use sync::batch::{BadBatch, Batch};
use sync::frame::{Cursor, Down, Hello, Hole, Receipt, Refusal, Welcome, nothing};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub(crate) use cursors::hash;
pub(crate) use shard::now_us;

use crate::Error;
use crate::alarm::{self, AlarmKind};
use crate::checkpoint;
use crate::database::{Database, Pool};
use crate::receipt::HubKey;
use plan::Work;
use shard::{Job, Shard};

/// How the ingest works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tasks that commit, each over a connection of its own.
    pub shards: usize,
    /// Batches that may wait for each shard and urgency; behind them whoever brings one waits.
    pub queue: usize,
    /// How long a group waits for more.
    pub linger: Duration,
    /// Rows after which it waits no more.
    pub group_rows: usize,
    /// How long a transaction may take.
    pub patience: Duration,
    /// When a box that was told `Busy` may ask again, at the earliest.
    pub busy: Duration,
    /// Bytes that one box may have under way.
    pub credit: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 2,
            queue: 64,
            linger: Duration::from_millis(5),
            group_rows: 4096,
            patience: Duration::from_secs(30),
            busy: Duration::from_millis(250),
            credit: 4 * 1024 * 1024,
        }
    }
}

/// Upper bounds of the buckets in which commits are counted.
pub(crate) const BUCKETS_MS: [u64; 9] = [2, 5, 10, 25, 50, 100, 250, 1000, 5000];

/// What the ingest has done since it began.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Entries committed.
    pub rows: AtomicU64,
    /// Groups of jobs.
    pub groups: AtomicU64,
    /// Times that another node had moved a cursor.
    pub fenced: AtomicU64,
    /// Jobs answered with `Busy`.
    pub busy: AtomicU64,
    /// Epochs under whose name another journal goes.
    pub forks: AtomicU64,
    /// Batches that do not hold.
    pub bad: AtomicU64,
    /// Transactions.
    pub commits: AtomicU64,
    /// Microseconds that they took together.
    pub commit_us: AtomicU64,
    /// Transactions by how long they took, not summed up; the last is everything longer.
    pub(crate) buckets: [AtomicU64; BUCKETS_MS.len() + 1],
}

impl Metrics {
    fn committed(&self, rows: u64, took: Duration) {
        self.rows.fetch_add(rows, Relaxed);
        self.commits.fetch_add(1, Relaxed);
        self.commit_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Relaxed);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MS.iter().position(|most| ms < *most).unwrap_or(BUCKETS_MS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
    }
}

/// The answer to something that was handed in; it comes once the database has it.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Down>);

impl Pending {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Error::Closed`] where the ingest ends first: nothing is known, and the box will send again.
    pub async fn answer(self) -> Result<Down, Error> {
        self.0.await.map_err(|_| Error::Closed)
    }
}

/// Takes what boxes bring. Any number of sessions share one.
#[derive(Debug)]
pub struct Ingest {
    config: Config,
    shards: Vec<Queues>,
    pool: Arc<Pool>,
    key: Arc<HubKey>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Queues {
    urgent: mpsc::Sender<Job>,
    normal: mpsc::Sender<Job>,
}

impl Ingest {
    /// Starts the shards in `tasks`; they end, after what they hold is committed, when this is dropped.
    pub fn start(
        config: Config,
        pool: Arc<Pool>,
        key: Arc<HubKey>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        let shards = (0..config.shards.max(1)).map(|_| {
            let (urgent, urgent_jobs) = mpsc::channel(config.queue.max(1));
            let (normal, normal_jobs) = mpsc::channel(config.queue.max(1));
            let shard = Shard {
                database: Database::clone(pool.database()),
                config: config.clone(),
                key: Arc::clone(&key),
                urgent: urgent_jobs,
                normal: normal_jobs,
                metrics: Arc::clone(&metrics),
                writer: None,
                cursors: Default::default(),
                away: None,
            };
            tasks.spawn(shard.serve());
            Queues { urgent, normal }
        });
        let shards = shards.collect();
        Self { config, shards, pool, key, metrics }
    }

    /// What was done so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Jobs that wait in all queues.
    pub fn waiting(&self) -> usize {
        let waiting = |queue: &mpsc::Sender<Job>| queue.max_capacity() - queue.capacity();
        self.shards.iter().map(|shard| waiting(&shard.urgent) + waiting(&shard.normal)).sum()
    }

    /// The answer to a hello: what the hub has of each lane.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn hello(&self, of: BoxId, hello: &Hello) -> Result<Welcome, Error> {
        let client = self.pool.take().await?;
        let mut cursors = cursors::Cursors::default();
        let lanes = hello.lanes.iter().take(sync::MOST_LANES);
        let flows: Vec<_> = lanes.map(|lane| (of, lane.epoch, lane.head.lane)).collect();
        cursors.load(&client, flows.iter().copied()).await?;
        let seen = "UPDATE boxes SET seen_at = now(), release = $2 WHERE box = $1";
        let release: String = hello.release.chars().filter(|c| *c != '\0').take(64).collect();
        client.execute(seen, &[&of.0, &release]).await?;
        let known = |flow: &cursors::Flow| {
            cursors.get(*flow).map_or_else(|| nothing(flow.1, flow.2), |known| known.cursor)
        };
        Ok(Welcome {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            cursors: flows.iter().map(known).collect(),
            credit: self.config.credit,
        })
    }

    /// Hands in a batch. Waits while the queue is full; the answer comes later, so that further batches can follow at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the bytes do not even say to which lane they belong; [`Error::Closed`].
    pub async fn batch(&self, of: BoxId, bytes: &[u8]) -> Result<Pending, Error> {
        let work = match Batch::open(of, bytes) {
            Ok(batch) => Work::Batch(batch),
            Err(error) => {
                self.metrics.bad.fetch_add(1, Relaxed);
                tracing::warn!(box = %of, %error, "a batch does not hold");
                bad(of, bytes, &error)
                    .ok_or_else(|| Error::Invalid(format!("no batch at all: {error}")))?
            }
        };
        self.hand_in(of, work).await
    }

    /// Hands in word of entries that nobody has any more.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn hole(&self, of: BoxId, hole: Hole) -> Result<Pending, Error> {
        if hole.to.lane != hole.from.head.lane || i64::try_from(hole.to.seq.0).is_err() {
            return Err(Error::Invalid("a hole from one lane into another".into()));
        }
        self.hand_in(of, Work::Hole(hole)).await
    }

    async fn hand_in(&self, of: BoxId, work: Work) -> Result<Pending, Error> {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        let count = self.shards.len() as u64;
        let shard = usize::try_from(hasher.finish() % count).unwrap_or(0);
        let shard = self.shards.get(shard).ok_or(Error::Closed)?;
        let queue = match work.flow(of).2 {
            Lane::Critical => &shard.urgent,
            Lane::Bulk => &shard.normal,
        };
        let (reply, answer) = oneshot::channel();
        queue.send(Job { of, work, reply }).await.map_err(|_| Error::Closed)?;
        Ok(Pending(answer))
    }

    /// Holds a checkpoint, and those of this box that came too early, against what is committed. A receipt for each that holds.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn checkpoint(
        &self,
        of: BoxId,
        signed: &SignedCheckpoint,
    ) -> Result<Vec<Receipt>, Error> {
        let client = self.pool.take().await?;
        checkpoint::take(&client, &self.key, of, signed).await
    }

    /// Raises an alarm.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn alarm(&self, of: BoxId, kind: AlarmKind, code: &Code) -> Result<(), Error> {
        alarm::raise(&*self.pool.take().await?, of, kind, code).await
    }

    /// The connections for short reads.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

/// What to answer to bytes that are no batch that may be believed.
fn bad(of: BoxId, bytes: &[u8], error: &BadBatch) -> Option<Work> {
    let (epoch, lane, _) = Batch::place(bytes)?;
    let damaged = |word: &str| (Refusal::Damaged(Code::lossy(word)), AlarmKind::Tampered);
    let ((why, kind), code) = match error {
        BadBatch::Newer { found, kind } => {
            let code = format!("schema/{found}/kind/{}", kind.unwrap_or(0));
            ((Refusal::Newer { schema: SCHEMA }, AlarmKind::Newer), code)
        }
        BadBatch::Format => (damaged("format"), "format".into()),
        BadBatch::TooLarge { .. } => (damaged("too_large"), "too_large".into()),
        BadBatch::Damaged(_) => (damaged("damaged"), "damaged".into()),
        BadBatch::Chain(_) => (damaged("chain"), "chain".into()),
        BadBatch::Side(_) => (damaged("side"), "side".into()),
    };
    Some(Work::Bad { flow: (of, epoch, lane), why, kind, code: Code::lossy(&code) })
}

/// The cursor of an answer, where it has one.
pub fn cursor_of(answer: &Down) -> Option<Cursor> {
    match answer {
        Down::Ack(cursor) | Down::Fork(cursor) => Some(*cursor),
        Down::Nak(nak) => Some(nak.cursor),
        Down::Welcome(_) | Down::Receipt(_) | Down::Refused(_) | Down::Directive(_) => None,
    }
}
