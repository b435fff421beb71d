//! What became of submissions.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use domain::journal::{Millis, SubmissionId, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Filter, State as Standing};

use super::body;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use super::view;
use crate::serve::App;

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    status: Option<Standing>,
    author: Option<String>,
    since: Option<i64>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// `GET /v1/submissions/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Json<Value>> {
    may_read(&caller)?;
    let id = body::submission_id(&id)?;
    view_of(&app, &caller.tenant, id).await.map(Json)
}

/// `GET /v1/submissions`, newest first.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<Listing>, axum::extract::rejection::QueryRejection>,
) -> Outcome<Json<Value>> {
    may_read(&caller)?;
    let Query(listing) = query.map_err(|e| Problem::bad("query", e.body_text()))?;
    let limit = body::page(listing.limit)?;
    let before = listing.cursor.map(|cursor| {
        cursor
            .parse::<SubmissionId>()
            .map_err(|_| Problem::bad("query", "`cursor` is the `next` of the page before"))
    });
    if listing.author.as_ref().is_some_and(String::is_empty) {
        return Err(Problem::bad("query", "`author` is empty; leave it out instead"));
    }
    let tenant = app.tenant(&caller.tenant)?;
    let key = listing.author.map(|author| tenant.author_key(&author));
    let (mut filter, of) = (Filter { state: listing.status, ..Filter::default() }, caller.tenant);
    filter.since = listing.since.map(Millis);
    filter.before = before.transpose()?;
    let found = app
        .read(move |store| {
            if let Some(key) = key {
                match store.author(&of, &key) {
                    Ok(author) => filter.author = Some(author),
                    Err(store::Error::NotFound(_)) => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            store.submissions(&of, &filter, limit)
        })
        .await?;
    let next = body::next(&found, limit, |submission| submission.id);
    let items: Vec<Value> = found.iter().map(|s| view::submission(s, &tenant)).collect();
    Ok(Json(json!({ "items": items, "next": next })))
}

/// `POST /v1/submissions/{id}/retry`: a dead letter once more.
pub async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<(StatusCode, Json<Value>)> {
    caller.may(Scope::Submit)?;
    let id = body::submission_id(&id)?;
    app.store.retry(caller.tenant.clone(), id, caller.actor.clone()).await?;
    app.work_ready.notify_one();
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "status": "pending" }))))
}

/// `GET /v1/dead-letters`, oldest first.
pub async fn dead_letters(State(app): State<Arc<App>>, caller: Caller) -> Outcome<Json<Value>> {
    may_read(&caller)?;
    let letters =
        app.read(move |store| store.dead_letters(&caller.tenant, None, body::LONGEST_PAGE)).await?;
    let items: Vec<Value> = letters
        .iter()
        .map(|letter| {
            json!({
                "id": letter.submission,
                "kind": letter.kind,
                "attempts": letter.attempts,
                "reason": letter.reason,
                "at": view::time(letter.at),
            })
        })
        .collect();
    Ok(Json(json!({ "items": items })))
}

/// Whoever hands in may read what became of it.
pub fn may_read(caller: &Caller) -> Outcome<()> {
    caller.may(Scope::Read).or_else(|problem| caller.may(Scope::Submit).map_err(|_| problem))
}

/// A submission as its tenant sees it.
///
/// # Errors
/// 404 where the tenant has none of that name.
pub async fn view_of(app: &Arc<App>, tenant: &TenantId, id: SubmissionId) -> Outcome<Value> {
    let of = tenant.clone();
    let read = app.read(move |store| Ok((store.submission(&of, id)?, store.evidence(&of, id)?)));
    let (found, evidence) = read.await?;
    let mut view = view::submission(&found, &*app.tenant(tenant)?);
    view["evidence"] = evidence.iter().map(|row| view::evidence(id, row)).collect();
    Ok(view)
}
