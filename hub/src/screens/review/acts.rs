//! What one does with an item: claim, decide, comment, escalate, hand over.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::standing::Level;
use domain::{Category, Severity};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::item;
use crate::account::session::Who;
use crate::account::{self, Right};
use crate::audit::{self, Deed};
use crate::http::Api;
use crate::review::decide::{self, Decision, Verb};
use crate::review::{Item, Tab, claim as claims, queue, undo as undoing};
use crate::screens::extract::{Form, Path};
use crate::screens::page::Refusal;
use crate::tongue::Text;

/// What the forms of an item send; each its own part of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::screens) struct Sent {
    pub tab: String,
    pub verb: String,
    pub category: String,
    pub severity: String,
    pub level: String,
    pub reason: String,
    pub remember: Option<String>,
    pub seen: String,
    pub text: String,
    pub to: String,
    /// Where to go on to: `next`, or back to the item.
    pub then: String,
}

impl Sent {
    /// What was decided.
    pub fn decision(&self) -> Result<Decision, Refusal> {
        let verb = match self.verb.as_str() {
            "approve" => Verb::Approve,
            "dismiss" => Verb::Dismiss,
            "standing" => Verb::Standing(level(&self.level)?),
            "reject" => Verb::Reject {
                category: self.category.parse::<Category>().map_err(|_| {
                    Refusal::bad("choose the policy that it breaks: a rejection names one")
                })?,
                severity: severity(&self.severity)?,
                remember: self.remember.is_some(),
            },
            _ => return Err(Refusal::bad("choose what to do: approve or reject")),
        };
        let seen = match self.seen.as_str() {
            "" => None,
            seen => Some(seen.parse().map_err(|_| Refusal::bad("seen: the decision's number"))?),
        };
        Ok(Decision { verb, reason: self.reason.clone(), seen })
    }
}

fn severity(word: &str) -> Result<Severity, Refusal> {
    serde_json::from_value(Value::from(word))
        .map_err(|_| Refusal::bad("choose how grave it is: low, medium, high or critical"))
}

fn level(word: &str) -> Result<Level, Refusal> {
    serde_json::from_value(Value::from(word)).map_err(|_| Refusal::bad("choose the penalty"))
}

fn back(of: Uuid, subject: Uuid, done: &str) -> Response {
    Redirect::to(&format!("/ops/review/{of}/{subject}?done={done}")).into_response()
}

/// `POST /ops/review/next`.
pub(in crate::screens) async fn next(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    let tab = Tab::read(&sent.tab).unwrap_or(Tab::Flagged);
    go_on(&*api.pool().take().await?, &who, tab, None).await
}

/// To the next item; with the decision that was just made (its box and its name), the next page tells of it.
async fn go_on(
    client: &Client,
    who: &Who,
    tab: Tab,
    made: Option<(Uuid, Uuid)>,
) -> Result<Response, Refusal> {
    let made = made.map(|(of, decision)| format!("made={of}/{decision}")).unwrap_or_default();
    let address = match claims::next(client, who, tab).await? {
        Some((of, subject)) => format!("/ops/review/{of}/{subject}?{made}"),
        None => format!("/ops/review?tab={}&done=empty&{made}", tab.as_str()),
    };
    // Without one, nothing is behind the question mark.
    Ok(Redirect::to(address.trim_end_matches(['?', '&'])).into_response())
}

/// `POST …/claim`.
pub(in crate::screens) async fn claim(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
) -> Result<Response, Refusal> {
    let claimed = claims::claim(&*api.pool().take().await?, &who, of, subject).await;
    claimed.map_err(conflict)?;
    Ok(Redirect::to(&format!("/ops/review/{of}/{subject}")).into_response())
}

/// What somebody else was faster with is no lack of rights.
fn conflict(error: crate::Error) -> Refusal {
    match error {
        crate::Error::Refused(what) => Refusal::conflict(what),
        other => other.into(),
    }
}

/// `POST …/release`.
pub(in crate::screens) async fn release(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    claims::release(&client, &who, of, subject).await?;
    let tab = Tab::read(&sent.tab).unwrap_or(Tab::Flagged);
    Ok(Redirect::to(&format!("/ops/review?tab={}&done=released", tab.as_str())).into_response())
}

/// `POST …/decide`.
pub(in crate::screens) async fn decide(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    let mut client = api.pool().take().await?;
    let made = async {
        let (decision, key) = (sent.decision()?, api.hub_key()?);
        decide::decide(&mut client, key, &who, (of, subject), &decision).await.map_err(conflict)
    };
    let decision = match made.await {
        Ok(decision) => decision,
        Err(refusal) => {
            drop(client);
            return item::again(&api, &who, (of, subject), sent, refusal).await;
        }
    };
    match sent.then.as_str() {
        "next" => {
            let tab = queue::find(&client, &who, of, subject).await?.tab;
            go_on(&client, &who, tab, Some((of, decision))).await
        }
        _ => Ok(back(of, subject, "decided")),
    }
}

