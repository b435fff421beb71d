//! Boxes: who is there, how far behind, what they were told; and what one can do about one.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::directive::{Address, Drain};
use domain::journal::{BoxId, Code, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::accounts::unlimited;
use super::extract::{Form, Path, Query};
use super::own::Done;
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::Right;
use crate::account::session::Who;
use crate::alarm::{self, Alarm};
use crate::approval::{self, Grave};
use crate::audit::{self, Deed};
use crate::fleet::{self, Member};
use crate::http::Api;
use crate::tongue::Text;
use crate::{directives, enrolment, tenant};

/// Hours for which a line for enrolling holds.
const HOURS: u16 = 24;

/// A box of the list.
struct Row {
    member: Member,
    region: String,
    /// The last entry that was committed, seconds since 1970.
    heard_at: Option<f64>,
    /// Directives of the last week that it has not answered, up to a hundred.
    pending: i64,
    /// Of its last telemetry.
    queue: Option<u64>,
    celsius: Option<f64>,
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct Fleet {
    frame: Frame,
    rows: Vec<Row>,
    online: usize,
    behind: usize,
    alarms: i64,
    tenants: Vec<String>,
    operate: bool,
    token: Option<String>,
}

/// `GET /ops/fleet`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let page = page(&api, &who, None).await?;
    html(&Fleet { frame: page.frame.with_done(done.done.as_deref()), ..page })
}

async fn page(api: &Api, who: &Who, token: Option<String>) -> Result<Fleet, Refusal> {
    let client = api.pool().take().await?;
    let rows = rows(&client, who).await?;
    let tenants = tenant::list(&client).await?.into_iter().map(|one| one.tenant);
    Ok(Fleet {
        frame: Frame::new(who, "/ops/fleet", "Fleet"),
        online: rows.iter().filter(|row| row.member.connected != "offline").count(),
        behind: rows.iter().filter(|row| row.pending > 0).count(),
        alarms: rows.iter().map(|row| row.member.alarms).sum(),
        rows,
        tenants: tenants.filter(|tenant| who.sees(tenant)).collect(),
        operate: who.may(Right::Operate),
        token,
    })
}

async fn rows(client: &Client, who: &Who) -> Result<Vec<Row>, Refusal> {
    let members = fleet::list(client).await?;
    let query = "SELECT b.box, b.region, (SELECT extract(epoch FROM max(c.moved_at))::float8 FROM cursors c WHERE c.box = b.box),
        (SELECT count(*) FROM (SELECT 1 FROM directives d WHERE d.epoch = e.epoch AND d.ordered_at > greatest(b.enrolled_at, now() - interval '7 days')
            AND (d.lane = 'fleet' OR d.lane = 'box/' || b.box::text OR d.lane IN (SELECT 'tenant/' || t.tenant FROM box_tenants t WHERE t.box = b.box))
            AND NOT EXISTS (SELECT 1 FROM directive_receipts r WHERE r.box = b.box AND r.epoch = d.epoch AND r.lane = d.lane AND r.seq = d.seq)
            LIMIT 100) x),
        p.telemetry
        FROM boxes b LEFT JOIN presence p USING (box) LEFT JOIN (SELECT epoch FROM directive_epochs ORDER BY number DESC LIMIT 1) e ON true
        WHERE $1::text[] IS NULL OR EXISTS (SELECT 1 FROM box_tenants t WHERE t.box = b.box AND t.tenant = ANY($1))";
    let mut more = std::collections::HashMap::new();
    for row in client.query(query, &[&who.account.tenants]).await? {
        let of: Uuid = row.try_get(0)?;
        let told: Option<&str> = row.try_get(4)?;
        let told: Value = told.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let rest: (String, Option<f64>, i64, Value) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, told);
        more.insert(of.to_string(), rest);
    }
    let row = |member: Member| {
        let (region, heard_at, pending, told) = more.remove(&member.of)?;
        Some(Row {
            region,
            heard_at,
            pending,
            queue: told["queue"].as_u64().or(told["waiting"].as_u64()),
            celsius: told["celsius"].as_f64().or(told["temperature_celsius"].as_f64()),
            member,
        })
    };
    Ok(members.into_iter().filter_map(row).collect())
}

