//! The HTTP API. docs/api.md tells it call by call.

mod admit;
mod appeals;
mod authors;
mod body;
mod caller;
mod docs;
mod events;
mod evidence;
mod flags;
mod gate;
mod gatekeeper;
mod hashes;
mod health;
mod instance;
mod messages;
mod meter;
mod metrics;
mod problem;
mod reports;
mod submissions;
mod text;
mod turns;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, delete, get, post};

pub use gatekeeper::{CallerAddress, Gatekeeper};
pub use metrics::text as metrics;
pub use problem::Problem;
pub use turns::Turns;
pub use view::{time, whole};

use super::App;

/// Every call.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/submissions", post(admit::post).get(submissions::list))
        .route("/v1/submissions/{id}", get(submissions::show).put(admit::put))
        .route("/v1/submissions/{id}/events", get(events::stream))
        .route("/v1/submissions/{id}/evidence/{n}", get(evidence::show))
        .route("/v1/submissions/{id}/retry", post(submissions::retry))
        .route("/v1/dead-letters", get(submissions::dead_letters))
        .route("/v1/verdicts/{sha256}", get(gate::verdict))
        .route("/v1/text", post(text::post))
        .route("/v1/hashes", post(hashes::add).get(hashes::list))
        .route("/v1/hashes/{id}", delete(hashes::remove))
        .route("/v1/flags", get(flags::list))
        .route("/v1/reports", post(reports::post).get(reports::list))
        .route("/v1/appeals", post(appeals::post).get(appeals::list))
        .route("/v1/authors/{id}", delete(authors::erase))
        .route("/v1/authors/{id}/strikes", post(authors::strike).get(authors::strikes))
        .route("/v1/authors/{id}/strikes/{strike}", delete(authors::lift))
        .route("/v1/messages", get(messages::list))
        .route("/v1/messages/{id}/replay", post(messages::replay))
        .merge(crate::serve::page::router())
        .layer(from_fn_with_state(Arc::clone(&app), gatekeeper::layer))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::docs))
        .route("/docs.css", get(docs::style))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(instance::no_such_call)
        .method_not_allowed_fallback(instance::no_such_method)
        // Each call has bounds of its own; a general one would be the smallest of them.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&app), metrics::layer))
        .layer(from_fn(instance::layer))
        // Behind the layers, which it does not go through.
        .route(gate::GATE, any(gate::gate))
        .with_state(app)
}
