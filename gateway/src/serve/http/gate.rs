//! What a CDN asks before it shows a file: by hash, answered from memory, and from the store where memory has nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts as _, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::Status;
use domain::journal::{Code, Sha256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Caller, Scope};
use super::gatekeeper::CallerAddress;
use super::problem::{Outcome, Problem};
use super::{instance, metrics};
use crate::serve::App;
use crate::serve::server::Peer;

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
/// the CDN's; why a call itself is refused stands in `X-Weir-Reason`. The hash comes in `X-Weir-Sha256` or as `?sha256=`,
/// the surface in `X-Weir-Surface` or as `?surface=`.
///
/// It does by itself what layers do around other calls: a CDN asks for every picture of a page, and the layers together
/// cost more than the answer.
pub async fn gate(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let id = instance::id(&parts.headers);
    let mut response = answer(&app, peer, &mut parts).await.unwrap_or_else(|problem| {
        let mut refused = reply(false, "unknown");
        let reason = HeaderValue::from_static(problem.reason());
        refused.headers_mut().insert("x-weir-reason", reason);
        refused
    });
    metrics::count(&app, GATE, &parts.method, response.status());
    instance::name(&mut response, &id);
    response
}

async fn answer(app: &Arc<App>, peer: Peer, parts: &mut Parts) -> Outcome<Response> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(instance::no_such_method(parts.method.clone(), parts.uri.clone()).await);
    }
    let address = app.gatekeeper.check(peer.0.ip(), &parts.uri, &parts.headers)?;
    parts.extensions.insert(CallerAddress(address));
    let caller = Caller::from_request_parts(parts, app).await?;
    caller.may(Scope::Read)?;
    let open = app.tenant(&caller.tenant)?.gate_open;
    // A question that makes no sense, or that cannot be answered, is about something unknown.
    let status = match Query::<Question>::try_from_uri(&parts.uri) {
        Ok(Query(question)) => {
            ask(app, &caller, &question, &parts.headers).await.unwrap_or_default()
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
