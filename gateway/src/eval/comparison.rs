//! The same items under two profiles or policies.

use domain::Status;
use serde::Serialize;

use super::evaluation::is_right;
use super::items::Items;
use super::look::Outcome;
use super::mcnemar::p_value;

/// From here on a difference may be chance.
const SIGNIFICANT: f64 = 0.05;

/// What the other one decides otherwise.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Whether both decided on the very same findings; else the items were looked at twice.
    pub same_findings: bool,
    /// Items that either could not judge, which are left out.
    pub left_out: usize,
    /// On items that must be approved.
    pub good: Pair,
    /// On items that must not be.
    pub not_good: Pair,
    /// On both.
    pub all: Pair,
    /// Items whose status differs.
    pub changes: Vec<Change>,
}

/// How often each of the two was right on the same items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pair {
    /// Items.
    pub of: usize,
    /// Right about by this one.
    pub this_right: usize,
    /// Right about by the other one.
    pub other_right: usize,
    /// Right about by this one alone.
    pub only_this: usize,
    /// Right about by the other one alone.
    pub only_other: usize,
    /// Of McNemar's exact test: the chance of a division as uneven, were they equally good.
    pub p: f64,
}

/// An item whose status differs.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Its name below the folder.
    pub file: String,
    /// Its label.
    pub label: String,
    /// `better`, `worse` or `same`: what the change is to the label.
    pub effect: &'static str,
    /// What this one decided.
    pub this: Side,
    /// What the other one decided.
    pub other: Side,
}

/// One of two decisions.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The status.
    pub status: Status,
    /// Its reasons.
    pub reasons: Vec<String>,
}

impl Comparison {
    /// Compares two decisions for each item.
    pub fn new<'o>(
        items: &Items,
        outcomes: impl Iterator<Item = (&'o Outcome, &'o Outcome)>,
        same_findings: bool,
    ) -> Self {
        let (mut good, mut not_good) = (Pair::default(), Pair::default());
        let (mut left_out, mut changes) = (0, Vec::new());
        for (item, (this, other)) in items.all.iter().zip(outcomes) {
            let Some(meaning) = items.labels.get(&item.label) else { continue };
            if this.unjudged || other.unjudged {
                left_out += 1;
                continue;
            }
            let rights = (is_right(meaning, this), is_right(meaning, other));
            if meaning.is_good() { &mut good } else { &mut not_good }.count(rights);
            if this.status != other.status {
                changes.push(Change {
                    file: item.file.clone(),
                    label: item.label.clone(),
                    effect: match rights {
                        (false, true) => "better",
                        (true, false) => "worse",
                        _ => "same",
                    },
                    this: side(this),
                    other: side(other),
                });
            }
        }
        let (good, not_good) = (good.tested(), not_good.tested());
        let all = good.and(not_good).tested();
        Self { same_findings, left_out, good, not_good, all, changes }
    }
}

fn side(outcome: &Outcome) -> Side {
    Side { status: outcome.status, reasons: outcome.reasons.clone() }
}

impl Pair {
    fn count(&mut self, (this, other): (bool, bool)) {
        self.of += 1;
        self.this_right += usize::from(this);
        self.other_right += usize::from(other);
        self.only_this += usize::from(this && !other);
        self.only_other += usize::from(other && !this);
    }

    fn and(self, more: Self) -> Self {
        Self {
            of: self.of + more.of,
            this_right: self.this_right + more.this_right,
            other_right: self.other_right + more.other_right,
            only_this: self.only_this + more.only_this,
            only_other: self.only_other + more.only_other,
            p: 1.0,
        }
    }

    fn tested(self) -> Self {
        Self { p: p_value(self.only_this, self.only_other), ..self }
    }

    /// What it comes to, in a sentence's end.
    pub fn says(&self) -> &'static str {
        if self.only_this == 0 && self.only_other == 0 {
            "no difference"
        } else if self.p >= SIGNIFICANT {
            "may be chance"
        } else if self.only_other > self.only_this {
            "the other is better"
        } else {
            "the other is worse"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::items::Item;
    use super::super::label::Meaning;
    use super::*;

    fn outcome(status: Status) -> Outcome {
        Outcome {
            status,
            unjudged: status == Status::Failed,
            reasons: Vec::new(),
            categories: BTreeSet::new(),
            findings: BTreeSet::new(),
        }
    }

    #[test]
    fn changes_are_weighed_by_the_label_and_what_either_did_not_judge_is_left_out() {
        use Status::{Approved, Failed, Held, Rejected};
        let table = [
            ("good", Rejected, Approved),
            ("good", Held, Approved),
            ("good", Rejected, Held),
            ("good", Approved, Approved),
            ("bad", Rejected, Approved),
            ("bad", Failed, Approved),
            ("bad", Rejected, Held),
        ];
        let item =
            |label: &str| Item { path: label.into(), file: label.into(), label: label.into() };
        let items = Items {
            all: table.iter().map(|(label, ..)| item(label)).collect(),
            labels: BTreeMap::from([("good".into(), Meaning::Good), ("bad".into(), Meaning::Bad)]),
        };
        let outcomes: Vec<_> = table.iter().map(|(_, a, b)| (outcome(*a), outcome(*b))).collect();
        let comparison = Comparison::new(&items, outcomes.iter().map(|(a, b)| (a, b)), true);
        assert_eq!(comparison.left_out, 1);
        let good =
            Pair { of: 4, this_right: 1, other_right: 3, only_this: 0, only_other: 2, p: 0.5 };
        let bad =
            Pair { of: 2, this_right: 2, other_right: 1, only_this: 1, only_other: 0, p: 1.0 };
        assert_eq!((comparison.good, comparison.not_good), (good, bad));
        assert_eq!((comparison.all.only_this, comparison.all.only_other), (1, 2));
        let effects: Vec<_> = comparison.changes.iter().map(|c| c.effect).collect();
        assert_eq!(effects, ["better", "better", "same", "worse", "same"]);
        assert_eq!(good.says(), "may be chance");
    }

    #[test]
    fn only_what_chance_hardly_does_is_called_better() {
        let pair = |only_this, only_other| Pair { only_this, only_other, ..Pair::default() };
        assert_eq!(pair(0, 5).tested().says(), "may be chance", "p = 0.0625");
        assert_eq!(pair(0, 6).tested().says(), "the other is better", "p = 0.03125");
        assert_eq!(pair(6, 0).tested().says(), "the other is worse");
        assert_eq!(pair(0, 0).tested().says(), "no difference");
    }
}
