//! How one profile and policy did on the labelled items. Serialised, it is a part of the document of `--json`, which
//! docs/eval.md describes key by key: keys are added, never renamed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use domain::Status;
use serde::Serialize;

use super::curve::{Curve, Point, Summary};
use super::items::Items;
use super::label::Meaning;
use super::look::{Outcome, Seen};
use super::measure::{Measure, Worse};
use super::rate::Rate;

/// How one profile and policy did.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Name of the profile.
    pub profile: String,
    /// `name@version` of the policy.
    pub policy: String,
    /// Every model, bank and list that took part.
    pub models: BTreeSet<String>,
    /// The confusion matrix, a row for each label: good ones first, then by name.
    pub labels: Vec<Row>,
    /// Good items that were not approved.
    pub good_not_approved: Rate,
    /// Good items that were rejected.
    pub good_rejected: Rate,
    /// Items that are not good and were approved.
    pub bad_approved: Rate,
    /// How well each number tells each label from the good items.
    pub curves: Vec<CurveView>,
    /// What was decided against its label.
    pub wrong: Vec<Entry>,
    /// What could not be judged, which counts as neither.
    pub unjudged: Vec<Entry>,
}

/// The decisions on the items of one label.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The label.
    pub label: String,
    /// What it says of its items.
    pub means: String,
    /// Items that carry it.
    pub items: usize,
    /// Of these, approved.
    pub approved: usize,
    /// Held for a person.
    pub held: usize,
    /// Rejected.
    pub rejected: usize,
    /// Not judged.
    pub unjudged: usize,
    /// Of the judged, those decided as the label demands.
    pub right: Rate,
    /// Of the judged, those whose decision says the label itself; `None` where there is nothing to say.
    pub named: Option<usize>,
}

/// One item.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its name below the folder.
    pub file: String,
    /// Its label.
    pub label: String,
    /// What was decided.
    pub status: Status,
    /// Why.
    pub reasons: Vec<String>,
    /// Why something was not looked at.
    pub error: Option<String>,
}

/// One number against one label.
#[derive(Clone, Debug, Serialize)]
pub struct CurveView {
    /// The label whose items should be caught.
    pub label: String,
    /// The number, as a policy names it.
    pub score: String,
    /// `high` or `low`: which way it is the worse.
    pub worse: &'static str,
    /// Items of the label.
    pub positives: usize,
    /// Good items.
    pub negatives: usize,
    /// Items of both kinds for which it was not measured.
    pub unmeasured: usize,
    /// Average precision and area.
    #[serde(flatten)]
    pub summary: Summary,
    /// Where most is caught within the wanted rate; `None` where nothing can be.
    pub at_max_fpr: Option<Threshold>,
    /// All thresholds, the strictest first.
    pub points: Vec<PointView>,
}

/// A threshold and what it does on these items.
#[derive(Clone, Debug, Serialize)]
pub struct Threshold {
    /// For a policy's `when`.
    pub condition: String,
    /// The number in it.
    pub threshold: f64,
    /// Items of the label that it catches.
    pub caught: Rate,
    /// Good items that it catches by mistake.
    pub wrong: Rate,
    /// Whether there are good items enough to show that it keeps the wanted rate.
    pub shown: bool,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PointView {
    /// The last value that is caught.
    pub value: f64,
    /// Share of the label's items that are caught.
    pub recall: f64,
    /// Share of the label's items among what is caught.
    pub precision: f64,
    /// Share of the good items that are caught.
    pub false_positive_rate: f64,
}

/// An item with what became of it under one policy.
struct Judged<'a> {
    label: &'a str,
    meaning: &'a Meaning,
    seen: &'a Seen,
    outcome: &'a Outcome,
}

/// Whether a decision does what the label demands.
pub fn is_right(meaning: &Meaning, outcome: &Outcome) -> bool {
    (outcome.status == Status::Approved) == meaning.is_good()
}

impl Evaluation {
    /// Compares what was decided by the policy at `index` with the labels.
    pub fn new(
        (profile, policy): (&str, &str),
        items: &Items,
        seen: &[Seen],
        index: usize,
        max_fpr: f64,
    ) -> Self {
        let mut all = Vec::with_capacity(seen.len());
        let (mut wrong, mut unjudged) = (Vec::new(), Vec::new());
        for (item, seen) in items.all.iter().zip(seen) {
            let (Some(meaning), Some(outcome)) =
                (items.labels.get(&item.label), seen.outcomes.get(index))
            else {
                continue;
            };
            let entry = || Entry {
                file: item.file.clone(),
                label: item.label.clone(),
                status: outcome.status,
                reasons: outcome.reasons.clone(),
                error: seen.error.clone(),
            };
            if outcome.unjudged {
                unjudged.push(entry());
            } else if !is_right(meaning, outcome) {
                wrong.push(entry());
            }
            all.push(Judged { label: &item.label, meaning, seen, outcome });
        }
        let mut labels: Vec<_> = items.labels.iter().collect();
        labels.sort_by_key(|(label, meaning)| (!meaning.is_good(), label.as_str()));
        let judged: Vec<&Judged<'_>> = all.iter().filter(|j| !j.outcome.unjudged).collect();
        let share = |good: bool, hit: &dyn Fn(Status) -> bool| {
            let of: Vec<_> = judged.iter().filter(|j| j.meaning.is_good() == good).collect();
            Rate::new(of.iter().filter(|j| hit(j.outcome.status)).count(), of.len())
        };
        Self {
            profile: profile.to_owned(),
            policy: policy.to_owned(),
            models: seen.iter().flat_map(|seen| seen.models.iter().cloned()).collect(),
            good_not_approved: share(true, &|status| status != Status::Approved),
            good_rejected: share(true, &|status| status == Status::Rejected),
            bad_approved: share(false, &|status| status == Status::Approved),
            curves: labels
                .iter()
                .filter(|(_, meaning)| !meaning.is_good())
                .flat_map(|(label, meaning)| curves(label, meaning, &judged, max_fpr))
                .collect(),
            labels: labels.iter().map(|(label, meaning)| row(label, meaning, &all)).collect(),
            wrong,
            unjudged,
        }
    }

