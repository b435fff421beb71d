//! What was taken and passed over since the start, for people and metrics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::directive::{Address, Order, Told};
use domain::journal::Code;
use serde::Serialize;
use store::{LastDirected, Store};

/// Between two entries of the journal for the same reason: a flood must not fill it.
const PAUSE: Duration = Duration::from_secs(60);

/// How long the status page speaks of what was passed over.
const LATELY: Duration = Duration::from_secs(60);

/// As many moments are remembered: more are not told apart.
const MOMENTS: usize = 1000;

/// What was taken and passed over since the start.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    applied: u64,
    refused: u64,
    repeated: u64,
    distrusted: BTreeMap<&'static str, Doubt>,
    moments: VecDeque<Instant>,
}

/// What was passed over for one reason.
#[derive(Debug, Default)]
struct Doubt {
    all: u64,
    /// Those that the journal does not know of yet.
    untold: u32,
    told: Option<Instant>,
}

/// The same, as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    /// Done since the start.
    pub applied: u64,
    /// Refused since the start.
    pub refused: u64,
    /// Came again since the start, and were not done again.
    pub repeated: u64,
    /// Passed over since the start, by why: they were not by the hub, or not for this box.
    pub distrusted: BTreeMap<&'static str, u64>,
    /// Those of them in the last minute.
    pub distrusted_last_minute: u64,
    /// The one that was taken last, also before the start.
    pub last: Option<Last>,
}

/// A directive that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Last {
    /// In which lane: `fleet`, `tenant` or `box`. Not which tenant: whoever stands before the box may read it.
    pub lane: &'static str,
    /// Its number there.
    pub seq: u64,
    /// What was ordered; `unknown` where this release does not know it.
    pub order: &'static str,
    /// When it was taken.
    pub at: serde_json::Value,
    /// Why it was not done; none where it was.
    pub refused: Option<String>,
}

impl Tally {
    pub(super) fn taken(&self, told: &Told, refused: Option<&(&'static str, String)>) {
        let mut counts = self.counts();
        let (lane, seq, by) = (&told.place.to, told.place.seq.0, told.by.as_str());
        let order = Order::word_of(told.kind).unwrap_or("unknown");
        match refused {
            None => {
                counts.applied += 1;
                tracing::info!(%lane, seq, order, by, "a directive of the hub was done");
            }
            Some((code, detail)) => {
                counts.refused += 1;
                tracing::warn!(%lane, seq, order, by, code, detail, "a directive of the hub was refused");
            }
        }
    }

    pub(super) fn repeated(&self) {
        self.counts().repeated += 1;
    }

    /// Counts what was passed over, and journals it at most once a minute for each reason.
    pub(super) fn distrusted(&self, store: &Store, why: &'static str, detail: &str) {
        let now = Instant::now();
        let mut counts = self.counts();
        if counts.moments.len() >= MOMENTS {
            counts.moments.pop_front();
        }
        counts.moments.push_back(now);
        let doubt = counts.distrusted.entry(why).or_default();
        doubt.all += 1;
        doubt.untold = doubt.untold.saturating_add(1);
        if let Some(count) = doubt.due(now) {
            tracing::warn!(why, detail, count, "passed over in the hub's name");
            drop(counts);
            self.tell(store, why, count);
        }
    }

    /// Journals what was counted since, where a minute is over.
    pub(super) fn flush(&self, store: &Store) {
        let now = Instant::now();
        let due: Vec<_> = {
            let mut counts = self.counts();
            let all = counts.distrusted.iter_mut();
            all.filter_map(|(why, doubt)| Some((*why, doubt.due(now)?))).collect()
        };
        for (why, count) in due {
            self.tell(store, why, count);
        }
    }

    fn tell(&self, store: &Store, why: &'static str, count: u32) {
        if let Err(error) = store.distrusted(Code::lossy(why), count).wait() {
            tracing::warn!(%error, why, "what was passed over could not be journaled; it is tried again");
            let mut counts = self.counts();
            let doubt = counts.distrusted.entry(why).or_default();
            doubt.untold = doubt.untold.saturating_add(count);
        }
    }

    /// How it stands, with the one that the store says was taken last.
    pub fn view(&self, last: Option<LastDirected>) -> View {
        let last = last.map(|last| Last {
            lane: lane_kind(&last.place.to),
            seq: last.place.seq.0,
            order: Order::word_of(last.kind).unwrap_or("unknown"),
            at: crate::serve::time(last.at),
            refused: last.refused.map(|code| code.as_str().to_owned()),
        });
        let counts = self.counts();
        let lately = counts.moments.iter().filter(|at| at.elapsed() < LATELY).count();
        View {
            applied: counts.applied,
            refused: counts.refused,
            repeated: counts.repeated,
            distrusted: counts.distrusted.iter().map(|(why, doubt)| (*why, doubt.all)).collect(),
            distrusted_last_minute: lately as u64,
            last,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // The counts are sound after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lane_kind(to: &Address) -> &'static str {
    match to {
        Address::Fleet => "fleet",
        Address::Tenant(_) => "tenant",
        Address::Box(_) => "box",
    }
}

impl Doubt {
    /// How many the journal is to be told of now.
    fn due(&mut self, now: Instant) -> Option<u32> {
        let over = self.told.is_none_or(|told| now.duration_since(told) >= PAUSE);
        if self.untold == 0 || !over {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}
