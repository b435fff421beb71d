//! What was released to whom: read out of the directives once, kept beside them.

use domain::directive::{Address, Order, Place, ReleaseKind, Released, Told};
use domain::journal::{Code, Epoch};
use serde::Serialize;
use tokio_postgres::{Client, Row};

use crate::{Error, directives};

/// Releases that are read out of directives at a time, where they are not known yet.
const AT_ONCE: i64 = 500;

/// Something that was released.
#[derive(Clone, Debug, Serialize)]
pub struct Known {
    /// The life of the journal, hexadecimal.
    pub epoch: String,
    /// To whom.
    pub lane: String,
    /// Its number there.
    pub seq: i64,
    /// `policy` or `bank`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// The file; empty where it withdraws.
    #[serde(skip)]
    pub text: String,
    /// Who ordered it, as colleagues see them.
    pub by: String,
    /// When, seconds since 1970.
    pub at: f64,
}

impl Known {
    /// Where it was ordered.
    ///
    /// # Errors
    /// Of an entry that is damaged.
    pub fn place(&self) -> Result<Place, Error> {
        directives::place(&self.epoch, &self.lane, self.seq.cast_unsigned())
    }

    /// What addresses carry to name it.
    pub fn key(&self) -> String {
        format!("{}.{}.{}", self.epoch, self.seq, self.lane)
    }

    /// Whether it takes back what was released before.
    pub fn withdraws(&self) -> bool {
        self.text.is_empty()
    }
}

/// As stored and told.
pub(crate) fn word(kind: ReleaseKind) -> &'static str {
    match kind {
        ReleaseKind::Policy => "policy",
        ReleaseKind::Bank => "bank",
    }
}

/// Notes what was released. Within the transaction that orders it.
pub(crate) async fn note(
    client: &Client,
    place: &Place,
    by: &Code,
    released: &Released,
) -> Result<(), Error> {
    // What cannot be read boxes refuse; it was checked before, and is nothing to be shown.
    let Ok(release) = released.look() else { return Ok(()) };
    let query = "INSERT INTO releases (epoch, lane, seq, kind, name, version, content, ordered_by, ordered_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, ordered_at FROM directives WHERE epoch = $1 AND lane = $2 AND seq = $3 ON CONFLICT DO NOTHING";
    let (epoch, lane, seq) =
        (place.epoch.0.cast_signed(), place.to.to_string(), place.seq.0.cast_signed());
    let version = i64::try_from(release.version).unwrap_or(i64::MAX);
    client
        .execute(
            query,
            &[
                &epoch,
                &lane,
                &seq,
                &word(release.kind),
                &release.name.as_str(),
                &version,
                &release.text,
                &by.as_str(),
            ],
        )
        .await?;
    Ok(())
}

/// Takes in what was released before these were noted.
///
/// # Errors
/// Where the database is away.
pub async fn catch_up(client: &Client) -> Result<(), Error> {
    let query = "SELECT d.bytes FROM directives d LEFT JOIN releases r USING (epoch, lane, seq)
        WHERE d.kind = 'release' AND r.seq IS NULL LIMIT $1";
    for row in client.query(query, &[&AT_ONCE]).await? {
        let Ok(told) = Told::decode(row.try_get(0)?) else { continue };
        if let Some(Order::Released(released)) = &told.order {
            note(client, &told.place, &told.by, released).await?;
        }
    }
    Ok(())
}

const COLUMNS: &str = "r.epoch, r.lane, r.seq, r.kind, r.name, r.version, r.content,
    coalesce((SELECT a.shown FROM accounts a WHERE a.account::text = r.ordered_by), r.ordered_by), extract(epoch FROM r.ordered_at)::float8";

/// The newest release of each name to each address, by name; without those that were withdrawn. Where tenants are named, of what goes to all and to
/// these only. At most 200.
///
/// # Errors
/// Where the database is away.
pub async fn in_force(
    client: &Client,
    kind: ReleaseKind,
    tenants: Option<&[String]>,
) -> Result<Vec<Known>, Error> {
    let lanes = tenants.map(|tenants| {
        let own = tenants.iter().map(|tenant| format!("tenant/{tenant}"));
        own.chain([Address::Fleet.to_string()]).collect::<Vec<_>>()
    });
    let query = format!(
        "SELECT * FROM (SELECT DISTINCT ON (r.name, r.lane) {COLUMNS} FROM releases r WHERE r.kind = $1 AND ($2::text[] IS NULL OR r.lane = ANY($2))
            ORDER BY r.name, r.lane, r.ordered_at DESC, r.version DESC) newest WHERE content <> '' ORDER BY name, lane LIMIT 200"
    );
    client.query(&query, &[&word(kind), &lanes]).await?.iter().map(known).collect()
}

/// One of them, by what [`Known::key`] told.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn find(client: &Client, key: &str) -> Result<Known, Error> {
    let missing = || Error::NotFound("there is no such release".into());
    let mut parts = key.splitn(3, '.');
    let epoch = parts.next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let seq = parts.next().and_then(|seq| seq.parse::<i64>().ok());
    let (Some(epoch), Some(seq), Some(lane)) = (epoch, seq, parts.next()) else {
        return Err(missing());
    };
    let query = format!(
        "SELECT {COLUMNS} FROM releases r WHERE r.epoch = $1 AND r.seq = $2 AND r.lane = $3"
    );
    let row = client.query_opt(&query, &[&epoch.cast_signed(), &seq, &lane]).await?;
    row.as_ref().map(known).transpose()?.ok_or_else(missing)
}

/// The highest version that was released to an address under a name; 0 where none was.
pub(crate) async fn highest(
    client: &Client,
    kind: &str,
    name: &str,
    lane: &str,
) -> Result<i64, Error> {
    let query = "SELECT coalesce(max(version), 0) FROM releases WHERE kind = $1 AND name = $2 AND lane = $3";
    Ok(client.query_one(query, &[&kind, &name, &lane]).await?.try_get(0)?)
}

fn known(row: &Row) -> Result<Known, Error> {
    Ok(Known {
        epoch: Epoch(row.try_get::<_, i64>(0)?.cast_unsigned()).to_string(),
        lane: row.try_get(1)?,
        seq: row.try_get(2)?,
        kind: row.try_get(3)?,
        name: row.try_get(4)?,
        version: row.try_get(5)?,
        text: row.try_get(6)?,
        by: row.try_get(7)?,
        at: row.try_get(8)?,
    })
}
