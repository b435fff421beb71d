//! How grave a finding is, and what is done about it. Score, likelihood and severity stay separate fields.

use serde::{Deserialize, Serialize};

/// How grave the matter is, from nothing to the worst.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing found.
    #[default]
    Safe,
    /// Worth a note.
    Low,
    /// A person should look.
    Medium,
    /// Not to be shown.
    High,
    /// Not to be shown, and the author answers for it.
    Critical,
}

/// What is done with the item, in rising gravity.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Published.
    #[default]
    Allow,
    /// Published and marked for a later look.
    Flag,
    /// Not shown until a person has decided.
    Hide,
    /// Refused and deleted.
    Reject,
    /// Refused, deleted, and the author is barred.
    Ban,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 5] = [Self::Safe, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The action that FEATURES row V3 attaches to a severity when a policy names none.
    pub fn default_action(self) -> Action {
        match self {
            Self::Safe => Action::Allow,
            Self::Low => Action::Flag,
            Self::Medium => Action::Hide,
            Self::High => Action::Reject,
            Self::Critical => Action::Ban,
        }
    }
}
