//! `/v1/verdicts`: newest first, page by page.

use axum::Json;
use axum::extract::{Query, State};
use domain::Category;
use domain::journal::Sha256;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Api;
use super::problem::Problem;

/// Rows of a page, where none is asked for, and at most.
const PAGE: u32 = 50;
const MOST: u32 = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    tenant: Option<String>,
    status: Option<String>,
    severity: Option<String>,
    category: Option<String>,
    #[serde(rename = "box")]
    of: Option<Uuid>,
    submission: Option<Uuid>,
    sha256: Option<String>,
    /// Received at or after, and before: seconds since 1970.
    since: Option<f64>,
    until: Option<f64>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Where a page ends: the last row of it. Rows of one transaction share their time, hence the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    us: i64,
    of: Uuid,
    epoch: i64,
    lane: i16,
    seq: i64,
}

impl Place {
    fn write(&self) -> String {
        let Self { us, of, epoch, lane, seq } = self;
        format!("{us}.{}.{epoch}.{lane}.{seq}", of.simple())
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let place = Self {
            us: parts.next()?.parse().ok()?,
            of: parts.next()?.parse().ok()?,
            epoch: parts.next()?.parse().ok()?,
            lane: parts.next()?.parse().ok()?,
            seq: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    }
}

const COLUMNS: &str = "SELECT v.box, v.epoch, v.lane, v.seq, v.submission, v.number, v.supersedes, v.complete, v.at,
    (extract(epoch FROM v.received_at) * 1000000)::bigint, v.tenant, v.status, v.severity, v.action, v.policy, v.reasons,
    v.categories, (SELECT u.surface FROM submissions u WHERE u.box = v.box AND u.submission = v.submission LIMIT 1)
    FROM verdicts v";

/// Conditions and what they are about, in the order of their numbers.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    /// `?` stands for the value.
    fn add(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.sql.push(sql.replace('?', &format!("${}", self.values.len())));
    }
}

impl Wanted {
    fn conditions(self) -> Result<Conditions, Problem> {
        let mut all = Conditions::default();
        if let Some(tenant) = self.tenant {
            all.add("v.tenant = ?", tenant);
        }
        if let Some(status) = self.status {
            one_of("status", &status, &["approved", "rejected", "held", "failed"])?;
            all.add("v.status = ?", status);
        }
        if let Some(severity) = self.severity {
            one_of("severity", &severity, &["safe", "low", "medium", "high", "critical"])?;
            all.add("v.severity = ?", severity);
        }
        if let Some(category) = self.category {
            one_of("category", &category, &Category::slugs())?;
            all.add("jsonb_exists(v.categories, ?)", category);
        }
        if let Some(of) = self.of {
            all.add("v.box = ?", of);
        }
        if let Some(submission) = self.submission {
            all.add("v.submission = ?", submission);
        }
        if let Some(sha256) = self.sha256 {
            let hash: Sha256 =
                sha256.parse().map_err(|error| Problem::bad(format!("sha256: {error}")))?;
            let sql = "(v.box, v.submission) IN (SELECT m.box, m.submission FROM media m WHERE m.sha256 = ?)";
            all.add(sql, hash.0.to_vec());
        }
        if let Some(since) = self.since {
            all.add("v.received_at >= to_timestamp(?)", since);
        }
        if let Some(until) = self.until {
            all.add("v.received_at < to_timestamp(?)", until);
        }
        if let Some(cursor) = self.cursor {
            let place = Place::read(&cursor);
            let place = place
                .ok_or_else(|| Problem::bad("cursor: send `next` of the page before as it is"))?;
            let time = "timestamptz 'epoch' + ?::bigint * interval '1 microsecond'";
            // The time by itself as well, since that is what the index and the partitions go by.
            all.add(&format!("v.received_at <= {time}"), place.us);
            let at = all.values.len();
            for value in [place.epoch, i64::from(place.lane), place.seq] {
                all.values.push(Box::new(value));
            }
            all.values.push(Box::new(place.of));
            all.sql.push(format!(
                "(v.received_at, v.box, v.epoch, v.lane, v.seq) < ({}, ${}, ${}::bigint, ${}::bigint, ${}::bigint)",
                time.replace('?', &format!("${at}")),
                at + 4,
                at + 1,
                at + 2,
                at + 3
            ));
        }
        Ok(all)
    }
}

fn one_of(key: &str, value: &str, known: &[&str]) -> Result<(), Problem> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Problem::bad(format!("{key}: `{value}`: write one of {}", known.join(", "))))
}

/// `GET /v1/verdicts`.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("limit: {limit} is not within 1 to {MOST}")));
    }
    let conditions = wanted.conditions()?;
    let place = if conditions.sql.is_empty() { "" } else { " WHERE " };
    let query = format!(
        "{COLUMNS}{place}{} ORDER BY v.received_at DESC, v.box DESC, v.epoch DESC, v.lane DESC, v.seq DESC LIMIT {}",
        conditions.sql.join(" AND "),
        limit + 1
    );
    let values: Vec<&(dyn ToSql + Sync)> =
        conditions.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect();
    let client = api.pool.take().await?;
    let rows = client.query(&query, &values).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let verdicts = rows.iter().take(shown).map(verdict).collect::<Result<Vec<_>, _>>()?;
    let next = match verdicts.last() {
        Some((place, _)) if rows.len() > shown => Some(place.write()),
        _ => None,
    };
    let verdicts: Vec<Value> = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
    Ok(Json(json!({ "verdicts": verdicts, "next": next })))
}

fn verdict(row: &Row) -> Result<(Place, Value), tokio_postgres::Error> {
    let place = Place {
        us: row.try_get(9)?,
        of: row.try_get(0)?,
        epoch: row.try_get(1)?,
        lane: row.try_get(2)?,
        seq: row.try_get(3)?,
    };
    let verdict = json!({
        "box": place.of,
        "submission": row.try_get::<_, Uuid>(4)?,
        "number": row.try_get::<_, i64>(5)?,
        "supersedes": row.try_get::<_, Option<i64>>(6)?,
        "complete": row.try_get::<_, bool>(7)?,
        "at_ms": row.try_get::<_, i64>(8)?,
        "received_at": place.us as f64 / 1e6,
        "tenant": row.try_get::<_, &str>(10)?,
        "surface": row.try_get::<_, Option<&str>>(17)?,
        "status": row.try_get::<_, &str>(11)?,
        "severity": row.try_get::<_, &str>(12)?,
        "action": row.try_get::<_, &str>(13)?,
        "policy": row.try_get::<_, &str>(14)?,
        "reasons": row.try_get::<_, Value>(15)?,
        "categories": row.try_get::<_, Value>(16)?,
    });
    Ok((place, verdict))
}
