//! `POST /v1/text`: words judged at once; nothing of them is kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use domain::{Context, Pace};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Meta};
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use super::view;
use crate::serve::App;
use crate::serve::engine::Manner;
use crate::serve::trial::Choice;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    text: String,
    #[serde(default)]
    surface: Option<String>,
    #[serde(default)]
    language: Option<String>,
}

/// Judges words.
pub async fn post(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Outcome<Json<Value>> {
    caller.may(Scope::Submit)?;
    let asked: Asked = body::object(request).await?;
    let meta = Meta {
        surface: asked.surface,
        language: asked.language,
        text: Some(asked.text),
        ..Meta::default()
    };
    meta.check()?;
    let tenant = app.tenant(&caller.tenant)?;
    let surface = meta.surface(&tenant.profile.surfaces)?.as_str().to_owned();
    let language = meta.language()?.map(|l| l.as_str().to_owned()).unwrap_or_default();
    let text = meta.text.unwrap_or_default();
    let tongue = language.clone();
    let engine = Arc::clone(&tenant.engine);
    let judging = tokio::task::spawn_blocking(move || {
        let context = Context { surface, language };
        let manner = Manner { lists: None, choice: &Choice::NONE, pace: Pace::Normal };
        engine.judge(Some(&text), &[], &context, &manner, &|_| {})
    });
    let judged = judging.await.map_err(|error| Problem::internal(&error))?;
    let decision = judged.decision;
    let status = match decision.status {
        domain::Status::Held if tenant.held_as_pending => json!("pending"),
        status => json!(status),
    };
    Ok(Json(json!({
        "status": status,
        "complete": decision.complete,
        "severity": decision.severity,
        "action": decision.action,
        "reasons": decision.reasons,
        "categories": decision.categories,
        "policy": decision.policy,
        "models": judged.detail.models,
        "findings": judged.detail.findings,
        "help": view::help(&tenant, &decision, &tongue),
    })))
}
