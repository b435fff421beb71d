//! The queue: tabs, filters, a page of items; and how much waits, as it changes.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use domain::{Category, Severity};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::made::Made;
use crate::account::Right;
use crate::account::session::Who;
use crate::http::Api;
use crate::review::queue::{self, Count, Wanted};
use crate::review::{Item, Tab};
use crate::screens::extract::Query;
use crate::screens::page::{Frame, Refusal, html};
use crate::screens::words::{grave, is_over, short};

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    frame: Frame,
    tab: Tab,
    counts: Vec<Count>,
    items: Vec<Item>,
    wanted: Wanted,
    /// The same filters, as an address carries them; without tab and place.
    filters: String,
    next: Option<String>,
    tenants: Vec<String>,
    regions: Vec<String>,
    categories: [Category; 14],
    severities: [Severity; 5],
    me: Uuid,
    bulk: bool,
    made: Option<Made>,
}

impl Queue {
    fn is(&self, value: &str, wanted: &str) -> bool {
        value == wanted
    }
}

/// What addresses carry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::screens) struct Address {
    tab: String,
    tenant: String,
    region: String,
    lang: String,
    category: String,
    severity: String,
    assignee: String,
    after: String,
    done: Option<String>,
    made: Option<String>,
}

/// `GET /ops/review`.
pub(in crate::screens) async fn queue(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(address): Query<Address>,
) -> Result<Response, Refusal> {
    let Address { tab, tenant, region, lang, category, severity, assignee, after, done, made } =
        address;
    let wanted = Wanted { tab, tenant, region, lang, category, severity, assignee, after };
    let tab = Tab::read(&wanted.tab).unwrap_or(Tab::Flagged);
    let client = api.pool().take().await?;
    let (items, next) = queue::page(&client, &who, &wanted).await?;
    let counts = api.counts(&who).await?;
    let (tenants, regions) = places(&client, &who).await?;
    let filters = form_urlencoded::Serializer::new(String::new())
        .append_pair("tenant", &wanted.tenant)
        .append_pair("region", &wanted.region)
        .append_pair("lang", &wanted.lang)
        .append_pair("category", &wanted.category)
        .append_pair("severity", &wanted.severity)
        .append_pair("assignee", &wanted.assignee)
        .finish();
    html(&Queue {
        frame: Frame::new(&who, "/ops/review", "Review").with_done(done.as_deref()),
        tab,
        counts,
        items,
        filters,
        next,
        tenants,
        regions,
        wanted,
        categories: Category::ALL,
        severities: Severity::ALL,
        me: who.account.account,
        made: Made::read(&client, &who, made.as_deref()).await?,
        bulk: tab != Tab::Accounts && (tab != Tab::Appeals || who.may(Right::Senior)),
    })
}

/// Tenants and regions that there are to choose from.
async fn places(
    client: &tokio_postgres::Client,
    who: &Who,
) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let query = "SELECT tenant, false FROM tenants WHERE $1::text[] IS NULL OR tenant = ANY($1)
        UNION SELECT region, true FROM boxes b WHERE region <> ''
            AND ($1::text[] IS NULL OR EXISTS (SELECT 1 FROM box_tenants t WHERE t.box = b.box AND t.tenant = ANY($1))) ORDER BY 1";
    let (mut tenants, mut regions) = (Vec::new(), Vec::new());
    for row in client.query(query, &[&who.account.tenants]).await? {
        let list = if row.try_get(1)? { &mut regions } else { &mut tenants };
        list.push(row.try_get(0)?);
    }
    Ok((tenants, regions))
}

/// How often counts are told at most, and how often where nothing is heard.
const PAUSE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(15);

/// `GET /ops/review/live`: how much waits, now and whenever it changes (server-sent events).
pub(in crate::screens) async fn live(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Response {
    let (heard, stop) = (api.news(), api.ending());
    let events = stream::unfold((api, who, heard, true), async |(api, who, mut heard, first)| {
        if !first {
            tokio::time::sleep(PAUSE).await;
            if let Ok(Err(_)) = tokio::time::timeout(POLL, heard.changed()).await {
                return None;
            }
        }
        heard.mark_unchanged();
        let event = match api.counts(&who).await {
            Ok(counts) => Event::default().event("counts").data(json!(counts).to_string()),
            Err(_) => Event::default().comment("the database is away"),
        };
        Some((Ok::<_, Infallible>(event), (api, who, heard, false)))
    });
    Sse::new(events.take_until(stop)).keep_alive(KeepAlive::default()).into_response()
}
