//! The last hour, minute by minute, in memory: bounded, and gone with the process. /metrics is for those who keep more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Status;
use serde::Serialize;

/// Minutes that are kept.
pub const MINUTES: usize = 60;

/// Different reasons that one minute counts; what is more goes under [`OTHER`].
const REASONS: usize = 24;

/// Reasons that are shown.
const SHOWN_REASONS: usize = 8;

/// The reason of what has no place of its own.
const OTHER: &str = "other";

/// Buckets of a [`Spread`]: three for each doubling, from 0.1 ms to 27 minutes, so that a percentile is off by an eighth at
/// most.
const BUCKETS: usize = 72;
const FIRST_MS: f64 = 0.1;
const PER_DOUBLING: f64 = 3.0;

/// The stages of a submission's way, as [`Stages`] counts them.
pub const STAGES: [&str; 5] = ["queue wait", "decode", "detect", "decide", "total"];

/// Times of one submission's stages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages(pub [Duration; STAGES.len()]);

/// The last hour.
#[derive(Debug)]
pub struct Hour {
    start: Instant,
    ring: Mutex<Ring>,
}

/// The hour put together.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Submissions accepted.
    pub accepted: u64,
    /// Decisions: approved, rejected, held, failed.
    pub decided: [u64; 4],
    /// Submissions that were given up (dead letters).
    pub given_up: u64,
    /// Why submissions were not approved, the most frequent first.
    pub reasons: Vec<(String, u64)>,
    /// Each stage in the order of [`STAGES`].
    pub stages: Vec<StageTimes>,
    /// Each minute, the oldest first; the last one is not over yet.
    pub minutes: Vec<MinuteView>,
}

/// The times of a stage over the hour.
#[derive(Clone, Debug, Serialize)]
pub struct StageTimes {
    /// Which.
    pub stage: &'static str,
    /// Half took no longer, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95 of a hundred took no longer.
    pub p95_ms: Option<f64>,
    /// The same for each minute.
    pub p95_by_minute_ms: Vec<Option<f64>>,
}

/// A minute.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MinuteView {
    /// Decisions: approved, rejected, held, failed.
    pub decided: [u64; 4],
    /// Most jobs that waited.
    pub queue: u64,
    /// Highest temperature, in degrees Celsius.
    pub celsius: Option<f64>,
}

#[derive(Debug, Default)]
struct Ring(VecDeque<Minute>);

#[derive(Debug, Default)]
struct Minute {
    number: u64,
    accepted: u64,
    decided: [u64; 4],
    given_up: u64,
    queue: u64,
    celsius: Option<f64>,
    reasons: BTreeMap<String, u64>,
    stages: [Spread; STAGES.len()],
}

impl Default for Hour {
    fn default() -> Self {
        Self { start: Instant::now(), ring: Mutex::default() }
    }
}

impl Hour {
    /// How long it has been kept: the uptime.
    pub fn age(&self) -> Duration {
        self.start.elapsed()
    }

    /// Notes an accepted submission.
    pub fn accepted(&self) {
        self.ring().at(self.age()).accepted += 1;
    }

    /// Notes a decision.
    pub fn decided(&self, status: Status, reasons: &[String], stages: Stages) {
        let (now, mut ring) = (self.age(), self.ring());
        let minute = ring.at(now);
        minute.decided[place(status)] += 1;
        if status != Status::Approved {
            minute.reason(reasons.first().map_or(OTHER, String::as_str));
        }
        for (spread, time) in minute.stages.iter_mut().zip(stages.0) {
            spread.note(time);
        }
    }

    /// Notes a submission that was given up.
    pub fn given_up(&self, reason: &str) {
        let (now, mut ring) = (self.age(), self.ring());
        let minute = ring.at(now);
        minute.given_up += 1;
        minute.reason(reason);
    }

    /// Notes how many jobs wait.
    pub fn queue(&self, waiting: u64) {
        let (now, mut ring) = (self.age(), self.ring());
        let minute = ring.at(now);
        minute.queue = minute.queue.max(waiting);
    }

    /// Notes the highest temperature.
    pub fn celsius(&self, celsius: f64) {
        let (now, mut ring) = (self.age(), self.ring());
        let minute = ring.at(now);
        minute.celsius = Some(minute.celsius.map_or(celsius, |known| known.max(celsius)));
    }

