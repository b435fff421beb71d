//! The last verdicts, in memory: enough to see that the box judges, nothing of what it judged.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use domain::journal::{Millis, SubmissionId};
use domain::{MediaKind, Severity, Status};
use serde::Serialize;

/// As many are kept.
const KEPT: usize = 10;

/// A verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// When.
    pub at_ms: i64,
    /// The last 8 digits of the submission's id: enough to find it, too little to ask for it.
    pub short_id: String,
    /// What it was.
    pub kind: &'static str,
    /// What came out.
    pub status: Status,
    /// How grave it is.
    pub severity: Severity,
    /// Whether all that had to be seen was seen.
    pub complete: bool,
}

/// The last verdicts.
#[derive(Debug, Default)]
pub struct Verdicts(Mutex<VecDeque<Seen>>);

impl Seen {
    /// A verdict on a submission with media of these kinds.
    pub fn new(
        id: SubmissionId,
        at: Millis,
        kinds: &[MediaKind],
        decision: &domain::Decision,
    ) -> Self {
        let digits = id.0.simple().to_string();
        Self {
            at_ms: at.0,
            short_id: digits.chars().skip(digits.len() - 8).collect(),
            kind: kind(kinds),
            status: decision.status,
            severity: decision.severity,
            complete: decision.complete,
        }
    }
}

fn kind(kinds: &[MediaKind]) -> &'static str {
    match kinds {
        [] | [MediaKind::Text] => "text",
        [MediaKind::Image] => "picture",
        [MediaKind::Animation] => "animation",
        [MediaKind::Video] => "video",
        [MediaKind::Audio] => "sound",
        [MediaKind::Unknown] => "unknown",
        _ => "several",
    }
}

impl Verdicts {
    /// Adds one.
    pub fn add(&self, seen: Seen) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front(seen);
        kept.truncate(KEPT);
    }

    /// All, the newest first.
    pub fn newest(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
