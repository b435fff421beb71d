//! `/v1/alarms`.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Api;
use super::problem::Problem;

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
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let client = api.pool.take().await?;
    let query = "SELECT box, alarm, kind, code, count, extract(epoch FROM first_at)::float8,
        extract(epoch FROM last_at)::float8, extract(epoch FROM resolved_at)::float8 FROM alarms
        WHERE ($1 OR resolved_at IS NULL) AND ($2::uuid IS NULL OR box = $2) ORDER BY last_at DESC LIMIT $3";
    let rows = client.query(query, &[&wanted.resolved, &wanted.of, &MOST]).await?;
    let alarms = rows.iter().map(|row| {
        Ok(json!({
            "box": row.try_get::<_, Uuid>(0)?,
            "alarm": row.try_get::<_, Uuid>(1)?,
            "kind": row.try_get::<_, &str>(2)?,
            "code": row.try_get::<_, &str>(3)?,
            "count": row.try_get::<_, i64>(4)?,
            "first_at": row.try_get::<_, f64>(5)?,
            "last_at": row.try_get::<_, f64>(6)?,
            "resolved_at": row.try_get::<_, Option<f64>>(7)?,
        }))
    });
    let alarms = alarms.collect::<Result<Vec<Value>, tokio_postgres::Error>>()?;
    Ok(Json(json!({ "alarms": alarms })))
}
