//! Erasure of authors: asked for here, approved by a second person, told to the tenant's boxes; and what each box said of it.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::directive::Address;
use domain::journal::TenantId;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Form, Query};
use super::own::Done;
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::session::Who;
use crate::approval::{self, Grave};
use crate::audit::{self, Deed};
use crate::directives::{self, Receipt};
use crate::http::Api;
use crate::tenant;
use crate::tongue::Text;

/// Erasures of a page.
const PAGE: i64 = 30;

/// Characters of a platform's id.
const ID: usize = 256;

/// One that was ordered.
struct Erasure {
    place: String,
    by: String,
    ordered_at: f64,
    receipts: Vec<Receipt>,
}

impl Erasure {
    /// Boxes that have done it, and all that it is for.
    fn done(&self) -> (usize, usize) {
        let done = self.receipts.iter().filter(|receipt| receipt.state == "applied");
        (done.count(), self.receipts.len())
    }
}

#[derive(Template)]
#[template(path = "erasures.html")]
struct Erasures {
    frame: Frame,
    erasures: Vec<Erasure>,
    tenants: Vec<String>,
}

/// `GET /ops/erasures`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let query = "SELECT d.epoch, d.lane, d.seq, coalesce((SELECT a.shown FROM accounts a WHERE a.account::text = d.ordered_by), d.ordered_by),
            extract(epoch FROM d.ordered_at)::float8
        FROM directives d WHERE d.kind = 'erase' AND ($1::text[] IS NULL OR d.lane IN (SELECT 'tenant/' || t FROM unnest($1) t))
        ORDER BY d.ordered_at DESC LIMIT $2";
    let mut erasures = Vec::new();
    for row in client.query(query, &[&who.account.tenants, &PAGE]).await? {
        let (epoch, lane, seq): (i64, String, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let epoch = format!("{:016x}", epoch.cast_unsigned());
        let place = directives::place(&epoch, &lane, seq.cast_unsigned())?;
        erasures.push(Erasure {
            place: format!("{lane} {seq}"),
            by: row.try_get(3)?,
            ordered_at: row.try_get(4)?,
            receipts: directives::receipts(&client, &place).await?,
        });
    }
    let tenants = tenant::list(&client).await?.into_iter().map(|one| one.tenant);
    html(&Erasures {
        frame: Frame::new(&who, "/ops/erasures", "Erasures").with_done(done.done.as_deref()),
        erasures,
        tenants: tenants.filter(|tenant| who.sees(tenant)).collect(),
    })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Asked {
    tenant: String,
    author: String,
    why: String,
}

/// `POST /ops/erasures`. The author's id is hashed before anything is stored.
pub(super) async fn ask(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(asked): Form<Asked>,
) -> Result<Response, Refusal> {
    if !who.sees(&asked.tenant) {
        return Err(Refusal::missing("there is no such tenant"));
    }
    let name: TenantId =
        asked.tenant.parse().map_err(|error| Refusal::bad(format!("tenant: {error}")))?;
    let id = asked.author.trim();
    if id.is_empty() || id.len() > ID {
        let what = Text::from("the author's id at the platform has 1 to {most} characters");
        return Err(Refusal::bad(what.with("most", ID)));
    }
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let key = tenant::author_key(within, &name, id).await?;
    let order = json!({ "kind": "erase", "tenant": name, "author": { "key": key.to_string() } });
    let to = Address::Tenant(name.clone()).to_string();
    approval::ask(within, &who, &Grave::Order { to, order }, asked.why.trim()).await?;
    let deed = Deed {
        action: "author.erase.ask",
        subject: key.to_string(),
        tenant: Some(name.as_str()),
        why: asked.why.trim(),
        detail: json!({}),
    };
    audit::note(within, api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    Ok(Redirect::to("/ops/erasures?done=asked").into_response())
}
