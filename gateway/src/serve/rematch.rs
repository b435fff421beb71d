//! What a change of a tenant's lists says of what was seen before.
//!
//! A new entry is matched with the hashes of everything seen; a hit makes a new decision of the machine: the graver of the
//! one in force and of what the policy says of the hit alone. Where an entry went, or one came that clears, whatever it
//! may have weighed on is judged again, as far as the bytes are still here; of what was rejected for an entry and left
//! evidence at most, nobody can say that it is clean, so that it waits for a person.

use std::sync::Arc;
use std::time::Duration;

use domain::journal::{Actor, Sha256, SubmissionId, TenantId};
use domain::{Finding, Status};
use serde_json::Value;
use store::{DecisionRow, Error, Hash, MediaVerdict, NewBankEntry, State, Submission, Verdict};

use super::engine::gravest;
use super::lists::{self, OWN};
use super::{App, notify};
use crate::check::verdict::FindingView;

/// Submissions that one change of a list is matched with, the newest first.
const MOST_SEEN: u32 = 10_000;

/// Somebody may decide at the same time; then the newer decision is looked at.
const TRIES: usize = 3;

/// What a change brought about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rematched {
    /// Submissions that the hash matches.
    pub matched: u32,
    /// Those with a new decision, or judged again.
    pub changed: u32,
}

/// Matches a new entry with what was seen. Blocks.
///
/// # Errors
/// Where the store cannot do it; asked again it goes on with what is left.
pub fn added(app: &Arc<App>, tenant: &TenantId, entry: &NewBankEntry) -> Result<Rematched, Error> {
    if entry.negative {
        return cleared(app, tenant, &entry.hash);
    }
    each(app, tenant, &entry.hash, |app, id| {
        let conflict = "a decision changed while this entry was matched with it: add it once more";
        (0..TRIES)
            .map(|_| decide_again(app, tenant, id, entry))
            .find(|done| !matches!(done, Err(Error::Conflict(_) | Error::Stale)))
            .unwrap_or(Err(Error::Conflict(conflict)))
    })
}

/// Judges again what a hash may have weighed on. Blocks.
///
/// # Errors
/// Where the store cannot do it.
pub fn cleared(app: &Arc<App>, tenant: &TenantId, hash: &Hash) -> Result<Rematched, Error> {
    let rematched = each(app, tenant, hash, |app, id| {
        (0..TRIES)
            .map(|_| judge_again(app, tenant, id))
            .find(|done| !matches!(done, Err(Error::Conflict(_))))
            .unwrap_or(Err(Error::Conflict("a decision changed meanwhile: call once more")))
    })?;
    app.work_ready.notify_one();
    Ok(rematched)
}

fn judge_again(app: &Arc<App>, tenant: &TenantId, id: SubmissionId) -> Result<bool, Error> {
    let submission = app.store.submission(tenant, id)?;
    let stopped = matches!(submission.state, State::Rejected | State::Held);
    // A person's decision is not the machine's to take back.
    let Some(row) = submission.decision.as_ref().filter(|row| row.actor == Actor::Machine) else {
        return Ok(false);
    };
    if stopped && submission.media.iter().all(|media| media.blob.is_some()) {
        match app.store.rejudge(tenant.clone(), id).wait() {
            // They go at this moment.
            Err(Error::BlobGoing(_)) => {}
            other => return other.map(|()| true),
        }
    }
    let Some(served) = app.tenants.get(tenant) else { return Ok(false) };
    if submission.state != State::Rejected || !rests_on_lists(row) {
        return Ok(false);
    }
    let mut verdict = Verdict::held(row, "list_changed", served.ladder());
    verdict.decision.complete = false;
    let tell = notify::tell(&served);
    app.store
        .decide(tenant.clone(), id, row.number, verdict, Actor::Machine, tell)
        .wait()
        .map(|settled| app.metrics.redecided(&settled.decision))?;
    Ok(true)
}

/// Whether the tenant's own lists had a say in a decision; not to be told once it is erased.
fn rests_on_lists(row: &DecisionRow) -> bool {
    let detail: Option<Value> = row.detail.as_deref().and_then(|d| serde_json::from_str(d).ok());
    let findings = detail.as_ref().and_then(|d| d["findings"].as_array());
    findings.into_iter().flatten().any(|finding| {
        let own = finding["label"].as_str().and_then(|label| label.strip_suffix(OWN));
        finding["detector"] == "hash" && own.is_some_and(|label| label.ends_with(':'))
    })
}

