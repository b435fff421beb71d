//! One item: what is known of it, what was said about it, and what one can do.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::{Category, Severity};
use serde::Deserialize;
use tokio_postgres::Client;
use uuid::Uuid;

use super::acts::Sent;
use super::beside::{self, Rule};
use super::made::Made;
use super::near::{self, Near};
use crate::account::session::Who;
use crate::account::{self, Account, Right};
use crate::http::Api;
use crate::review::{Item, Tab, queue};
use crate::screens::extract::{Path, Query};
use crate::screens::page::{Frame, Refusal, html};
use crate::screens::words::{grave, is_over, moment, short};
use crate::tongue::Text;

/// A decision of a machine or a person, as the box's journal has it.
struct Verdict {
    number: i64,
    status: String,
    severity: String,
    action: String,
    complete: bool,
    policy: String,
    reasons: Vec<String>,
    received_at: f64,
}

/// What a person decided at the hub.
struct Decided {
    decision: Uuid,
    verb: String,
    policy: String,
    reason: String,
    actor: String,
    at: f64,
    /// `pending`, `applied`, or why it was refused.
    receipt: String,
    undone: bool,
    /// Whether whoever looks may take it back.
    undoable: bool,
}

struct Comment {
    actor: String,
    at: f64,
    text: String,
}

#[derive(Template)]
#[template(path = "item.html")]
struct One {
    frame: Frame,
    item: Item,
    surface: String,
    media: i64,
    has_text: bool,
    author: Option<String>,
    standing: Option<beside::Author>,
    rules: Vec<Rule>,
    verdicts: Vec<Verdict>,
    decided: Vec<Decided>,
    comments: Vec<Comment>,
    near: Vec<Near>,
    people: Vec<Account>,
    categories: [Category; 14],
    severities: [Severity; 5],
    mine: bool,
    may: bool,
    content: bool,
    senior: bool,
    tab: Tab,
    /// What was typed before, where it comes again; and why it does.
    sent: Sent,
    wrong: Option<String>,
    made: Option<Made>,
}

impl One {
    /// Whether this was chosen before, where the form comes again; if it never was, whether it is what the machine said.
    fn is_chosen(&self, sent: &str, one: &str, machine: bool) -> bool {
        if self.wrong.is_some() { sent == one } else { machine }
    }

    fn is_assigned(&self, to: &Account) -> bool {
        self.item.assignee == Some(to.account)
    }
}

/// What addresses carry.
#[derive(Default, Deserialize)]
pub(in crate::screens) struct Done {
    done: Option<String>,
    made: Option<String>,
}

/// `GET /ops/review/{box}/{subject}`.
pub(in crate::screens) async fn item(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, subject)): Path<(Uuid, Uuid)>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let page = page(&api, &who, of, subject, done.made.as_deref()).await?;
    html(&One { frame: page.frame.with_done(done.done.as_deref()), ..page })
}

/// The same page once more, with what was typed and why it was not done.
pub(super) async fn again(
    api: &Api,
    who: &Who,
    (of, subject): (Uuid, Uuid),
    sent: Sent,
    refusal: Refusal,
) -> Result<Response, Refusal> {
    if !matches!(refusal.status, StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) {
        return Err(refusal);
    }
    let page = page(api, who, of, subject, None).await?;
    let wrong = Some(refusal.told(who.tongue));
    Ok((refusal.status, html(&One { sent, wrong, ..page })?).into_response())
}

async fn page(
    api: &Api,
    who: &Who,
    of: Uuid,
    subject: Uuid,
    made: Option<&str>,
) -> Result<One, Refusal> {
    let client = api.pool().take().await?;
    let item = queue::find(&client, who, of, subject).await?;
    let (surface, has_text, author) = submission(&client, &item).await?;
    let number = author.as_deref().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let standing = match number {
        Some(number) => Some(beside::author(&client, of, number.cast_signed()).await?),
        None => None,
    };
    let verdicts = verdicts(&client, &item).await?;
    let rules = match verdicts.iter().find(|verdict| !verdict.reasons.is_empty()) {
        Some(verdict) => beside::rules(&client, &item, &verdict.policy, &verdict.reasons).await?,
        None => Vec::new(),
    };
    let me = who.account.account;
    let people = match who.may(Right::Senior) {
        true => account::list(&client).await?,
        false => Vec::new(),
    };
    let may_review = |one: &Account| one.role.may(Right::Review) && one.disabled_at.is_none();
    Ok(One {
        frame: Frame::new(who, "/ops/review", title(&item)),
        surface,
        media: count(&client, of, subject).await?,
        has_text,
        author,
        standing,
        rules,
        verdicts,
        decided: decided(&client, who, &item).await?,
        comments: comments(&client, of, subject).await?,
        near: near::look(&client, &item).await?,
        people: people.into_iter().filter(may_review).collect(),
        categories: Category::ALL,
        severities: Severity::ALL,
        mine: item.open && item.claimed_by == Some(me),
        may: who.may(Right::Senior) || !item.is_senior(),
        content: who.may(Right::Content),
        senior: who.may(Right::Senior),
        tab: item.tab,
        sent: Sent::default(),
        wrong: None,
        made: Made::read(&client, who, made).await?,
        item,
    })
}

