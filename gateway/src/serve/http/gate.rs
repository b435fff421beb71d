//! What a CDN asks before it shows a file: by hash, answered from memory, and from the store where memory has nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts as _, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::Status;
use domain::journal::{Code, Sha256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use crate::serve::App;

/// Where it is asked.
pub const GATE: &str = "/v1/gate";

/// The header of the answer.
const STATUS: &str = "x-weir-status";

/// What is asked about.
#[derive(Debug, Deserialize)]
pub struct Question {
    surface: Option<String>,
    sha256: Option<String>,
}

/// `GET /v1/gate`, for `auth_request` of nginx: 204 or 403 and nothing else, so that no error of ours is an error page of
/// the CDN's. The hash comes in `X-Weir-Sha256` or as `?sha256=`, the surface in `X-Weir-Surface` or as `?surface=`.
pub async fn gate(
    State(app): State<Arc<App>>,
    query: Result<Query<Question>, QueryRejection>,
    mut parts: Parts,
) -> Outcome<Response> {
    let caller = Caller::from_request_parts(&mut parts, &app).await?;
    caller.may(Scope::Read)?;
    let open = app.tenant(&caller.tenant)?.gate_open;
    // A question that makes no sense, or that cannot be answered, is about something unknown.
    let status = match query {
        Ok(Query(question)) => {
            ask(&app, &caller, &question, &parts.headers).await.unwrap_or_default()
        }
        Err(_) => None,
    };
    Ok(match status {
        Some(Status::Approved) => reply(true, "approved"),
        Some(Status::Rejected) => reply(false, "rejected"),
        Some(Status::Held | Status::Failed) => reply(false, "pending"),
        None => reply(open, "unknown"),
    })
}

/// Around the gate and all that may refuse a call to it: whatever is refused is 403 here, and why stands in
/// `X-Weir-Reason`.
pub async fn only(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::FORBIDDEN)
        && response.headers().contains_key(STATUS)
    {
        return response;
    }
    let reason = response.extensions_mut().remove::<Problem>().map_or("refused", |p| p.reason());
    let mut refused = reply(false, "unknown");
    refused.headers_mut().insert("x-weir-reason", HeaderValue::from_static(reason));
    refused
}

async fn ask(
    app: &Arc<App>,
    caller: &Caller,
    question: &Question,
    headers: &HeaderMap,
) -> Outcome<Option<Status>> {
    let header = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let hash = header("x-weir-sha256").or(question.sha256.as_deref());
    let surface = header("x-weir-surface").or(question.surface.as_deref());
    let Some(sha256) = hash.and_then(|hash| hash.parse().ok()) else {
        return Ok(None);
    };
    status_of(app, caller, surface, sha256).await
}

async fn status_of(
    app: &Arc<App>,
    caller: &Caller,
    surface: Option<&str>,
    sha256: Sha256,
) -> Outcome<Option<Status>> {
    let tenant = app.tenant(&caller.tenant)?;
    let surface = surface.or(tenant.profile.surfaces.first().map(String::as_str)).unwrap_or("any");
    let surface: Code = surface
        .parse()
        .map_err(|error| Problem::invalid("surface", format!("`surface`: {error}")))?;
    if let Some(known) = app.store.remembered(&caller.tenant, &surface, &sha256) {
        return Ok(known);
    }
    let tenant = caller.tenant.clone();
    app.read(move |store| store.media_verdict(&tenant, &surface, sha256)).await
}

fn reply(allowed: bool, status: &'static str) -> Response {
    let code = if allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    let mut response = code.into_response();
    response.headers_mut().insert(STATUS, HeaderValue::from_static(status));
    response
}

/// `GET /v1/verdicts/{sha256}`: what a medium is worth by itself.
pub async fn verdict(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(sha256): Path<String>,
    Query(question): Query<Question>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Read)?;
    let hash: Sha256 = sha256
        .parse()
        .map_err(|_| Problem::invalid("sha256", "a SHA-256 has 64 hexadecimal digits"))?;
    match status_of(&app, &caller, question.surface.as_deref(), hash).await? {
        Some(status) => Ok(Json(json!({ "sha256": sha256.to_lowercase(), "status": status }))),
        None => Err(Problem::not_found("verdict in force for these bytes")),
    }
}
