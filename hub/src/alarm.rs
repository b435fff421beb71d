//! Alarms: what somebody should look at. The same again is counted, so that no box can fill the table.

use domain::journal::{BoxId, Code};
use serde::Serialize;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::Error;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// Entries that do not hold: altered on the box or on their way.
    Tampered,
    /// Two journals under one name and epoch.
    Fork,
    /// Entries that nobody has any more.
    Hole,
    /// A checkpoint whose signature or heads do not hold.
    Checkpoint,
    /// Written by a newer release than the hub's.
    Newer,
    /// Two connections of one box drive each other away.
    Flapping,
    /// A certificate was renewed after it had run out: the box was away, or somebody kept its key.
    RenewedLate,
    /// Something came to a box in the hub's name and was not by it, not for that box, or not for the first time.
    Directive,
}

impl AlarmKind {
    /// As stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tampered => "tampered",
            Self::Fork => "fork",
            Self::Hole => "hole",
            Self::Checkpoint => "checkpoint",
            Self::Newer => "newer",
            Self::Flapping => "flapping",
            Self::RenewedLate => "renewed_late",
            Self::Directive => "directive",
        }
    }
}

/// Raises an alarm, or counts it where it is up already.
///
/// # Errors
/// Where the database is away.
pub async fn raise(client: &Client, of: BoxId, kind: AlarmKind, code: &Code) -> Result<(), Error> {
    tracing::warn!(box = %of, kind = kind.as_str(), %code, "alarm");
    client
        .execute(
            "INSERT INTO alarms (box, kind, code) VALUES ($1, $2, $3)
             ON CONFLICT (box, kind, code) WHERE resolved_at IS NULL
             DO UPDATE SET count = alarms.count + 1, last_at = now()",
            &[&of.0, &kind.as_str(), &code.as_str()],
        )
        .await?;
    Ok(())
}

/// An alarm as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Alarm {
    /// The box that it is about.
    #[serde(rename = "box")]
    pub of: Uuid,
    /// Its name.
    pub alarm: Uuid,
    /// What it is about.
    pub kind: String,
    /// More closely.
    pub code: String,
    /// How often it was raised.
    pub count: i64,
    /// Seconds since 1970.
    pub first_at: f64,
    /// Seconds since 1970.
    pub last_at: f64,
    /// Seconds since 1970; nothing while nobody has seen to it.
    pub resolved_at: Option<f64>,
}

/// The newest alarms, at most so many: those that nobody has seen to, or all; of all boxes, or one.
///
/// # Errors
/// Where the database is away.
pub async fn list(
    client: &Client,
    resolved: bool,
    of: Option<Uuid>,
    most: i64,
) -> Result<Vec<Alarm>, Error> {
    let query = "SELECT box, alarm, kind, code, count, extract(epoch FROM first_at)::float8,
        extract(epoch FROM last_at)::float8, extract(epoch FROM resolved_at)::float8 FROM alarms
        WHERE ($1 OR resolved_at IS NULL) AND ($2::uuid IS NULL OR box = $2) ORDER BY last_at DESC LIMIT $3";
    let alarm = |row: &Row| {
        Ok(Alarm {
            of: row.try_get(0)?,
            alarm: row.try_get(1)?,
            kind: row.try_get(2)?,
            code: row.try_get(3)?,
            count: row.try_get(4)?,
            first_at: row.try_get(5)?,
            last_at: row.try_get(6)?,
            resolved_at: row.try_get(7)?,
        })
    };
    client.query(query, &[&resolved, &of, &most]).await?.iter().map(alarm).collect()
}

/// Somebody has seen to it; who is in the log. The same once more is another alarm. Resolved twice is resolved.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn resolve(client: &Client, of: Uuid, alarm: Uuid, by: &str) -> Result<(), Error> {
    let query = "UPDATE alarms SET resolved_at = coalesce(resolved_at, now()) WHERE box = $1 AND alarm = $2";
    match client.execute(query, &[&of, &alarm]).await? {
        0 => Err(Error::NotFound(format!("box {of} has no alarm {alarm}"))),
        _ => {
            tracing::info!(box = %of, %alarm, by, "an alarm was resolved");
            Ok(())
        }
    }
}
