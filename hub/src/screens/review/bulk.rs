//! Many items at once: each is claimed and decided by itself, and each is in the audit journal.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use uuid::Uuid;

use super::acts::Sent;
use crate::Error;
use crate::account::session::Who;
use crate::http::Api;
use crate::review::{Tab, claim, decide};
use crate::screens::page::Refusal;
use crate::tongue::Text;

/// Items of one form: a page.
const MOST: usize = crate::review::queue::PAGE;

/// `POST /ops/review/bulk`: `item` (`BOX/SUBJECT/SEEN`) again and again, and one decision for all.
pub(in crate::screens) async fn bulk(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let mut sent = Sent::default();
    let mut items = Vec::new();
    for (key, value) in form_urlencoded::parse(&body) {
        let value = value.into_owned();
        match key.as_ref() {
            "item" => items.push(place(&value).ok_or_else(|| Refusal::bad("item: no such place"))?),
            "verb" => sent.verb = value,
            "category" => sent.category = value,
            "severity" => sent.severity = value,
            "reason" => sent.reason = value,
            "tab" => sent.tab = value,
            _ => {}
        }
    }
    if items.is_empty() || items.len() > MOST {
        return Err(Refusal::bad(Text::from("choose 1 to {most} items").with("most", MOST)));
    }
    let mut decision = sent.decision()?;
    let mut client = api.pool().take().await?;
    let key = api.hub_key()?;
    for (of, subject, seen) in items {
        decision.seen = seen;
        let one = async {
            claim::claim(&client, &who, of, subject).await?;
            decide::decide(&mut client, key, &who, (of, subject), &decision).await
        };
        match one.await {
            // Somebody was faster, or it takes somebody else: it stays in the list.
            Ok(_) => {}
            Err(Error::Refused(_) | Error::NotFound(_) | Error::Invalid(_)) => {
                let _ = claim::release(&client, &who, of, subject).await;
            }
            Err(other) => return Err(other.into()),
        }
    }
    let tab = Tab::read(&sent.tab).unwrap_or(Tab::Flagged);
    Ok(Redirect::to(&format!("/ops/review?tab={}&done=bulk", tab.as_str())).into_response())
}

fn place(text: &str) -> Option<(Uuid, Uuid, Option<i64>)> {
    let mut parts = text.split('/');
    let (of, subject) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seen = match parts.next()? {
        "" => None,
        seen => Some(seen.parse().ok()?),
    };
    parts.next().is_none().then_some((of, subject, seen))
}
