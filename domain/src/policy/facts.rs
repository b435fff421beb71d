//! Evidence as the variables and functions of a condition.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cel::{Context, ExecutionError, Value};

use super::{BANK_DETECTOR, condition::ENV};
use crate::{Evidence, Finding};

/// Findings that `findings` lists; with loops two deep this bounds a condition to 65 thousand steps. `found` and
/// `top` see all of them.
pub(super) const MAX_FINDINGS: usize = 256;
/// Media that `media` lists; a submission has at most nine.
const MAX_MEDIA: usize = 64;

/// Evidence in the form that conditions read.
pub(super) struct Facts {
    variables: Vec<(&'static str, Value)>,
    seen: Arc<Seen>,
}

/// What `found` and `top` read.
struct Seen {
    /// Detectors that saw all that they had to see.
    run: BTreeSet<String>,
    /// Detector → label → highest score, of findings sure enough to count.
    findings: BTreeMap<String, BTreeMap<String, f64>>,
    /// Detector → label → highest score, sure or not.
    scores: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Facts {
    /// Reads the evidence; findings below `min_confidence` do not count.
    pub(super) fn of(evidence: &Evidence, min_confidence: f64) -> Self {
        let counted: Vec<&Finding> =
            evidence.findings.iter().filter(|f| certainty(f) >= min_confidence).collect();
        let labels = labels(evidence);
        let nsfw = labels.get("nsfw").cloned().unwrap_or_default();
        let seen = Seen::of(evidence, &counted, &labels);
        let variables = vec![
            ("scores", scores(evidence)),
            ("nsfw", map(nsfw.into_iter().map(|(k, v)| (k, v.into())))),
            (
                "labels",
                map(labels
                    .into_iter()
                    .map(|(d, l)| (d, map(l.into_iter().map(|(k, v)| (k, v.into())))))),
            ),
            ("findings", list(gravest(counted).into_iter().map(finding))),
            ("media", media(evidence)),
            ("coverage", coverage(evidence)),
            (
                "context",
                record([
                    ("surface", Some(text(&evidence.context.surface))),
                    ("language", Some(text(&evidence.context.language))),
                ]),
            ),
        ];
        Self { variables, seen: Arc::new(seen) }
    }

    /// A context for evaluating any number of conditions.
    pub(super) fn context(&self) -> Context<'static, 'static> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (name, value) in &self.variables {
            context.add_variable_from_value(*name, value.clone());
        }
        let seen = Arc::clone(&self.seen);
        let found = context
            .add_function("found", move |detector: Arc<String>, prefix: Arc<String>| {
                seen.found(&detector, &prefix)
            });
        let seen = Arc::clone(&self.seen);
        let top = context.add_function("top", move |detector: Arc<String>, label: Arc<String>| {
            seen.top(&detector, &label)
        });
        debug_assert!(found.is_ok() && top.is_ok(), "the standard functions have no such names");
        context
    }
}

impl Seen {
    fn of(
        evidence: &Evidence,
        counted: &[&Finding],
        labels: &BTreeMap<String, BTreeMap<String, f64>>,
    ) -> Self {
        let mut findings = BTreeMap::new();
        for finding in counted {
            raise(&mut findings, &finding.detector, &finding.label, certainty(finding));
        }
        let mut scores = labels.clone();
        for finding in &evidence.findings {
            raise(&mut scores, &finding.detector, &finding.label, certainty(finding));
        }
        let missing = &evidence.coverage.detectors_missing;
        let run = evidence.coverage.detectors_run.iter().filter(|d| !missing.contains(d));
        Self { run: run.cloned().collect(), findings, scores }
    }

    fn found(&self, detector: &str, prefix: &str) -> Result<bool, ExecutionError> {
        let labels = self.findings.get(detector);
        if labels.is_some_and(|labels| labels.keys().any(|label| label.starts_with(prefix))) {
            return Ok(true);
        }
        if self.run.contains(detector) { Ok(false) } else { Err(unmeasured(detector)) }
    }

