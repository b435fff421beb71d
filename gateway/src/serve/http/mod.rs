//! The HTTP API. docs/api.md tells it call by call.

mod admit;
mod body;
mod caller;
mod events;
mod gate;
mod gatekeeper;
mod health;
mod instance;
mod metrics;
mod problem;
mod submissions;
mod text;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

pub use gatekeeper::Gatekeeper;
pub use problem::Problem;
pub use view::time;

use super::App;

/// Every call.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/submissions", post(admit::post).get(submissions::list))
        .route("/v1/submissions/{id}", get(submissions::show).put(admit::put))
        .route("/v1/submissions/{id}/events", get(events::stream))
        .route("/v1/submissions/{id}/retry", post(submissions::retry))
        .route("/v1/dead-letters", get(submissions::dead_letters))
        .route("/v1/verdicts/{sha256}", get(gate::verdict))
        .route("/v1/gate", get(gate::gate))
        .route("/v1/text", post(text::post))
        .merge(crate::serve::page::router())
        .layer(from_fn_with_state(Arc::clone(&app), gatekeeper::layer))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(instance::no_such_call)
        .method_not_allowed_fallback(instance::no_such_method)
        .layer(from_fn(instance::layer))
        .with_state(app)
}
