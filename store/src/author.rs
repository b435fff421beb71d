//! Authors: a random number for each, strikes that expire, penalties by order.

use domain::{
    journal::{
        Actor, AuthorNumber, Body, Lane, Millis, StandingNote, Subject, SubmissionId, TenantId,
    },
    standing::{Ladder, Level, Standing, Strike},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    Error, Reply, Store,
    rows::{self, bits},
    store::Way,
    txn::{Entry, Txn, random},
};

/// A strike as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrikeRow {
    /// Its name among the author's strikes.
    pub id: i64,
    /// The strike.
    pub strike: Strike,
    /// What for; `None` where a person gave it without a submission.
    pub submission: Option<SubmissionId>,
}

impl Store {
    /// The number of an author, by the HMAC of the platform's id.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such author, or erased it.
    pub fn author(&self, tenant: &TenantId, key: &[u8; 32]) -> Result<AuthorNumber, Error> {
        self.read(|conn| find(conn, tenant, key)?.ok_or(Error::NotFound("author")))
    }

    /// Whether the tenant has any author here.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn has_authors(&self, tenant: &TenantId) -> Result<bool, Error> {
        self.read(|conn| {
            let query = "SELECT EXISTS (SELECT 1 FROM authors WHERE tenant = ?)";
            Ok(conn.prepare_cached(query)?.query_row([tenant.as_str()], |row| row.get(0))?)
        })
    }

    /// How an author stands.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn standing(&self, author: AuthorNumber) -> Result<Standing, Error> {
        let now = self.now();
        self.read(|conn| standing(conn, author, now))
    }

    /// The strikes of an author, oldest first; expired ones too, as long as they are kept.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn strikes(&self, author: AuthorNumber) -> Result<Vec<StrikeRow>, Error> {
        self.read(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT * FROM strikes WHERE author = ? ORDER BY id")?;
            let rows = statement.query_map([bits(author.0)], |row| {
                let submission: Option<uuid::Uuid> = row.get("submission")?;
                Ok(StrikeRow {
                    id: row.get("id")?,
                    strike: strike_row(row)?,
                    submission: submission.map(SubmissionId),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// A person gives a strike.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such author.
    pub fn add_strike(
        &self,
        tenant: TenantId,
        author: AuthorNumber,
        new: Strike,
        ladder: Ladder,
        actor: Actor,
    ) -> Reply<StandingNote> {
        self.write(Way::Normal, move |txn| {
            of_tenant(txn.conn, &tenant, author)?;
            strike(txn, author, None, &new)?;
            note(txn, author, true, &ladder, &actor)
        })
    }

    /// A person takes a strike back.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the author has no such strike.
    pub fn lift_strike(
        &self,
        tenant: TenantId,
        author: AuthorNumber,
        id: i64,
        ladder: Ladder,
        actor: Actor,
    ) -> Reply<StandingNote> {
        self.write(Way::Normal, move |txn| {
            of_tenant(txn.conn, &tenant, author)?;
            let lifted = txn.conn.execute(
                "DELETE FROM strikes WHERE id = ? AND author = ?",
                params![id, bits(author.0)],
            )?;
            if lifted == 0 {
                return Err(Error::NotFound("strike"));
            }
            note(txn, author, false, &ladder, &actor)
        })
    }

    /// A person or the hub sets a penalty, whatever the count; [`Level::Good`] takes it back.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such author.
    pub fn set_standing(
        &self,
        tenant: TenantId,
        author: AuthorNumber,
        level: Level,
        until: Option<Millis>,
        ladder: Ladder,
        actor: Actor,
    ) -> Reply<StandingNote> {
        self.write(Way::Urgent, move |txn| {
            of_tenant(txn.conn, &tenant, author)?;
            if level == Level::Good {
                txn.conn.execute("DELETE FROM orders WHERE author = ?", [bits(author.0)])?;
            } else {
                order(txn, author, level, until, None)?;
            }
            note(txn, author, false, &ladder, &actor)
        })
    }

    /// The same by the HMAC of the platform's id, for an author whom this box may not have met yet: it holds when it does. `None`
    /// where there is nothing to take back.
    pub fn set_standing_of(
        &self,
        tenant: TenantId,
        key: [u8; 32],
        level: Level,
        until: Option<Millis>,
        ladder: Ladder,
        actor: Actor,
    ) -> Reply<Option<StandingNote>> {
        self.write(Way::Urgent, move |txn| {
            if level == Level::Good {
                let Some(author) = find(txn.conn, &tenant, &key)? else { return Ok(None) };
                txn.conn.execute("DELETE FROM orders WHERE author = ?", [bits(author.0)])?;
                return note(txn, author, false, &ladder, &actor).map(Some);
            }
            let author = number(txn, &tenant, &key)?;
            order(txn, author, level, until, None)?;
            note(txn, author, false, &ladder, &actor).map(Some)
        })
    }
}

fn strike_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Strike> {
    Ok(Strike {
        severity: rows::unslug(row, "severity")?,
        at: rows::millis(row, "at")?,
        expires: rows::millis(row, "expires")?,
    })
}

pub(crate) fn find(
    conn: &Connection,
    tenant: &TenantId,
    key: &[u8; 32],
) -> Result<Option<AuthorNumber>, Error> {
    let number: Option<i64> = conn
        .prepare_cached("SELECT number FROM authors WHERE tenant = ? AND key = ?")?
        .query_row(params![tenant.as_str(), key], |row| row.get(0))
        .optional()?;
    Ok(number.map(|n| AuthorNumber(n.cast_unsigned())))
}

pub(crate) fn of_tenant(
    conn: &Connection,
    tenant: &TenantId,
    author: AuthorNumber,
) -> Result<(), Error> {
    let known = conn
        .prepare_cached("SELECT 1 FROM authors WHERE number = ? AND tenant = ?")?
        .exists(params![bits(author.0), tenant.as_str()])?;
    if known { Ok(()) } else { Err(Error::NotFound("author")) }
}

/// The number of an author, made at the first sight.
pub(crate) fn number(
    txn: &Txn<'_>,
    tenant: &TenantId,
    key: &[u8; 32],
) -> Result<AuthorNumber, Error> {
    if let Some(number) = find(txn.conn, tenant, key)? {
        txn.conn
            .prepare_cached("UPDATE authors SET seen_at = ? WHERE number = ?")?
            .execute(params![txn.now.0, bits(number.0)])?;
        return Ok(number);
    }
    let number = AuthorNumber(u64::from_le_bytes(random()?));
    txn.conn.prepare_cached("INSERT INTO authors VALUES (?, ?, ?, ?)")?.execute(params![
        bits(number.0),
        tenant.as_str(),
        key,
        txn.now.0
    ])?;
    Ok(number)
}

/// What counts at this time.
pub(crate) fn standing(
    conn: &Connection,
    author: AuthorNumber,
    now: Millis,
) -> Result<Standing, Error> {
    let mut statement = conn.prepare_cached(
        "SELECT severity, at, expires FROM strikes WHERE author = ? AND expires > ? ORDER BY id",
    )?;
    let strikes = statement
        .query_map(params![bits(author.0), now.0], strike_row)?
        .collect::<Result<_, _>>()?;
    let ordered = conn
        .prepare_cached(
            "SELECT level, until FROM orders WHERE author = ? AND (until IS NULL OR until > ?)",
        )?
        .query_row(params![bits(author.0), now.0], |row| {
            Ok((rows::unslug(row, "level")?, row.get::<_, Option<i64>>("until")?.map(Millis)))
        })
        .optional()?;
    Ok(Standing { strikes, ordered })
}

pub(crate) fn strike(
    txn: &Txn<'_>,
    author: AuthorNumber,
    of: Option<(SubmissionId, u32)>,
    new: &Strike,
) -> Result<(), Error> {
    txn.conn
        .prepare_cached(
            "INSERT INTO strikes (author, submission, decision, severity, at, expires) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            bits(author.0),
            of.map(|(id, _)| id.0),
            of.map(|(_, number)| number),
            rows::slug(&new.severity)?,
            new.at.0,
            new.expires.0
        ])?;
    Ok(())
}

/// The strike that a submission brought.
pub(crate) fn strike_of(conn: &Connection, id: SubmissionId) -> Result<Option<i64>, Error> {
    Ok(conn
        .prepare_cached("SELECT id FROM strikes WHERE submission = ?")?
        .query_row([id.0], |row| row.get(0))
        .optional()?)
}

/// A later decision on the same matter: as grave as it says, from when it was given.
pub(crate) fn regrade(
    conn: &Connection,
    id: i64,
    decision: u32,
    strike: &Strike,
) -> Result<(), Error> {
    conn.prepare_cached("UPDATE strikes SET severity = ?, decision = ? WHERE id = ?")?
        .execute(params![rows::slug(&strike.severity)?, decision, id])?;
    Ok(())
}

/// A decision was reversed: its strike never was.
pub(crate) fn lift_of(conn: &Connection, id: SubmissionId) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM strikes WHERE submission = ?")?.execute([id.0])?;
    Ok(())
}

/// Takes back the ban that a submission brought.
pub(crate) fn unban_of(conn: &Connection, id: SubmissionId) -> Result<(), Error> {
    conn.prepare_cached("DELETE FROM orders WHERE submission = ?")?.execute([id.0])?;
    Ok(())
}

pub(crate) fn order(
    txn: &Txn<'_>,
    author: AuthorNumber,
    level: Level,
    until: Option<Millis>,
    of: Option<SubmissionId>,
) -> Result<(), Error> {
    txn.conn.prepare_cached("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)")?.execute(
        params![
            bits(author.0),
            rows::slug(&level)?,
            until.map(|t| t.0),
            of.map(|id| id.0),
            txn.now.0
        ],
    )?;
    Ok(())
}

fn note(
    txn: &mut Txn<'_>,
    author: AuthorNumber,
    struck: bool,
    ladder: &Ladder,
    actor: &Actor,
) -> Result<StandingNote, Error> {
    let standing = standing(txn.conn, author, txn.now)?;
    let (level, until) = standing.level(ladder, txn.now);
    let strikes = u32::try_from(standing.strikes.len()).unwrap_or(u32::MAX);
    let note = StandingNote { author, struck, strikes, level, until };
    let body = Body::StandingNote(note.clone());
    let subject = Subject::Author(author);
    txn.append(Entry { lane: Lane::Critical, actor, subject, body, side: None })?;
    Ok(note)
}
