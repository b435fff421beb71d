//! The tenants' own hash lists, as the hub ordered them.

use domain::directive::List;
use domain::journal::{Code, Sha256, TenantId};
use serde::Serialize;
use tokio_postgres::{Client, Row};

use crate::Error;
use crate::pdq::Pdq;

/// Days over which is looked what an entry would match.
pub const EFFECT_DAYS: i32 = 7;

/// Submissions of that time from which on an entry is a flood: it takes two people.
pub const FLOOD: i64 = 500;

/// An entry.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Whose list.
    pub tenant: String,
    /// 64 hexadecimal digits.
    pub hash: String,
    /// Bits, for a PDQ; nothing for a SHA-256.
    pub distance: Option<i16>,
    /// Whether it clears.
    pub negative: bool,
    /// What its matches mean.
    pub category: Option<String>,
    /// Whether a match counts like a person's word.
    pub verified: bool,
    /// Whether a negative entry may not silence it.
    pub protected: bool,
    /// Whether it is on the list now.
    pub on_list: bool,
    /// Who ordered it last, as colleagues see them.
    pub ordered_by: String,
    /// When, seconds since 1970.
    pub ordered_at: f64,
    /// The review item that it came from, `BOX/SUBJECT`, where it came from one.
    pub from: Option<String>,
}

/// What an entry would have matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Submissions of the last days with such a medium.
    pub submissions: i64,
    /// Those of them that stand approved.
    pub approved: i64,
}

impl Effect {
    /// Whether it would match so much that a second person has to look.
    pub fn is_flood(&self) -> bool {
        self.submissions >= FLOOD
    }
}

/// Notes an order about an entry. Within the transaction that orders it.
pub(crate) async fn note(
    client: &Client,
    tenant: &TenantId,
    by: &Code,
    entry: &List,
) -> Result<(), Error> {
    let query = "INSERT INTO list_entries AS l (tenant, hash, distance, negative, category, verified, protected, on_list, ordered_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant, hash, distance, negative) DO UPDATE SET
        category = coalesce(excluded.category, l.category), verified = CASE WHEN excluded.on_list THEN excluded.verified ELSE l.verified END,
        protected = CASE WHEN excluded.on_list THEN excluded.protected ELSE l.protected END,
        on_list = excluded.on_list, ordered_by = excluded.ordered_by, ordered_at = now()";
    let distance = entry.distance.map_or(-1, |bits| i16::try_from(bits).unwrap_or(i16::MAX));
    let category = entry.category.map(|category| category.as_str());
    client
        .execute(
            query,
            &[
                &tenant.as_str(),
                &entry.hash.0.as_slice(),
                &distance,
                &entry.negative,
                &category,
                &entry.verified,
                &entry.protected,
                &entry.add,
                &by.as_str(),
            ],
        )
        .await?;
    Ok(())
}

/// Entries of these tenants (nothing: all), those that were ordered last first, at most so many; of one hash only, where one is named.
///
/// # Errors
/// Where the database is away.
pub async fn list(
    client: &Client,
    tenants: Option<&[String]>,
    hash: Option<Sha256>,
    most: i64,
) -> Result<Vec<Entry>, Error> {
    // `OFFSET 0`: by the index of hashes, never back through time.
    let query = "SELECT l.tenant, encode(l.hash, 'hex'), l.distance, l.negative, l.category, l.verified, l.protected, l.on_list,
            coalesce((SELECT a.shown FROM accounts a WHERE a.account::text = l.ordered_by), l.ordered_by), extract(epoch FROM l.ordered_at)::float8,
            (SELECT d.box || '/' || d.subject FROM (SELECT * FROM review_decisions WHERE tenant = l.tenant AND listed <> '[]'
                AND listed @> jsonb_build_array(jsonb_build_object('hash', encode(l.hash, 'hex'))) OFFSET 0) d ORDER BY d.at DESC LIMIT 1)
        FROM list_entries l WHERE ($1::text[] IS NULL OR l.tenant = ANY($1)) AND ($2::bytea IS NULL OR l.hash = $2)
        ORDER BY l.ordered_at DESC LIMIT $3";
    let hash = hash.map(|hash| hash.0.to_vec());
    client.query(query, &[&tenants, &hash, &most]).await?.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let distance: i16 = row.try_get(2)?;
    Ok(Entry {
        tenant: row.try_get(0)?,
        hash: row.try_get(1)?,
        distance: (distance >= 0).then_some(distance),
        negative: row.try_get(3)?,
        category: row.try_get(4)?,
        verified: row.try_get(5)?,
        protected: row.try_get(6)?,
        on_list: row.try_get(7)?,
        ordered_by: row.try_get(8)?,
        ordered_at: row.try_get(9)?,
        from: row.try_get(10)?,
    })
}

/// What an entry would have matched among what the hub has seen of the tenant in the last days.
///
/// # Errors
/// Where the database is away.
pub async fn effect(
    client: &Client,
    tenant: &str,
    hash: Sha256,
    distance: Option<u16>,
) -> Result<Effect, Error> {
    const COUNT: &str = "SELECT count(*), count(*) FILTER (WHERE (SELECT v.status FROM verdicts v WHERE v.submission = s.submission AND v.box = s.box
        ORDER BY v.number DESC LIMIT 1) = 'approved') FROM s";
    let row = match distance {
        None => {
            let found = "WITH s AS (SELECT DISTINCT m.box, m.submission FROM media m JOIN submissions u USING (box, submission)
                WHERE m.sha256 = $1 AND u.tenant = $2 AND m.received_at > now() - make_interval(days => $3) LIMIT 10000) ";
            client
                .query_one(&format!("{found}{COUNT}"), &[&hash.0.as_slice(), &tenant, &EFFECT_DAYS])
                .await?
        }
        Some(bits) => {
            let found = "WITH s AS (SELECT DISTINCT p.box, p.submission FROM pdqs p WHERE bit_count(p.pdq # $1) <= $4 AND p.tenant = $2
                AND p.received_at > now() - make_interval(days => $3) LIMIT 10000) ";
            let bits = i64::from(bits);
            client
                .query_one(
                    &format!("{found}{COUNT}"),
                    &[&Pdq(hash.0), &tenant, &EFFECT_DAYS, &bits],
                )
                .await?
        }
    };
    Ok(Effect { submissions: row.try_get(0)?, approved: row.try_get(1)? })
}
