//! `GET /v1/submissions/{id}/evidence/{n}`: what a reviewer may look at. Each look is in the journal before the picture
//! goes out.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::journal::SubmissionId;
use pipeline::inspect::sheet;
use pipeline::sandbox::Item;
use serde::Deserialize;
use store::{EvidenceRow, EvidenceState, MadeEvidence, State as Standing, Submission};

use super::body;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use crate::serve::App;
use crate::serve::vault::Owner;

/// How to look.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looking {
    /// As it is, rather than grey and blurred.
    #[serde(default)]
    clear: bool,
}

/// Answers the picture as a JPEG: grey and blurred, or clear when asked so.
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, n)): Path<(String, String)>,
    query: Result<Query<Looking>, QueryRejection>,
) -> Outcome<Response> {
    caller.may(Scope::Review)?;
    let id = body::submission_id(&id)?;
    let Query(Looking { clear }) = query.map_err(|e| Problem::bad("query", e.body_text()))?;
    let of = caller.tenant.clone();
    let read = app.read(move |store| Ok((store.submission(&of, id)?, store.evidence(&of, id)?)));
    let (submission, rows) = read.await?;
    let media = n.parse().ok().filter(|n: &usize| *n < submission.media.len());
    let media = media.ok_or_else(|| Problem::not_found("medium of this submission"))?;
    refuse_absent(&submission, rows.iter().find(|row| row.media == media))?;
    let made =
        app.store.look(caller.tenant.clone(), id, media, clear, caller.actor.clone()).await?;
    let picture = {
        let app = Arc::clone(&app);
        tokio::task::spawn_blocking(move || picture(&app, &caller, id, media, &made, clear)).await
    };
    let picture = picture.map_err(|error| Problem::internal(&error))??;
    let name = format!("inline; filename=\"evidence-{}-{media}.jpg\"", id.0);
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CONTENT_DISPOSITION, name.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, picture).into_response())
}

/// Says why there is nothing to look at.
fn refuse_absent(submission: &Submission, row: Option<&EvidenceRow>) -> Outcome<()> {
    let absent = |reason, detail: &str| Problem::new(StatusCode::NOT_FOUND, reason, detail);
    let Some(row) = row else {
        return Err(match submission.state {
            Standing::Approved => {
                absent("evidence_none", "of what is approved no evidence is kept")
            }
            _ if submission.decision.is_none() => {
                absent("evidence_none", "this submission is not decided yet")
            }
            _ => absent(
                "evidence_none",
                "no evidence is kept of this medium: by the policy, since nobody looked at it, or after an erasure",
            ),
        });
    };
    match row.state {
        EvidenceState::Here => Ok(()),
        EvidenceState::Due => {
            let detail = "the evidence is being made: ask again in a moment";
            Err(absent("evidence_due", detail).after(Duration::from_secs(1)))
        }
        EvidenceState::None => {
            let why = row.reason.as_ref().map_or("unknown", |reason| reason.as_str());
            Err(absent("evidence_none", &format!("no picture of this medium could be made: {why}")))
        }
        EvidenceState::Gone => {
            let detail = "the time of this evidence is over, and it was deleted";
            Err(Problem::new(StatusCode::GONE, "evidence_gone", detail))
        }
    }
}

/// Decrypts, and veils unless it is to be clear. Blocks.
fn picture(
    app: &App,
    caller: &Caller,
    id: SubmissionId,
    media: usize,
    made: &MadeEvidence,
    clear: bool,
) -> Outcome<Vec<u8>> {
    let unreadable = |error: &dyn Display| {
        tracing::error!(%error, submission = %id, "evidence cannot be shown");
        let detail = "the evidence is damaged, or the box has lost its key: nobody can look at it";
        Problem::new(StatusCode::GONE, "evidence_unreadable", detail)
    };
    let owner = Owner { tenant: &caller.tenant, submission: id, media };
    let picture = app.vault.get(owner, &made.file).map_err(|error| unreadable(&error))?;
    if clear {
        return Ok(picture);
    }
    let item = Item::from_reader(&*picture, picture.len() as u64);
    let item = item.map_err(|error| Problem::internal(&error))?;
    let tenant = app.tenant(&caller.tenant)?;
    let decoded = tenant.engine.inspector().picture(&item).map_err(|failure| {
        if failure.permanent {
            return unreadable(&failure.detail);
        }
        tracing::warn!(reason = %failure.reason, submission = %id, "evidence cannot be veiled now");
        let detail = "the decoder does not answer at the moment: ask again";
        Problem::unavailable("evidence_later", detail, Duration::from_secs(5))
    })?;
    let decoded = decoded.ok_or_else(|| unreadable(&"it is no picture"))?;
    sheet::jpeg(&sheet::veiled(&decoded)).map_err(|error| unreadable(&error))
}
