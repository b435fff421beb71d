//! Versions of models on trial: which of them judge in the place of their detector's own, which run beside it.

use std::collections::BTreeSet;

use domain::{Evidence, Finding, Scores};
use models::Kind;

use super::detectors::Detectors;
use super::gather::merge;

/// Detectors, by their names in the profile, whose version on trial takes part in an inspection. Whoever asks chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trials {
    /// It judges in the place of the detector's own model.
    pub instead: BTreeSet<String>,
    /// It looks at the same pictures; what it finds stands apart.
    pub beside: BTreeSet<String>,
}

impl Trials {
    /// None.
    pub const NONE: &'static Self = &Self { instead: BTreeSet::new(), beside: BTreeSet::new() };
}

/// What models beside those that judge have seen.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    /// `name@version` of those that were asked.
    pub models: BTreeSet<String>,
    /// What they found.
    pub findings: Vec<Finding>,
    /// Pictures that they were not shown, or did not answer to in time: whoever judges does not wait for them.
    pub skipped: u64,
    /// Pictures on which they failed.
    pub failed: u64,
    /// Their numbers.
    pub(super) scores: Scores,
}

impl Shadow {
    /// Whether any was asked.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Adds what was seen in another medium.
    pub(super) fn add(&mut self, other: Self) {
        self.models.extend(other.models);
        self.findings.extend(other.findings);
        self.skipped += other.skipped;
        self.failed += other.failed;
        merge(&mut self.scores, other.scores);
    }

    /// The evidence as it would be, had they judged; `None` where they have not seen all that the others saw.
    pub(super) fn instead(
        &self,
        evidence: &Evidence,
        detectors: &Detectors,
        trials: &Trials,
    ) -> Option<Evidence> {
        if self.is_empty() || self.skipped + self.failed > 0 {
            return None;
        }
        let mut other = evidence.clone();
        other.findings.retain(|finding| !trials.beside.contains(&finding.detector));
        other.findings.extend(self.findings.iter().cloned());
        let scores = &mut other.scores;
        for neural in detectors.neural().filter(|n| trials.beside.contains(&n.name)) {
            match neural.runner.manifest().kind {
                Kind::Classifier => {
                    scores.labels.remove(&neural.name);
                    if detectors.is_first(neural) {
                        scores.nsfw_score = None;
                        scores.nsfw_categories.clear();
                    }
                }
                Kind::Faces => (scores.has_face, scores.face_count) = (None, None),
                Kind::Age => scores.estimated_age = None,
            }
        }
        merge(scores, self.scores.clone());
        Some(other)
    }
}
