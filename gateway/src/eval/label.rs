//! What a label says of an item, and which labels there are.

use std::collections::{BTreeMap, BTreeSet};

use domain::Category;
use domain::profile::{Detector, Profile};

use crate::{paths, profile};

/// Labels of items that must be approved.
const GOOD: [&str; 3] = ["good", "safe", "allow"];
/// The label of items that must not be, for whatever reason.
const BAD: &str = "bad";
/// Labels of detectors that look at no model's list.
const FIXED: [&str; 9] = [
    "qr",
    "words",
    "link:blocked",
    "link:lookalike",
    "link:punycode",
    "link:userinfo",
    "link:ip",
    "link:shortener",
    "link:many",
];
/// What the labels of lists begin with; the rest is the list's own.
const OPEN: [&str; 4] = ["bank:", "bank-unverified:", "term:", "pattern:"];

/// What a label says of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Must be approved.
    Good,
    /// Must not be approved.
    Bad,
    /// Must not be approved, for this category.
    Category(Category),
    /// Must not be approved, with this reason.
    Reason(String),
    /// Must not be approved, and this finding is why.
    Finding(String),
}

impl Meaning {
    /// Whether its items must be approved.
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }

    /// In a word or two.
    pub fn words(&self) -> String {
        match self {
            Self::Good => "good".into(),
            Self::Bad => "not good".into(),
            Self::Category(_) => "category".into(),
            Self::Reason(_) => "reason".into(),
            Self::Finding(_) => "finding".into(),
        }
    }
}

/// The labels that can be understood.
pub struct Vocabulary {
    reasons: BTreeSet<String>,
    findings: BTreeSet<String>,
}

impl Vocabulary {
    /// What any of these profiles can say.
    ///
    /// # Errors
    /// Where the catalogue of models cannot be read, or lacks one of theirs.
    pub fn of<'p>(profiles: impl IntoIterator<Item = &'p Profile>) -> anyhow::Result<Self> {
        let mut reasons = BTreeSet::new();
        let mut findings: BTreeSet<String> = FIXED.map(str::to_owned).into();
        for profile in profiles {
            reasons.extend(profile.policy.reasons().into_iter().map(str::to_owned));
            let models = profile.detectors.values().filter_map(|detector| match detector {
                Detector::Classifier(classifier) => Some(classifier.model.as_str()),
                _ => None,
            });
            let models: Vec<_> = models.collect();
            if models.is_empty() {
                continue;
            }
            let catalogue = profile::catalogue(&paths::models_dir())?;
            for model in models {
                let labels = &catalogue.find(model)?.labels;
                findings.extend(labels.iter().map(|label| label.name.clone()));
            }
        }
        Ok(Self { reasons, findings })
    }

    /// What a label says; `None` where it says nothing.
    pub fn meaning(&self, label: &str) -> Option<Meaning> {
        if GOOD.contains(&label) {
            Some(Meaning::Good)
        } else if label == BAD {
            Some(Meaning::Bad)
        } else if let Ok(category) = label.parse() {
            Some(Meaning::Category(category))
        } else if self.reasons.contains(label) {
            Some(Meaning::Reason(label.to_owned()))
        } else if self.findings.contains(label) || OPEN.iter().any(|open| label.starts_with(open)) {
            Some(Meaning::Finding(label.to_owned()))
        } else {
            None
        }
    }

    /// What to write instead of labels that say nothing; `unknown` has how many items carry each.
    pub fn complaint(&self, unknown: &BTreeMap<String, usize>) -> String {
        let list: Vec<_> = unknown
            .iter()
            .map(|(label, items)| {
                let items = format!("{items} {}", if *items == 1 { "item" } else { "items" });
                format!("  {label:?} ({items})")
            })
            .collect();
        let join = |words: &BTreeSet<String>| {
            words.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        format!(
            "labels that say nothing here:\n{}\nname each folder, or label in labels.csv, with one of\n  \
             what must be approved: {}\n  \
             what must not: {BAD}\n  \
             a category: {}\n  \
             a reason of the policy: {}\n  \
             a finding: {}, or what begins with {}",
            list.join("\n"),
            GOOD.join(", "),
            Category::slugs().join(", "),
            join(&self.reasons),
            join(&self.findings),
            OPEN.join(" "),
        )
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_label_is_good_bad_a_category_a_reason_or_a_finding() {
        let starter = Profile::embedded("starter").unwrap();
        let words = Vocabulary::of([&starter]).unwrap();
        for good in GOOD {
            assert_eq!(words.meaning(good), Some(Meaning::Good));
        }
        assert_eq!(words.meaning("bad"), Some(Meaning::Bad));
        assert_eq!(words.meaning("spam"), Some(Meaning::Category(Category::Spam)));
        assert_eq!(words.meaning("sexual/minors"), Some(Meaning::Category(Category::SexualMinors)));
        assert_eq!(words.meaning("scam_link"), Some(Meaning::Reason("scam_link".into())));
        assert_eq!(
            words.meaning("term:hate:high"),
            Some(Meaning::Finding("term:hate:high".into()))
        );
        assert_eq!(words.meaning("porn"), None, "the starter has no classifier");
        let dating = Profile::embedded("photo-dating").unwrap();
        let words = Vocabulary::of([&starter, &dating]).unwrap();
        assert_eq!(words.meaning("porn"), Some(Meaning::Finding("porn".into())));
        assert_eq!(words.meaning("no_face"), Some(Meaning::Reason("no_face".into())));
        assert_eq!(words.meaning("cats"), None);
    }
}
