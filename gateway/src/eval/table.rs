//! An evaluation for people: at most 100 columns, the answer first, then what it rests on.

use std::fmt::{Display, Write as _};

use super::comparison::{Change, Comparison, Pair};
use super::evaluation::{CurveView, Entry, Evaluation, Row};
use super::rate::Rate;
use super::report::Report;
use crate::check::table::{clean, clip, label as status};

/// Numbers that are shown for each label: that many, as long as they are nearly as good as the best. Of many numbers some
/// tell a few items apart by chance.
const BEST: usize = 3;
const NEARLY: f64 = 0.05;
/// Items that are listed of each kind.
const LISTED: usize = 20;
/// Columns of a label, of a file's name, of a condition, and of the folder.
const LABEL: usize = 18;
const FILE: usize = 44;
const CONDITION: usize = 40;
const FOLDER: usize = 80;

/// The report as text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let this = &report.this;
    line(&mut out, format_args!("{} of {}", items(report.items), clip(&report.folder, FOLDER)));
    evaluation(&mut out, this, report);
    curves(&mut out, this, report);
    if let (Some(other), Some(comparison)) = (&report.other, &report.comparison) {
        compared(&mut out, this, other, comparison);
        evaluation(&mut out, other, report);
        if !comparison.same_findings {
            curves(&mut out, other, report);
        }
        changes(&mut out, &comparison.changes);
    } else {
        list(&mut out, "DECIDED AGAINST THE LABEL", &this.wrong);
    }
    list(&mut out, "NOT JUDGED, AND COUNTED AS NEITHER RIGHT NOR WRONG", &this.unjudged);
    if let Some(other) = &report.other {
        list(&mut out, "NOT JUDGED BY THE OTHER", &other.unjudged);
    }
    out
}

fn evaluation(out: &mut String, evaluation: &Evaluation, report: &Report) {
    let Evaluation { profile, policy, .. } = evaluation;
    line(out, format_args!("\nProfile {profile}, policy {policy}\n"));
    line(
        out,
        format_args!(
            "{:<LABEL$} {:<8} {:>5} {:>8} {:>5} {:>8} {:>8}  {:<21} {:>5}",
            "LABEL",
            "SAYS",
            "ITEMS",
            "APPROVED",
            "HELD",
            "REJECTED",
            "UNJUDGED",
            "RIGHT (95 %)",
            "NAMED"
        ),
    );
    for row in &evaluation.labels {
        let Row { label, means, items, approved, held, rejected, unjudged, right, named } = row;
        let (label, right) = (clip(label, LABEL), interval(right));
        let named = named.map(|n| n.to_string()).unwrap_or_default();
        line(
            out,
            format_args!(
                "{label:<LABEL$} {means:<8} {items:>5} {approved:>8} {held:>5} {rejected:>8} {unjudged:>8}  \
                 {right:<21} {named:>5}"
            ),
        );
    }
    let good = &evaluation.good_not_approved;
    if good.of > 0 {
        line(
            out,
            format_args!(
                "\nGood items not approved: {} of {}, {}; rejected: {}.\n{}",
                good.hits,
                good.of,
                interval(good),
                evaluation.good_rejected.hits,
                against(good, report)
            ),
        );
    }
    let bad = &evaluation.bad_approved;
    if bad.of > 0 {
        line(out, format_args!("Others approved: {} of {}, {}.", bad.hits, bad.of, interval(bad)));
    }
}

/// What a rate says on the wanted one.
fn against(rate: &Rate, report: &Report) -> String {
    let (most, needed) = (percent(report.max_fpr), report.good_items_needed);
    if rate.shows_at_most(report.max_fpr) {
        format!("That is shown to be at most {most}.")
    } else if rate.low > report.max_fpr {
        format!("That is more than {most}.")
    } else {
        format!(
            "{} cannot show whether that is at most {most}: {needed} without a mistake would.",
            count(rate.of, "good item")
        )
    }
}

fn curves(out: &mut String, evaluation: &Evaluation, report: &Report) {
    if evaluation.curves.is_empty() {
        line(
            out,
            "\nNo curves: they need good items, items of another label, and a score of either.",
        );
        return;
    }
    let most = percent(report.max_fpr);
    let condition = format!("CONDITION, AT MOST {most} WRONG");
    line(
        out,
        format_args!(
            "\nWHICH NUMBERS TELL A LABEL FROM THE GOOD ITEMS (the best; --json has all)\n\
             {:<LABEL$} {condition:<CONDITION$} {:>5} {:>5} {:>12} {:>11}",
            "LABEL", "AV.PR", "AUC", "CAUGHT", "WRONG"
        ),
    );
    for best in evaluation.best_curves() {
        let own = evaluation.curves.iter().filter(|curve| curve.label == best.label);
        let least = best.summary.average_precision - NEARLY;
        let good = own.filter(|curve| curve.summary.average_precision >= least).take(BEST);
        good.for_each(|curve| curve_line(out, curve));
    }
    line(
        out,
        "AV.PR: average precision. AUC: the chance that an item of the label looks worse than a good one.",
    );
    if let Some(curve) = evaluation.curves.first() {
        let none = Rate::new(0, curve.negatives);
        line(
            out,
            format_args!(
                "{} can show no share below {}; with none wrong, it may truly be up to {}.\n\
                 A threshold that was chosen on these items is yet to be tried on others.",
                count(curve.negatives, "good item"),
                percent(1.0 / curve.negatives as f64),
                percent(none.high)
            ),
        );
    }
}