/// Whether a box serves a tenant of theirs; where not, it is not there for them.
async fn seen(client: &Client, who: &Who, of: Uuid) -> Result<(), Refusal> {
    let query = "SELECT 1 FROM box_tenants WHERE box = $1 AND tenant = ANY($2)";
    let Some(tenants) = &who.account.tenants else { return Ok(()) };
    match client.query_opt(&format!("{query} LIMIT 1"), &[&of, tenants]).await? {
        Some(_) => Ok(()),
        None => Err(Refusal::missing("there is no such box")),
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Invited {
    name: String,
    tenants: String,
}

/// `POST /ops/fleet/invite`: a line by which one box enrols, shown this once.
pub(super) async fn invite(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(invited): Form<Invited>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let names = invited.tenants.split([',', ' ']).filter(|name| !name.is_empty());
    let tenants = names
        .map(|name| name.parse().map_err(|error| Refusal::bad(format!("{name}: {error}"))))
        .collect::<Result<Vec<TenantId>, _>>()?;
    let issuer = api
        .issuer()
        .ok_or_else(|| Refusal::bad("this hub enrols no boxes: its settings name no authority"))?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let token =
        enrolment::invite(transaction.client(), issuer, &invited.name, HOURS, &tenants).await?;
    let deed = Deed {
        action: "box.invite",
        subject: invited.name.clone(),
        tenant: None,
        why: "",
        detail: json!({ "tenants": tenants }),
    };
    audit::note(transaction.client(), api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    drop(client);
    html(&page(&api, &who, Some(token.to_string())).await?)
}

/// A directive as it concerns one box.
struct Told {
    place: String,
    kind: String,
    by: String,
    ordered_at: f64,
    state: String,
}

/// Where a lane stands.
struct Lane {
    epoch: String,
    lane: &'static str,
    seq: i64,
    moved_at: f64,
    forked: bool,
}

#[derive(Template)]
#[template(path = "box.html")]
struct One {
    frame: Frame,
    member: Member,
    region: String,
    tenants: Vec<String>,
    telemetry: Vec<(String, String)>,
    lanes: Vec<Lane>,
    told: Vec<Told>,
    alarms: Vec<Alarm>,
    operate: bool,
}

/// `GET /ops/fleet/{box}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(of): Path<Uuid>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    seen(&client, &who, of).await?;
    let member = fleet::show(&client, BoxId(of)).await?;
    let row = client.query_one("SELECT region FROM boxes WHERE box = $1", &[&of]).await?;
    let query = "SELECT tenant FROM box_tenants WHERE box = $1 AND ($2::text[] IS NULL OR tenant = ANY($2)) ORDER BY 1";
    let tenants = client.query(query, &[&of, &who.account.tenants]).await?;
    let telemetry = member.telemetry.clone().unwrap_or_default();
    let page = One {
        frame: Frame::new(&who, "/ops/fleet", member.name.clone()).with_done(done.done.as_deref()),
        region: row.try_get(0)?,
        tenants: tenants.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        telemetry: flat(&telemetry),
        lanes: lanes(&client, of).await?,
        told: told(&client, &who, of).await?,
        alarms: alarm::list(&client, false, Some(of), 50).await?,
        operate: who.may(Right::Operate),
        member,
    };
    html(&page)
}

/// Numbers and words of a telemetry, one a line.
fn flat(telemetry: &Value) -> Vec<(String, String)> {
    fn walk(at: &str, value: &Value, all: &mut Vec<(String, String)>) {
        match value {
            Value::Object(inner) => {
                for (key, value) in inner {
                    let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    walk(&at, value, all);
                }
            }
            Value::Null => {}
            Value::String(text) => all.push((at.to_owned(), text.clone())),
            other => all.push((at.to_owned(), other.to_string())),
        }
    }
    let mut all = Vec::new();
    walk("", telemetry, &mut all);
    all.truncate(60);
    all
}

async fn lanes(client: &Client, of: Uuid) -> Result<Vec<Lane>, tokio_postgres::Error> {
    let query = "SELECT epoch, lane, seq, extract(epoch FROM moved_at)::float8, forked_at IS NOT NULL FROM cursors
        WHERE box = $1 ORDER BY moved_at DESC LIMIT 8";
    let lane = |row: &tokio_postgres::Row| {
        Ok(Lane {
            epoch: format!("{:016x}", row.try_get::<_, i64>(0)?.cast_unsigned()),
            lane: if row.try_get::<_, i16>(1)? == 0 { "critical" } else { "bulk" },
            seq: row.try_get(2)?,
            moved_at: row.try_get(3)?,
            forked: row.try_get(4)?,
        })
    };
    client.query(query, &[&of]).await?.iter().map(lane).collect()
}

async fn told(client: &Client, who: &Who, of: Uuid) -> Result<Vec<Told>, tokio_postgres::Error> {
    let query = "SELECT d.lane, d.seq, d.kind, coalesce((SELECT a.shown FROM accounts a WHERE a.account::text = d.ordered_by), d.ordered_by),
            extract(epoch FROM d.ordered_at)::float8, CASE WHEN r.box IS NULL THEN 'pending' ELSE coalesce('refused: ' || r.refused, 'applied') END
        FROM directives d LEFT JOIN directive_receipts r ON r.box = $1 AND r.epoch = d.epoch AND r.lane = d.lane AND r.seq = d.seq
        WHERE d.lane = 'fleet' OR d.lane = 'box/' || $1::uuid::text
            OR d.lane IN (SELECT 'tenant/' || t.tenant FROM box_tenants t WHERE t.box = $1 AND ($2::text[] IS NULL OR t.tenant = ANY($2)))
        ORDER BY d.ordered_at DESC LIMIT 30";
    let one = |row: &tokio_postgres::Row| {
        let (lane, seq): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        // Its own lane is named by its id, which stands on the page already.
        let own = || who.tongue.told("this box");
        let lane = if lane.starts_with("box/") { own() } else { lane.to_owned() };
        Ok(Told {
            place: format!("{lane} {seq}"),
            kind: row.try_get(2)?,
            by: row.try_get(3)?,
            ordered_at: row.try_get(4)?,
            state: row.try_get(5)?,
        })
    };
    client.query(query, &[&of, &who.account.tenants]).await?.iter().map(one).collect()
}

/// What the forms send.
#[derive(Deserialize)]
pub(super) struct Changed {
    what: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    why: String,
}

/// Characters of a region.
const REGION: usize = 40;

/// `POST /ops/fleet/{box}`: where it stands, drained or back, cut off (which takes two people).
pub(super) async fn change(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(of): Path<Uuid>,
    Form(changed): Form<Changed>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let member = fleet::show(within, BoxId(of)).await?;
    let (mut detail, mut done) = (json!({ "name": member.name }), "ordered");
    let action = match changed.what.as_str() {
        "region" => {
            let region = changed.region.trim();
            if region.chars().count() > REGION || region.chars().any(char::is_control) {
                let what = Text::from("a region has at most {most} characters");
                return Err(Refusal::bad(what.with("most", REGION)));
            }
            within.execute("UPDATE boxes SET region = $2 WHERE box = $1", &[&of, &region]).await?;
            detail["region"] = region.into();
            done = "saved";
            "box.region"
        }
        "drain" | "resume" => {
            let on = changed.what == "drain";
            let by = Code::lossy(&who.account.account.to_string());
            let to = Address::Box(BoxId(of));
            let given =
                directives::give_within(within, api.hub_key()?, to, by, Drain { on }.into())
                    .await?;
            detail["seq"] = given.place.seq.0.into();
            if on { "box.drain" } else { "box.resume" }
        }
        "revoke" => {
            approval::ask(within, &who, &Grave::Revoke { of }, changed.why.trim()).await?;
            done = "asked";
            "box.revoke.ask"
        }
        _ => return Err(Refusal::bad("that is nothing that can be done to a box")),
    };
    let why = changed.why.trim();
    let deed = Deed { action, subject: of.to_string(), tenant: None, why, detail };
    audit::note(within, api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    Ok(Redirect::to(&format!("/ops/fleet/{of}?done={done}")).into_response())
}

/// `POST /ops/fleet/{box}/alarms/{alarm}`: somebody has seen to it.
pub(super) async fn resolve(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, name)): Path<(Uuid, Uuid)>,
) -> Result<Response, Refusal> {
    let mut client = api.pool().take().await?;
    seen(&client, &who, of).await?;
    let transaction = client.transaction().await?;
    alarm::resolve(transaction.client(), of, name, &who.account.shown).await?;
    let deed = Deed {
        action: "alarm.resolve",
        subject: format!("{of}/{name}"),
        tenant: None,
        why: "",
        detail: json!({}),
    };
    audit::note(transaction.client(), api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    Ok(Redirect::to(&format!("/ops/fleet/{of}?done=resolved")).into_response())
}
