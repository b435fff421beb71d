//! Numbers over all: what comes in, what waits, which boxes are behind, how often people disagree with the machine. Each chart has its table.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use tokio_postgres::Client;

use super::page::{Frame, Refusal, html};
use crate::account::session::Who;
use crate::http::Api;
use crate::review::queue::Count;
use crate::tongue::Tongue;

/// Hours that are shown.
const HOURS: usize = 24;

/// Statuses, as the bars are stacked.
const STATUSES: [&str; 4] = ["approved", "held", "rejected", "failed"];

/// Verdicts of one hour.
#[derive(Clone, Default)]
struct Hour {
    name: String,
    counts: [i64; 4],
}

impl Hour {
    fn total(&self) -> i64 {
        self.counts.iter().sum()
    }
}

/// A part of a bar.
struct Part {
    class: &'static str,
    x: f64,
    y: f64,
    height: f64,
    title: String,
}

/// A bar with its name.
struct Named {
    name: String,
    count: i64,
    percent: f64,
}

/// What people made of the machine's decisions in the last thirty days.
#[derive(Default)]
struct Agreement {
    decided: i64,
    /// Held or flagged by the machine, let pass by a person.
    let_pass: i64,
    /// Appeals, and those that were granted.
    appeals: i64,
    granted: i64,
    undone: i64,
}

impl Agreement {
    fn percent(&self, part: &i64, of: &i64) -> String {
        match of {
            0 => "–".into(),
            of => format!("{:.1} %", *part as f64 * 100.0 / *of as f64),
        }
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    hours: Vec<Hour>,
    parts: Vec<Part>,
    most: i64,
    total: i64,
    categories: Vec<Named>,
    counts: Vec<Count>,
    agreement: Agreement,
    boxes: i64,
    offline: i64,
    silent: i64,
    statuses: [&'static str; 4],
}

/// `GET /ops/overview`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let hours = hours(&client, &who).await?;
    let most = hours.iter().map(Hour::total).max().unwrap_or_default();
    let query = "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM connections c JOIN nodes n USING (node)
            WHERE c.box = b.box AND n.seen_at > now() - interval '10 seconds')),
        count(*) FILTER (WHERE (SELECT max(moved_at) FROM cursors c WHERE c.box = b.box) < now() - interval '1 hour')
        FROM boxes b WHERE b.state <> 'revoked'
            AND ($1::text[] IS NULL OR EXISTS (SELECT 1 FROM box_tenants t WHERE t.box = b.box AND t.tenant = ANY($1)))";
    let boxes = client.query_one(query, &[&who.account.tenants]).await?;
    html(&Overview {
        frame: Frame::new(&who, "/ops/overview", "Overview"),
        parts: parts(who.tongue, &hours, most),
        most,
        total: hours.iter().map(Hour::total).sum(),
        hours,
        categories: categories(&client, &who).await?,
        counts: api.counts(&who).await?,
        agreement: agreement(&client, &who).await?,
        boxes: boxes.try_get(0)?,
        offline: boxes.try_get(1)?,
        silent: boxes.try_get(2)?,
        statuses: STATUSES,
    })
}

async fn hours(client: &Client, who: &Who) -> Result<Vec<Hour>, tokio_postgres::Error> {
    let query = "SELECT to_char(h AT TIME ZONE 'UTC', 'HH24:00'), coalesce(s.status, ''), coalesce(s.many, 0)
        FROM generate_series(date_trunc('hour', now()) - interval '23 hours', date_trunc('hour', now()), interval '1 hour') h
        LEFT JOIN (SELECT date_trunc('hour', received_at) AS at, status, count(*) AS many FROM verdicts
            WHERE received_at >= date_trunc('hour', now()) - interval '23 hours' AND number = 0 AND ($1::text[] IS NULL OR tenant = ANY($1))
            GROUP BY 1, 2) s ON s.at = h ORDER BY h";
    let mut hours: Vec<Hour> = Vec::with_capacity(HOURS);
    for row in client.query(query, &[&who.account.tenants]).await? {
        let (name, status, many): (String, &str, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if hours.last().is_none_or(|last| last.name != name) {
            hours.push(Hour { name, ..Hour::default() });
        }
        let place = STATUSES.iter().position(|own| *own == status);
        if let (Some(hour), Some(place)) = (hours.last_mut(), place) {
            hour.counts[place] = many;
        }
    }
    Ok(hours)
}

/// Bars in a picture of 240 by 100, each ten wide.
fn parts(tongue: Tongue, hours: &[Hour], most: i64) -> Vec<Part> {
    let mut parts = Vec::new();
    for (n, hour) in hours.iter().enumerate() {
        let mut y = 100.0;
        for (status, count) in STATUSES.iter().zip(hour.counts).filter(|(_, count)| *count > 0) {
            let height = count as f64 * 100.0 / most.max(1) as f64;
            y -= height;
            let title = format!("{} {}: {count}", hour.name, tongue.told(status));
            parts.push(Part { class: status, x: n as f64 * 10.0 + 1.0, y, height, title });
        }
    }
    parts
}

async fn categories(client: &Client, who: &Who) -> Result<Vec<Named>, tokio_postgres::Error> {
    let query = "SELECT c.slug, count(*) FROM verdicts v, jsonb_object_keys(v.categories) c(slug)
        WHERE v.received_at > now() - interval '24 hours' AND v.status <> 'approved' AND v.number = 0 AND ($1::text[] IS NULL OR v.tenant = ANY($1))
        GROUP BY 1 ORDER BY 2 DESC LIMIT 14";
    let rows = client.query(query, &[&who.account.tenants]).await?;
    let most = rows.first().map(|row| row.try_get::<_, i64>(1)).transpose()?.unwrap_or(1).max(1);
    let named = |row: &tokio_postgres::Row| {
        let count: i64 = row.try_get(1)?;
        Ok(Named { name: row.try_get(0)?, count, percent: count as f64 * 100.0 / most as f64 })
    };
    rows.iter().map(named).collect()
}

async fn agreement(client: &Client, who: &Who) -> Result<Agreement, tokio_postgres::Error> {
    let query = "SELECT count(*) FILTER (WHERE undone_at IS NULL AND tab IN ('flagged', 'held')),
            count(*) FILTER (WHERE undone_at IS NULL AND tab IN ('flagged', 'held') AND verb = 'approve'),
            count(*) FILTER (WHERE undone_at IS NULL AND tab = 'appeals'), count(*) FILTER (WHERE undone_at IS NULL AND tab = 'appeals' AND verb = 'approve'),
            count(*) FILTER (WHERE undone_by IS NOT NULL)
        FROM review_decisions WHERE at > now() - interval '30 days' AND ($1::text[] IS NULL OR tenant = ANY($1))";
    let row = client.query_one(query, &[&who.account.tenants]).await?;
    Ok(Agreement {
        decided: row.try_get(0)?,
        let_pass: row.try_get(1)?,
        appeals: row.try_get(2)?,
        granted: row.try_get(3)?,
        undone: row.try_get(4)?,
    })
}
