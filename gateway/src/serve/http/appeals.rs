//! What authors say against decisions.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use domain::{Category, Decision, Severity, Status};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{AppealRow, Resolution};

use super::body;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use super::reports::{Listing, WORDS_CHARS, bounded};
use super::view;
use crate::serve::App;

/// An appeal as it is handed in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    submission: String,
    text: String,
    /// Number of the decision; the one in force unless told.
    #[serde(default, deserialize_with = "body::whole")]
    decision: Option<u32>,
}

/// `POST /v1/appeals`.
pub async fn post(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Outcome<(StatusCode, Json<Value>)> {
    caller.may(Scope::Submit)?;
    let asked: Asked = body::object(request).await?;
    bounded("text", Some(&asked.text), WORDS_CHARS)?;
    let id = body::submission_id(&asked.submission)?;
    let of = caller.tenant.clone();
    let submission = app.read(move |store| store.submission(&of, id)).await?;
    let Some(row) = submission.decision else {
        let detail = "nothing is decided yet that an appeal could be against";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", detail));
    };
    check(&row.decision)?;
    let against = asked.decision.unwrap_or(row.number);
    let appeal = app.store.appeal(caller.tenant, id, against, asked.text, caller.actor).await?;
    let view =
        json!({ "id": appeal, "submission": id, "decision": against, "state": Resolution::Open });
    Ok((StatusCode::CREATED, Json(view)))
}

/// What may be appealed against (FEATURES V5).
fn check(decision: &Decision) -> Outcome<()> {
    if decision.status == Status::Approved {
        let detail = "this was approved: there is nothing to appeal against";
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", detail));
    }
    let critical = decision.categories.get(&Category::SexualMinors) == Some(&Severity::Critical);
    if critical && decision.status == Status::Rejected {
        let detail = "against a rejection for the safety of children there is no appeal";
        return Err(Problem::new(StatusCode::FORBIDDEN, "appeal_excluded", detail));
    }
    Ok(())
}

/// `GET /v1/appeals`, newest first.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<Listing>, QueryRejection>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Review)?;
    let (state, limit, before) = Listing::read(query)?;
    let found = app.read(move |store| store.appeals(&caller.tenant, state, before, limit)).await?;
    let next = body::next(&found, limit, |row| row.id);
    let items: Vec<Value> = found.iter().map(of_row).collect();
    Ok(Json(json!({ "items": items, "next": next })))
}

fn of_row(row: &AppealRow) -> Value {
    json!({
        "id": row.id,
        "submission": row.submission,
        "decision": row.decision,
        "text": row.text,
        "at": view::time(row.at),
        "state": row.state,
    })
}
