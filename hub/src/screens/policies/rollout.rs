//! One roll-out: its stages, what boxes said, how they decide since; and what one can do.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::directive::Address;
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use super::compare::{Line, compare};
use crate::account::Right;
use crate::account::session::Who;
use crate::approval::{self, Grave};
use crate::audit::{self, Deed};
use crate::directives::Receipt;
use crate::http::Api;
use crate::reason;
use crate::rollout::health::{self, Counts};
use crate::rollout::{self, Act, Given, Rollout, State as Far};
use crate::screens::accounts::unlimited;
use crate::screens::extract::{Form, Path, Query};
use crate::screens::own::Done;
use crate::screens::page::{Frame, Refusal, html};
use crate::screens::words::moment;
use crate::tongue::{Text, Tongue};

/// Stages whose decisions are counted: those that were given last.
const COUNTED: usize = 4;

/// Boxes of a stage that are named, those first that have not taken it up.
const NAMED: usize = 50;

/// A stage as people see it.
struct Stage {
    stage: rollout::Stage,
    /// To whom, with the name of a box.
    shown: String,
    receipts: Vec<Receipt>,
    applied: usize,
    refused: usize,
    /// The day before it was given, and since.
    around: Option<[Counts; 2]>,
    /// Whether it is the next to be given.
    next: bool,
    /// Whether somebody was asked to approve it.
    asked: bool,
}

impl Stage {
    fn pending(&self) -> usize {
        self.receipts.len() - self.applied - self.refused
    }

    /// Where it stands, in a word.
    fn state(&self) -> &'static str {
        match (&self.stage.go, &self.stage.back) {
            (None, _) => "waits",
            (Some(_), None) => "given",
            (Some(_), Some(_)) if self.stage.withdraws => "withdrawn",
            (Some(_), Some(_)) => "taken back",
        }
    }

    /// Who gave it, and who gave the way back.
    fn given(&self, go: &Given, frame: &Frame) -> Text {
        let text = frame.t(match (&self.stage.back, self.stage.withdraws) {
            (None, _) => "Given by {who}, {when}",
            (Some(_), true) => "Given by {who}, {when}; withdrawn by {other}, {then}",
            (Some(_), false) => "Given by {who}, {when}; taken back by {other}, {then}",
        });
        let text = text.with("who", &go.by).with("when", moment(&go.at));
        match &self.stage.back {
            Some(back) => text.with("other", &back.by).with("then", moment(&back.at)),
            None => text,
        }
    }

    fn is_fleet(&self) -> bool {
        self.stage.to == Address::Fleet
    }
}

#[derive(Template)]
#[template(path = "rollout.html")]
struct One {
    frame: Frame,
    rollout: Rollout,
    stages: Vec<Stage>,
    changes: Vec<Line>,
    /// What stands at the widest stage's address before it.
    before: Text,
    change: bool,
    /// Whether all stages were given and narrow ones may follow.
    finish: bool,
    /// Whether the way back leaves what stands behind it in force.
    withdraws: bool,
    over: bool,
    paused: bool,
}

/// `GET /ops/rollouts/{rollout}`.
pub(in crate::screens) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<Uuid>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let client = api.pool().take().await?;
    let (rollout, stages) = rollout::find(&client, id).await?;
    let given = stages.iter().filter(|stage| stage.go.is_some()).count();
    let all = stages.len();
    let mut shown = Vec::new();
    for (n, stage) in stages.into_iter().enumerate() {
        let counted = n < given && n + COUNTED >= given;
        shown.push(one(&client, &rollout, stage, (n == given, counted, who.tongue)).await?);
    }
    let (before, text) = before(&client, &rollout, shown.last()).await?;
    let title = Text::from("Roll-out of {name} {version}");
    let title = title.with("name", &rollout.name).with("version", rollout.version);
    html(&One {
        frame: Frame::new(&who, "/ops/rollouts", title).with_done(done.done.as_deref()),
        changes: compare(&text, &rollout.text),
        before: before.within(who.tongue),
        change: who.may(Right::PoliciesChange),
        finish: rollout.state == Far::Open && given == all,
        withdraws: shown.last().is_some_and(|last| last.stage.withdraws),
        over: matches!(rollout.state, Far::Done | Far::Back),
        paused: rollout.state == Far::Paused,
        stages: shown,
        rollout,
    })
}