fn curve_line(out: &mut String, curve: &CurveView) {
    let label = clip(&curve.label, LABEL);
    let (condition, caught, wrong) = match &curve.at_max_fpr {
        Some(at) => (at.condition.clone(), of(&at.caught), of(&at.wrong)),
        None => {
            (format!("{}: none", curve.score), format!("0 of {}", curve.positives), String::new())
        }
    };
    let condition = clean(&condition);
    let summary = format!("{:>5.3} {:>5.3}", curve.summary.average_precision, curve.summary.auc);
    if condition.chars().count() > CONDITION {
        line(out, format_args!("{label:<LABEL$} {condition}"));
        line(
            out,
            format_args!("{:<LABEL$} {:<CONDITION$} {summary} {caught:>12} {wrong:>11}", "", ""),
        );
    } else {
        line(
            out,
            format_args!(
                "{label:<LABEL$} {condition:<CONDITION$} {summary} {caught:>12} {wrong:>11}"
            ),
        );
    }
}

fn compared(out: &mut String, this: &Evaluation, other: &Evaluation, comparison: &Comparison) {
    let how = if comparison.same_findings { "on the same findings" } else { "looked at anew" };
    line(out, format_args!("\nTHIS AGAINST THE OTHER, {how}"));
    line(out, format_args!("this:  profile {}, policy {}", this.profile, this.policy));
    line(out, format_args!("other: profile {}, policy {}", other.profile, other.policy));
    if comparison.left_out > 0 {
        let left_out = items(comparison.left_out);
        line(out, format_args!("Left out: {left_out} that one of the two could not judge."));
    }
    line(
        out,
        format_args!(
            "{:<9} {:>6} {:>11} {:>12} {:>10} {:>11} {:>8}",
            "LABEL", "ITEMS", "THIS RIGHT", "OTHER RIGHT", "ONLY THIS", "ONLY OTHER", "P"
        ),
    );
    for (name, pair) in
        [("good", comparison.good), ("not good", comparison.not_good), ("all", comparison.all)]
    {
        let Pair { of, this_right, other_right, only_this, only_other, p } = pair;
        let p = if p < 1e-4 { "<0.0001".to_owned() } else { format!("{p:.4}") };
        line(
            out,
            format_args!(
                "{name:<9} {of:>6} {this_right:>11} {other_right:>12} {only_this:>10} {only_other:>11} {p:>8}  {}",
                pair.says()
            ),
        );
    }
    line(
        out,
        "P: McNemar's exact test; the chance of so uneven a division were both equally good.",
    );
}

fn changes(out: &mut String, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    line(out, "\nDECIDED OTHERWISE");
    for change in changes.iter().take(LISTED) {
        let Change { file, effect, this, other, .. } = change;
        let reasons = clean(&other.reasons.join(", "));
        let file = clip(file, FILE);
        let (from, to) = (status(this.status), status(other.status));
        let text = format!("{file:<FILE$} {effect:<6} {from} → {to}  {reasons}");
        line(out, cut(&text));
    }
    more(out, changes.len());
}

fn list(out: &mut String, title: &str, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    line(out, format_args!("\n{title}"));
    for entry in entries.iter().take(LISTED) {
        let why = match &entry.error {
            Some(error) => clean(error),
            None => clean(&entry.reasons.join(", ")),
        };
        let file = clip(&entry.file, FILE);
        line(out, cut(&format!("{file:<FILE$} {:<9} {why}", status(entry.status))));
    }
    more(out, entries.len());
}

fn more(out: &mut String, all: usize) {
    if all > LISTED {
        line(out, format_args!("and {} more, all of them in --json", all - LISTED));
    }
}

/// No more than a line holds.
fn cut(text: &str) -> String {
    if text.chars().count() <= 100 {
        return text.trim_end().to_owned();
    }
    text.chars().take(99).chain(['…']).collect()
}

fn line(out: &mut String, text: impl Display) {
    let text = text.to_string();
    let _ = writeln!(out, "{}", text.trim_end());
}

fn items(number: usize) -> String {
    count(number, "item")
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn of(rate: &Rate) -> String {
    format!("{} of {}", rate.hits, rate.of)
}

/// A share as per cent, with as many decimals as it needs up to two.
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 100.0)
}

/// A rate with its interval: `95.0 % (83.5–98.6)`.
fn interval(rate: &Rate) -> String {
    match rate.rate {
        Some(share) => {
            format!("{:.1} % ({:.1}–{:.1})", share * 100.0, rate.low * 100.0, rate.high * 100.0)
        }
        None => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_per_cent() {
        for (share, text) in
            [(0.01, "1 %"), (0.0714, "7.14 %"), (0.00125, "0.13 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(share), text);
        }
        assert_eq!(interval(&Rate::new(0, 20)), "0.0 % (0.0–16.1)");
        assert_eq!(interval(&Rate::new(0, 0)), "–");
    }

    #[test]
    fn no_line_grows_beyond_its_columns() {
        let long = "é".repeat(150);
        assert_eq!(cut(&long).chars().count(), 100);
        assert_eq!(cut("short  "), "short");
    }
}
