//! Hash lists of the tenants: what is on them, since when, on whose word, and what an entry would have matched before it is ordered.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::Category;
use domain::directive::{Address, List, Order};
use domain::journal::{Code, Sha256, TenantId};
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Client;

use super::extract::{Form, Query};
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::Right;
use crate::account::session::Who;
use crate::approval::{self, Grave};
use crate::audit::{self, Deed};
use crate::directives::{self, Asked};
use crate::http::Api;
use crate::lists::{self, EFFECT_DAYS, Effect, Entry};
use crate::{reason, tenant};

/// Entries of a page.
const PAGE: i64 = 200;

/// What addresses and forms carry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    tenant: String,
    hash: String,
    /// `sha256` or `pdq`.
    of: String,
    distance: String,
    category: String,
    negative: Option<String>,
    verified: Option<String>,
    protected: Option<String>,
    /// `look`, `on`, or `off`.
    what: String,
    why: String,
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "lists.html")]
struct Lists {
    frame: Frame,
    wanted: Wanted,
    entries: Vec<Entry>,
    tenants: Vec<String>,
    categories: [Category; 14],
    change: bool,
    effect: Option<Effect>,
    /// Why what was asked for was not done; the form has what was typed.
    wrong: Option<String>,
    days: i32,
}

impl Lists {
    fn is(&self, value: &str, wanted: &str) -> bool {
        value == wanted
    }
}

/// `GET /ops/lists`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    html(&page(&api, &who, wanted, None, None).await?)
}

async fn page(
    api: &Api,
    who: &Who,
    wanted: Wanted,
    effect: Option<Effect>,
    wrong: Option<String>,
) -> Result<Lists, Refusal> {
    let client = api.pool().take().await?;
    let hash = match wanted.hash.trim() {
        // What is wrong already is not looked for.
        hash if hash.is_empty() || wrong.is_some() => None,
        hash => Some(hash.parse().map_err(|error| Refusal::bad(format!("hash: {error}")))?),
    };
    let all = tenant::list(&client).await?.into_iter().map(|one| one.tenant);
    let tenants: Vec<String> = all.filter(|tenant| who.sees(tenant)).collect();
    let asked = Some(wanted.tenant.clone()).filter(|tenant| who.sees(tenant) && !tenant.is_empty());
    let seen = asked.map(|tenant| vec![tenant]).or_else(|| who.account.tenants.clone());
    Ok(Lists {
        frame: Frame::new(who, "/ops/lists", "Hash lists").with_done(wanted.done.as_deref()),
        entries: lists::list(&client, seen.as_deref(), hash, PAGE).await?,
        tenants,
        categories: Category::ALL,
        change: who.may(Right::ListsChange),
        wanted,
        effect,
        wrong,
        days: EFFECT_DAYS,
    })
}

impl Wanted {
    /// The entry, as the API checks one.
    async fn entry(&self, client: &Client, who: &Who) -> Result<(TenantId, List), Refusal> {
        if !who.sees(&self.tenant) {
            return Err(Refusal::missing("there is no such tenant"));
        }
        let tenant: TenantId =
            self.tenant.parse().map_err(|error| Refusal::bad(format!("tenant: {error}")))?;
        let distance = match self.distance.trim() {
            "" => None,
            bits => {
                Some(bits.parse::<u16>().map_err(|_| Refusal::bad("distance: a number of bits"))?)
            }
        };
        let negative = self.negative.is_some();
        let asked = json!({
            "kind": "list", "add": self.what != "off", "of": self.of, "hash": self.hash.trim(),
            "distance": if self.of == "pdq" { distance } else { None },
            "category": Some(self.category.as_str()).filter(|slug| !negative && !slug.is_empty()),
            "negative": negative, "verified": self.verified.is_some(), "protected": self.protected.is_some(),
        });
        let asked: Asked =
            serde_json::from_value(asked).map_err(|error| Refusal::bad(error.to_string()))?;
        match asked.order(client, &Address::Tenant(tenant.clone())).await? {
            Order::List(list) => Ok((tenant, list)),
            _ => Err(Refusal::bad("no entry of a list")),
        }
    }
}

/// `POST /ops/lists`: looks what an entry would have matched, orders it, or orders it away. What would match very much takes two people.
pub(super) async fn change(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Refusal> {
    let again = wanted.clone();
    match changed(&api, &who, wanted).await {
        Err(refusal)
            if matches!(
                refusal.status,
                StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY
            ) =>
        {
            let wrong = Some(refusal.told(who.tongue));
            let page = page(&api, &who, again, None, wrong).await?;
            Ok((refusal.status, html(&page)?).into_response())
        }
        other => other,
    }
}

async fn changed(api: &Api, who: &Who, wanted: Wanted) -> Result<Response, Refusal> {
    let mut client = api.pool().take().await?;
    let (tenant, list) = wanted.entry(&client, who).await?;
    let (name, hash): (_, Sha256) = (tenant.as_str().to_owned(), list.hash);
    let effect = lists::effect(&client, &name, hash, list.distance).await?;
    if wanted.what == "look" {
        drop(client);
        return html(&page(api, who, wanted, Some(effect), None).await?);
    }
    let why = reason::given(&wanted.why)?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let flood = list.add && effect.is_flood();
    let detail = json!({
        "hash": hash.to_string(), "distance": list.distance, "category": list.category, "negative": list.negative,
        "verified": list.verified, "protected": list.protected, "effect": effect,
    });
    if flood {
        let order = json!({
            "kind": "list", "of": if list.distance.is_some() { "pdq" } else { "sha256" }, "hash": hash.to_string(), "distance": list.distance,
            "category": list.category, "negative": list.negative, "verified": list.verified, "protected": list.protected,
        });
        let grave = Grave::Order { to: format!("tenant/{name}"), order };
        approval::ask(within, who, &grave, why).await?;
    } else {
        let by = Code::lossy(&who.account.account.to_string());
        directives::give_within(within, api.hub_key()?, Address::Tenant(tenant), by, list.into())
            .await?;
    }
    let action = match (flood, wanted.what.as_str()) {
        (true, _) => "list.ask",
        (false, "off") => "list.remove",
        _ => "list.add",
    };
    let deed = Deed { action, subject: hash.to_string(), tenant: Some(&name), why, detail };
    audit::note(within, api.hub_key()?, who.into(), &deed).await?;
    transaction.commit().await?;
    let done = if flood { "asked" } else { "ordered" };
    Ok(Redirect::to(&format!("/ops/lists?tenant={name}&done={done}")).into_response())
}
