//! The numbers of an item that a policy can compare with a threshold.

use std::collections::{BTreeMap, BTreeSet};

use domain::Evidence;

/// Which way a number is the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worse {
    /// The higher, as the score of a classifier.
    High,
    /// The lower, as sharpness, age and the number of faces.
    Low,
}

/// One number, named as a policy's condition names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    /// As in a condition: `nsfw.porn`, `scores.blur_variance`, `top("link", "link:blocked")`.
    pub expression: String,
    /// Which way it is the worse.
    pub worse: Worse,
    /// Whether it counts in whole steps.
    pub whole: bool,
    /// The label of the detector that it is the score of; `None` where it is a number of its own.
    pub label: Option<String>,
    /// The detector whose silence means 0; `None` where silence means that it was not measured.
    pub detector: Option<String>,
}

/// What was measured of one item.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    values: BTreeMap<Measure, f64>,
    run: BTreeSet<String>,
}

impl Measures {
    /// Reads the evidence.
    pub fn of(evidence: &Evidence) -> Self {
        let mut values = BTreeMap::new();
        let s = &evidence.scores;
        let count = |n: Option<u32>| n.map(f64::from);
        let number = |n: Option<f32>| n.map(seen);
        for (name, worse, whole, value) in [
            ("blur_variance", Worse::Low, false, number(s.blur_variance)),
            ("estimated_age", Worse::Low, false, number(s.estimated_age)),
            ("face_count", Worse::Low, true, count(s.face_count)),
            ("nsfw_score", Worse::High, false, number(s.nsfw_score)),
            ("text_likelihood", Worse::High, false, number(s.text_likelihood)),
            ("ocr_words", Worse::High, true, count(s.ocr_words)),
        ] {
            let expression = format!("scores.{name}");
            if let Some(value) = value.filter(|v| v.is_finite()) {
                let measure = Measure { expression, worse, whole, label: None, detector: None };
                values.insert(measure, value);
            }
        }
        // The labels of `nsfw` stand in both places; a policy may ask in either.
        let others = s.labels.iter().filter(|(detector, _)| *detector != "nsfw");
        let classes: Vec<_> = others
            .map(|(detector, labels)| {
                (detector.as_str(), format!("labels{}", key(detector)), labels)
            })
            .chain([("nsfw", "nsfw".to_owned(), &s.nsfw_categories)])
            .collect();
        for (_, path, labels) in &classes {
            for (label, score) in labels.iter().filter(|(_, score)| score.is_finite()) {
                let expression = format!("{path}{}", key(label));
                let measure = Measure {
                    expression,
                    worse: Worse::High,
                    whole: false,
                    label: Some(label.clone()),
                    detector: None,
                };
                values.insert(measure, seen(*score));
            }
        }
        let known =
            |detector: &str| classes.iter().any(|(d, _, l)| *d == detector && !l.is_empty());
        for finding in &evidence.findings {
            // Of faces and ages the scores above speak.
            if known(&finding.detector) || matches!(finding.label.as_str(), "face" | "age") {
                continue;
            }
            let measure = Measure {
                expression: format!("top({:?}, {:?})", finding.detector, finding.label),
                worse: Worse::High,
                whole: false,
                label: Some(finding.label.clone()),
                detector: Some(finding.detector.clone()),
            };
            // As a policy takes it: a score that is no number counts as certain.
            let score = if finding.score.is_finite() { seen(finding.score) } else { 1.0 };
            let highest = values.entry(measure).or_insert(score);
            *highest = highest.max(score);
        }
        let coverage = &evidence.coverage;
        let missing = |d: &&String| !coverage.detectors_missing.contains(d);
        Self { values, run: coverage.detectors_run.iter().filter(missing).cloned().collect() }
    }

    /// The numbers that there are.
    pub fn names(&self) -> impl Iterator<Item = &Measure> {
        self.values.keys()
    }

    /// The value; 0 where a detector looked and found nothing, `None` where nobody measured.
    pub fn get(&self, measure: &Measure) -> Option<f64> {
        let silent = || measure.detector.as_ref().filter(|d| self.run.contains(*d)).map(|_| 0.0);
        self.values.get(measure).copied().or_else(silent)
    }
}

/// A number as a policy sees it, which rounds to six decimals: what is alike to it no threshold can divide.
fn seen(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// A key of a map in a condition: `.porn`, or `["two words"]` where it is no name.
fn key(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!(".{name}") } else { format!("[{name:?}]") }
}

impl Measure {
    /// The condition that holds beyond a threshold.
    pub fn condition(&self, threshold: f64) -> String {
        let sign = if self.worse == Worse::High { '>' } else { '<' };
        format!("{} {sign} {threshold}", self.expression)
    }