fn each(
    app: &Arc<App>,
    tenant: &TenantId,
    hash: &Hash,
    change: impl Fn(&Arc<App>, SubmissionId) -> Result<bool, Error>,
) -> Result<Rematched, Error> {
    let mut sum = Rematched::default();
    for id in app.store.seen(tenant, hash, MOST_SEEN)? {
        match change(app, id) {
            Ok(changed) => {
                sum.matched += 1;
                sum.changed += u32::from(changed);
            }
            // Its time was over since it was found.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if sum.changed > 0 {
        app.effects_ready.notify_one();
        app.messages_ready.notify_one();
    }
    Ok(sum)
}

/// The graver of the decision in force and of what the policy says of the hit, where that changes anything.
fn decide_again(
    app: &Arc<App>,
    tenant_id: &TenantId,
    id: SubmissionId,
    entry: &NewBankEntry,
) -> Result<bool, Error> {
    if !app.store.is_listed(tenant_id, entry)? {
        // It went meanwhile.
        return Ok(false);
    }
    // Before the tenant: what is decided under rules that are replaced meanwhile is not for the gate.
    let basis = app.store.basis(tenant_id)?;
    let submission = app.store.submission(tenant_id, id)?;
    let (Some(row), Some(tenant)) = (&submission.decision, app.tenants.get(tenant_id)) else {
        // What is not decided yet is matched when it is.
        return Ok(false);
    };
    if row.actor != Actor::Machine && row.decision.status == Status::Rejected {
        // What a person has rejected keeps their grounds.
        return Ok(false);
    }
    let hit = finding(entry);
    let alone = tenant.engine.decide_on(hit.clone(), &submission);
    let status = alone.status;
    let decision = gravest(vec![row.decision.clone(), alone], tenant.profile.policy.id());
    // What changes nothing else may forbid to keep a picture of it.
    let keeps = |decision| tenant.profile.policy.may_keep_evidence(decision);
    if (decision.status, decision.action, decision.severity, keeps(&decision))
        == (row.decision.status, row.decision.action, row.decision.severity, keeps(&row.decision))
    {
        return Ok(false);
    }
    let verdict = Verdict {
        scores: Default::default(),
        models: row.models.clone(),
        detail: with_finding(row.detail.as_deref(), hit),
        words: None,
        media: media_verdict(&submission, &entry.hash, status).into_iter().collect(),
        pdqs: Vec::new(),
        verified: lists::is_verified(entry),
        ladder: tenant.ladder(),
        keep_media: (!keeps(&decision)).then_some(Duration::ZERO),
        exhibits: Vec::new(),
        basis: Some(basis),
        again: None,
        decision,
    };
    let tell = notify::tell(&tenant);
    app.store
        .decide(tenant_id.clone(), id, row.number, verdict, Actor::Machine, tell)
        .wait()
        .map(|settled| app.metrics.redecided(&settled.decision))?;
    Ok(true)
}

/// The hit as evidence. How near it was is not kept: it is within the entry's distance.
fn finding(entry: &NewBankEntry) -> Finding {
    Finding {
        detector: "hash".to_owned(),
        model: format!("bank-{OWN}"),
        label: entry.label.as_str().to_owned(),
        score: 1.0,
        span: None,
        bbox: None,
        media: None,
        text: None,
    }
}

/// The stored detail with one finding more; nothing where it was erased.
fn with_finding(detail: Option<&str>, hit: Finding) -> Option<String> {
    let mut detail: Value = serde_json::from_str(detail?).ok()?;
    let view = serde_json::to_value(FindingView::from(hit)).ok()?;
    detail.get_mut("findings").and_then(Value::as_array_mut)?.push(view);
    Some(detail.to_string())
}

/// What the gate may say from now on, where it is certain which medium was meant.
fn media_verdict(submission: &Submission, hash: &Hash, status: Status) -> Option<MediaVerdict> {
    let sha256: Sha256 = match hash {
        Hash::Sha256(sha256) => *sha256,
        Hash::Pdq(..) => match &submission.media[..] {
            [only] => only.sha256?,
            _ => return None,
        },
    };
    Some(MediaVerdict { sha256, status })
}
