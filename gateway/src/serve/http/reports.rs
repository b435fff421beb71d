//! What people report. Also anonymously: without `reporter`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, Request, State};
use axum::http::StatusCode;
use domain::journal::{Code, ItemId};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Hide, NewReport, ReportRow, Resolution};

use super::body;
use super::caller::{Caller, Scope};
use super::gatekeeper::CallerAddress;
use super::problem::{Outcome, Problem};
use super::view;
use crate::serve::{App, notify};

/// Characters of a report's or appeal's words.
pub const WORDS_CHARS: usize = 8 << 10;

/// Characters of what is reported, where it is no submission, and of who reports.
const NAME_CHARS: usize = 255;

/// Why something is reported (FEATURES K2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Harassment,
    Nudity,
    Spam,
    Hate,
    Scam,
    SelfHarm,
    ChildSafety,
    Violence,
    Other,
}

impl Reason {
    fn slug(self) -> &'static str {
        match self {
            Self::Harassment => "harassment",
            Self::Nudity => "nudity",
            Self::Spam => "spam",
            Self::Hate => "hate",
            Self::Scam => "scam",
            Self::SelfHarm => "self_harm",
            Self::ChildSafety => "child_safety",
            Self::Violence => "violence",
            Self::Other => "other",
        }
    }

    /// Whether somebody may come to harm while others are waited for: one report is enough.
    fn is_urgent(self) -> bool {
        matches!(self, Self::SelfHarm | Self::ChildSafety)
    }
}

/// A report as it is handed in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    reason: Reason,
    #[serde(default)]
    submission: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    reporter: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

/// A text of a call within its bounds.
///
/// # Errors
/// 422 that names the key.
pub fn bounded(name: &'static str, value: Option<&str>, most: usize) -> Outcome<()> {
    match value {
        Some("") => Err(Problem::invalid(name, format!("`{name}` is empty; leave it out instead"))),
        Some(text) if text.chars().count() > most => {
            Err(Problem::invalid(name, format!("`{name}` has more than {most} characters")))
        }
        _ => Ok(()),
    }
}

/// `POST /v1/reports`.
pub async fn post(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(from): Extension<CallerAddress>,
    request: Request,
) -> Outcome<(StatusCode, Json<Value>)> {
    caller.may(Scope::Submit)?;
    let asked: Asked = body::object(request).await?;
    bounded("target", asked.target.as_deref(), NAME_CHARS)?;
    bounded("reporter", asked.reporter.as_deref(), NAME_CHARS)?;
    bounded("text", asked.text.as_deref(), WORDS_CHARS)?;
    let submission = match (&asked.submission, &asked.target) {
        (Some(id), None) => Some(body::submission_id(id)?),
        (None, Some(_)) => None,
        _ => {
            let detail =
                "write either `submission`, or `target` (a user, a page) in the platform's words";
            return Err(Problem::invalid("target", detail));
        }
    };
    let tenant = app.tenant(&caller.tenant)?;
    let urgent = asked.reason.is_urgent();
    let is_anonymous = asked.reporter.is_none();
    let source = submission.map(|id| tenant.stranger(id, from.0));
    let reporters = if urgent { 1 } else { tenant.hide_reports };
    let outcome = app
        .store
        .report(NewReport {
            tenant: caller.tenant.clone(),
            submission,
            target: asked.target,
            reason: Code::lossy(asked.reason.slug()),
            text: asked.text,
            reporter: asked.reporter.as_deref().map(|name| tenant.author_key(name)),
            source: source.filter(|_| is_anonymous),
            critical: urgent,
            actor: caller.actor,
            hide: (reporters > 0).then(|| Hide {
                reporters,
                ladder: tenant.ladder(),
                tell: notify::tell(&tenant),
            }),
        })
        .await?;
    if outcome.hidden.is_some() {
        app.messages_ready.notify_one();
    }
    let language = asked.language.as_deref().unwrap_or_default();
    let help = (asked.reason == Reason::SelfHarm).then(|| tenant.help.line(language)).flatten();
    let view = json!({
        "id": outcome.id,
        "state": Resolution::Open,
        "reporters": outcome.reporters,
        "hidden": outcome.hidden.is_some(),
        "help": help,
    });
    Ok((StatusCode::CREATED, Json(view)))
}

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// `open` unless told otherwise.
    pub state: Option<Resolution>,
    /// How many.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

impl Listing {
    /// State, page and the item before it.
    ///
    /// # Errors
    /// 400 for what makes no sense.
    pub fn read(
        query: Result<Query<Self>, QueryRejection>,
    ) -> Outcome<(Resolution, u32, Option<ItemId>)> {
        let Query(listing) = query.map_err(|e| Problem::bad("query", e.body_text()))?;
        let before = listing.cursor.map(|cursor| {
            let detail = "`cursor` is the `next` of the page before";
            cursor.parse().map_err(|_| Problem::bad("query", detail))
        });
        let state = listing.state.unwrap_or(Resolution::Open);
        Ok((state, body::page(listing.limit)?, before.transpose()?))
    }
}

/// `GET /v1/reports`, newest first.
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<Listing>, QueryRejection>,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Review)?;
    let (state, limit, before) = Listing::read(query)?;
    let found = app.read(move |store| store.reports(&caller.tenant, state, before, limit)).await?;
    let next = body::next(&found, limit, |row| row.id);
    let items: Vec<Value> = found.iter().map(of_row).collect();
    Ok(Json(json!({ "items": items, "next": next })))
}

fn of_row(row: &ReportRow) -> Value {
    json!({
        "id": row.id,
        "submission": row.submission,
        "target": row.target,
        "reason": row.reason,
        "text": row.text,
        "anonymous": row.reporter.is_none(),
        "at": view::time(row.at),
        "state": row.state,
    })
}
