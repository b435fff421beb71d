//! What follows for authors: `[enforcement]` of a profile.

use std::time::Duration;

use crate::{
    Severity,
    reader::{Source, Table},
    standing::{Ladder, Level},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Words for penalties. `good` is none: leave the step out.
const PENALTIES: [(&str, Level); 4] = [
    ("warn", Level::Warned),
    ("hide", Level::Hidden),
    ("reject", Level::Rejected),
    ("ban", Level::Banned),
];

/// Words for severities from which a strike can be given; a safe matter is none.
const SEVERITIES: [(&str, Severity); 4] = [
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

/// What follows for authors, and how long they may appeal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// When a strike is given, how long it counts, and to what strikes lead.
    pub ladder: Ladder,
    /// How long what was not approved is kept for an appeal.
    pub appeal_window: Duration,
}

impl Default for Enforcement {
    /// The built-in ladder (FEATURES V5), and two weeks.
    fn default() -> Self {
        Self { ladder: Ladder::default(), appeal_window: 14 * DAY }
    }
}

/// Reads the table; what it leaves out is as built in.
pub(super) fn read(source: &mut Source<'_>, mut table: Table<'_, '_>) -> Enforcement {
    let built_in = Enforcement::default();
    let days = |n: u64| DAY * u32::try_from(n).unwrap_or(u32::MAX);
    let from = table.choice(source, "strikes_from", &SEVERITIES);
    let expiry = table.integer(source, "strike_days", 1..=3650).map(|n| days(n.value));
    let appeal = table.integer(source, "appeal_days", 0..=365).map(|n| days(n.value));
    let steps = if table.has("steps") { steps(source, &mut table) } else { built_in.ladder.steps };
    table.finish(source);
    Enforcement {
        ladder: Ladder {
            from: from.map_or(built_in.ladder.from, |at| at.value),
            expiry: expiry.unwrap_or(built_in.ladder.expiry),
            steps,
        },
        appeal_window: appeal.unwrap_or(built_in.appeal_window),
    }
}

/// The steps in their order; none of them can be meant where they do not rise.
fn steps(source: &mut Source<'_>, table: &mut Table<'_, '_>) -> Vec<(u32, Level)> {
    let mut steps: Vec<(u32, Level)> = Vec::new();
    for mut step in table.tables(source, "steps") {
        let strikes = step.integer(source, "strikes", 1..=1000);
        if !step.has("strikes") {
            step.missing(source, "strikes", "3");
        }
        let penalty = step.choice(source, "penalty", &PENALTIES);
        if !step.has("penalty") {
            step.missing(source, "penalty", "\"hide\" (warn, hide, reject or ban)");
        }
        let (key, span) = (step.key("strikes"), step.span());
        step.finish(source);
        let (Some(strikes), Some(penalty)) = (strikes, penalty) else { continue };
        let next = (u32::try_from(strikes.value).unwrap_or(u32::MAX), penalty.value);
        if steps.last().is_some_and(|last| next.0 <= last.0 || next.1 <= last.1) {
            let message = "each step has more strikes and a graver penalty than the one before";
            source.report(&key, span, message);
        }
        steps.push(next);
    }
    steps
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;
    use crate::Profile;

    fn with(table: &str) -> Result<Profile, crate::Problems> {
        Profile::parse(&format!("{table}\n{}", Profile::embedded_text("starter").unwrap()))
    }

    #[test]
    fn a_profile_says_what_strikes_lead_to() {
        assert_eq!(with("").unwrap().enforcement, Enforcement::default());
        let said = with(
            "enforcement = { strikes_from = \"medium\", strike_days = 30, appeal_days = 0, \
             steps = [{ strikes = 2, penalty = \"hide\" }, { strikes = 5, penalty = \"ban\" }] }",
        );
        let ladder = Ladder {
            from: Severity::Medium,
            expiry: 30 * DAY,
            steps: vec![(2, Level::Hidden), (5, Level::Banned)],
        };
        let want = Enforcement { ladder, appeal_window: Duration::ZERO };
        assert_eq!(said.unwrap().enforcement, want);
        // No steps are no penalties; what is left out is built in.
        let none = with("enforcement = { steps = [] }").unwrap().enforcement;
        assert_eq!((none.ladder.steps, none.ladder.expiry), (Vec::new(), 90 * DAY));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let told = with(
            "enforcement = { strikes_from = \"hihg\", strike_days = 0, apeal_days = 3, steps = [\
             { strikes = 3, penalty = \"hide\" }, { strikes = 3, penalty = \"ban\" }, \
             { strikes = 4, penalty = \"shoot\" }, { penalty = \"ban\" }, { strikes = 9 }] }",
        );
        let told = told.unwrap_err().to_string();
        for line in [
            "enforcement.strikes_from: `hihg` is not known here; did you mean `high`?",
            "enforcement.strike_days: write a whole number from 1 to 3650",
            "enforcement.apeal_days: unknown key; did you mean `appeal_days`?",
            "enforcement.steps[2].strikes: each step has more strikes and a graver penalty",
            "enforcement.steps[3].penalty: `shoot` is not known here",
            "enforcement.steps[4].strikes: missing",
            "enforcement.steps[5].penalty: missing",
        ] {
            assert!(told.contains(line), "{line}\n---\n{told}");
        }
    }
}
