//! What was released to whom, and the newest drafts.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use domain::directive::ReleaseKind;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::account::session::Who;
use crate::directives::{self, Count};
use crate::http::Api;
use crate::rollout::known::{self, Known};
use crate::screens::extract::Query;
use crate::screens::own::Done;
use crate::screens::page::{Frame, Refusal, html};
use crate::screens::words::moment;

/// Drafts that are shown.
const DRAFTS: i64 = 20;

/// A release, and how many boxes took it.
struct InForce {
    known: Known,
    count: Count,
}

/// A policy that somebody wrote.
struct Draft {
    draft: Uuid,
    name: String,
    note: String,
    by: String,
    at: f64,
}

#[derive(Template)]
#[template(path = "policies.html")]
struct Policies {
    frame: Frame,
    policies: Vec<InForce>,
    banks: Vec<InForce>,
    drafts: Vec<Draft>,
    profiles: Vec<&'static str>,
}

/// `GET /ops/policies`.
pub(in crate::screens) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    known::catch_up(&client).await?;
    html(&Policies {
        frame: Frame::new(&who, "/ops/policies", "Policies").with_done(done.done.as_deref()),
        policies: in_force(&client, &who, ReleaseKind::Policy).await?,
        banks: in_force(&client, &who, ReleaseKind::Bank).await?,
        // Drafts say nothing of tenants: those who see some only see none.
        drafts: match who.account.tenants {
            None => drafts(&client, DRAFTS).await?,
            Some(_) => Vec::new(),
        },
        profiles: domain::Profile::names().to_vec(),
    })
}

/// What is in force, of what somebody may see: what went to all, and to tenants of theirs.
async fn in_force(client: &Client, who: &Who, kind: ReleaseKind) -> Result<Vec<InForce>, Refusal> {
    let all = known::in_force(client, kind, who.account.tenants.as_deref()).await?;
    let places: Vec<_> = all.iter().map(Known::place).collect::<Result<_, _>>()?;
    let counts = directives::counts(client, &places).await?;
    Ok(all.into_iter().zip(counts).map(|(known, count)| InForce { known, count }).collect())
}

/// Whether somebody may see what went to an address.
pub(super) fn visible(who: &Who, lane: &str) -> bool {
    match lane.strip_prefix("tenant/") {
        _ if who.account.tenants.is_none() => true,
        Some(tenant) => who.sees(tenant),
        None => lane == "fleet",
    }
}

/// The newest drafts.
async fn drafts(client: &Client, most: i64) -> Result<Vec<Draft>, Refusal> {
    let query = "SELECT d.draft, d.name, d.note, a.shown, extract(epoch FROM d.at)::float8 FROM drafts d JOIN accounts a USING (account)
        ORDER BY d.at DESC LIMIT $1";
    let draft = |row: &tokio_postgres::Row| {
        Ok(Draft {
            draft: row.try_get(0)?,
            name: row.try_get(1)?,
            note: row.try_get(2)?,
            by: row.try_get(3)?,
            at: row.try_get(4)?,
        })
    };
    client.query(query, &[&most]).await?.iter().map(draft).collect()
}
