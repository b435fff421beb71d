//! What is counted and timed while the service runs. Names are `weir_<noun>_<unit>_<total|bucket>`; [`Page`] writes them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use domain::{Decision, Scores, Status};

use super::page::{STAGES, Stages, place};
use super::trial::Ran;

/// Upper bounds of times in seconds: from a word's time to the longest item's.
const SECONDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0];

/// Upper bounds of scores: finer where policies draw their lines.
const SCORES: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Series of one name at most; what is more counts as [`OTHER`].
const SERIES: usize = 200;
const OTHER: &str = "other";

/// Statuses in the order in which they are counted.
const STATUSES: [&str; 4] = ["approved", "rejected", "held", "failed"];

/// Method and status, and how many calls there were of both.
type Answered = (String, u16, AtomicU64);

/// All counters of the service.
#[derive(Debug)]
pub struct Metrics {
    /// Submissions accepted.
    accepted: AtomicU64,
    /// Attempts that failed.
    pub failed_attempts: AtomicU64,
    decided: [AtomicU64; 4],
    reasons: Counts,
    stages: [Histogram<10>; STAGES.len()],
    scores: Mutex<BTreeMap<String, Histogram<10>>>,
    /// Calls by route. Counting takes a read lock: a thread put aside with an exclusive one would hold up every call.
    calls: RwLock<HashMap<String, Vec<Answered>>>,
    /// Messages to endpoints by what became of them.
    messages: Counts,
    /// Evidence by what became of it, and why.
    evidence: Counts,
    /// Verdicts that rest on a version of a model, by outcome.
    model_verdicts: Counts,
    /// Submissions on which a version failed.
    model_errors: Counts,
    /// What would have come of versions that run beside.
    shadows: Counts,
    /// Versions that were withdrawn by themselves.
    withdrawn: Counts,
    /// From the last byte of a body to the rows on the disk, for each submission accepted.
    accept: Histogram<10>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::default(),
            failed_attempts: AtomicU64::default(),
            decided: Default::default(),
            reasons: Counts::default(),
            stages: std::array::from_fn(|_| Histogram::new(SECONDS)),
            scores: Mutex::default(),
            calls: RwLock::default(),
            messages: Counts::default(),
            evidence: Counts::default(),
            model_verdicts: Counts::default(),
            model_errors: Counts::default(),
            shadows: Counts::default(),
            withdrawn: Counts::default(),
            accept: Histogram::new(SECONDS),
        }
    }
}

impl Metrics {
    /// Notes a decision: its status, why, how long each stage took, and how sure the detectors were.
    pub fn decided(&self, decision: &Decision, stages: Stages, scores: &Scores) {
        self.redecided(decision);
        for (histogram, time) in self.stages.iter().zip(stages.0) {
            histogram.note(time.as_secs_f64());
        }
        for (detector, labels) in &scores.labels {
            if let Some(top) = labels.values().copied().reduce(f32::max) {
                self.score(detector, top);
            }
        }
        let alone = [
            ("sharpness", scores.blur_score),
            ("nsfw", scores.nsfw_score),
            ("text_likelihood", scores.text_likelihood),
        ];
        for (detector, score) in alone {
            if let Some(score) = score {
                self.score(detector, score);
            }
        }
    }

    /// Notes a decision of the machine without another look.
    pub fn redecided(&self, decision: &Decision) {
        let place = place(decision.status);
        self.decided[place].fetch_add(1, Ordering::Relaxed);
        if decision.status != Status::Approved {
            let reason = decision.reasons.first().map_or(OTHER, String::as_str);
            self.reasons.add(&[STATUSES[place], reason]);
        }
    }

    fn score(&self, detector: &str, score: f32) {
        let mut all = locked(&self.scores);
        let known = all.contains_key(detector) || all.len() < SERIES;
        let name = if known { detector } else { OTHER };
        let histogram = all.entry(name.to_owned()).or_insert_with(|| Histogram::new(SCORES));
        histogram.note(f64::from(score));
    }

    /// Notes a call that was answered; `route` is its pattern, never its path.
    pub fn called(&self, route: &str, method: &str, status: u16) {
        let known = |all: &HashMap<String, Vec<Answered>>| {
            let counts = all.get(route)?;
            let known = counts.iter().find(|(m, s, _)| m == method && *s == status)?;
            known.2.fetch_add(1, Ordering::Relaxed);
            Some(())
        };
        if known(&self.calls.read().unwrap_or_else(PoisonError::into_inner)).is_some() {
            return;
        }
        let mut all = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have met the first of its kind at the same time.
        if known(&all).is_none() {
            // Patterns come from the router: there are only so many.
            let counts = all.entry(route.to_owned()).or_default();
            if counts.len() < SERIES {
                counts.push((method.to_owned(), status, AtomicU64::new(1)));
            }
        }
    }

