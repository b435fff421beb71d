//! Decisions of all boxes: newest first, page by page. The API's and the screens'.

use std::collections::HashMap;

use domain::Category;
use domain::journal::Sha256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::Error;

/// Rows of a page, where none is asked for, and at most.
const PAGE: u32 = 50;
const MOST: u32 = 500;

/// Submissions that are looked at where a medium or an author is asked for: the newest.
const MATCHES: i64 = 500;

/// Seconds.
const DAY_S: f64 = 86_400.0;

/// What to look for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Whose.
    pub tenant: Option<String>,
    /// `approved`, `rejected`, `held` or `failed`.
    pub status: Option<String>,
    /// `safe` to `critical`.
    pub severity: Option<String>,
    /// Touched.
    pub category: Option<String>,
    /// By which box.
    #[serde(rename = "box")]
    pub of: Option<Uuid>,
    /// About which submission.
    pub submission: Option<Uuid>,
    /// Of a medium, 64 hexadecimal digits: of the newest 500 submissions that have it.
    pub sha256: Option<String>,
    /// Number of an author on one box, 16 hexadecimal digits: of their newest 500 submissions.
    pub author: Option<String>,
    /// Received at or after, seconds since 1970.
    pub since: Option<f64>,
    /// Received before, seconds since 1970.
    pub until: Option<f64>,
    /// Rows of a page, 1 to 500.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A decision.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// By which box.
    #[serde(rename = "box")]
    pub of: Uuid,
    /// About which submission.
    pub submission: Uuid,
    /// 0 is the machine's.
    pub number: i64,
    /// The one that it replaces.
    pub supersedes: Option<i64>,
    /// Whether all that the policy demands was seen.
    pub complete: bool,
    /// By the box's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// By the hub's, seconds since 1970.
    pub received_at: f64,
    /// Whose.
    pub tenant: String,
    /// Kind of place.
    pub surface: Option<String>,
    /// What the platform was told.
    pub status: String,
    /// How grave.
    pub severity: String,
    /// What is done.
    pub action: String,
    /// `name@version`.
    pub policy: String,
    /// Why, gravest first.
    pub reasons: Value,
    /// Severity and highest score of each category touched.
    pub categories: Value,
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
    v.categories FROM verdicts v";

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
    fn conditions(self, found: Option<Found>) -> Result<Conditions, Error> {
        let mut all = Conditions::default();
        if let Some((boxes, submissions)) = found {
            all.values.push(Box::new(boxes));
            all.values.push(Box::new(submissions.clone()));
            all.values.push(Box::new(submissions));
            // By the submission as well, since that is what the index goes by.
            all.sql.push("(v.box, v.submission) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND v.submission = ANY($3)".into());
        }
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
            // Written out, for the index of that category; it is one of ours.
            all.sql.push(format!("jsonb_exists(v.categories, '{category}')"));
        }
        if let Some(of) = self.of {
            all.add("v.box = ?", of);
        }
        if let Some(submission) = self.submission {
            all.add("v.submission = ?", submission);
        }
        if let Some(since) = self.since {
            all.add("v.received_at >= to_timestamp(?)", since);
        }
        if let Some(until) = self.until {
            all.add("v.received_at < to_timestamp(?)", until);
        }
        if let Some(cursor) = self.cursor {
            let place = Place::read(&cursor);
            let place =
                place.ok_or_else(|| invalid("cursor: send `next` of the page before as it is"))?;
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

fn one_of(key: &str, value: &str, known: &[&str]) -> Result<(), Error> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(invalid(&format!("{key}: `{value}`: write one of {}", known.join(", "))))
}

fn invalid(what: &str) -> Error {
    Error::Invalid(what.to_owned())
}

/// Boxes and submissions.
type Found = (Vec<Uuid>, Vec<Uuid>);

/// Submissions by a medium or an author, where either is asked for. Looked up first: joined, each would be looked for in every partition.
async fn found(client: &Client, wanted: &Wanted) -> Result<Option<Found>, Error> {
    let rows = match (&wanted.sha256, &wanted.author) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(invalid("either `sha256` or `author`, not both")),
        (Some(hash), None) => {
            let hash: Sha256 =
                hash.parse().map_err(|error| invalid(&format!("sha256: {error}")))?;
            let query = "SELECT box, submission FROM media WHERE sha256 = $1 ORDER BY received_at DESC LIMIT $2";
            client.query(query, &[&hash.0.as_slice(), &MATCHES]).await?
        }
        (None, Some(number)) => {
            let number = u64::from_str_radix(number, 16);
            let number = number.map_err(|_| invalid("author: 16 hexadecimal digits"))?;
            let query = "SELECT box, submission FROM submissions WHERE box IN (SELECT box FROM boxes) AND author = $1 ORDER BY received_at DESC LIMIT $2";
            client.query(query, &[&number.cast_signed(), &MATCHES]).await?
        }
    };
    let mut found = Found::default();
    for row in rows {
        found.0.push(row.try_get(0)?);
        found.1.push(row.try_get(1)?);
    }
    Ok(Some(found))
}

