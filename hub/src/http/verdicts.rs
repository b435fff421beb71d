//! `/v1/verdicts`: newest first, page by page.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use crate::verdicts::{self, Wanted};

/// `GET /v1/verdicts`.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let client = api.pool.take().await?;
    let (verdicts, next) = verdicts::page(&client, wanted, None).await?;
    Ok(Json(json!({ "verdicts": verdicts, "next": next })))
}
