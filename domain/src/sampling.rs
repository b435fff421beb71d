//! How densely a time line is looked at, and how that gives way when the machine is too hot to go on as it does.

use serde::{Deserialize, Serialize};

/// How fast a machine may work.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As it likes.
    #[default]
    Normal,
    /// It gets hot: nothing is looked at beyond what policies promise.
    Warm,
    /// It is too hot, or slows itself down: as little is looked at as policies permit for this case.
    Throttled,
}

impl Pace {
    /// All, the coolest first.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Warm, Self::Throttled];

    /// Its name in numbers, settings and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warm => "warm",
            Self::Throttled => "throttled",
        }
    }
}

/// How densely a time line is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Largest stretch in milliseconds that may go unseen.
    pub max_gap_ms: u64,
    /// Nothing is looked at beyond that; otherwise an animation is, frame by frame.
    pub sparing: bool,
    /// The stretch is longer than what the policy promises on other days.
    pub widened: bool,
}

impl Sampling {
    /// As on other days.
    pub fn usual(max_gap_ms: u64) -> Self {
        Self { max_gap_ms, sparing: false, widened: false }
    }

    /// At this pace, for a policy that promises `max_gap_ms` and permits `hot_ms` in the heat, if it permits more.
    pub fn at(pace: Pace, max_gap_ms: u64, hot_ms: Option<u64>) -> Self {
        let wider = hot_ms.filter(|hot| pace == Pace::Throttled && *hot > max_gap_ms);
        Self {
            max_gap_ms: wider.unwrap_or(max_gap_ms),
            sparing: pace != Pace::Normal,
            widened: wider.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promise_gives_way_only_where_the_policy_permits_it_and_last() {
        let told = |pace, hot| {
            let Sampling { max_gap_ms, sparing, widened } = Sampling::at(pace, 1000, hot);
            (max_gap_ms, sparing, widened)
        };
        assert_eq!(told(Pace::Normal, Some(4000)), (1000, false, false));
        assert_eq!(told(Pace::Warm, Some(4000)), (1000, true, false));
        assert_eq!(told(Pace::Throttled, Some(4000)), (4000, true, true));
        assert_eq!(told(Pace::Throttled, None), (1000, true, false));
        assert_eq!(told(Pace::Throttled, Some(1000)), (1000, true, false));
        assert_eq!(Sampling::at(Pace::Normal, 1000, None), Sampling::usual(1000));
    }
}
