//! `/healthz` and `/readyz`, for whoever keeps the service alive and sends it work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::serve::App;

/// Whether the process answers at all.
pub async fn live() -> Json<Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Whether new work is taken.
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let why = if app.is_draining() || app.desk.is_drained() {
        Some("draining")
    } else if app.store.is_tight() {
        Some("storage_full")
    } else if app.is_crowded() {
        Some("queue_full")
    } else {
        None
    };
    let code = if why.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body =
        json!({ "status": if why.is_some() { "not_ready" } else { "ready" }, "reason": why });
    (code, Json(body))
}
