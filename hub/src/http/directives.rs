//! `/v1/directives`: what is ordered, and what came of it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use domain::directive::Address;
use domain::journal::Code;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use crate::directives::{self, Asked, Given};
use crate::token::Holder;

/// Most bytes of an order: a released hash list is the largest.
pub(super) const BODY_BYTES: usize = 1 << 20;

/// Most directives of one answer.
const MOST: i64 = 500;

/// What to order, at whose address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    to: String,
    order: Asked,
    /// The moderator in whose name the token's holder acts; else the token's name stands for who ordered it.
    by: Option<Code>,
}

/// `POST /v1/directives`: 201 once it has its place; boxes that are connected have it within moments, the others when they return.
pub(super) async fn give(
    State(api): State<Api>,
    Extension(holder): Extension<Holder>,
    ask: Result<Json<Ask>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if !holder.orders {
        return Err(Problem::forbidden(
            "this token reads only: `weir-hub token create NAME --orders` makes one that may order",
        ));
    }
    let Json(ask) = ask.map_err(|error| Problem::bad(error.body_text()))?;
    let key = api.key()?;
    let to: Address = ask.to.parse().map_err(|error| Problem::bad(format!("to: {error}")))?;
    let by = ask.by.unwrap_or_else(|| Code::lossy(&holder.name));
    let mut client = api.pool.take().await?;
    let order = ask.order.order(&client, &to).await?;
    let kind = order.word();
    let Given { place, listed } = directives::give(&mut client, key, to, by, order).await?;
    Ok((
        StatusCode::CREATED,
        Json(json!({
            "epoch": place.epoch.to_string(),
            "to": place.to.to_string(),
            "seq": place.seq,
            "kind": kind,
            "listed": listed.map(|listed| listed.len()),
        })),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    to: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/directives`: newest first, with how many boxes applied or refused each.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let most = wanted.limit.map_or(50, i64::from).clamp(1, MOST);
    let client = api.pool.take().await?;
    let list = directives::list(&client, wanted.to.as_deref(), most).await?;
    Ok(Json(json!({ "directives": list })))
}

/// `GET /v1/directives/lost`: what was ordered after the backup to which the hub was put back.
pub(super) async fn lost(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let list = directives::lost::list(&*api.pool.take().await?).await?;
    Ok(Json(json!({ "directives": list })))
}

/// A place, as it was told when it was ordered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    epoch: String,
    to: String,
    seq: u64,
}

/// `GET /v1/directives/receipts`: what each box said of one.
pub(super) async fn receipts(
    State(api): State<Api>,
    at: Result<Query<At>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(At { epoch, to, seq }) = at.map_err(|error| Problem::bad(error.body_text()))?;
    let place = directives::place(&epoch, &to, seq)?;
    let client = api.pool.take().await?;
    let receipts = directives::receipts(&client, &place).await?;
    Ok(Json(json!({ "epoch": epoch, "to": to, "seq": seq, "boxes": receipts })))
}
