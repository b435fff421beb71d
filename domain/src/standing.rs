//! An author's standing: strikes that expire, and penalties that grow with them. Pure; the store applies it inside the
//! transaction of a decision.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Action, Category, Severity, journal::Millis};

/// What an author may expect, in rising gravity.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    #[default]
    Good,
    /// Was told.
    Warned,
    /// Everything new waits for a person.
    Hidden,
    /// Everything new is refused for a time.
    Rejected,
    /// Barred.
    Banned,
}

/// A strike in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// How grave the matter was.
    pub severity: Severity,
    /// When it was given.
    pub at: Millis,
    /// When it stops to count.
    pub expires: Millis,
}

/// What is known of an author at the moment of a decision: the strikes that still count, and a penalty set by hand or by the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Strikes that still count, oldest first.
    pub strikes: Vec<Strike>,
    /// A penalty that does not come from counting: a ban, a directive, a moderator's order.
    pub ordered: Option<(Level, Option<Millis>)>,
}

/// The rules of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// From how grave a matter on a rejection counts as a strike.
    pub from: Severity,
    /// How long a strike counts.
    pub expiry: Duration,
    /// Number of strikes in force → penalty; the highest number that is reached applies.
    pub steps: Vec<(u32, Level)>,
}

impl Default for Ladder {
    /// FEATURES V5: warn, hide, reject, ban; a strike counts for 90 days, as with the large video platforms.
    fn default() -> Self {
        Self {
            from: Severity::High,
            expiry: Duration::from_secs(90 * 24 * 3600),
            steps: vec![
                (1, Level::Warned),
                (2, Level::Hidden),
                (3, Level::Rejected),
                (4, Level::Banned),
            ],
        }
    }
}

/// What a decision says that matters for standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// How grave.
    pub severity: Severity,
    /// What is done with the item.
    pub action: Action,
    /// Categories touched.
    pub categories: Vec<Category>,
    /// Whether a verified bank match or a person says so, not a classifier alone.
    pub verified: bool,
}

/// What follows for the author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enforcement {
    /// A strike to add.
    pub strike: Option<Strike>,
    /// A ban at once, whatever the count.
    pub ban: bool,
}

impl Standing {
    /// The penalty in force and when it ends (`None`: never, or nothing to end).
    pub fn level(&self, ladder: &Ladder, now: Millis) -> (Level, Option<Millis>) {
        let mut counting: Vec<Millis> =
            self.strikes.iter().map(|s| s.expires).filter(|expires| *expires > now).collect();
        counting.sort_unstable();
        let count = u32::try_from(counting.len()).unwrap_or(u32::MAX);
        let step =
            |n: u32| ladder.steps.iter().filter(|(at, _)| *at <= n).map(|(_, level)| *level).max();
        let counted = step(count).unwrap_or_default();
        // It ends when enough strikes have expired for a lower step.
        let ends = (0..count)
            .rev()
            .find(|left| step(*left).unwrap_or_default() < counted)
            .and_then(|left| counting.get((count - left - 1) as usize).copied());
        match self.ordered {
            Some((level, until)) if level >= counted && until.is_none_or(|u| u > now) => {
                (level, until)
            }
            _ => (counted, ends),
        }
    }
}

/// What a decision means for its author (FEATURES V5; DESIGN, Vocabulary).
///
/// Only a rejection counts. `underage` alone never strikes; sexual/minors strikes and bans only where verified. A critical
/// matter, verified, bans at once.
pub fn enforce(offence: &Offence, ladder: &Ladder, now: Millis) -> Enforcement {
    let rejected = matches!(offence.action, Action::Reject | Action::Ban);
    let touches = |category| offence.categories.contains(&category);
    let harmless = [Category::Underage, Category::Quality];
    let only_harmless = !offence.categories.is_empty()
        && offence.categories.iter().all(|category| harmless.contains(category));
    let unproven = touches(Category::SexualMinors) && !offence.verified;
    if !rejected || only_harmless || unproven || offence.severity < ladder.from {
        return Enforcement::default();
    }
    let strike = Strike { severity: offence.severity, at: now, expires: now.after(ladder.expiry) };
    let ban = offence.verified
        && (offence.severity == Severity::Critical || offence.action == Action::Ban);
    Enforcement { strike: Some(strike), ban }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    fn offence(severity: Severity, action: Action, categories: &[Category]) -> Offence {
        Offence { severity, action, categories: categories.to_vec(), verified: false }
    }

    #[test]
    fn what_strikes_and_what_bans() {
        use Action::{Ban, Hide, Reject};
        use Category::{Quality, Sexual, SexualMinors, Underage, Violence};
        use Severity::{Critical, High, Medium};
        // severity, action, categories, verified → strike, ban
        type Row = (Severity, Action, &'static [Category], bool, bool, bool);
        let table: [Row; 9] = [
            (High, Reject, &[Sexual], false, true, false),
            (High, Hide, &[Sexual], false, false, false),
            (Medium, Reject, &[Sexual], false, false, false),
            (High, Reject, &[Underage], true, false, false),
            (High, Reject, &[Quality, Underage], true, false, false),
            (Critical, Ban, &[SexualMinors], false, false, false),
            (Critical, Ban, &[SexualMinors], true, true, true),
            (Critical, Ban, &[Violence], false, true, false),
            (Critical, Reject, &[Violence], true, true, true),
        ];
        for (severity, action, categories, verified, strike, ban) in table {
            let offence = Offence { verified, ..offence(severity, action, categories) };
            let then = enforce(&offence, &Ladder::default(), NOW);
            assert_eq!((then.strike.is_some(), then.ban), (strike, ban), "{offence:?}");
        }
    }

    #[test]
    fn penalties_grow_with_strikes_and_fall_as_they_expire() {
        let ladder = Ladder::default();
        let strike =
            |expires| Strike { severity: Severity::High, at: NOW, expires: Millis(expires) };
        let mut standing = Standing::default();
        assert_eq!(standing.level(&ladder, NOW), (Level::Good, None));
        let expected = [Level::Warned, Level::Hidden, Level::Rejected, Level::Banned];
        for (n, level) in expected.into_iter().enumerate() {
            standing.strikes.push(strike(NOW.0 + 10 * (n as i64 + 1)));
            // Each penalty ends when the oldest strike does.
            assert_eq!(standing.level(&ladder, NOW), (level, Some(Millis(NOW.0 + 10))));
        }
        assert_eq!(standing.level(&ladder, Millis(NOW.0 + 10)).0, Level::Rejected);
        assert_eq!(standing.level(&ladder, Millis(NOW.0 + 40)), (Level::Good, None));
    }

    #[test]
    fn an_ordered_penalty_holds_until_its_end_unless_counting_gives_a_graver_one() {
        let ladder = Ladder::default();
        let ordered =
            |level, until| Standing { ordered: Some((level, until)), ..Standing::default() };
        let banned = ordered(Level::Banned, None);
        assert_eq!(banned.level(&ladder, NOW), (Level::Banned, None));
        let hidden = ordered(Level::Hidden, Some(Millis(NOW.0 + 5)));
        assert_eq!(hidden.level(&ladder, NOW), (Level::Hidden, Some(Millis(NOW.0 + 5))));
        assert_eq!(hidden.level(&ladder, Millis(NOW.0 + 5)), (Level::Good, None));
    }
}