/// A page, and where it ends if there is more; of these tenants only, where some are named.
///
/// # Errors
/// [`Error::Invalid`] with what to write instead, or where the database is away.
pub async fn page(
    client: &Client,
    wanted: Wanted,
    tenants: Option<&[String]>,
) -> Result<(Vec<Verdict>, Option<String>), Error> {
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        return Err(invalid(&format!("limit: {limit} is not within 1 to {MOST}")));
    }
    let found = found(client, &wanted).await?;
    if found.as_ref().is_some_and(|(boxes, _)| boxes.is_empty()) {
        return Ok((Vec::new(), None));
    }
    let mut conditions = wanted.conditions(found)?;
    if let Some(tenants) = tenants {
        conditions.add("v.tenant = ANY(?)", tenants.to_vec());
    }
    let place = if conditions.sql.is_empty() { "" } else { " WHERE " };
    let query = format!(
        "{COLUMNS}{place}{} ORDER BY v.received_at DESC, v.box DESC, v.epoch DESC, v.lane DESC, v.seq DESC LIMIT {}",
        conditions.sql.join(" AND "),
        limit + 1
    );
    let values: Vec<&(dyn ToSql + Sync)> =
        conditions.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect();
    let rows = client.query(&query, &values).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let mut verdicts = rows.iter().take(shown).map(verdict).collect::<Result<Vec<_>, _>>()?;
    surfaces(client, &mut verdicts).await?;
    let next = match verdicts.last() {
        Some((place, _)) if rows.len() > shown => Some(place.write()),
        _ => None,
    };
    Ok((verdicts.into_iter().map(|(_, verdict)| verdict).collect(), next))
}

/// Kinds of place, from the submissions. Most were accepted within a day before their verdict: the few partitions of that time are looked
/// through first, all others only for the rest.
async fn surfaces(client: &Client, verdicts: &mut [(Place, Verdict)]) -> Result<(), Error> {
    let times = verdicts.iter().map(|(place, _)| place.us);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return Ok(()) };
    let to = last as f64 / 1e6 + 1.0;
    for from in [first as f64 / 1e6 - DAY_S, 0.0] {
        let open = verdicts.iter().filter(|(_, verdict)| verdict.surface.is_none());
        let (boxes, submissions): Found =
            open.map(|(_, verdict)| (verdict.of, verdict.submission)).unzip();
        if boxes.is_empty() {
            return Ok(());
        }
        let query = "SELECT box, submission, u.surface FROM unnest($1::uuid[], $2::uuid[]) open (box, submission)
            JOIN submissions u USING (box, submission) WHERE u.received_at BETWEEN to_timestamp($3::float8) AND to_timestamp($4::float8)";
        let rows = client.query(query, &[&boxes, &submissions, &from, &to]).await?;
        let mut known: HashMap<(Uuid, Uuid), String> = HashMap::with_capacity(rows.len());
        for row in rows {
            known.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        }
        for (_, verdict) in verdicts.iter_mut() {
            if verdict.surface.is_none() {
                verdict.surface = known.get(&(verdict.of, verdict.submission)).cloned();
            }
        }
    }
    Ok(())
}

fn verdict(row: &Row) -> Result<(Place, Verdict), tokio_postgres::Error> {
    let place = Place {
        us: row.try_get(9)?,
        of: row.try_get(0)?,
        epoch: row.try_get(1)?,
        lane: row.try_get(2)?,
        seq: row.try_get(3)?,
    };
    let verdict = Verdict {
        of: place.of,
        submission: row.try_get(4)?,
        number: row.try_get(5)?,
        supersedes: row.try_get(6)?,
        complete: row.try_get(7)?,
        at_ms: row.try_get(8)?,
        received_at: place.us as f64 / 1e6,
        tenant: row.try_get(10)?,
        surface: None,
        status: row.try_get(11)?,
        severity: row.try_get(12)?,
        action: row.try_get(13)?,
        policy: row.try_get(14)?,
        reasons: row.try_get(15)?,
        categories: row.try_get(16)?,
    };
    Ok((place, verdict))
}
