//! A moderator's word on a submission.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::directive::{Address, Rule, Told};
use domain::journal::{Actor, Code, Millis, SubmissionId, TenantId};
use domain::{Action, Category, Decision, Severity, Status};
use pipeline::hash::bank::LEAST_QUALITY;
use store::{DecisionRow, Error, Hash, Kept, NewBankEntry, Ruling, Submission, Verdict};

use super::{App, Outcome, Stop, refuse};
use crate::serve::tenant::Tenant;
use crate::serve::{lists, notify};

/// Why a submission was decided so.
const REASON: &str = "moderator";

/// Bits in which the PDQ of what is remembered may differ (Meta's recommendation).
const DISTANCE: u16 = 31;

/// Puts the moderator's decision in the place of the one that was seen.
pub fn decide(app: &App, told: &Told, rule: &Rule) -> Outcome {
    if !matches!(told.place.to, Address::Box(_)) {
        return refuse("wrong_address", "a submission is one box's: order it by box");
    }
    let Some(tenant) = app.tenants.get(&rule.tenant) else {
        return refuse("unknown_tenant", format!("the tenant {} is not served", rule.tenant));
    };
    if !rule.approve && rule.categories.is_empty() {
        return refuse("bad_content", "a rejection names what it is for");
    }
    // Where the machine was faster; each time it made progress.
    while !attempt(app, &tenant, told.at, rule)? {}
    app.effects_ready.notify_one();
    app.messages_ready.notify_one();
    app.directives.rematch_ready.notify_one();
    Ok(Kept::default())
}

/// Decides on what is in force; false where that changed meanwhile.
fn attempt(app: &App, tenant: &Tenant, told_at: Millis, rule: &Rule) -> Result<bool, Stop> {
    let submission = match app.store.submission(&rule.tenant, rule.submission) {
        Err(Error::NotFound(_)) => {
            return refuse("unknown_submission", "it is not here, or not any more");
        }
        found => found?,
    };
    let Some(row) = &submission.decision else {
        return refuse("superseded", "nothing is decided yet");
    };
    let decision = decision(rule, row);
    let done = is_done(rule, row, &decision);
    // A newer word of the machine's does not outdate a person's: the entries of the list that go along with this order may be matched first.
    let newer = row.number > rule.seen && row.actor == Actor::Machine;
    if row.number != rule.seen && !newer && !done {
        let detail = format!("decision {} is in force, not {}", row.number, rule.seen);
        return refuse("superseded", detail);
    }
    let ruling = Ruling {
        tenant: rule.tenant.clone(),
        submission: rule.submission,
        supersedes: (!done).then_some(row.number),
        verdict: verdict(row, decision, tenant),
        listed: remembered(app, rule, &submission)?,
        told_at,
    };
    match app.store.rule(ruling, notify::tell(tenant)).wait() {
        Err(Error::Conflict(_)) => Ok(false),
        Err(Error::NotFound(_)) => refuse("unknown_submission", "it went meanwhile"),
        other => Ok(other.map(|()| true)?),
    }
}

/// Whether it was done before, and the receipt was not kept.
fn is_done(rule: &Rule, row: &DecisionRow, decision: &Decision) -> bool {
    let about = row.supersedes.is_some_and(|number| number >= rule.seen);
    row.actor == Actor::Hub && about && row.decision == *decision
}

fn decision(rule: &Rule, row: &DecisionRow) -> Decision {
    let categories: BTreeMap<Category, Severity> = gravest_each(&rule.categories);
    let severity = categories.values().copied().max().unwrap_or_default();
    let (status, action) = match rule.approve {
        true => (Status::Approved, Action::Allow),
        // A rejection counts against the author, and in the gravest matters bars them, as one of the machine's does.
        false => (Status::Rejected, severity.default_action().max(Action::Reject)),
    };
    Decision {
        status,
        complete: true,
        severity,
        action,
        reasons: vec![REASON.to_owned()],
        categories,
        policy: row.decision.policy.clone(),
    }
}

fn gravest_each(told: &[(Category, Severity)]) -> BTreeMap<Category, Severity> {
    let mut all = BTreeMap::new();
    for (category, severity) in told {
        let known = all.entry(*category).or_insert(*severity);
        *known = (*known).max(*severity);
    }
    all
}

fn verdict(row: &DecisionRow, decision: Decision, tenant: &Tenant) -> Verdict {
    // Of what may not be kept, the evidence goes too.
    let keeps = tenant.profile.policy.may_keep_evidence(&decision);
    Verdict {
        keep_media: (!keeps).then_some(Duration::ZERO),
        verified: true,
        decision,
        ..Verdict::held(row, REASON, tenant.ladder())
    }
}

/// Entries for the submission's media, under the gravest that it was rejected for.
fn remembered(app: &App, rule: &Rule, submission: &Submission) -> Result<Vec<NewBankEntry>, Stop> {
    let gravest = rule.categories.iter().max_by_key(|(_, severity)| *severity);
    let (Some((category, _)), true) = (gravest, rule.remember && !rule.approve) else {
        return Ok(Vec::new());
    };
    let label = Code::lossy(&lists::label(*category, true));
    let hashes = hashes(app, &rule.tenant, submission.id, submission)?.into_iter();
    let entry =
        |hash| NewBankEntry { negative: false, hash, label: label.clone(), protected: false };
    Ok(hashes.map(entry).collect())
}

/// SHA-256 of each medium, and its own PDQ where it says enough: one of a blank picture matches every other blank picture.
fn hashes(
    app: &App,
    tenant: &TenantId,
    id: SubmissionId,
    submission: &Submission,
) -> Result<Vec<Hash>, Stop> {
    let mut hashes: Vec<Hash> =
        submission.media.iter().filter_map(|media| media.sha256.map(Hash::Sha256)).collect();
    let mut last = None;
    for seen in app.store.pdqs(tenant, id)? {
        let first = last.replace(seen.media) != Some(seen.media);
        if first && seen.quality.is_none_or(|quality| quality >= LEAST_QUALITY) {
            hashes.push(Hash::Pdq(seen.pdq, DISTANCE));
        }
    }
    Ok(hashes)
}
