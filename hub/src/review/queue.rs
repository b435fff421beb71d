//! The queue as people see it: gravest first, then oldest.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{COLUMNS, Item, Tab, item};
use crate::Error;
use crate::account::session::Who;

/// Items of a page.
pub const PAGE: usize = 50;

/// What to show.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Wanted {
    /// Which tab.
    pub tab: String,
    /// One tenant's.
    pub tenant: String,
    /// Of boxes that stand there.
    pub region: String,
    /// In which language, as its platform said: `fr`, `sw`. (`language` in an address is that of the page.)
    pub lang: String,
    /// About it.
    pub category: String,
    /// At least so grave: 0 to 4.
    pub severity: String,
    /// `me`, `nobody`, or nothing: anybody's.
    pub assignee: String,
    /// Where the page before ended.
    pub after: String,
}

/// How much waits under a tab.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// Which.
    pub tab: Tab,
    /// So many.
    pub open: i64,
    /// The oldest, seconds since 1970.
    pub oldest: Option<f64>,
    /// Past their time.
    pub late: i64,
}

/// Conditions, and what they are about.
struct Conditions {
    sql: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    /// What somebody may see and asked for.
    fn new(who: &Who, wanted: &Wanted) -> Result<Self, Error> {
        let mut all = Self { sql: vec!["r.open".into()], values: Vec::new() };
        if let Some(tenants) = &who.account.tenants {
            all.add("r.tenant = ANY(?)", tenants.clone());
        }
        if !wanted.tenant.is_empty() {
            all.add("r.tenant = ?", wanted.tenant.clone());
        }
        if !wanted.region.is_empty() {
            all.add("b.region = ?", wanted.region.clone());
        }
        if !wanted.lang.is_empty() {
            let language = wanted.lang.trim();
            if !(2..=3).contains(&language.len())
                || !language.chars().all(|c| c.is_ascii_alphabetic())
            {
                return Err(Error::Invalid("language: a code such as `fr` or `sw`".into()));
            }
            all.add("r.language = ?", language.to_ascii_lowercase());
        }
        if !wanted.category.is_empty() {
            all.add("? = ANY(r.categories)", wanted.category.clone());
        }
        if !wanted.severity.is_empty() {
            let least: i16 = wanted
                .severity
                .parse()
                .ok()
                .filter(|n| (0..=4).contains(n))
                .ok_or_else(|| Error::Invalid("severity: 0 (safe) to 4 (critical)".into()))?;
            all.add("r.severity >= ?", least);
        }
        match wanted.assignee.as_str() {
            "" => {}
            "me" => all.add("r.assignee = ?", who.account.account),
            "nobody" => all.sql.push("r.assignee IS NULL".into()),
            other => {
                return Err(Error::Invalid(format!("assignee: `{other}`: write `me` or `nobody`")));
            }
        }
        Ok(all)
    }

    /// `?` stands for the value.
    fn add(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.sql.push(sql.replace('?', &format!("${}", self.values.len())));
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value.as_ref() as &(dyn ToSql + Sync)).collect()
    }
}

/// A page, and where it ends if there is more.
///
/// # Errors
/// [`Error::Invalid`] where a filter makes no sense, or where the database is away.
pub async fn page(
    client: &Client,
    who: &Who,
    wanted: &Wanted,
) -> Result<(Vec<Item>, Option<String>), Error> {
    let mut all = Conditions::new(who, wanted)?;
    let tab = Tab::read(&wanted.tab).unwrap_or(Tab::Flagged);
    all.add("r.tab = ?", tab.as_str());
    if !wanted.after.is_empty() {
        let (severity, us, of, subject) = place(&wanted.after)
            .ok_or_else(|| Error::Invalid("after: no place in the queue".into()))?;
        let n = all.values.len();
        all.values.push(Box::new(severity));
        all.values.push(Box::new(us));
        all.values.push(Box::new(of));
        all.values.push(Box::new(subject));
        all.sql.push(format!(
            "(r.severity < ${0} OR r.severity = ${0} AND (r.since, r.box, r.subject) > (timestamptz 'epoch' + ${1}::bigint * interval '1 microsecond', ${2}, ${3}))",
            n + 1, n + 2, n + 3, n + 4
        ));
    }
    let query = format!(
        "{COLUMNS} WHERE {} ORDER BY r.severity DESC, r.since, r.box, r.subject LIMIT {}",
        all.sql.join(" AND "),
        PAGE + 1
    );
    let rows = client.query(&query, &all.parameters()).await?;
    let items = rows.iter().take(PAGE).map(item).collect::<Result<Vec<_>, _>>()?;
    let next = items.last().filter(|_| rows.len() > PAGE).map(|last| {
        let us = (last.since * 1e6).round();
        format!(
            "{}.{us:.0}.{}.{}",
            super::rank(last.severity),
            last.of.simple(),
            last.subject.simple()
        )
    });
    Ok((items, next))
}

fn place(text: &str) -> Option<(i16, i64, Uuid, Uuid)> {
    let mut parts = text.split('.');
    let place = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    );
    parts.next().is_none().then_some(place)
}

/// How much waits under each tab, of what somebody may see.
///
/// # Errors
/// Where the database is away.
pub async fn counts(client: &Client, who: &Who) -> Result<Vec<Count>, Error> {
    let query = "SELECT r.tab, count(*), extract(epoch FROM min(r.since))::float8, count(*) FILTER (WHERE r.due_at < now())
        FROM reviews r WHERE r.open AND ($1::text[] IS NULL OR r.tenant = ANY($1)) GROUP BY 1";
    let rows = client.query(query, &[&who.account.tenants]).await?;
    let mut counts: Vec<Count> =
        Tab::ALL.iter().map(|tab| Count { tab: *tab, open: 0, oldest: None, late: 0 }).collect();
    for row in rows {
        let tab: &str = row.try_get(0)?;
        let Some(count) = counts.iter_mut().find(|count| count.tab.as_str() == tab) else {
            continue;
        };
        (count.open, count.oldest, count.late) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    }
    Ok(counts)
}

/// One item that somebody may see, whether it waits or not.
///
/// # Errors
/// [`Error::NotFound`], also where it is another tenant's; or where the database is away.
pub async fn find(client: &Client, who: &Who, of: Uuid, subject: Uuid) -> Result<Item, Error> {
    let query = format!("{COLUMNS} WHERE r.box = $1 AND r.subject = $2");
    let row = client.query_opt(&query, &[&of, &subject]).await?;
    let found = row.as_ref().map(item).transpose()?.filter(|item| who.sees(&item.tenant));
    found.ok_or_else(|| Error::NotFound("there is no such item".into()))
}
