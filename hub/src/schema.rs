//! The tables: how they are made, upgraded and checked.

use tokio_postgres::Client;

use crate::Error;

/// Every schema so far, oldest first; the last one is ours.
const MIGRATIONS: [&str; 17] = [
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
    include_str!("../migrations/0006.sql"),
    include_str!("../migrations/0007.sql"),
    include_str!("../migrations/0008.sql"),
    include_str!("../migrations/0009.sql"),
    include_str!("../migrations/0010.sql"),
    include_str!("../migrations/0011.sql"),
    include_str!("../migrations/0012.sql"),
    include_str!("../migrations/0013.sql"),
    include_str!("../migrations/0014.sql"),
    include_str!("../migrations/0015.sql"),
    include_str!("../migrations/0016.sql"),
    include_str!("../migrations/0017.sql"),
];

/// The schema of this release.
pub const SCHEMA: i32 = MIGRATIONS.len() as i32;

/// Only one migrates at a time: the lock's number, "weir" in ASCII.
const LOCK: i64 = 0x7765_6972;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema before.
    pub from: i32,
    /// The schema after.
    pub to: i32,
}

/// The schema of a database; 0 where it has none of ours.
///
/// # Errors
/// Where the database is away.
pub async fn found(client: &Client) -> Result<i32, Error> {
    let known = client.query_one("SELECT to_regclass('schema_versions') IS NOT NULL", &[]).await?;
    if !known.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = client.query_one("SELECT coalesce(max(version), 0) FROM schema_versions", &[]);
    Ok(row.await?.try_get(0)?)
}

/// Upgrades to this release's schema in one transaction, and makes the partitions of today and tomorrow.
///
/// # Errors
/// [`Error::Newer`], or where the database is away.
pub async fn migrate(client: &mut Client) -> Result<Migrated, Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let from = found(transaction.client()).await?;
    if from > SCHEMA {
        return Err(Error::Newer { found: from, known: SCHEMA });
    }
    for (version, sql) in (1..).zip(MIGRATIONS).skip(usize::try_from(from).unwrap_or(0)) {
        transaction.batch_execute(sql).await?;
        let release = env!("CARGO_PKG_VERSION");
        let insert = "INSERT INTO schema_versions (version, release) VALUES ($1, $2)";
        transaction.execute(insert, &[&version, &release]).await?;
    }
    transaction
        .batch_execute(
            "SELECT ensure_day((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, 1) n",
        )
        .await?;
    transaction.commit().await?;
    Ok(Migrated { from, to: SCHEMA })
}

/// Refuses a database that this release cannot work on.
///
/// # Errors
/// [`Error::Newer`] and [`Error::Older`].
pub async fn check(client: &Client) -> Result<(), Error> {
    let found = found(client).await?;
    match found.cmp(&SCHEMA) {
        std::cmp::Ordering::Less => Err(Error::Older { found, known: SCHEMA }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Error::Newer { found, known: SCHEMA }),
    }
}
