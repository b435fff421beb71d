//! `decide`: from evidence to a decision, pure.

use std::collections::BTreeMap;

use super::{
    AudioOnly, BANK_DETECTOR, FailMode, MINORS_BANK, Policy, Rule, Undecodable, condition::Outcome,
    facts::Facts,
};
use crate::{Action, Category, Decision, Evidence, MediaKind, Severity, Status};

/// Judges a submission. Pure: the same policy and evidence give the same decision.
///
/// The gravest of all that applies wins: reject and ban over hold, hold over failed, failed over approved. Approved
/// with `complete: true` only when every required detector saw all that `max_gap_ms` demands and nothing failed.
pub fn decide(policy: &Policy, evidence: &Evidence) -> Decision {
    let mut hits = fired(policy, evidence, policy.rules.iter());
    let ended = evidence.coverage.ended_early && hits.iter().any(|hit| hit.settles);
    let faults = hits.iter().any(|hit| hit.fault);
    let gaps = if ended { Vec::new() } else { unseen(policy, evidence) };
    let (failed, mut unjudged) = unjudgeable(policy, evidence);
    if ended {
        // What a settled rejection left unseen needs no judgement.
        unjudged.clear();
    }
    let complete = gaps.is_empty()
        && !faults
        && (ended || evidence.failures.is_empty())
        && unjudged.is_empty();
    hits.extend(gaps);
    hits.extend(failed.iter().cloned());
    hits.extend(unjudged);
    if policy.audio_only == AudioOnly::Hold
        && evidence.media.iter().any(|m| m.kind == MediaKind::Audio)
    {
        hits.push(Hit::plain(Action::Hide, "audio_only"));
    }

    // Stable: what is equally grave keeps the order of the policy.
    hits.sort_by_key(|hit| std::cmp::Reverse((hit.action, hit.severity)));
    let action = hits.first().map_or(Action::Allow, |hit| hit.action);
    let no_person = hits.iter().filter(|hit| hit.action == Action::Hide).all(|hit| hit.terminal);
    let status = match action {
        Action::Reject | Action::Ban => Status::Rejected,
        Action::Hide if no_person => Status::Failed,
        Action::Hide => Status::Held,
        Action::Allow | Action::Flag => Status::Approved,
    };
    let mut reasons: Vec<String> = Vec::new();
    let mut categories = BTreeMap::new();
    for hit in &hits {
        if !reasons.contains(&hit.reason) {
            reasons.push(hit.reason.clone());
        }
        if let Some(category) = hit.category {
            let gravest = categories.entry(category).or_insert(hit.severity);
            *gravest = hit.severity.max(*gravest);
        }
    }
    let severity = hits.iter().map(|hit| hit.severity).max().unwrap_or_default();
    Decision { status, complete, severity, action, reasons, categories, policy: policy.id() }
}

/// Whether a rule that settles holds and, after the invariants, rejects.
pub(super) fn settled(policy: &Policy, evidence: &Evidence) -> bool {
    let settling = policy.rules.iter().filter(|rule| rule.settles);
    fired(policy, evidence, settling).iter().any(|hit| hit.settles)
}

/// One thing that weighs on the decision.
#[derive(Clone)]
struct Hit {
    action: Action,
    severity: Severity,
    category: Option<Category>,
    reason: String,
    /// A rejection that no further evidence can undo.
    settles: bool,
    /// A rule that could not be evaluated.
    fault: bool,
    /// Not shown, and no person is asked.
    terminal: bool,
}

impl Hit {
    fn plain(action: Action, reason: impl Into<String>) -> Self {
        let severity = Severity::Safe;
        let reason = reason.into();
        Self {
            action,
            severity,
            category: None,
            reason,
            settles: false,
            fault: false,
            terminal: false,
        }
    }
}

/// What the rules say.
fn fired<'r>(
    policy: &Policy,
    evidence: &Evidence,
    rules: impl Iterator<Item = &'r Rule>,
) -> Vec<Hit> {
    let context = Facts::of(evidence, policy.min_confidence).context();
    let verified = evidence.findings.iter().any(|f| {
        f.detector == BANK_DETECTOR
            && f.label.strip_prefix(MINORS_BANK).is_some_and(|l| l.starts_with(':'))
    });
    let surface = &evidence.context.surface;
    let here = |rule: &&Rule| rule.surfaces.is_empty() || rule.surfaces.contains(surface);
    rules
        .filter(here)
        .filter_map(|rule| match rule.condition.evaluate(&context) {
            Outcome::Holds => {
                let action = allowed_action(rule, verified);
                Some(Hit {
                    action,
                    severity: rule.severity,
                    category: Some(rule.category),
                    reason: rule.reason.clone(),
                    settles: rule.settles && action >= Action::Reject,
                    fault: false,
                    terminal: false,
                })
            }
            Outcome::Fails | Outcome::Unmeasured => None,
            Outcome::Fault(_) => {
                let reason = format!("rule_error:{}", rule.id);
                Some(Hit { fault: true, ..Hit::plain(Action::Hide, reason) })
            }
        })
        .collect()
}

