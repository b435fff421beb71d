//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use domain::journal::Millis;
use rusqlite::ErrorCode;

/// Why the store did not do what it was asked. Cheap to clone: a whole group of writes may fail together.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The writer's queue is full. HTTP 429 or 503 with Retry-After.
    #[error("{0} writes are waiting for the store already: try again in a second")]
    Busy(usize),
    /// No room for more work. HTTP 507; what was accepted is still finished.
    #[error(
        "the disk is full, or the database has reached its cap: make room, or raise `max_bytes`; nothing was accepted"
    )]
    Full,
    /// The file system cannot be written. HTTP 503.
    #[error(
        "the database cannot be written (read-only file system or file): remount it, then restart"
    )]
    ReadOnly,
    /// The disk lost what it was told to keep; nothing after this can be trusted in this process.
    #[error(
        "fatal: {0}; the process must end and start again, so that the database is read anew from the disk"
    )]
    Fatal(Arc<str>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Another process has the directory.
    #[error("{} is in use by process {pid}: stop it first, or use another --data", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// What the lock file says.
        pid: String,
    },
    /// The database was written by a later release.
    #[error(
        "{} has schema {found}, this release knows up to {known}: install the later release, or go back with `weir store restore --data {} {snapshot}`",
        path.display(), dir.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its directory.
        dir: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
        /// A snapshot from before the upgrade, or a place-holder where there is none.
        snapshot: String,
    },
    /// No such thing in this tenant.
    #[error("no {0} of that name")]
    NotFound(&'static str),
    /// The same key or name stands for another request already. HTTP 409 or 422.
    #[error("{0}")]
    Conflict(&'static str),
    /// An author's share of the hour is used up. HTTP 429.
    #[error("the author's {limit} media for an hour are used up: try again in {} s", retry_after.as_secs())]
    AuthorLimit {
        /// Media in an hour.
        limit: u32,
        /// When there is room for one more.
        retry_after: Duration,
    },
    /// The author's strikes or an order bar them. HTTP 403.
    #[error("this author is barred from handing in{}", if until.is_some() { " for a time" } else { "" })]
    Barred {
        /// When that ends; `None` where nobody has set an end.
        until: Option<Millis>,
    },
    /// The lease is no longer held: it was given to another attempt, or the job is done.
    #[error("the lease on this job is no longer held: drop the result")]
    LeaseLost,
    /// A bank entry that concerns this submission came after the match.
    #[error(
        "the tenant's lists changed since this was matched, and the change concerns it: match and decide again"
    )]
    Stale,
    /// The bytes under that name are being deleted right now.
    #[error("the blob `{0}` is being deleted: store the bytes again under another name")]
    BlobGoing(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database is damaged.
    #[error(
        "the database is damaged ({0}): restart, so that it is salvaged, or `weir store restore`"
    )]
    Damaged(Arc<str>),
    /// SQLite failed in some other way.
    #[error("SQLite: {0}")]
    Sql(Arc<rusqlite::Error>),
    /// A file operation failed.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: Arc<io::Error>,
    },
}

/// SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC: pages that were reported lost may look clean afterwards.
const LOST_SYNC: [i32; 2] = [1034, 1290];

/// SQLITE_IOERR_SHMSIZE: the shared-memory index could not grow, which on a full disk is how it shows first.
const NO_ROOM_FOR_INDEX: i32 = 4874;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if let rusqlite::Error::SqliteFailure(failure, message) = &error {
            let text = || Arc::from(message.clone().unwrap_or_else(|| failure.to_string()));
            match failure.code {
                _ if LOST_SYNC.contains(&failure.extended_code) => return Self::Fatal(text()),
                _ if failure.extended_code == NO_ROOM_FOR_INDEX => return Self::Full,
                ErrorCode::DiskFull => return Self::Full,
                ErrorCode::ReadOnly => return Self::ReadOnly,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    return Self::Damaged(text());
                }
                _ => {}
            }
        }
        Self::Sql(Arc::new(error))
    }
}

impl Error {
    /// Wraps a failed file operation: `.map_err(Error::io("read", &path))`.
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io { doing, path, source: Arc::new(source) },
        }
    }

    /// Wraps a failed system call.
    pub(crate) fn sys(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let wrap = Self::io(doing, path);
        move |errno| wrap(errno.into())
    }

    pub(crate) fn damaged(what: impl AsRef<str>) -> Self {
        Self::Damaged(Arc::from(what.as_ref()))
    }
}

/// The error of a row whose content is not what this crate writes.
pub(crate) fn bad_row(what: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        0,
        rusqlite::types::Type::Blob,
        Box::from(what.into()),
    )
}