async fn one(
    client: &Client,
    rollout: &Rollout,
    stage: rollout::Stage,
    (next, counted, tongue): (bool, bool, Tongue),
) -> Result<Stage, Refusal> {
    let mut receipts = stage.receipts(client).await?;
    let count = |state: &str| receipts.iter().filter(|one| one.state == state).count();
    let (applied, refused) = (count("applied"), count("refused"));
    receipts.sort_by_key(|one| one.state == "applied");
    let around = match &stage.go {
        Some(go) if counted => Some(health::around(client, &stage.to, go.at).await?),
        _ => None,
    };
    let shown = match stage.of_box() {
        Some(of) => {
            let row = client.query_opt("SELECT name FROM boxes WHERE box = $1", &[&of.0]).await?;
            let name = row.map(|row| row.try_get::<_, String>(0)).transpose()?;
            tongue.t("box {name}").with("name", name.unwrap_or_else(|| of.to_string()))
        }
        None => match &stage.to {
            Address::Tenant(tenant) => tongue.t("tenant {name}").with("name", tenant),
            _ => tongue.t("fleet"),
        },
    };
    let query = "SELECT 1 FROM approvals WHERE settled_at IS NULL AND expires_at > now() AND wanted->>'rollout' = $1 AND (wanted->>'stage')::int = $2";
    let (id, number) = (rollout.rollout.to_string(), i32::from(stage.number));
    let asked = next && client.query_opt(query, &[&id, &number]).await?.is_some();
    let shown = shown.to_string();
    Ok(Stage { stage, shown, receipts, applied, refused, around, next, asked })
}

/// What was released to the widest stage's address before: in words, and its text.
async fn before(
    client: &Client,
    rollout: &Rollout,
    last: Option<&Stage>,
) -> Result<(Text, String), Refusal> {
    let nothing = Text::from("nothing that the hub knows of");
    let Some(last) = last else { return Ok((nothing, String::new())) };
    let query = "SELECT version, content FROM releases WHERE kind = $1 AND name = $2 AND lane = $3 AND version < $4 ORDER BY version DESC LIMIT 1";
    let lane = last.stage.to.to_string();
    let row =
        client.query_opt(query, &[&rollout.kind, &rollout.name, &lane, &rollout.version]).await?;
    if let Some(row) = row {
        let version: i64 = row.try_get(0)?;
        let shown = Text::from("version {version}, released to {lane}");
        return Ok((shown.with("version", version).with("lane", lane), row.try_get(1)?));
    }
    let shipped = match rollout.kind.as_str() {
        "policy" => domain::Profile::embedded_text(&rollout.name),
        _ => None,
    };
    Ok(match shipped {
        Some(text) => (super::shipped(&rollout.name), text.to_owned()),
        None => (nothing, String::new()),
    })
}

/// What the forms send.
#[derive(Deserialize)]
pub(in crate::screens) struct Wanted {
    /// `advance`, `pause`, `resume`, `back` or `finish`.
    what: String,
    #[serde(default)]
    stage: i16,
    #[serde(default)]
    anyway: Option<String>,
    #[serde(default)]
    why: String,
}

/// `POST /ops/rollouts/{rollout}`. What goes to the whole fleet takes two people; the way back one.
pub(in crate::screens) async fn act(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<Uuid>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let why = reason::given(&wanted.why)?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let act = Act { key: api.hub_key()?, who: &who, why };
    let anyway = wanted.anyway.is_some();
    let done = match wanted.what.as_str() {
        "advance" if to_fleet(within, id, wanted.stage).await? => {
            ask(within, &act, id, wanted.stage, anyway).await?;
            "asked"
        }
        "advance" => {
            act.advance(within, id, wanted.stage, anyway).await?;
            "ordered"
        }
        "pause" | "resume" => {
            act.pause(within, id, wanted.what == "pause").await?;
            "saved"
        }
        "back" => {
            act.back(within, id).await?;
            "ordered"
        }
        "finish" => {
            act.finish(within, id).await?;
            "ordered"
        }
        _ => return Err(Refusal::bad("that is nothing that can be done to a roll-out")),
    };
    transaction.commit().await?;
    Ok(Redirect::to(&format!("/ops/rollouts/{id}?done={done}")).into_response())
}

async fn to_fleet(client: &Client, id: Uuid, number: i16) -> Result<bool, Refusal> {
    let (_, stages) = rollout::find(client, id).await?;
    let stage = stages.iter().find(|stage| stage.number == number);
    let stage = stage.ok_or_else(|| Refusal::missing("there is no such stage"))?;
    Ok(stage.to == Address::Fleet)
}

/// Asks for the second person, where it could go out now.
async fn ask(
    client: &Client,
    act: &Act<'_>,
    id: Uuid,
    number: i16,
    anyway: bool,
) -> Result<(), Refusal> {
    let (rollout, stages) = rollout::find(client, id).await?;
    let waiting = rollout::its_turn(client, &rollout, &stages, number, anyway).await?;
    let what = format!("{} {} {} to fleet", rollout.kind, rollout.name, rollout.version);
    let grave = Grave::Stage { rollout: id, stage: number, what: what.clone(), anyway };
    approval::ask(client, act.who, &grave, act.why).await?;
    let detail = json!({ "rollout": id, "stage": number, "without": waiting });
    let deed =
        Deed { action: "rollout.advance.ask", subject: what, tenant: None, why: act.why, detail };
    audit::note(client, act.key, act.who.into(), &deed).await?;
    Ok(())
}
