//! What can go wrong at the hub.

use tokio_postgres::error::SqlState;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or is away.
    #[error("Postgres: {}", told(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The database did not answer in time.
    #[error("Postgres did not answer in {0:?}")]
    Slow(std::time::Duration),
    /// The address of the database cannot be read.
    #[error(
        "`{0}` is no address of a Postgres: write for example `host=/run/postgresql user=weir dbname=weir`"
    )]
    Address(String),
    /// A later release has been here.
    #[error(
        "the database has schema {found}, this release knows up to {known}: start the release that migrated it, or a later one"
    )]
    Newer {
        /// The schema that was found.
        found: i32,
        /// The newest one that is known.
        known: i32,
    },
    /// Not migrated yet.
    #[error("the database has schema {found}, this release needs {known}: run `weir-hub migrate`")]
    Older {
        /// The schema that was found.
        found: i32,
        /// The one that is needed.
        known: i32,
    },
    /// No such box, token or the like.
    #[error("{0}")]
    NotFound(String),
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Who asked may not have it.
    #[error("{0}")]
    Refused(String),
    /// A row holds what the hub never writes.
    #[error("the database holds what the hub never wrote: {0}")]
    Damaged(String),
    /// The hub is stopping.
    #[error("the hub is stopping")]
    Closed,
}

/// tokio-postgres says only "db error": the cause is what helps.
fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl Error {
    /// Whether the same write might go through by itself: another transaction was in the way.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        matches!(
            error.code(),
            Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE)
        )
    }

    /// Whether it is the rows that the database does not take, now and ever: classes 22 (data) and 23 (constraints).
    pub(crate) fn is_of_the_data(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let code = error.code().map_or("", SqlState::code);
        code.starts_with("22") || code.starts_with("23")
    }
}
