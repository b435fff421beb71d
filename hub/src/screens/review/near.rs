//! Submissions with a medium that is the same or looks the same, beside an item.

use std::collections::HashMap;

use tokio_postgres::Client;
use uuid::Uuid;

use crate::pdq::{self, Pdq};
use crate::review::Item;

/// Days in which near ones are looked for: each PDQ of them is compared.
const NEAR_DAYS: i32 = 1;

/// Media of an item that are looked at, submissions that are looked up for them, and those that are shown.
const MEDIA: i64 = 20;
const FOUND: i64 = 200;
const SHOWN: usize = 12;

/// One of them.
pub(super) struct Near {
    pub of: Uuid,
    pub submission: Uuid,
    pub status: String,
    /// 0 is the same bytes.
    pub distance: i64,
    /// Seconds since 1970.
    pub received_at: f64,
}

/// Box and submission.
type Id = (Uuid, Uuid);

/// The same bytes ever, the newest of them; and what looked the same within a day: of the same tenant, nearest first.
///
/// Each step asks for what the one before found: in one query these would be joined over the partitions of all days.
pub(super) async fn look(client: &Client, item: &Item) -> Result<Vec<Near>, tokio_postgres::Error> {
    let own = (item.of, item.subject);
    let mut found: HashMap<Id, (i64, f64)> = HashMap::new();
    let query = "SELECT DISTINCT sha256 FROM media WHERE box = $1 AND submission = $2 LIMIT $3";
    let rows = client.query(query, &[&own.0, &own.1, &MEDIA]).await?;
    let hashes: Vec<Vec<u8>> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if !hashes.is_empty() {
        let query =
            "SELECT box, submission, 0::bigint, extract(epoch FROM received_at)::float8 FROM media
            WHERE sha256 = ANY($1) ORDER BY received_at DESC LIMIT $2";
        note(&mut found, &client.query(query, &[&hashes, &FOUND]).await?)?;
    }
    let query = "SELECT pdq FROM pdqs WHERE box = $1 AND submission = $2 AND (quality IS NULL OR quality >= $3) ORDER BY place, n LIMIT 1";
    if let Some(row) = client.query_opt(query, &[&own.0, &own.1, &pdq::LEAST_QUALITY]).await? {
        let pdq: Pdq = row.try_get(0)?;
        let query = "SELECT box, submission, bit_count(pdq # $1), extract(epoch FROM received_at)::float8 FROM pdqs
            WHERE received_at > now() - make_interval(days => $2) AND tenant = $3 AND bit_count(pdq # $1) <= $4 ORDER BY 3, 4 DESC LIMIT $5";
        let rows = client
            .query(query, &[&pdq, &NEAR_DAYS, &item.tenant, &i64::from(pdq::SAME), &FOUND])
            .await?;
        note(&mut found, &rows)?;
    }
    found.remove(&own);
    with_status(client, item, found).await
}

/// Of what was found twice the nearer counts.
fn note(
    found: &mut HashMap<Id, (i64, f64)>,
    rows: &[tokio_postgres::Row],
) -> Result<(), tokio_postgres::Error> {
    for row in rows {
        let (distance, at): (i64, f64) = (row.try_get(2)?, row.try_get(3)?);
        let entry = found.entry((row.try_get(0)?, row.try_get(1)?)).or_insert((distance, at));
        entry.0 = entry.0.min(distance);
    }
    Ok(())
}

/// How each stands, where it is the tenant's.
async fn with_status(
    client: &Client,
    item: &Item,
    found: HashMap<Id, (i64, f64)>,
) -> Result<Vec<Near>, tokio_postgres::Error> {
    let submissions: Vec<Uuid> = found.keys().map(|(_, submission)| *submission).collect();
    if submissions.is_empty() {
        return Ok(Vec::new());
    }
    let query = "SELECT DISTINCT ON (box, submission) box, submission, status FROM verdicts
        WHERE submission = ANY($1) AND tenant = $2 ORDER BY box, submission, number DESC";
    let mut all = Vec::new();
    for row in client.query(query, &[&submissions, &item.tenant]).await? {
        let (of, submission) = (row.try_get(0)?, row.try_get(1)?);
        if let Some((distance, received_at)) = found.get(&(of, submission)).copied() {
            all.push(Near { of, submission, status: row.try_get(2)?, distance, received_at });
        }
    }
    all.sort_by(|a, b| a.distance.cmp(&b.distance).then(b.received_at.total_cmp(&a.received_at)));
    all.truncate(SHOWN);
    Ok(all)
}
