//! Alarms: what somebody should look at. The same again is counted, so that no box can fill the table.

use domain::journal::{BoxId, Code};
use tokio_postgres::Client;

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
