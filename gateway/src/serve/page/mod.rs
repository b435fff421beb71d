//! The status page `/` for a technician's phone, and `GET /v1/status` with the same in JSON.
//!
//! Plain HTML that reads without a script and without a network beyond the box; the script only refreshes it.

mod chart;
mod health;
mod hour;
mod html;
mod sensors;
mod status;
mod verdicts;
mod view;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};

pub use hour::{Hour, Stages};
pub use verdicts::{Seen, Verdicts};

use super::App;
use super::http::Problem;
use status::Status;

/// What the page needs to remember.
#[derive(Debug, Default)]
pub struct Desk {
    /// The last hour.
    pub hour: Hour,
    /// The last verdicts.
    pub verdicts: Verdicts,
    /// Whether a technician has stopped new work.
    drained: AtomicBool,
}

impl Desk {
    /// Whether a technician has stopped new work.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Notes the heat; called now and then.
    pub fn feel(&self) {
        if let Some(hottest) = sensors::temperatures(Path::new("/")).first() {
            self.hour.celsius(hottest.celsius);
        }
    }
}

/// The calls of the page.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(show))
        .route("/v1/status", get(tell))
        .route("/page/live", get(live))
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

async fn take(app: &Arc<App>) -> Result<Status, Problem> {
    let app = Arc::clone(app);
    let taken = tokio::task::spawn_blocking(move || status::take(&app)).await;
    taken.map_err(|error| Problem::internal(&error))
}

/// `GET /v1/status`.
async fn tell(State(app): State<Arc<App>>) -> Result<Json<Status>, Problem> {
    Ok(Json(take(&app).await?))
}

/// The part of the page that changes by itself.
async fn live(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let status = take(&app).await?;
    Ok(html::answer(StatusCode::OK, view::live(&status)))
}

/// `GET /`.
async fn show(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let status = take(&app).await?;
    let body = format!(
        "<a class=\"skip\" href=\"#actions\">Skip to the actions</a>\n\
         <header><h1>Weir</h1><p>edge gateway</p></header>\n\
         <main>\n<p id=\"lost\" class=\"lost\" role=\"alert\" hidden></p>\n\
         <p id=\"announce\" class=\"unseen\" role=\"status\"></p>\n\
         <div id=\"live\">{}</div>\n</main>\n\
         <noscript><p class=\"plain\">This page does not refresh itself without JavaScript: <a href=\"/\">reload it</a>.</p></noscript>",
        view::live(&status)
    );
    Ok(html::answer(StatusCode::OK, html::page("Weir: status", &body)))
}
