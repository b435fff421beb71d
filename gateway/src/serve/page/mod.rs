//! The status page `/` for a technician's phone, and `GET /v1/status` with the same in JSON.
//!
//! Plain HTML that reads without a script and without a network beyond the box; the script only refreshes it.

mod actions;
mod bundle;
mod chart;
mod health;
mod hour;
mod html;
pub mod self_test;
mod session;
mod show;
mod status;
mod verdicts;
mod view;
mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;

pub use bundle::make as support;
pub use hour::{Hour, STAGES, Stages, place};
pub use status::take as state_of;
pub use verdicts::{Seen, Verdicts};

use super::App;
use crate::config::{Config, Shown};
use self_test::Outcome;
use session::Sessions;

/// Bytes of a form.
const FORM_BYTES: usize = 4 << 10;

/// What the page needs to remember.
#[derive(Debug, Default)]
pub struct Desk {
    /// The last hour.
    pub hour: Hour,
    /// The last verdicts.
    pub verdicts: Verdicts,
    /// Who is in by PIN.
    pub sessions: Sessions,
    /// The settings as a support bundle shows them.
    settings: Vec<Value>,
    /// Whether a technician or the hub has stopped new work. Gone with the process: a restart takes new work.
    drained: AtomicBool,
    /// Whether the journal is being verified.
    verifying: AtomicBool,
    /// Held while a self-test runs.
    testing: tokio::sync::Mutex<()>,
    /// What the last self-test came to.
    tested: Mutex<Option<Outcome>>,
}

impl Desk {
    /// A desk that knows the settings.
    pub fn new(config: &Config, shown: &[Shown]) -> Self {
        Self { settings: bundle::settings(config, shown), ..Self::default() }
    }

    /// Whether a technician or the hub has stopped new work.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Stops new work, or takes it again.
    pub fn drain(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }

    fn tested(&self, outcome: Outcome) {
        *self.tested.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn last_test(&self) -> Option<Outcome> {
        self.tested.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The calls of the page.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(show::root))
        .route("/v1/status", get(show::json))
        .route("/page/live", get(show::live))
        .route("/page/pin", post(actions::enter))
        .route("/page/leave", post(actions::leave))
        .route("/page/drain", post(actions::drain))
        .route("/page/resume", post(actions::resume))
        .route("/page/self-test", post(actions::test))
        .route("/page/bundle", post(actions::save))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .route("/page/style.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/page/page.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/page/icon.svg", get(|| asset("image/svg+xml", ICON)))
}

const STYLE: &str = include_str!("../../../assets/style.css");
const SCRIPT: &str = include_str!("../../../assets/page.js");
const ICON: &str = include_str!("../../../assets/icon.svg");

async fn asset(kind: &'static str, text: &'static str) -> Response {
    (html::headers(kind), text).into_response()
}