/// `POST /ops/review/{box}/decisions/{decision}/undo`.
pub(in crate::screens) async fn undo(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, decision)): Path<(Uuid, Uuid)>,
) -> Result<Response, Refusal> {
    let mut client = api.pool().take().await?;
    let undone = undoing::undo(&mut client, api.hub_key()?, &who, of, decision).await;
    Ok(back(of, undone.map_err(conflict)?, "undone"))
}

/// Characters of a comment.
const COMMENT: usize = 2000;

/// `POST …/comment`: for colleagues, never for the author.
pub(in crate::screens) async fn comment(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    match commented(&api, &who, of, subject, sent.text.trim()).await {
        Ok(()) => Ok(back(of, subject, "commented")),
        Err(refusal) => item::again(&api, &who, (of, subject), sent, refusal).await,
    }
}

async fn commented(
    api: &Api,
    who: &Who,
    of: Uuid,
    subject: Uuid,
    text: &str,
) -> Result<(), Refusal> {
    if text.is_empty() || text.chars().count() > COMMENT || text.contains('\0') {
        return Err(Refusal::bad(
            Text::from("a comment has 1 to {most} characters").with("most", COMMENT),
        ));
    }
    let query = "INSERT INTO review_comments (box, subject, comment, account, actor, text) VALUES ($1, $2, $3, $4, $5, $6)";
    let (id, me) = (Uuid::now_v7(), who.account.account);
    let act = async |client: &Client, _: &Item| {
        client.execute(query, &[&of, &subject, &id, &me, &who.account.shown, &text]).await?;
        claims::hold_on(client, who, of, subject).await?;
        Ok(json!({ "comment": id }))
    };
    acted(api, who, (of, subject), "review.comment", "", act).await
}

/// `POST …/escalate`: for a senior moderator.
pub(in crate::screens) async fn escalate(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    let act = async |client: &Client, item: &Item| {
        if !item.open || item.is_others(who.account.account) {
            return Err(Refusal::conflict("it was decided, or somebody else has it in hand"));
        }
        let query = "UPDATE reviews SET escalated = true, assignee = NULL, claimed_by = NULL, claimed_until = NULL WHERE box = $1 AND subject = $2";
        client.execute(query, &[&of, &subject]).await?;
        Ok(json!({}))
    };
    let why = sent.reason.trim();
    if let Err(refusal) = acted(&api, &who, (of, subject), "review.escalate", why, act).await {
        return item::again(&api, &who, (of, subject), sent, refusal).await;
    }
    let tab = Tab::read(&sent.tab).unwrap_or(Tab::Flagged);
    Ok(Redirect::to(&format!("/ops/review?tab={}&done=escalated", tab.as_str())).into_response())
}

/// `POST …/assign`: to somebody who may review it, or to nobody.
pub(in crate::screens) async fn assign(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    let to: Option<Uuid> = match sent.to.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| Refusal::bad("choose a person"))?),
    };
    let act = async |client: &Client, item: &Item| {
        if let Some(to) = to {
            let person = account::find(client, to).await?;
            let may = person.role.may(Right::Senior) || !item.is_senior();
            let sees = person.tenants.as_ref().is_none_or(|own| own.contains(&item.tenant));
            if !person.role.may(Right::Review) || person.disabled_at.is_some() || !sees || !may {
                return Err(Refusal::bad(
                    Text::from("{who} may not review this").with("who", person.shown),
                ));
            }
        }
        if !item.open {
            return Err(Refusal::conflict("it was decided meanwhile"));
        }
        let query = "UPDATE reviews SET assignee = $3, in_turn = false WHERE box = $1 AND subject = $2 AND open";
        client.execute(query, &[&of, &subject, &to]).await?;
        Ok(json!({ "to": to }))
    };
    acted(&api, &who, (of, subject), "review.assign", "", act).await?;
    Ok(back(of, subject, "assigned"))
}

/// Does something to an item that one may see, and notes it, in one transaction.
async fn acted(
    api: &Api,
    who: &Who,
    (of, subject): (Uuid, Uuid),
    action: &str,
    why: &str,
    act: impl AsyncFnOnce(&Client, &Item) -> Result<Value, Refusal>,
) -> Result<(), Refusal> {
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let lock = "SELECT 1 FROM reviews WHERE box = $1 AND subject = $2 FOR UPDATE";
    within.query_opt(lock, &[&of, &subject]).await?;
    let item = queue::find(within, who, of, subject).await?;
    let detail = act(within, &item).await?;
    let subject = format!("{of}/{subject}");
    let deed = Deed { action, subject, tenant: Some(&item.tenant), why, detail };
    audit::note(within, api.hub_key()?, who.into(), &deed).await?;
    transaction.commit().await?;
    Ok(())
}
