//! A submission as its tenant sees it.

use domain::journal::{Code, Millis, SubmissionId};
use domain::{Category, Decision};
use serde_json::{Map, Value, json};
use store::{EvidenceRow, State, Submission};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::serve::Tenant;
use crate::serve::help::Line;

/// Keys of the stored detail that the tenant sees as they are (FEATURES P4, P6).
const DETAIL: [&str; 9] = [
    "scores",
    "media",
    "findings",
    "shadow",
    "coverage",
    "models",
    "engine",
    "timings_ms",
    "error",
];

/// A submission with its decision in force. Free text of the author is not repeated.
pub fn submission(submission: &Submission, tenant: &Tenant) -> Value {
    let shown = match submission.state {
        State::Held if tenant.held_as_pending => State::Pending,
        state => state,
    };
    let mut view = Map::new();
    let mut put = |key: &str, value: Value| drop(view.insert(key.to_owned(), value));
    put("id", json!(submission.id));
    put("status", json!(shown));
    put("surface", json!(submission.surface));
    put("client_tag", json!(submission.client_tag));
    put("priority", json!(submission.priority));
    put("submitted_at", time(submission.received_at));
    put("retry_count", json!(submission.retries));
    let Some(row) = &submission.decision else {
        put("moderated_at", Value::Null);
        put("reasons", json!([]));
        return Value::Object(view);
    };
    let decision = &row.decision;
    put("moderated_at", time(row.at));
    put("processing_time_ms", json!((row.at.0 - submission.received_at.0).max(0)));
    put("decision", json!(row.number));
    put("supersedes", json!(row.supersedes));
    put("automated", json!(row.actor == domain::journal::Actor::Machine));
    put("complete", json!(decision.complete));
    put("severity", json!(decision.severity));
    put("action", json!(decision.action));
    put("reasons", json!(decision.reasons));
    put("categories", json!(decision.categories));
    put("policy", json!(decision.policy));
    let language = submission.language.as_ref().map_or("", Code::as_str);
    put("help", json!(help(tenant, decision, language)));
    let detail = row.detail.as_deref().and_then(|d| serde_json::from_str::<Value>(d).ok());
    if let Some(Value::Object(mut detail)) = detail {
        for key in DETAIL {
            if let Some(value) = detail.remove(key) {
                put(key, value);
            }
        }
    }
    Value::Object(view)
}

/// The same for the hub's moderators, with the evidence of each part on which the policy decided.
pub fn whole(found: &Submission, tenant: &Tenant, evidence: &[EvidenceRow]) -> Value {
    let mut view = submission(found, tenant);
    view["status"] = json!(found.state);
    view["evidence"] = evidence.iter().map(|row| self::evidence(found.id, row)).collect();
    let detail = found.decision.as_ref().and_then(|row| row.detail.as_deref());
    let detail = detail.and_then(|detail| serde_json::from_str::<Value>(detail).ok());
    view["parts"] = detail.map_or(Value::Null, |mut detail| detail["parts"].take());
    view["tenant"] = json!(found.tenant);
    view
}

/// The evidence of a medium.
pub fn evidence(id: SubmissionId, row: &EvidenceRow) -> Value {
    let made = row.made.as_ref();
    json!({
        "media": row.media,
        "state": row.state,
        "until": time(row.until),
        "reason": row.reason,
        "width": made.map(|m| m.width),
        "height": made.map(|m| m.height),
        "frames": made.map(|m| m.frames),
        "link": made.map(|_| format!("/v1/submissions/{}/evidence/{}", id.0, row.media)),
    })
}

/// What to tell the author, where they may hurt themselves (FEATURES K2).
pub fn help<'a>(tenant: &'a Tenant, decision: &Decision, language: &str) -> Option<&'a Line> {
    let touched = decision.categories.contains_key(&Category::SelfHarm);
    touched.then(|| tenant.help.line(language)).flatten()
}

/// RFC 3339 in UTC.
pub fn time(at: Millis) -> Value {
    let nanos = i128::from(at.0) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|t| t.format(&Rfc3339).ok()).map_or(Value::Null, Value::String)
}
