//! From heat to pace, with hysteresis. Pure: takes the time, so that every case stands in a table.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use domain::Pace;

/// Degrees below a limit from where on it counts as warm: early enough that looking at less still helps.
const WARM: f64 = 8.0;

/// Degrees by which it must be cooler than where a pace began before it ends.
const COOLER: f64 = 3.0;

/// How long it must have been cool enough before the pace rises again, so that it does not swing with every clip.
const HOLD: Duration = Duration::from_secs(15);

/// The time over which the queue is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Jobs by which the queue grows in that time before it counts: less is noise.
const GROWTH: u64 = 4;

/// What the pace rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heat {
    /// Degrees until the first zone is too hot; `None` where no sensor tells.
    pub headroom: Option<f64>,
    /// Whether the machine slows itself down.
    pub slowed: bool,
    /// Jobs that wait.
    pub waiting: u64,
}

/// Keeps the pace.
#[derive(Debug, Default)]
pub(super) struct Controller {
    pace: Pace,
    /// Since when the heat has called for no more than `lower`, and for what at most meanwhile.
    cooling: Option<(Instant, Pace)>,
    queue: VecDeque<(Instant, u64)>,
}

impl Controller {
    /// The pace in force.
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// The pace from now on. It slows at once, and rises once it has been cool enough for a while.
    pub(super) fn step(&mut self, now: Instant, heat: Heat) -> Pace {
        let growing = self.grows(now, heat.waiting);
        if wanted(heat, growing, 0.0) > self.pace {
            self.pace = wanted(heat, growing, 0.0);
            self.cooling = None;
            return self.pace;
        }
        // Asked with the margin, so that a zone on the line does not decide by its noise.
        let calls_for = wanted(heat, growing, COOLER).min(self.pace);
        if calls_for == self.pace {
            self.cooling = None;
            return self.pace;
        }
        let (since, most) = self.cooling.unwrap_or((now, calls_for));
        let most = most.max(calls_for);
        self.cooling = Some((since, most));
        if now.saturating_duration_since(since) >= HOLD {
            self.pace = most;
            self.cooling = None;
        }
        self.pace
    }

    /// Whether the queue has grown of late.
    fn grows(&mut self, now: Instant, waiting: u64) -> bool {
        self.queue.push_back((now, waiting));
        // The newest of those that are old enough stays: it is what the queue is compared with.
        let old = |at: Instant| now.saturating_duration_since(at) >= WATCHED;
        while self.queue.get(1).is_some_and(|(at, _)| old(*at)) {
            self.queue.pop_front();
        }
        self.queue.front().is_some_and(|(_, then)| waiting >= then.saturating_add(GROWTH))
    }
}

/// What the heat calls for, where limits lie `margin` degrees lower.
fn wanted(heat: Heat, growing: bool, margin: f64) -> Pace {
    let headroom = heat.headroom.unwrap_or(f64::INFINITY) - margin;
    if heat.slowed || headroom <= 0.0 {
        Pace::Throttled
    } else if headroom <= WARM {
        // A warm box that falls behind will be hot soon.
        if growing { Pace::Throttled } else { Pace::Warm }
    } else {
        Pace::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL: Heat = Heat { headroom: Some(40.0), slowed: false, waiting: 0 };

    fn left(headroom: f64) -> Heat {
        Heat { headroom: Some(headroom), ..COOL }
    }

    /// Steps two seconds apart; the pace after each.
    fn run(heats: impl IntoIterator<Item = Heat>) -> Vec<Pace> {
        let start = Instant::now();
        let mut controller = Controller::default();
        let at = |n: u32| start + Duration::from_secs(2) * n;
        (0..).zip(heats).map(|(n, heat)| controller.step(at(n), heat)).collect()
    }

    fn last(heats: impl IntoIterator<Item = Heat>) -> Pace {
        run(heats).last().copied().unwrap_or_default()
    }

    #[test]
    fn the_pace_slows_at_once() {
        use Pace::{Normal, Throttled, Warm};
        let slowed = Heat { slowed: true, ..COOL };
        let blind = Heat { headroom: None, ..COOL };
        for (heat, pace) in [
            (COOL, Normal),
            (left(8.1), Normal),
            (left(8.0), Warm),
            (left(0.1), Warm),
            (left(0.0), Throttled),
            (left(-20.0), Throttled),
            (slowed, Throttled),
            (blind, Normal),
            (Heat { slowed: true, ..blind }, Throttled),
        ] {
            assert_eq!(last([heat]), pace, "{heat:?}");
        }
    }

    #[test]
    fn a_warm_box_that_falls_behind_counts_as_hot_and_a_cool_one_does_not() {
        let queue = |headroom, lengths: [u64; 4]| {
            last(lengths.map(|waiting| Heat { waiting, ..left(headroom) }))
        };
        assert_eq!(queue(5.0, [10, 11, 12, 13]), Pace::Warm);
        assert_eq!(queue(5.0, [10, 11, 12, 14]), Pace::Throttled);
        assert_eq!(queue(5.0, [14, 12, 11, 10]), Pace::Warm);
        assert_eq!(queue(40.0, [0, 100, 200, 300]), Pace::Normal);
        // Long ago is long ago: what stays long does not grow.
        let long = |n: u64| Heat { waiting: n.min(20), ..left(5.0) };
        let paces = run((0..40).map(long));
        assert_eq!(paces.get(4), Some(&Pace::Throttled));
        assert_eq!(paces.last(), Some(&Pace::Warm));
    }

    #[test]
    fn it_rises_only_after_a_while_and_by_a_margin() {
        let after = |heat, steps: usize| last([left(-1.0)].into_iter().chain(vec![heat; steps]));
        // 15 seconds are eight steps of two.
        assert_eq!(after(COOL, 8), Pace::Throttled);
        assert_eq!(after(COOL, 9), Pace::Normal);
        // Above the limit less the margin nothing ends.
        assert_eq!(after(left(2.9), 50), Pace::Throttled);
        assert_eq!(after(left(3.1), 50), Pace::Warm);
        assert_eq!(after(left(10.9), 50), Pace::Warm);
        assert_eq!(after(left(11.1), 50), Pace::Normal);
    }

    #[test]
    fn one_hot_moment_begins_the_wait_anew_and_what_was_warm_meanwhile_ends_warm() {
        let hot = || [left(-1.0)].into_iter();
        let twice = hot().chain(vec![COOL; 7]).chain(hot()).chain(vec![COOL; 8]);
        assert_eq!(last(twice), Pace::Throttled);
        let mixed = hot().chain(vec![COOL; 4]).chain([left(5.0)]).chain(vec![COOL; 4]);
        assert_eq!(last(mixed.clone()), Pace::Warm);
        assert_eq!(last(mixed.chain(vec![COOL; 9])), Pace::Normal);
    }

    #[test]
    fn a_zone_on_the_line_does_not_make_it_swing() {
        let paces = run((0..200).map(|n| left(if n % 2 == 0 { 7.5 } else { 8.5 })));
        assert!(paces.iter().all(|pace| *pace == Pace::Warm), "{paces:?}");
    }
}
