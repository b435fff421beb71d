//! The boxes: who is enrolled, and who may no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::journal::BoxId;
use serde::Serialize;
use tokio::sync::watch;
use tokio_postgres::{Client, Row};

use crate::Error;
use crate::database::Database;

/// Whether a box may replicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It may.
    Enrolled,
    /// Its certificate has expired: it may renew, and nothing else.
    Quarantined,
    /// Never again under this certificate.
    Revoked,
}

impl State {
    /// As stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
        }
    }

    fn read(word: &str) -> Result<Self, Error> {
        [Self::Enrolled, Self::Quarantined, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Error::Damaged(format!("a box in the state `{word}`")))
    }
}

/// A box as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Its id.
    #[serde(rename = "box")]
    pub of: String,
    /// What its operators call it.
    pub name: String,
    /// Whether it may replicate.
    pub state: State,
    /// The release that it last said it runs.
    pub release: Option<String>,
    /// Serial number of its certificate, hexadecimal.
    pub serial: String,
    /// Seconds since 1970.
    pub enrolled_at: f64,
    /// Seconds since 1970; nothing where it never said hello.
    pub seen_at: Option<f64>,
    /// Entries committed, of all epochs and lanes.
    pub entries: i64,
    /// Alarms that nobody has seen to.
    pub alarms: i64,
    /// By which way it is connected: `quic`, `mqtt`, or `offline`.
    pub connected: String,
    /// Since when that is so, in seconds since 1970; nothing where it is not known.
    pub connected_since: Option<f64>,
    /// When it last sent telemetry, in seconds since 1970.
    pub telemetry_at: Option<f64>,
    /// What it sent then; only where one box is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<serde_json::Value>,
}

/// A connection counts while its node is there. MQTT has no connection of the box's own: there the broker's word that it went counts,
/// too. Of two the newer is in use.
const MEMBERS: &str = "SELECT box, name, state, release, encode(serial, 'hex'), extract(epoch FROM enrolled_at)::float8,
    extract(epoch FROM seen_at)::float8,
    (SELECT coalesce(sum(seq), 0)::bigint FROM cursors c WHERE c.box = b.box),
    (SELECT count(*) FROM alarms a WHERE a.box = b.box AND resolved_at IS NULL),
    coalesce(live.path, 'offline'), extract(epoch FROM CASE WHEN live.path IS NOT NULL THEN live.since
        WHEN p.online IS FALSE THEN p.since END)::float8,
    extract(epoch FROM p.telemetry_at)::float8, CASE WHEN $1 THEN p.telemetry END
    FROM boxes b LEFT JOIN presence p USING (box)
    LEFT JOIN LATERAL (SELECT c.path, c.since FROM connections c JOIN nodes n USING (node)
        WHERE c.box = b.box AND n.seen_at > now() - interval '10 seconds' AND (c.path = 'quic' OR p.online IS NOT FALSE)
        ORDER BY c.since DESC LIMIT 1) live ON true";

/// Enrols a box, or gives one that is enrolled under the same key another certificate.
///
/// # Errors
/// [`Error::Refused`] where it is enrolled under another key, or revoked; where the database is away, or the key has not 32 bytes.
pub async fn enrol(
    client: &Client,
    of: BoxId,
    name: &str,
    public_key: &[u8],
    serial: &[u8],
) -> Result<(), Error> {
    let done = client
        .execute(
            "INSERT INTO boxes (box, name, public_key, serial) VALUES ($1, $2, $3, $4)
             ON CONFLICT (box) DO UPDATE SET name = excluded.name, serial = excluded.serial, state = 'enrolled',
             changed_at = now() WHERE boxes.public_key = excluded.public_key AND boxes.state <> 'revoked'",
            &[&of.0, &name, &public_key, &serial],
        )
        .await?;
    match done {
        0 => Err(Error::Refused(format!(
            "box {of} is revoked, or enrolled under another key: its data was copied to another machine, or its key is lost; start it with new data, as a new box"
        ))),
        _ => Ok(()),
    }
}

