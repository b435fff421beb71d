//! How boxes decide since a stage was given, beside how they decided before: what tells whether to go on.

use domain::directive::Address;
use serde::Serialize;
use tokio_postgres::Client;

use crate::Error;

/// How far is looked before and behind, in seconds.
pub const WINDOW_S: f64 = 86_400.0;

/// Decisions that are counted on either side, the nearest to the stage's moment.
const MOST: i64 = 20_000;

/// What was decided by machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub all: i64,
    /// Rejected.
    pub rejected: i64,
    /// Held for people.
    pub held: i64,
    /// Failed.
    pub failed: i64,
}

impl Counts {
    /// A share of all, as people read it.
    pub fn percent(&self, some: &i64) -> String {
        match self.all {
            0 => "–".into(),
            all => format!("{:.1} %", *some as f64 * 100.0 / all as f64),
        }
    }
}

/// The day before a moment, and the day after it; of those that an address reaches.
///
/// # Errors
/// Where the database is away.
pub async fn around(client: &Client, to: &Address, at: f64) -> Result<[Counts; 2], Error> {
    let (of, tenant) = match to {
        Address::Box(of) => (Some(of.0), None),
        Address::Tenant(tenant) => (None, Some(tenant.as_str())),
        Address::Fleet => (None, None),
    };
    // Written out by kind of address, for the index of each.
    let whose = match to {
        Address::Box(_) => "v.box = $1 AND $2::text IS NULL",
        Address::Tenant(_) => "v.tenant = $2 AND $1::uuid IS NULL",
        Address::Fleet => "$1::uuid IS NULL AND $2::text IS NULL",
    };
    let mut both = [Counts::default(); 2];
    for (counts, (from, until, order)) in
        both.iter_mut().zip([(at - WINDOW_S, at, "DESC"), (at, at + WINDOW_S, "ASC")])
    {
        let query = format!(
            "SELECT count(*), count(*) FILTER (WHERE status = 'rejected'), count(*) FILTER (WHERE status = 'held'), count(*) FILTER (WHERE status = 'failed')
            FROM (SELECT v.status FROM verdicts v WHERE {whose} AND v.number = 0 AND v.received_at >= to_timestamp($3) AND v.received_at < to_timestamp($4)
                ORDER BY v.received_at {order} LIMIT $5) nearest"
        );
        let row = client.query_one(&query, &[&of, &tenant, &from, &until, &MOST]).await?;
        *counts = Counts {
            all: row.try_get(0)?,
            rejected: row.try_get(1)?,
            held: row.try_get(2)?,
            failed: row.try_get(3)?,
        };
    }
    Ok(both)
}
