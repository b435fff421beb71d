//! The judgement on a submission.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Action, Category, Severity};

/// What the platform is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// May be shown.
    Approved,
    /// May not be shown.
    Rejected,
    /// Waits for a person.
    Held,
    /// Cannot be judged, and no person is asked.
    Failed,
}

/// The outcome of `Policy::decide`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What the platform is told.
    pub status: Status,
    /// Whether every required detector saw what the policy demands, or a settled rejection ended the scan.
    pub complete: bool,
    /// Gravest severity of the rules that fired.
    pub severity: Severity,
    /// Gravest action of the rules that fired, after the fail modes.
    pub action: Action,
    /// Machine-readable reasons, gravest first, each once.
    pub reasons: Vec<String>,
    /// Severity for each category that was touched.
    pub categories: BTreeMap<Category, Severity>,
    /// `name@version` of the policy.
    pub policy: String,
}
