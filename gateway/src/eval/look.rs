//! All items of a folder through the detectors and under one or more policies.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::{Category, Evidence, Policy, Status};

use super::items::Item;
use super::measure::Measures;
use crate::check::crew;
use crate::check::inputs::Input;
use crate::check::judge::{Demands, Judge};
use crate::check::progress::Progress;
use crate::check::verdict::{error_line, is_unjudged};

/// What one item came to.
#[derive(Debug)]
pub struct Seen {
    /// Its numbers.
    pub measures: Measures,
    /// What each of the policies decided, in their order.
    pub outcomes: Vec<Outcome>,
    /// Every model, bank and list that took part.
    pub models: Vec<String>,
    /// Why something of it was not looked at.
    pub error: Option<String>,
}

/// What one policy decided.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The decision.
    pub status: Status,
    /// Whether it could not be judged, whatever the status says.
    pub unjudged: bool,
    /// Its reasons, gravest first.
    pub reasons: Vec<String>,
    /// Its categories.
    pub categories: BTreeSet<Category>,
    /// The findings that were sure enough to count.
    pub findings: BTreeSet<String>,
}

/// Looks at every item once and decides it under every policy; the policies must ask for the same `max_gap_ms`.
///
/// Nothing ends a scan early: a score that was not looked at could be compared with no threshold. The status is the same
/// either way, for a rejection that settles the matter stays one, whatever else is seen.
///
/// # Errors
/// Where no thread can be started.
pub fn look(
    judge: &Judge,
    policies: &[&Policy],
    items: &[Item],
    jobs: usize,
) -> anyhow::Result<Vec<Seen>> {
    let required: BTreeSet<&String> = policies.iter().flat_map(|p| p.required()).collect();
    let required: Vec<String> = required.into_iter().cloned().collect();
    let max_gap_ms = policies.iter().map(|p| p.max_gap_ms()).min().unwrap_or_default();
    let progress = Progress::new(items.len());
    let mut all = Vec::with_capacity(items.len());
    crew::in_order(
        items,
        jobs,
        |item| {
            let demands =
                Demands { required: &required, max_gap_ms, settled: &|_: &Evidence| false };
            let (inspection, _) = judge.look(&Input::File(item.path.clone()), &demands);
            let evidence = inspection.evidence;
            Seen {
                measures: Measures::of(&evidence),
                outcomes: policies.iter().map(|policy| decide(policy, &evidence)).collect(),
                models: inspection.models,
                error: error_line(&evidence.failures, &inspection.unseen),
            }
        },
        |seen| {
            all.push(seen);
            progress.step();
            Ok(ControlFlow::Continue(()))
        },
    )?;
    progress.finish();
    Ok(all)
}

fn decide(policy: &Policy, evidence: &Evidence) -> Outcome {
    // What only another policy requires is not missing for this one.
    let mut evidence = evidence.clone();
    evidence.coverage.detectors_missing.retain(|d| policy.required().contains(d));
    let decision = policy.decide(&evidence);
    let counts = |score: f32| score.is_nan() || f64::from(score) >= policy.min_confidence();
    let findings = evidence.findings.into_iter().filter(|f| counts(f.score)).map(|f| f.label);
    Outcome {
        status: decision.status,
        unjudged: is_unjudged(decision.status, decision.complete),
        reasons: decision.reasons,
        categories: decision.categories.into_keys().collect(),
        findings: findings.collect(),
    }
}