    /// Notes how long a submission took from the last byte of its body until it was durable.
    pub fn accepted(&self, time: Duration) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.accept.note(time.as_secs_f64());
    }

    /// Notes what became of a message to an endpoint: `delivered`, or why not.
    pub fn told(&self, outcome: &str) {
        self.messages.add(&[outcome]);
    }

    /// Notes what became of evidence: `made`, `none` or `failed`, with the reason where it was not made.
    pub fn evidence(&self, outcome: &str, reason: &str) {
        self.evidence.add(&[outcome, reason]);
    }

    /// Notes which versions of models took part in a verdict.
    pub fn ran(&self, ran: &Ran, status: Status) {
        let status = STATUSES[place(status)];
        ran.judged.iter().for_each(|model| self.model_verdicts.add(&[model, status]));
        ran.failed.iter().for_each(|model| self.model_errors.add(&[model]));
        let outcome = ran.agreement().as_str();
        ran.beside.iter().for_each(|model| self.shadows.add(&[model, outcome]));
    }

    /// Notes that a version of a model was withdrawn by itself.
    pub fn withdrawn(&self, model: &str, cause: &str) {
        self.withdrawn.add(&[model, cause]);
    }

    /// Writes all.
    pub fn write(&self, page: &mut Page) {
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64;
        page.family("weir_submissions_accepted_total", "counter", "Submissions accepted.");
        page.sample("", &[], count(&self.accepted));
        page.family(
            "weir_accept_seconds",
            "histogram",
            "From the last byte of a submission's body until it is durable.",
        );
        self.accept.write(page, &[]);
        page.family("weir_decisions_total", "counter", "Machine decisions by status.");
        for (status, n) in STATUSES.into_iter().zip(&self.decided) {
            page.sample("", &[("status", status)], count(n));
        }
        page.family(
            "weir_decision_reasons_total",
            "counter",
            "Machine decisions other than approvals by their first reason.",
        );
        self.reasons.write(page, &["status", "reason"]);
        page.family("weir_attempts_failed_total", "counter", "Attempts at a job that failed.");
        page.sample("", &[], count(&self.failed_attempts));
        page.family(
            "weir_stage_seconds",
            "histogram",
            "Time of each stage of a submission; total is from acceptance to decision.",
        );
        for (stage, histogram) in STAGES.iter().zip(&self.stages) {
            histogram.write(page, &[("stage", stage.replace(' ', "_").as_str())]);
        }
        page.family(
            "weir_score_ratio",
            "histogram",
            "Highest score of each submission by detector: how sure the detectors are.",
        );
        for (detector, histogram) in locked(&self.scores).iter() {
            histogram.write(page, &[("detector", detector.as_str())]);
        }
        page.family("weir_requests_total", "counter", "Calls by route, method and status.");
        let calls = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        let mut routes: Vec<_> = calls.iter().collect();
        routes.sort_by_key(|(route, _)| *route);
        for (route, counts) in routes {
            for (method, status, n) in counts {
                let status = status.to_string();
                let labels = [
                    ("route", route.as_str()),
                    ("method", method.as_str()),
                    ("status", status.as_str()),
                ];
                page.sample("", &labels, count(n));
            }
        }
        drop(calls);
        page.family("weir_webhook_attempts_total", "counter", "Messages to endpoints by outcome.");
        self.messages.write(page, &["outcome"]);
        page.family(
            "weir_evidence_total",
            "counter",
            "Media of which evidence was due: made, none where nothing could be, failed attempts.",
        );
        self.evidence.write(page, &["outcome", "reason"]);
        self.write_models(page);
    }

    fn write_models(&self, page: &mut Page) {
        page.family(
            "weir_model_verdicts_total",
            "counter",
            "Verdicts by the version of each model that took part in them.",
        );
        self.model_verdicts.write(page, &["model", "status"]);
        page.family(
            "weir_model_errors_total",
            "counter",
            "Submissions on which a version of a model failed.",
        );
        self.model_errors.write(page, &["model"]);
        page.family(
            "weir_model_shadow_total",
            "counter",
            "Submissions by what a version beside would have made of them: same, stricter, laxer, skipped, failed.",
        );
        self.shadows.write(page, &["model", "outcome"]);
        page.family(
            "weir_model_withdrawals_total",
            "counter",
            "Versions of models that were withdrawn by themselves, by cause.",
        );
        self.withdrawn.write(page, &["model", "cause"]);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters by the values of their labels.
#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<Vec<String>, u64>>);

impl Counts {
    fn add(&self, values: &[&str]) {
        let mut all = locked(&self.0);
        let mut key: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        if all.len() >= SERIES && !all.contains_key(&key) {
            key = vec![OTHER.to_owned(); values.len()];
        }
        *all.entry(key).or_default() += 1;
    }

    fn write(&self, page: &mut Page, names: &[&str]) {
        for (values, n) in locked(&self.0).iter() {
            let labels: Vec<_> =
                names.iter().copied().zip(values.iter().map(String::as_str)).collect();
            page.sample("", &labels, *n as f64);
        }
    }
}

/// A distribution over fixed buckets.
#[derive(Debug)]
struct Histogram<const N: usize> {
    bounds: [f64; N],
    buckets: [AtomicU64; N],
    count: AtomicU64,
    /// In millionths.
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [f64; N]) -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::default());
        Self { bounds, buckets, count: AtomicU64::default(), sum: AtomicU64::default() }
    }

    fn note(&self, value: f64) {
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            if value <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let micros = Duration::try_from_secs_f64(value).unwrap_or_default().as_micros();
        self.sum.fetch_add(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn write(&self, page: &mut Page, labels: &[(&str, &str)]) {
        // The count first: a value that comes in between must not make a bucket larger than the whole.
        let count = self.count.load(Ordering::Relaxed);
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            let bound = bound.to_string();
            let labels = [labels, &[("le", bound.as_str())]].concat();
            page.sample("_bucket", &labels, bucket.load(Ordering::Relaxed).min(count) as f64);
        }
        page.sample("_bucket", &[labels, &[("le", "+Inf")]].concat(), count as f64);
        page.sample("_sum", labels, self.sum.load(Ordering::Relaxed) as f64 / 1e6);
        page.sample("_count", labels, count as f64);
    }
}

