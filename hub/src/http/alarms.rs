//! `/v1/alarms`.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Api;
use super::problem::Problem;
use crate::alarm;
use crate::token::Holder;

/// Most alarms of one answer; the newest are told.
const MOST: i64 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    resolved: bool,
    #[serde(rename = "box")]
    of: Option<Uuid>,
}

/// `GET /v1/alarms`: those in force, or with `resolved=true` all of them.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let client = api.pool.take().await?;
    let alarms = alarm::list(&client, wanted.resolved, wanted.of, MOST).await?;
    Ok(Json(json!({ "alarms": alarms })))
}

/// `POST /v1/alarms/{box}/{alarm}/resolve`: somebody has seen to it.
pub(super) async fn resolve(
    State(api): State<Api>,
    Extension(holder): Extension<Holder>,
    at: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    if !holder.orders {
        return Err(Problem::forbidden(
            "this token reads only: `weir-hub token create NAME --orders` makes one that may resolve alarms",
        ));
    }
    let Path((of, alarm)) = at.map_err(|error| Problem::bad(error.body_text()))?;
    alarm::resolve(&*api.pool.take().await?, of, alarm, &holder.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
