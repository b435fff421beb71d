//! What can be set.

use std::{fmt, sync::Arc, time::Duration};

use domain::journal::Millis;

use crate::Error;

/// How the store behaves. Every default has its reason beside it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Writes that may wait; more are refused with [`Error::Busy`]. 2,048 is 32 groups: about a second on a slow disk.
    pub queue: usize,
    /// Writes in one commit. 64 share one fsync (DESIGN, Store); more would make the first wait too long.
    pub group: usize,
    /// How long the first write of a group waits for company: 5 ms, far below the 200 ms that a client is promised.
    pub linger: Duration,
    /// Connections for reading: one for each worker of a small box, and for the status page.
    pub readers: usize,
    /// Cap of the database file in bytes: 4 GB, far more than a box needs between two acknowledgements of its hub in weeks.
    pub max_bytes: u64,
    /// Free bytes on the disk below which nothing more is accepted: 32 MiB, what the work already accepted may need.
    pub reserve_bytes: u64,
    /// Size of the ballast file that is given up when the disk fills: 1 MiB (DESIGN, Store).
    pub ballast_bytes: u64,
    /// Failed attempts before a job is a dead letter, beyond the first: 2 (FEATURES P3).
    pub retries: u32,
    /// Pause before the first retry of a job, doubled with each: 10 s, long enough for a detector to come back.
    pub retry_pause: Duration,
    /// Deaths of the process, each with the job in hand, before the job is a dead letter. Ten: in a power cut or a
    /// deployment the job is not to blame, and decoding, which may be, runs in another process.
    pub crashes: u32,
    /// Attempts to deliver an effect. With pauses from 5 s, doubled up to 12 h, 16 attempts take about four days.
    pub effect_attempts: u32,
    /// Entries of the journal between two checkpoints (DESIGN, Journal).
    pub checkpoint_entries: u64,
    /// Time between two checkpoints while there are new entries (DESIGN, Journal).
    pub checkpoint_every: Duration,
    /// How long acknowledged entries stay (DESIGN, Journal): a hub that was rewound asks for them again.
    pub journal_keep: Duration,
    /// How long decided submissions stay: 90 days, as long as a strike counts.
    pub submissions_keep: Duration,
    /// When addresses are masked: 30 days (FEATURES M5).
    pub ip_mask_after: Duration,
    /// How long delivered and failed effects can be replayed: 14 days.
    pub effects_keep: Duration,
    /// Whether commits wait for the disk.
    pub durability: Durability,
    /// The clock.
    pub clock: Clock,
    /// What happens when the disk loses what it was told to keep.
    pub on_fatal: OnFatal,
}

/// Whether commits wait for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// `synchronous=FULL`: an answer means that the disk has it.
    #[default]
    Full,
    /// `synchronous=OFF`: a power cut loses what was acknowledged. For the negative control of the fault matrix only.
    None,
}

/// A source of the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's clock.
    pub fn system() -> Self {
        Self::new(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Millis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
        })
    }

    /// The time.
    pub fn now(&self) -> Millis {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What happens on [`Error::Fatal`].
#[derive(Clone)]
pub struct OnFatal(Arc<dyn Fn(&Error) + Send + Sync>);

impl OnFatal {
    /// Something else than aborting; the store refuses every write afterwards.
    pub fn new(then: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self(Arc::new(then))
    }

    /// Logs and aborts, so that the service manager starts the process again.
    pub fn abort() -> Self {
        Self::new(|error| {
            tracing::error!(%error, "abort");
            std::process::abort()
        })
    }

    pub(crate) fn run(&self, error: &Error) {
        (self.0)(error);
    }
}

impl fmt::Debug for OnFatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnFatal")
    }
}

/// Seconds of a day.
pub(crate) const DAY: u64 = 24 * 3600;

impl Default for Config {
    fn default() -> Self {
        Self {
            queue: 2_048,
            group: 64,
            linger: Duration::from_millis(5),
            readers: 4,
            max_bytes: 4 << 30,
            reserve_bytes: 32 << 20,
            ballast_bytes: 1 << 20,
            retries: 2,
            retry_pause: Duration::from_secs(10),
            crashes: 10,
            effect_attempts: 16,
            checkpoint_entries: 1_000,
            checkpoint_every: Duration::from_secs(60),
            journal_keep: Duration::from_secs(7 * DAY),
            submissions_keep: Duration::from_secs(90 * DAY),
            ip_mask_after: Duration::from_secs(30 * DAY),
            effects_keep: Duration::from_secs(14 * DAY),
            durability: Durability::Full,
            clock: Clock::system(),
            on_fatal: OnFatal::abort(),
        }
    }
}
