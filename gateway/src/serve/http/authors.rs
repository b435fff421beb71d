//! Authors: their strikes, and their erasure. The platform's name of an author is hashed before anything is done with it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use domain::Severity;
use domain::journal::{AuthorNumber, StandingNote};
use domain::standing::Strike;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use super::view;
use crate::serve::{App, deletions};

/// How long an erasure waits until the files are gone, before it answers that they are not yet.
const DELETIONS: Duration = Duration::from_secs(10);

/// Longest time in days that a strike counts.
const LONGEST_DAYS: u32 = 3650;

/// A strike as it is given by a person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    severity: Severity,
    /// Days that it counts; as the tenant's rules say unless told.
    #[serde(default, deserialize_with = "body::whole")]
    days: Option<u32>,
}

/// `GET /v1/authors/{id}/strikes`.
pub async fn strikes(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Read).or_else(|_| caller.may(Scope::Review))?;
    let ladder = app.tenant(&caller.tenant)?.ladder();
    let author = number(&app, &caller, &name).await?;
    let (rows, standing) =
        app.read(move |store| Ok((store.strikes(author)?, store.standing(author)?))).await?;
    let now = app.store.now();
    let (level, until) = standing.level(&ladder, now);
    let items = rows.iter().map(|row| {
        json!({
            "id": row.id,
            "severity": row.strike.severity,
            "at": view::time(row.strike.at),
            "expires": view::time(row.strike.expires),
            "in_force": row.strike.expires > now,
            "submission": row.submission,
        })
    });
    Ok(Json(json!({
        "items": items.collect::<Vec<_>>(),
        "level": level,
        "until": until.map(view::time),
    })))
}

/// `POST /v1/authors/{id}/strikes`.
pub async fn strike(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    request: Request,
) -> Outcome<(StatusCode, Json<Value>)> {
    caller.may(Scope::Review)?;
    let asked: Asked = body::object(request).await?;
    let ladder = app.tenant(&caller.tenant)?.ladder();
    let expiry = match asked.days {
        None => ladder.expiry,
        Some(days @ 1..=LONGEST_DAYS) => Duration::from_secs(u64::from(days) * 24 * 3600),
        Some(_) => {
            return Err(Problem::invalid("days", format!("`days` is 1 to {LONGEST_DAYS}")));
        }
    };
    let author = number(&app, &caller, &name).await?;
    let now = app.store.now();
    let new = Strike { severity: asked.severity, at: now, expires: now.after(expiry) };
    let note = app.store.add_strike(caller.tenant, author, new, ladder, caller.actor).await?;
    Ok((StatusCode::CREATED, Json(of_note(&note))))
}

/// `DELETE /v1/authors/{id}/strikes/{strike}`: it never was.
pub async fn lift(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((name, strike)): Path<(String, String)>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Review)?;
    let strike = strike.parse().map_err(|_| Problem::not_found("strike"))?;
    let author = number(&app, &caller, &name).await?;
    let ladder = app.tenant(&caller.tenant)?.ladder();
    let note = app.store.lift_strike(caller.tenant, author, strike, ladder, caller.actor).await?;
    Ok(Json(of_note(&note)))
}

/// `DELETE /v1/authors/{id}`: erases the author. `weir erase verify` proves it afterwards.
pub async fn erase(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Admin)?;
    let author = number(&app, &caller, &name).await?;
    let erased = app.store.erase_author(caller.tenant, author, caller.actor).await?;
    // The answer says whether they are gone. A task of its own: what is begun is not broken off with the call.
    let deleting = tokio::spawn(async move { deletions::delete_files(&app).await });
    let files_gone = tokio::time::timeout(DELETIONS, deleting).await;
    let files_gone = matches!(files_gone, Ok(Ok(true)));
    Ok(Json(json!({
        "erased": true,
        // 64 bits: more than a number of JSON holds everywhere.
        "tombstone": erased.author.0.to_string(),
        "submissions": erased.submissions,
        "side_records": erased.sides,
        "files_gone": files_gone,
    })))
}

async fn number(app: &Arc<App>, caller: &Caller, name: &str) -> Outcome<AuthorNumber> {
    let key = app.tenant(&caller.tenant)?.author_key(name);
    let tenant = caller.tenant.clone();
    app.read(move |store| store.author(&tenant, &key)).await
}

fn of_note(note: &StandingNote) -> Value {
    json!({ "strikes": note.strikes, "level": note.level, "until": note.until.map(view::time) })
}