    fn top(&self, detector: &str, label: &str) -> Result<f64, ExecutionError> {
        match self.scores.get(detector).and_then(|labels| labels.get(label)) {
            Some(score) => Ok(*score),
            None if self.run.contains(detector) => Ok(0.0),
            None => Err(unmeasured(detector)),
        }
    }
}

/// The error that says "not measured", the same as reading an absent key.
fn unmeasured(name: &str) -> ExecutionError {
    ExecutionError::NoSuchKey(Arc::new(name.to_owned()))
}

fn raise(
    scores: &mut BTreeMap<String, BTreeMap<String, f64>>,
    detector: &str,
    label: &str,
    score: f64,
) {
    let labels = scores.entry(detector.to_owned()).or_default();
    let highest = labels.entry(label.to_owned()).or_insert(score);
    *highest = highest.max(score);
}

/// The score of a finding; one that is no number counts as certain, for a broken model must not hide a finding.
fn certainty(finding: &Finding) -> f64 {
    measured(finding.score).unwrap_or(1.0)
}

/// The nearest short decimal, so that a model's 0.7 meets a policy's `0.7`; `None` where it is no number.
fn measured(value: f32) -> Option<f64> {
    value.is_finite().then(|| (f64::from(value) * 1e6).round() / 1e6)
}

/// Detector → label → highest score, the NSFW classifier's under `nsfw`.
fn labels(evidence: &Evidence) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    let nsfw = evidence.scores.nsfw_categories.iter().map(|(label, score)| ("nsfw", label, score));
    let others = &evidence.scores.labels;
    let others = others
        .iter()
        .flat_map(|(d, l)| l.iter().map(move |(label, score)| (d.as_str(), label, score)));
    for (detector, label, score) in nsfw.chain(others) {
        if let Some(score) = measured(*score) {
            raise(&mut all, detector, label, score);
        }
    }
    all
}

/// The gravest findings up to the bound (bank matches, then by score), in their own order.
fn gravest(findings: Vec<&Finding>) -> Vec<&Finding> {
    if findings.len() <= MAX_FINDINGS {
        return findings;
    }
    let mut order: Vec<(usize, &Finding)> = findings.into_iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| {
        let bank = |f: &Finding| f.detector == BANK_DETECTOR;
        bank(b).cmp(&bank(a)).then(certainty(b).total_cmp(&certainty(a)))
    });
    order.truncate(MAX_FINDINGS);
    order.sort_by_key(|(i, _)| *i);
    order.into_iter().map(|(_, f)| f).collect()
}

fn scores(evidence: &Evidence) -> Value {
    let s = &evidence.scores;
    let number = |v: Option<f32>| v.and_then(measured).map(Value::Float);
    let count = |v: Option<u32>| v.map(|n| Value::Int(n.into()));
    record([
        ("blur_variance", number(s.blur_variance)),
        ("blur_score", number(s.blur_score)),
        ("has_face", s.has_face.map(Value::Bool)),
        ("face_count", count(s.face_count)),
        ("estimated_age", number(s.estimated_age)),
        ("nsfw_score", number(s.nsfw_score)),
        ("text_likelihood", number(s.text_likelihood)),
        ("ocr_words", count(s.ocr_words)),
        ("ocr_text", s.ocr_text.as_deref().map(text)),
    ])
}

fn finding(f: &Finding) -> Value {
    record([
        ("detector", Some(text(&f.detector))),
        ("model", Some(text(&f.model))),
        ("label", Some(text(&f.label))),
        ("score", Some(certainty(f).into())),
        ("start_ms", f.span.map(|s| whole(s.start_ms))),
        ("end_ms", f.span.map(|s| whole(s.end_ms))),
        ("media", f.media.map(|m| whole(m as u64))),
    ])
}

fn media(evidence: &Evidence) -> Value {
    list(evidence.media.iter().take(MAX_MEDIA).map(|m| {
        record([
            ("kind", Some(word(&m.kind))),
            ("format", Some(word(&m.format))),
            ("width", m.width.map(|v| whole(v.into()))),
            ("height", m.height.map(|v| whole(v.into()))),
            ("duration_ms", m.duration_ms.map(whole)),
        ])
    }))
}

fn coverage(evidence: &Evidence) -> Value {
    let c = &evidence.coverage;
    record([
        ("frames_seen", Some(whole(c.frames_seen))),
        ("frames_skipped", Some(whole(c.frames_skipped))),
        ("max_gap_ms", Some(whole(c.max_gap_ms))),
        ("throttled", Some(c.throttled.into())),
        ("gap_in_force_ms", Some(whole(c.gap_in_force_ms))),
        ("ended_early", Some(c.ended_early.into())),
        ("detectors_run", Some(list(c.detectors_run.iter().map(|d| text(d))))),
        ("detectors_missing", Some(list(c.detectors_missing.iter().map(|d| text(d))))),
        ("ocr_gated", Some(whole(c.ocr_gated))),
    ])
}

/// A record without the fields that were not measured.
fn record<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    map(fields.into_iter().filter_map(|(name, value)| value.map(|v| (name.to_owned(), v))))
}

fn map(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Map(entries.collect::<HashMap<_, _>>().into())
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::List(Arc::new(items.collect()))
}

fn text(s: &str) -> Value {
    Value::String(Arc::new(s.to_owned()))
}

fn whole(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// The lower-case name under which a kind or format is sent.
fn word(value: &impl serde::Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => text(&name),
        _ => text("unknown"),
    }
}
