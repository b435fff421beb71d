//! `GET /`, `GET /page/live` and `GET /v1/status`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::actions::{self, Door};
use super::status::{self, Status};
use super::{html, view};
use crate::serve::App;
use crate::serve::http::Problem;

pub(super) async fn take(app: &Arc<App>) -> Result<Status, Problem> {
    let app = Arc::clone(app);
    let taken = tokio::task::spawn_blocking(move || status::take(&app)).await;
    taken.map_err(|error| Problem::internal(&error))
}

/// `GET /v1/status`.
pub async fn json(State(app): State<Arc<App>>) -> Result<Json<Status>, Problem> {
    Ok(Json(take(&app).await?))
}

/// The part of the page that changes by itself.
pub async fn live(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let status = take(&app).await?;
    Ok(html::answer(StatusCode::OK, view::live(&status)))
}

/// `GET /`.
pub async fn root(
    State(app): State<Arc<App>>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Health is shown even where the database that holds the PIN does not answer.
    let door = actions::door(&app, &headers).await.unwrap_or(Door::Closed(None));
    page(&app, StatusCode::OK, actions::told_over(&query, door)).await
}

/// The whole page.
///
/// # Errors
/// Where its state cannot be taken.
pub async fn page(app: &Arc<App>, code: StatusCode, door: Door) -> Result<Response, Problem> {
    let status = take(app).await?;
    let body = format!(
        "<a class=\"skip\" href=\"#actions-title\">Skip to the actions</a>\n\
         <header><h1>Weir</h1><p>edge gateway</p><nav aria-label=\"On this page\"><a href=\"#actions\">Actions</a></nav></header>\n\
         <main>\n<p id=\"lost\" class=\"lost\" role=\"alert\" hidden></p>\n\
         <p id=\"announce\" class=\"unseen\" role=\"status\"></p>\n\
         <div id=\"live\">{}</div>\n{}\n\
         <noscript><p class=\"plain\">This page does not refresh itself without JavaScript: \
         <a href=\"/\">reload it</a>.</p></noscript>\n</main>",
        view::live(&status),
        actions::section(app, &door)
    );
    let title = format!("{} – Weir", view::headline(status.health.level));
    Ok(html::answer(code, html::page(&title, &body)))
}
