//! The database file: how it is opened, checked, upgraded.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, params};

use crate::{Config, Durability, Error, space::Space};

/// Every schema so far, oldest first; the last one is ours.
const MIGRATIONS: [&str; 6] = [
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
    include_str!("../migrations/0006.sql"),
];

/// The schema of this release.
pub const SCHEMA: u32 = MIGRATIONS.len() as u32;

/// Name of the database in its directory.
pub(crate) const DATABASE: &str = "store.db";

/// The oldest SQLite whose write-ahead log is sound: before it, a reset of the log could lose pages (3.7.0 to 3.51.2).
pub const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a connection waits for another process (a snapshot by command) to let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens for writing, with the pragmas of the house.
pub(crate) fn open_writer(path: &Path, config: &Config) -> Result<Connection, Error> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(Error::Invalid("this SQLite is older than 3.51.3: build with the bundled one"));
    }
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(256);
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Invalid(
            "the file system of the data directory bears no write-ahead log: use a local one",
        ));
    }
    let synchronous = match config.durability {
        Durability::Full => "FULL",
        Durability::None => "OFF",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "wal_autocheckpoint", 256)?;
    conn.pragma_update(None, "journal_size_limit", 4 << 20)?;
    conn.pragma_update(None, "secure_delete", true)?;
    conn.query_row(&format!("PRAGMA max_page_count={}", Space::hard_pages(config)), [], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(conn)
}

/// Opens for reading. The process that serves may be another one.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

/// Whether SQLite finds the file sound.
pub(crate) fn check(conn: &Connection) -> Result<(), Error> {
    let said: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Error::damaged(said)) }
}

/// The schema of a database; 0 where it is empty.
pub(crate) fn found(conn: &Connection) -> Result<u32, Error> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(u32::try_from(version).unwrap_or(u32::MAX))
}

/// Refuses what a later release wrote.
pub(crate) fn refuse_newer(conn: &Connection, dir: &Path) -> Result<u32, Error> {
    let found = found(conn)?;
    if found > SCHEMA {
        return Err(Error::Newer {
            path: dir.join(DATABASE),
            dir: dir.to_owned(),
            found,
            known: SCHEMA,
            snapshot: newest_upgrade_snapshot(dir).unwrap_or_else(|| "SNAPSHOT".to_owned()),
        });
    }
    Ok(found)
}

/// Upgrades in one transaction, to ours from whatever is there.
pub(crate) fn migrate(conn: &Connection, from: u32, config: &Config) -> Result<(), Error> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = MIGRATIONS.iter().enumerate().skip(from as usize).try_for_each(|(n, sql)| {
        conn.execute_batch(sql)?;
        conn.execute(
            "INSERT INTO schema_versions VALUES (?, ?, ?)",
            params![n as i64 + 1, config.clock.now().0, env!("CARGO_PKG_VERSION")],
        )?;
        Ok::<_, rusqlite::Error>(())
    });
    let sealed = migrated
        .and_then(|()| conn.pragma_update(None, "user_version", SCHEMA))
        .and_then(|()| conn.execute_batch("COMMIT"));
    if sealed.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    Ok(sealed?)
}

/// Where the snapshot goes that is taken before an upgrade.
pub(crate) fn upgrade_snapshot(from: u32) -> String {
    format!("before-schema-{}-from-{from}.db", SCHEMA)
}

fn newest_upgrade_snapshot(dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(dir.join(crate::snapshot::DIRECTORY)).ok()?;
    let ours = entries.flatten().map(|entry| entry.path()).filter(|path| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("before-schema-"))
    });
    ours.max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok())
        .map(|path| path.display().to_string())
}