fn title(item: &Item) -> Text {
    let title = match item.tab {
        Tab::Accounts => Text::from("Author {id}"),
        _ => Text::from("Item {id}"),
    };
    title.with("id", short(&item.subject))
}

async fn submission(
    client: &Client,
    item: &Item,
) -> Result<(String, bool, Option<String>), tokio_postgres::Error> {
    let query = "SELECT surface, has_text, author FROM submissions WHERE box = $1 AND submission = $2 LIMIT 1";
    let Some(row) = client.query_opt(query, &[&item.of, &item.subject]).await? else {
        return Ok((String::new(), false, None));
    };
    let author: Option<i64> = row.try_get(2)?;
    let author = author.map(|number| format!("{:016x}", number.cast_unsigned()));
    Ok((row.try_get(0)?, row.try_get(1)?, author))
}

async fn count(client: &Client, of: Uuid, subject: Uuid) -> Result<i64, tokio_postgres::Error> {
    let query = "SELECT count(*) FROM media WHERE box = $1 AND submission = $2";
    client.query_one(query, &[&of, &subject]).await?.try_get(0)
}

async fn verdicts(client: &Client, item: &Item) -> Result<Vec<Verdict>, tokio_postgres::Error> {
    let query = "SELECT number, status, severity, action, complete, policy, reasons, extract(epoch FROM received_at)::float8
        FROM verdicts WHERE submission = $2 AND box = $1 ORDER BY number DESC LIMIT 20";
    let verdict = |row: &tokio_postgres::Row| {
        let reasons: serde_json::Value = row.try_get(6)?;
        let reasons = reasons.as_array().into_iter().flatten().filter_map(|reason| reason.as_str());
        Ok(Verdict {
            number: row.try_get(0)?,
            status: row.try_get(1)?,
            severity: row.try_get(2)?,
            action: row.try_get(3)?,
            complete: row.try_get(4)?,
            policy: row.try_get(5)?,
            reasons: reasons.map(ToOwned::to_owned).collect(),
            received_at: row.try_get(7)?,
        })
    };
    client.query(query, &[&item.of, &item.subject]).await?.iter().map(verdict).collect()
}

async fn decided(
    client: &Client,
    who: &Who,
    item: &Item,
) -> Result<Vec<Decided>, tokio_postgres::Error> {
    let query = "SELECT d.decision, d.verb, d.policy, d.reason, d.actor, extract(epoch FROM d.at)::float8, d.account, d.undone_at IS NOT NULL,
            CASE WHEN d.seq IS NULL THEN 'none needed' WHEN r.box IS NULL THEN 'pending' ELSE coalesce('refused: ' || r.refused, 'applied') END
        FROM review_decisions d LEFT JOIN directive_receipts r ON r.box = d.box AND r.epoch = d.epoch AND r.lane = d.lane AND r.seq = d.seq
        WHERE d.box = $1 AND d.subject = $2 ORDER BY d.at DESC LIMIT 50";
    let rows = client.query(query, &[&item.of, &item.subject]).await?;
    let mut newest = true;
    let mut all = Vec::new();
    for row in &rows {
        let (verb, undone): (String, bool) = (row.try_get(1)?, row.try_get(7)?);
        let own = row.try_get::<_, Uuid>(6)? == who.account.account;
        let first = newest;
        newest = newest && undone;
        all.push(Decided {
            decision: row.try_get(0)?,
            undoable: first
                && !undone
                && !item.open
                && (own || who.may(Right::Senior))
                && matches!(verb.as_str(), "approve" | "reject"),
            verb,
            policy: row.try_get(2)?,
            reason: row.try_get(3)?,
            actor: row.try_get(4)?,
            at: row.try_get(5)?,
            receipt: row.try_get(8)?,
            undone,
        });
    }
    Ok(all)
}

async fn comments(
    client: &Client,
    of: Uuid,
    subject: Uuid,
) -> Result<Vec<Comment>, tokio_postgres::Error> {
    let query = "SELECT actor, extract(epoch FROM at)::float8, text FROM review_comments
        WHERE box = $1 AND subject = $2 ORDER BY at LIMIT 200";
    let comment = |row: &tokio_postgres::Row| {
        Ok(Comment { actor: row.try_get(0)?, at: row.try_get(1)?, text: row.try_get(2)? })
    };
    client.query(query, &[&of, &subject]).await?.iter().map(comment).collect()
}