/// The text format of Prometheus, version 0.0.4.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a metric; its samples follow.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A metric with one sample.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample("", &[], value);
    }

    /// A sample of the metric that was begun.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (n, (name, value)) in labels.iter().enumerate() {
            let open = if n == 0 { "{" } else { "," };
            let _ = write!(self.text, "{open}{name}=\"{}\"", Value(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// The value of a label, escaped.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        let mut page = Page::default();
        metrics.write(&mut page);
        page.finish().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_histogram_is_cumulative_and_sums_up() {
        let metrics = Metrics::default();
        let decision = Decision {
            status: Status::Approved,
            complete: true,
            severity: domain::Severity::Safe,
            action: domain::Action::Allow,
            reasons: Vec::new(),
            categories: BTreeMap::new(),
            policy: "starter@1".into(),
        };
        for ms in [3, 30, 30, 700, 60_000] {
            let mut stages = Stages::default();
            stages.0[4] = Duration::from_millis(ms);
            metrics.decided(&decision, stages, &Scores::default());
        }
        let lines = lines(&metrics);
        for line in [
            "weir_stage_seconds_bucket{stage=\"total\",le=\"0.005\"} 1",
            "weir_stage_seconds_bucket{stage=\"total\",le=\"0.05\"} 3",
            "weir_stage_seconds_bucket{stage=\"total\",le=\"1\"} 4",
            "weir_stage_seconds_bucket{stage=\"total\",le=\"15\"} 4",
            "weir_stage_seconds_bucket{stage=\"total\",le=\"+Inf\"} 5",
            "weir_stage_seconds_sum{stage=\"total\"} 60.763",
            "weir_stage_seconds_count{stage=\"total\"} 5",
            "weir_decisions_total{status=\"approved\"} 5",
        ] {
            assert!(lines.iter().any(|l| l == line), "{line} is not in\n{lines:#?}");
        }
    }

    #[test]
    fn series_are_bounded_and_labels_cannot_break_the_format() {
        let metrics = Metrics::default();
        for n in 0..1000 {
            metrics.told(&format!("o{n}"));
        }
        metrics.called("/v1/\"\\\n", "GET", 200);
        let lines = lines(&metrics);
        let messages = lines.iter().filter(|l| l.starts_with("weir_webhook_attempts_total{"));
        assert_eq!(messages.count(), SERIES + 1);
        let call = "weir_requests_total{route=\"/v1/\\\"\\\\\\n\",method=\"GET\",status=\"200\"} 1";
        assert!(lines.iter().any(|l| l == call), "{lines:#?}");
    }
}