/// The rule's action within the invariants on children and age.
fn allowed_action(rule: &Rule, verified: bool) -> Action {
    match rule.category {
        Category::SexualMinors if !verified => Action::Hide,
        Category::Underage => rule.action.min(Action::Reject),
        _ => rule.action,
    }
}

/// What was not looked at although the policy demands it.
fn unseen(policy: &Policy, evidence: &Evidence) -> Vec<Hit> {
    let coverage = &evidence.coverage;
    let missing = policy
        .required
        .iter()
        .filter(|d| !coverage.detectors_run.contains(d) || coverage.detectors_missing.contains(d));
    let mut hits: Vec<Hit> = missing
        .map(|name| {
            Hit::plain(action_of(policy.fail_mode(name)), format!("detector_missing:{name}"))
        })
        .collect();
    // The policy's own word for a hot machine: shown, and never as if all had been seen.
    let permitted = policy.max_gap_ms_hot.filter(|_| coverage.throttled);
    if coverage.max_gap_ms > permitted.unwrap_or(policy.max_gap_ms) {
        let modes = policy.required.iter().map(|name| policy.fail_mode(name));
        let mode = modes.max().unwrap_or(policy.fail_default);
        hits.push(Hit::plain(action_of(mode), "coverage_gap"));
    } else if coverage.max_gap_ms > policy.max_gap_ms {
        hits.push(Hit::plain(Action::Flag, "throttled"));
    }
    if coverage.ended_early {
        // Only a settled rejection may end a scan; here none holds, so the rest was left out without a ground.
        hits.push(Hit::plain(Action::Hide, "ended_early"));
    }
    hits
}

fn action_of(mode: FailMode) -> Action {
    match mode {
        FailMode::Open => Action::Flag,
        FailMode::Hold => Action::Hide,
        FailMode::Closed => Action::Reject,
    }
}

/// Failures, and media or submissions that nothing can be said about. No fail mode opens these.
fn unjudgeable(policy: &Policy, evidence: &Evidence) -> (Vec<Hit>, Vec<Hit>) {
    let failed = evidence.failures.iter().map(|failure| Hit {
        terminal: failure.permanent && policy.undecodable == Undecodable::Fail,
        ..Hit::plain(Action::Hide, &failure.reason)
    });
    let mut unjudged = Vec::new();
    let explained = |i: usize| evidence.failures.iter().any(|f| f.media.is_none_or(|m| m == i));
    let unknown = |(i, m): (usize, &crate::Media)| m.kind == MediaKind::Unknown && !explained(i);
    if evidence.media.iter().enumerate().any(unknown) {
        unjudged.push(Hit::plain(Action::Hide, "unknown_media"));
    }
    if evidence.media.is_empty() && !evidence.has_text && evidence.failures.is_empty() {
        unjudged.push(Hit::plain(Action::Hide, "nothing_to_judge"));
    }
    (failed.collect(), unjudged)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;
    use crate::Coverage;

    /// A clip of which so much in one piece was not seen.
    fn clip(max_gap_ms: u64, throttled: bool) -> Evidence {
        let coverage = Coverage { max_gap_ms, throttled, ..Coverage::default() };
        Evidence { has_text: true, coverage, ..Evidence::default() }
    }

    fn policy(lines: &str) -> Policy {
        Policy::parse(&format!(
            "name = \"t\"\nversion = 1\nmax_gap_ms = 1000\n{lines}\n[[rule]]\nid = \"r\"\nreason = \"why\"\n\
             severity = \"high\"\ncategory = \"spam\"\nwhen = 'coverage.gap_in_force_ms < 0 && coverage.throttled'\n"
        ))
        .unwrap()
    }

    #[test]
    fn a_hot_machine_is_excused_as_far_as_the_policy_permits_and_never_as_if_all_had_been_seen() {
        let permits = policy("max_gap_ms_hot = 4000");
        let strict = policy("");
        let fine = (Status::Approved, Action::Allow, true, "");
        let thin = (Status::Approved, Action::Flag, false, "throttled");
        let gap = (Status::Held, Action::Hide, false, "coverage_gap");
        for (policy, ms, throttled, told) in [
            (&permits, 1000, false, fine),
            (&permits, 1000, true, fine),
            (&permits, 1001, true, thin),
            (&permits, 4000, true, thin),
            (&permits, 4001, true, gap),
            // The permission is for the heat alone.
            (&permits, 1001, false, gap),
            (&strict, 1000, true, fine),
            (&strict, 1001, true, gap),
        ] {
            let decision = decide(policy, &clip(ms, throttled));
            let reason = decision.reasons.first().map_or("", String::as_str);
            let is = (decision.status, decision.action, decision.complete, reason);
            assert_eq!(is, told, "{ms} ms, throttled: {throttled}");
        }
    }

    #[test]
    fn less_than_is_promised_cannot_be_permitted_for_the_heat() {
        let text =
            "name = \"t\"\nversion = 1\nmax_gap_ms = 2000\nmax_gap_ms_hot = 1999\nrule = []\n";
        let told = Policy::parse(text).unwrap_err().to_string();
        assert!(told.contains("max_gap_ms_hot") && told.contains("2000 or above"), "{told}");
    }
}