    /// A short number between `admitted`, which the condition must meet, and `beyond`, the next one, which it must not.
    /// Where there is no next one, one as far again.
    pub fn threshold(&self, admitted: f64, beyond: Option<f64>) -> f64 {
        let beyond = beyond.unwrap_or(match self.worse {
            Worse::High if admitted > 0.0 => admitted / 2.0,
            Worse::High => admitted - 1.0,
            Worse::Low if admitted > 0.0 => admitted * 2.0,
            Worse::Low => admitted + 1.0,
        });
        let middle = admitted / 2.0 + beyond / 2.0;
        if self.whole {
            return if self.worse == Worse::High { middle.floor() } else { middle.ceil() };
        }
        let (low, high) = (admitted.min(beyond), admitted.max(beyond));
        let rounded = (0..17).filter_map(|digits| format!("{middle:.digits$}").parse::<f64>().ok());
        rounded.into_iter().find(|r| low < *r && *r < high).unwrap_or(middle)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use domain::{Finding, Policy};
    use proptest::prelude::*;

    use super::*;

    fn finding(detector: &str, label: &str, score: f32) -> Finding {
        Finding {
            detector: detector.into(),
            model: "m@1".into(),
            label: label.into(),
            score,
            span: None,
            bbox: None,
            media: None,
            text: None,
        }
    }

    fn evidence() -> Evidence {
        let mut evidence = Evidence::default();
        evidence.scores.blur_variance = Some(80.0);
        evidence.scores.face_count = Some(2);
        evidence.scores.nsfw_categories =
            [("porn".into(), 0.75), ("two words".into(), 0.25)].into();
        evidence.scores.labels = [
            ("gore".into(), [("blood".into(), 0.5)].into()),
            ("nsfw".into(), [("porn".into(), 0.75)].into()),
        ]
        .into();
        evidence.findings = vec![
            finding("nsfw", "porn", 0.75),
            finding("link", "link:blocked", 0.9),
            finding("link", "link:blocked", 1.0),
        ];
        evidence.coverage.detectors_run = vec!["link".into(), "text".into()];
        evidence
    }

    #[test]
    fn every_name_is_one_that_a_policy_understands_and_means_the_same_number() {
        let measures = Measures::of(&evidence());
        let names: Vec<_> = measures.names().map(|m| m.expression.as_str()).collect();
        assert_eq!(
            names,
            [
                "labels.gore.blood",
                "nsfw.porn",
                "nsfw[\"two words\"]",
                "scores.blur_variance",
                "scores.face_count",
                "top(\"link\", \"link:blocked\")",
            ]
        );
        for measure in measures.names() {
            let value = measures.get(measure).unwrap();
            let step = if measure.whole { 1.0 } else { 0.01 };
            let toward = if measure.worse == Worse::High { -step } else { step };
            for (threshold, fires) in [(value + toward, true), (value - toward, false)] {
                let condition = measure.condition(threshold);
                let policy = Policy::parse(&format!(
                    "name = \"t\"\nversion = 1\n[[rule]]\nid = \"r\"\nreason = \"why\"\nseverity = \"high\"\n\
                     category = \"spam\"\nwhen = '{condition}'\n"
                ))
                .unwrap();
                let reasons = policy.decide(&evidence()).reasons;
                assert_eq!(reasons.contains(&"why".to_owned()), fires, "{condition}");
            }
        }
    }

    #[test]
    fn silence_is_zero_only_of_a_detector_that_looked() {
        let (seen, mut other) = (Measures::of(&evidence()), Evidence::default());
        other.coverage.detectors_run = vec!["link".into()];
        let clean = Measures::of(&other);
        let blind = Measures::of(&Evidence::default());
        for measure in seen.names() {
            let link = measure.expression.starts_with("top");
            assert_eq!(clean.get(measure), link.then_some(0.0), "{measure:?}");
            assert_eq!(blind.get(measure), None, "{measure:?}");
        }
    }

    proptest! {
        #[test]
        fn a_threshold_lies_between_the_two(a in 0.0f32..1000.0, b in 0.0f32..1000.0, high: bool, whole: bool) {
            let (a, b) = if whole { (a.floor(), b.floor()) } else { (a, b) };
            prop_assume!(a != b);
            let (low, top) = (f64::from(a.min(b)), f64::from(a.max(b)));
            let worse = if high { Worse::High } else { Worse::Low };
            let measure =
                Measure { expression: "x".into(), worse, whole, label: None, detector: None };
            let (admitted, beyond) = if high { (top, low) } else { (low, top) };
            let t = measure.threshold(admitted, Some(beyond));
            if high {
                prop_assert!(admitted > t && beyond <= t, "{t}");
            } else {
                prop_assert!(admitted < t && beyond >= t, "{t}");
            }
        }
    }
}
