//! Messages to the platform's endpoints: what became of them, and once more by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use domain::journal::EventId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use super::view;
use crate::serve::App;

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Only those that were given up.
    #[serde(default)]
    failed: bool,
    limit: Option<u32>,
}

/// `GET /v1/messages`, newest first, each with its failure log.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<Listing>, QueryRejection>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Admin)?;
    let Query(listing) = query.map_err(|e| Problem::bad("query", e.body_text()))?;
    let limit = body::page(listing.limit)?;
    let found = app
        .read(move |store| {
            let effects = store.effects(&caller.tenant, listing.failed, limit)?;
            effects
                .into_iter()
                .map(|effect| Ok((store.effect_failures(effect.id)?, effect)))
                .collect::<Result<Vec<_>, store::Error>>()
        })
        .await?;
    let items = found.iter().map(|(failures, effect)| {
        let failures = failures.iter().map(|failure| {
            json!({
                "attempt": failure.attempt,
                "at": view::time(failure.at),
                "reason": failure.reason,
                "detail": failure.detail,
            })
        });
        json!({
            "id": message_id(effect.id),
            "endpoint": effect.endpoint,
            "submission": effect.submission,
            "state": effect.state,
            "attempts": effect.attempts,
            "failures": failures.collect::<Vec<_>>(),
        })
    });
    Ok(Json(json!({ "items": items.collect::<Vec<_>>() })))
}

/// `POST /v1/messages/{id}/replay`: once more, under the same id.
pub async fn replay(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<(StatusCode, Json<Value>)> {
    caller.may(Scope::Admin)?;
    let event: EventId = id
        .strip_prefix("msg_")
        .and_then(|hex| hex.parse().ok())
        .ok_or_else(|| Problem::not_found("message"))?;
    app.store.replay_effect(caller.tenant, event, caller.actor).await?;
    app.messages_ready.notify_one();
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": message_id(event), "state": "queued" }))))
}

/// The `webhook-id` of a message.
fn message_id(id: EventId) -> String {
    format!("msg_{}", id.0.simple())
}