/// Sets whether a box may replicate. Every hub node that is connected to it hears of it.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn set_state(client: &Client, of: BoxId, state: State) -> Result<(), Error> {
    let query = "UPDATE boxes SET state = $2, changed_at = now() WHERE box = $1";
    match client.execute(query, &[&of.0, &state.as_str()]).await? {
        0 => Err(Error::NotFound(format!("no box {of} is enrolled here"))),
        _ => Ok(()),
    }
}

/// Whether a box may replicate; nothing where it is unknown.
///
/// # Errors
/// Where the database is away.
pub async fn state(client: &Client, of: BoxId) -> Result<Option<State>, Error> {
    let row = client.query_opt("SELECT state FROM boxes WHERE box = $1", &[&of.0]).await?;
    row.map(|row| State::read(row.try_get(0)?)).transpose()
}

/// All boxes, by name.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Member>, Error> {
    let rows = client.query(&format!("{MEMBERS} ORDER BY name, box"), &[&false]).await?;
    rows.iter().map(member).collect()
}

/// A box.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn show(client: &Client, of: BoxId) -> Result<Member, Error> {
    let row = client.query_opt(&format!("{MEMBERS} WHERE box = $2"), &[&true, &of.0]).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("no box {of} is enrolled here")))?;
    member(&row)
}

fn member(row: &Row) -> Result<Member, Error> {
    Ok(Member {
        of: row.try_get::<_, uuid::Uuid>(0)?.to_string(),
        name: row.try_get(1)?,
        state: State::read(row.try_get(2)?)?,
        release: row.try_get(3)?,
        serial: row.try_get(4)?,
        enrolled_at: row.try_get(5)?,
        seen_at: row.try_get(6)?,
        entries: row.try_get(7)?,
        alarms: row.try_get(8)?,
        connected: row.try_get(9)?,
        connected_since: row.try_get(10)?,
        telemetry_at: row.try_get(11)?,
        telemetry: row
            .try_get::<_, Option<&str>>(12)?
            .and_then(|json| serde_json::from_str(json).ok()),
    })
}

/// Boxes that may not replicate, as sessions watch them.
pub type Barred = Arc<BTreeMap<BoxId, State>>;

/// How often the list is read even though nobody said that it changed.
const POLL: Duration = Duration::from_secs(2);

/// Who is barred now.
///
/// # Errors
/// Where the database is away.
pub async fn barred(client: &Client) -> Result<Barred, Error> {
    let query = "SELECT box, state FROM boxes WHERE state <> 'enrolled'";
    let rows = client.query(query, &[]).await?;
    let row = |row: &Row| Ok((BoxId(row.try_get(0)?), State::read(row.try_get(1)?)?));
    rows.iter().map(row).collect::<Result<_, Error>>().map(Arc::new)
}

/// Keeps the list of barred boxes up to date: told by the database, and by asking every two seconds where telling fails. Ends when
/// nobody watches any more.
pub async fn watch(database: Database, barred: watch::Sender<Barred>) {
    while !barred.is_closed() {
        if let Err(error) = follow(&database, &barred).await {
            tracing::warn!(%error, "cannot follow who is revoked");
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = barred.closed() => {}
        }
    }
}

async fn follow(database: &Database, barred: &watch::Sender<Barred>) -> Result<(), Error> {
    let (client, mut told) = database.listen("weir_boxes").await?;
    loop {
        let now = tokio::time::timeout(POLL, self::barred(&client)).await;
        let now = now.map_err(|_| Error::Slow(POLL))??;
        barred.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                *before = now;
            }
            changed
        });
        tokio::select! {
            note = tokio::time::timeout(POLL, told.recv()) => {
                if let Ok(None) = note {
                    return Err(Error::Closed);
                }
            }
            () = barred.closed() => return Ok(()),
        }
    }
}