    /// The best curve of each label, in the order of the labels.
    pub fn best_curves(&self) -> Vec<&CurveView> {
        let mut best: Vec<&CurveView> = Vec::new();
        for curve in &self.curves {
            if best.last().is_none_or(|last| last.label != curve.label) {
                best.push(curve);
            }
        }
        best
    }
}

fn row(label: &str, meaning: &Meaning, all: &[Judged<'_>]) -> Row {
    let own: Vec<_> = all.iter().filter(|j| j.label == label).collect();
    let judged: Vec<_> = own.iter().filter(|j| !j.outcome.unjudged).collect();
    let count = |status| judged.iter().filter(|j| j.outcome.status == status).count();
    let right = judged.iter().filter(|j| is_right(meaning, j.outcome)).count();
    let named = |outcome: &Outcome| match meaning {
        Meaning::Good | Meaning::Bad => None,
        Meaning::Category(category) => Some(outcome.categories.contains(category)),
        Meaning::Reason(reason) => Some(outcome.reasons.contains(reason)),
        Meaning::Finding(label) => Some(outcome.findings.contains(label)),
    };
    let names: Option<Vec<bool>> = judged.iter().map(|j| named(j.outcome)).collect();
    let says = !matches!(meaning, Meaning::Good | Meaning::Bad);
    Row {
        label: label.to_owned(),
        means: meaning.words(),
        items: own.len(),
        approved: count(Status::Approved),
        held: count(Status::Held),
        rejected: count(Status::Rejected),
        unjudged: own.len() - judged.len(),
        right: Rate::new(right, judged.len()),
        named: names.filter(|_| says).map(|n| n.into_iter().filter(|named| *named).count()),
    }
}

/// The curves of one label against the good items, the best first.
fn curves(label: &str, meaning: &Meaning, judged: &[&Judged<'_>], max_fpr: f64) -> Vec<CurveView> {
    let known: BTreeSet<&Measure> = judged.iter().flat_map(|j| j.seen.measures.names()).collect();
    // A finding has a score of its own; of the rest, whatever tells the items apart may serve.
    let own = |measure: &&Measure| match meaning {
        Meaning::Finding(finding) => measure.label.as_ref() == Some(finding),
        _ => true,
    };
    let sides: Vec<_> = judged.iter().filter(|j| j.label == label || j.meaning.is_good()).collect();
    let mut views: Vec<CurveView> = Vec::new();
    for measure in known.into_iter().filter(own) {
        let points: Vec<_> =
            sides.iter().map(|j| (!j.meaning.is_good(), j.seen.measures.get(measure))).collect();
        if let Some(curve) = Curve::new(&points, measure.worse) {
            views.push(view(label, measure, &curve, max_fpr));
        }
    }
    // As many decimals as say something, so that rounding does not decide.
    let rank = |n: f64| Reverse((n * 1e9) as u64);
    views.sort_by_key(|v| (rank(v.summary.average_precision), rank(v.summary.auc)));
    views
}

fn view(label: &str, measure: &Measure, curve: &Curve, max_fpr: f64) -> CurveView {
    let at_max_fpr = curve.at_most(max_fpr).map(|(point, beyond)| {
        let threshold = measure.threshold(point.value, beyond);
        let wrong = Rate::new(point.wrong, curve.negatives);
        Threshold {
            condition: measure.condition(threshold),
            threshold,
            caught: Rate::new(point.caught, curve.positives),
            wrong,
            shown: wrong.shows_at_most(max_fpr),
        }
    });
    let point = |point: &Point| PointView {
        value: point.value,
        recall: curve.recall(point),
        precision: Curve::precision(point),
        false_positive_rate: curve.false_positive_rate(point),
    };
    CurveView {
        label: label.to_owned(),
        score: measure.expression.clone(),
        worse: if measure.worse == Worse::High { "high" } else { "low" },
        positives: curve.positives,
        negatives: curve.negatives,
        unmeasured: curve.unmeasured,
        summary: curve.summary(),
        at_max_fpr,
        points: curve.points.iter().map(point).collect(),
    }
}
