//! What a CDN asks before it shows a file: by hash, answered from what is known.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts as _, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::Status;
use domain::journal::{Code, Sha256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use crate::serve::App;

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
    query: Query<Question>,
    mut parts: Parts,
) -> Response {
    let answer = match Caller::from_request_parts(&mut parts, &app).await {
        Ok(caller) => ask(&app, &caller, &query.0, &parts.headers).await,
        Err(problem) => Err(problem),
    };
    match answer {
        Ok((Some(Status::Approved), _)) => reply(true, "approved"),
        Ok((Some(Status::Rejected), _)) => reply(false, "rejected"),
        Ok((Some(Status::Held | Status::Failed), _)) => reply(false, "pending"),
        Ok((None, open)) => reply(open, "unknown"),
        Err(_) => reply(false, "unknown"),
    }
}

async fn ask(
    app: &Arc<App>,
    caller: &Caller,
    question: &Question,
    headers: &HeaderMap,
) -> Outcome<(Option<Status>, bool)> {
    caller.may(Scope::Read)?;
    let tenant = app.tenant(&caller.tenant)?;
    let header = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let hash = header("x-weir-sha256").or(question.sha256.as_deref());
    let surface = header("x-weir-surface").or(question.surface.as_deref());
    let Some(sha256) = hash.and_then(|hash| hash.parse().ok()) else {
        return Ok((None, tenant.gate_open));
    };
    let status = status_of(app, caller, surface, sha256).await?;
    Ok((status, tenant.gate_open))
}

async fn status_of(
    app: &Arc<App>,
    caller: &Caller,
    surface: Option<&str>,
    sha256: Sha256,
) -> Outcome<Option<Status>> {
    let known = &app.tenant(&caller.tenant)?.profile.surfaces;
    let surface = surface.or(known.first().map(String::as_str)).unwrap_or("any");
    let surface: Code = surface
        .parse()
        .map_err(|error| Problem::invalid("surface", format!("`surface`: {error}")))?;
    let tenant = caller.tenant.clone();
    app.read(move |store| store.media_verdict(&tenant, &surface, sha256)).await
}

fn reply(allowed: bool, status: &'static str) -> Response {
    let code = if allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    let mut response = code.into_response();
    response.headers_mut().insert("x-weir-status", HeaderValue::from_static(status));
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
