//! `/metrics`, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::problem::{Outcome, Problem};
use crate::serve::App;

/// All metrics.
pub async fn show(State(app): State<Arc<App>>) -> Outcome<impl IntoResponse> {
    let (states, depth, now) =
        app.read(|store| Ok((store.count_by_state()?, store.queue_depth()?, store.now()))).await?;
    let mut text = app.metrics.render();
    let mut gauge = |name: &str, help: &str, value: f64| {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")
    };
    let age = depth.oldest.map_or(0, |oldest| (now.0 - oldest.0).max(0));
    gauge("weir_queue_jobs", "Jobs that wait.", depth.queued as f64)
        .and_then(|()| gauge("weir_queue_leased_jobs", "Jobs in hand.", depth.leased as f64))
        .and_then(|()| gauge("weir_queue_dead_jobs", "Dead letters.", depth.dead as f64))
        .and_then(|()| {
            gauge("weir_queue_age_seconds", "Age of the oldest waiting job.", age as f64 / 1000.0)
        })
        .and_then(|()| gauge("weir_spool_bytes", "Bytes in the spool.", app.spool.used() as f64))
        .and_then(|()| {
            gauge("weir_store_waiting_writes", "Writes that wait.", app.store.waiting() as f64)
        })
        .map_err(|error| Problem::internal(&error))?;
    text.push_str(
        "# HELP weir_submissions Submissions kept, by state.\n# TYPE weir_submissions gauge\n",
    );
    for (state, count) in states {
        let state = serde_json::to_value(state).unwrap_or_default();
        let state = state.as_str().unwrap_or_default();
        writeln!(text, "weir_submissions{{state=\"{state}\"}} {count}")
            .map_err(|error| Problem::internal(&error))?;
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