    /// The hour put together.
    pub fn summary(&self) -> Summary {
        let (now, mut ring) = (self.age(), self.ring());
        ring.summary(now)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// The minute of `now`; older than an hour goes.
    fn at(&mut self, now: Duration) -> &mut Minute {
        let number = now.as_secs() / 60;
        let last = self.0.back().map(|m| m.number);
        if last != Some(number) {
            let missing = last.map_or(1, |last| number.saturating_sub(last)).min(MINUTES as u64);
            for back in (0..missing.max(1)).rev() {
                self.0.push_back(Minute { number: number - back, ..Minute::default() });
            }
            while self.0.len() > MINUTES {
                self.0.pop_front();
            }
        }
        let at = self.0.len() - 1;
        &mut self.0[at]
    }

    fn summary(&mut self, now: Duration) -> Summary {
        self.at(now);
        let mut sum = Minute::default();
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for minute in &self.0 {
            sum.accepted += minute.accepted;
            sum.given_up += minute.given_up;
            for (sum, one) in sum.decided.iter_mut().zip(minute.decided) {
                *sum += one;
            }
            for (sum, one) in sum.stages.iter_mut().zip(&minute.stages) {
                sum.add(one);
            }
            for (reason, count) in &minute.reasons {
                *reasons.entry(reason.clone()).or_default() += count;
            }
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons.truncate(SHOWN_REASONS);
        // Minutes before the start are empty ones: the charts always show an hour.
        let before = MINUTES - self.0.len();
        let stages = STAGES.iter().enumerate().map(|(n, stage)| StageTimes {
            stage,
            p50_ms: sum.stages[n].percentile(0.5),
            p95_ms: sum.stages[n].percentile(0.95),
            p95_by_minute_ms: std::iter::repeat_n(None, before)
                .chain(self.0.iter().map(|m| m.stages[n].percentile(0.95)))
                .collect(),
        });
        let minutes = std::iter::repeat_n(MinuteView::default(), before).chain(
            self.0.iter().map(|m| MinuteView {
                decided: m.decided,
                queue: m.queue,
                celsius: m.celsius,
            }),
        );
        Summary {
            accepted: sum.accepted,
            decided: sum.decided,
            given_up: sum.given_up,
            reasons,
            stages: stages.collect(),
            minutes: minutes.collect(),
        }
    }
}

impl Minute {
    fn reason(&mut self, reason: &str) {
        let known = self.reasons.contains_key(reason) || self.reasons.len() < REASONS;
        let name = if known { reason } else { OTHER };
        *self.reasons.entry(name.to_owned()).or_default() += 1;
    }
}

/// Where a status is counted.
pub fn place(status: Status) -> usize {
    match status {
        Status::Approved => 0,
        Status::Rejected => 1,
        Status::Held => 2,
        Status::Failed => 3,
    }
}

/// A distribution of times in buckets that grow by a fixed ratio.
#[derive(Clone, Debug)]
struct Spread([u32; BUCKETS]);

impl Default for Spread {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl Spread {
    fn note(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1e3;
        let bucket = ((ms / FIRST_MS).max(1.0).log2() * PER_DOUBLING) as usize;
        let count = &mut self.0[bucket.min(BUCKETS - 1)];
        *count = count.saturating_add(1);
    }

    fn add(&mut self, other: &Self) {
        for (sum, one) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(one);
        }
    }

    /// The middle (by ratio) of the bucket in which the percentile lies, in milliseconds.
    fn percentile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().map(|n| u64::from(*n)).sum();
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.0.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(FIRST_MS * ((bucket as f64 + 0.5) / PER_DOUBLING).exp2());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn a_percentile_is_off_by_an_eighth_at_most() {
        let mut spread = Spread::default();
        for ms in 1..=1000 {
            spread.note(Duration::from_millis(ms));
        }
        for (share, want) in [(0.5, 500.0), (0.95, 950.0)] {
            let got = spread.percentile(share).unwrap();
            assert!((got / want - 1.0).abs() < 0.13, "{share}: {got} instead of {want}");
        }
        assert_eq!(Spread::default().percentile(0.5), None);
    }

    #[test]
    fn the_ring_holds_an_hour_and_forgets_what_is_older() {
        let mut ring = Ring::default();
        let minutes = |n: u64| Duration::from_secs(60 * n + 7);
        ring.at(minutes(0)).accepted = 100;
        ring.at(minutes(1)).accepted = 5;
        assert_eq!(ring.summary(minutes(59)).accepted, 105);
        let later = ring.summary(minutes(60));
        assert_eq!((later.accepted, later.minutes.len()), (5, MINUTES));
        // A quiet day does not cost a minute's place for each of its minutes.
        assert_eq!(ring.summary(minutes(1500)).accepted, 0);
        assert_eq!(ring.0.len(), MINUTES);
    }

    #[test]
    fn reasons_are_counted_and_bounded() {
        let mut ring = Ring::default();
        let minute = ring.at(Duration::ZERO);
        for n in 0..1000 {
            minute.reason(&format!("reason-{n}"));
        }
        minute.reason("reason-3");
        assert!(minute.reasons.len() <= REASONS + 1);
        let summary = ring.summary(Duration::ZERO);
        assert_eq!(summary.reasons[0], (OTHER.to_owned(), 1000 - REASONS as u64));
        assert_eq!(summary.reasons[1], ("reason-3".to_owned(), 2));
    }
}
