//! `GET /v1/submissions/{id}/events`: what happens to a submission, as it happens (server-sent events).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use domain::journal::SubmissionId;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};

use super::body;
use super::caller::Caller;
use super::problem::Outcome;
use super::submissions::{may_read, view_of};
use crate::serve::App;
use crate::serve::progress::{self, Listener, Missed};

/// Silence after which a comment keeps the line open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Events until the verdict. A name that is not known yet may be listened to: its upload may be under way.
pub async fn stream(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Outcome<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    may_read(&caller)?;
    let id = body::submission_id(&id)?;
    // Listens before it looks, so that nothing falls between the two.
    let listener = app.progress.listen(&caller.tenant, id)?;
    let start = Step::Look { app, caller, id, listener };
    let events = unfold(start, |step| async move {
        let (event, next) = step.next().await?;
        Some((Ok(event), next))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

enum Step {
    Look { app: Arc<App>, caller: Caller, id: SubmissionId, listener: Listener },
    Wait { app: Arc<App>, caller: Caller, id: SubmissionId, listener: Listener },
    Over,
}

impl Step {
    async fn next(self) -> Option<(Event, Self)> {
        match self {
            Self::Over => None,
            Self::Look { app, caller, id, listener } => {
                let view = view_of(&app, &caller.tenant, id).await;
                Some(match view {
                    Ok(view) if is_settled(&view) => (event("verdict", &view), Self::Over),
                    Ok(view) => (event("status", &view), Self::Wait { app, caller, id, listener }),
                    Err(_) => {
                        let unknown = json!({ "id": id, "status": "unknown" });
                        (event("status", &unknown), Self::Wait { app, caller, id, listener })
                    }
                })
            }
            Self::Wait { app, caller, id, mut listener } => match listener.receive().await {
                Ok(happened) if happened.is_last() => {
                    let view = view_of(&app, &caller.tenant, id).await.ok()?;
                    let (name, next) = if is_settled(&view) {
                        ("verdict", Self::Over)
                    } else {
                        ("status", Self::Wait { app, caller, id, listener })
                    };
                    Some((event(name, &view), next))
                }
                Ok(happened) => {
                    let data = progress_of(id, happened);
                    Some((event("progress", &data), Self::Wait { app, caller, id, listener }))
                }
                // What was missed does not matter: the state as it is now does.
                Err(Missed) => Box::pin(Self::Look { app, caller, id, listener }.next()).await,
            },
        }
    }
}

/// Keys that do not apply are left out.
fn progress_of(id: SubmissionId, happened: progress::Event) -> Value {
    let mut data =
        json!({ "id": id, "stage": happened.stage.name(), "detail": happened.stage.detail() });
    if let Some(media) = happened.media {
        data["media"] = json!(media);
    }
    if let Some(percent) = happened.percent {
        data["percent"] = json!(percent);
    }
    if let Some(bytes) = happened.bytes {
        data["bytes"] = json!(bytes);
    }
    data
}

fn is_settled(view: &Value) -> bool {
    !view["moderated_at"].is_null() || view["status"] == "failed"
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
