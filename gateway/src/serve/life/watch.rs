//! When a version of a model is withdrawn without anybody's doing. Pure: counts in, what to do out.

use std::cmp::Ordering;

use models::life::{Cause, Control};

use crate::config::Models as Bounds;
use crate::eval::rate::wilson;

/// Verdicts of each side before shares are compared: below that a run of bad luck looks like a drift.
const ENOUGH: u64 = 20;

/// Normal deviates of the interval. The counts are looked at after every verdict, and nobody should be called at night for
/// chance: at 4 one look in some 15,000 errs, and the looks of a watch mostly agree with each other.
const Z: f64 = 4.0;

/// What a version has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Submissions whose verdict rests on it.
    pub seen: u64,
    /// Those that were not approved.
    pub refused: u64,
    /// Submissions on which it failed.
    pub errors: u64,
}

impl Tally {
    /// Notes a verdict.
    pub fn verdict(&mut self, approved: bool) {
        self.seen += 1;
        self.refused += u64::from(!approved);
    }

    /// As what others are held against.
    pub fn control(self) -> Control {
        Control { seen: self.seen, refused: self.refused }
    }
}

/// What the counts say of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing yet.
    Wait,
    /// Enough was seen, and nothing was wrong.
    Proven,
    /// It is to be withdrawn.
    Withdraw(Cause),
}

/// Judges a version by what it came to, held against another where there is one.
pub fn judge(
    tally: Tally,
    control: Option<Control>,
    bounds: Bounds,
    first: Option<u64>,
) -> Finding {
    if tally.errors > bounds.max_errors {
        return Finding::Withdraw(Cause::Errors);
    }
    if control.is_some_and(|control| drifts(tally.control(), control, bounds.max_drift)) {
        return Finding::Withdraw(Cause::Drift);
    }
    match first {
        Some(first) if tally.seen >= first => Finding::Proven,
        _ => Finding::Wait,
    }
}

/// Whether the shares of two differ by more than `most`, chance aside: whether the interval of their difference lies
/// beyond it. (Newcombe's score interval for independent shares, Statistics in Medicine 17, 1998, method 10.)
fn drifts(one: Control, other: Control, most: f64) -> bool {
    if one.seen < ENOUGH || other.seen < ENOUGH {
        return false;
    }
    let share = |c: Control| c.refused as f64 / c.seen as f64;
    // The larger share first: the interval then has only one end to look at.
    let (high, low) = match share(one).total_cmp(&share(other)) {
        Ordering::Less => (other, one),
        _ => (one, other),
    };
    let (p, q) = (share(high), share(low));
    let (least, _) = wilson(high.refused, high.seen, Z);
    let (_, greatest) = wilson(low.refused, low.seen, Z);
    p - q - ((p - least).powi(2) + (greatest - q).powi(2)).sqrt() > most
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { max_drift: 0.1, max_errors: 5, watch: 1000 };

    fn of(seen: u64, refused: u64) -> Control {
        Control { seen, refused }
    }

    fn tally(seen: u64, refused: u64, errors: u64) -> Tally {
        Tally { seen, refused, errors }
    }

    #[test]
    fn the_interval_is_that_of_the_literature() {
        // Newcombe (1998), table II, 56/70 against 48/80 by method 10: 0.0524 to 0.3339 at 95 %. Here with z = 1.96 by hand:
        // the end changes sides exactly there.
        let (p, q) = (56.0 / 70.0, 48.0 / 80.0);
        let (least, _) = wilson(56, 70, 1.959_964);
        let (_, greatest) = wilson(48, 80, 1.959_964);
        let low: f64 = p - q - ((p - least).powi(2) + (greatest - q).powi(2)).sqrt();
        assert!((low - 0.0524).abs() < 5e-5, "{low}");
    }

    #[test]
    fn noise_withdraws_nothing_and_a_version_that_rejects_everything_goes_soon() {
        for (one, other, drift) in [
            // Fewer than are looked at.
            (of(19, 19), of(1000, 0), false),
            (of(20, 20), of(1000, 20), true),
            (of(20, 20), of(19, 0), false),
            // In either direction: a model that lets all through is as wrong.
            (of(200, 0), of(1000, 500), true),
            // A difference, and within the bound.
            (of(100_000, 8_000), of(100_000, 2_000), false),
            // Just beyond it, and certain.
            (of(100_000, 13_000), of(100_000, 2_000), true),
            // A difference beyond the bound that may be chance.
            (of(30, 9), of(600, 60), false),
            (of(500, 10), of(9_500, 190), false),
        ] {
            assert_eq!(drifts(one, other, 0.1), drift, "{one:?} {other:?}");
            assert_eq!(drifts(other, one, 0.1), drift, "{other:?} {one:?}");
        }
    }

    #[test]
    fn equal_versions_are_not_told_apart_in_many_watches() {
        // A coin of our own: the same on every machine.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        for watch in 0..300 {
            let (mut trial, mut control) = (Tally::default(), Tally::default());
            for _ in 0..3_000 {
                let refused = draw() < 0.1;
                if draw() < 0.05 { &mut trial } else { &mut control }.verdict(!refused);
                let found = judge(trial, Some(control.control()), BOUNDS, None);
                assert_eq!(found, Finding::Wait, "watch {watch}: {trial:?} {control:?}");
            }
        }
    }

    #[test]
    fn errors_count_by_themselves_and_enough_good_verdicts_end_a_watch() {
        let judged = |t, control| judge(t, control, BOUNDS, Some(1000));
        assert_eq!(judged(tally(0, 0, 6), None), Finding::Withdraw(Cause::Errors));
        assert_eq!(judged(tally(900, 30, 5), None), Finding::Wait);
        assert_eq!(judged(tally(1000, 30, 5), None), Finding::Proven);
        assert_eq!(judged(tally(1000, 900, 0), None), Finding::Proven, "against nothing");
        let control = Some(of(5000, 100));
        assert_eq!(judged(tally(1000, 900, 0), control), Finding::Withdraw(Cause::Drift));
        assert_eq!(judge(tally(5000, 100, 0), control, BOUNDS, None), Finding::Wait, "a canary");
    }
}
