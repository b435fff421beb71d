//! Bytes in the spool: who still needs them. The store knows names only; files are the gateway's.
//!
//! A blob goes when no job (waiting, in hand or dead), no claim and no evidence that is still to be made refers to it. Going is an effect row:
//! the file is deleted, then the row acknowledged; both can be done twice.

use std::{collections::BTreeSet, path::PathBuf};

use domain::journal::{
    Actor, BlobDeleted, Body, EventId, Lane, Millis, Sha256, Subject, SubmissionId,
};
use rusqlite::{OptionalExtension as _, params};
use uuid::Uuid;

use crate::{
    Error, Reply, Store,
    rows::{self, bits},
    store::Way,
    submission::StoredMedia,
    txn::{Entry, Txn, random},
};

/// A hold on a blob until it is given back or its time is over: a review, a preview, evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim(pub(crate) Uuid);

impl Store {
    /// Holds a blob until a time.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such blob, [`Error::BlobGoing`] where it is too late.
    pub fn claim_blob(&self, name: String, until: Millis) -> Reply<Claim> {
        self.write(Way::Normal, move |txn| {
            let id = uuid::Builder::from_random_bytes(random()?).into_uuid();
            if !keep(txn, &name)? {
                return Err(Error::NotFound("blob"));
            }
            txn.conn.execute("INSERT INTO claims VALUES (?, ?, ?)", params![id, name, until.0])?;
            Ok(Claim(id))
        })
    }

    /// Gives a claim back.
    pub fn unclaim_blob(&self, claim: Claim) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let blob: Option<String> = txn
                .conn
                .query_row("DELETE FROM claims WHERE id = ? RETURNING blob", [claim.0], |row| {
                    row.get(0)
                })
                .optional()?;
            blob.map_or(Ok(()), |name| release(txn, &name))
        })
    }

    /// Queues the deletion of every blob whose claims and windows have run out, at most `limit`; how many.
    pub fn sweep_blobs(&self, limit: u32) -> Reply<u32> {
        self.write(Way::Normal, move |txn| {
            txn.conn.execute("DELETE FROM claims WHERE until <= ?", [txn.now.0])?;
            let names: Vec<String> = txn
                .conn
                .prepare_cached(&format!("SELECT name FROM blobs WHERE {UNREFERENCED} LIMIT ?2"))?
                .query_map(params![txn.now.0, limit], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for name in &names {
                release(txn, name)?;
            }
            Ok(u32::try_from(names.len()).unwrap_or(u32::MAX))
        })
    }

    /// Which of these files of the spool nobody knows. Give only files older than the longest upload: a body that is
    /// still coming in has a file before it has a row.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn orphans(&self, listing: &[String]) -> Result<Vec<String>, Error> {
        self.read(|conn| {
            let mut known = conn.prepare_cached("SELECT 1 FROM blobs WHERE name = ?")?;
            let mut orphans = Vec::new();
            for name in listing {
                if !known.exists([name])? {
                    orphans.push(name.clone());
                }
            }
            Ok(orphans)
        })
    }

    /// Blobs that the store counts on and that are not in this listing of the spool: lost, or deleted by another hand.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn missing(&self, listing: &BTreeSet<String>) -> Result<Vec<String>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT name FROM blobs WHERE going = 0")?;
            let names = statement.query_map([], |row| row.get::<_, String>(0))?;
            let lost = names.filter(|name| name.as_ref().map_or(true, |n| !listing.contains(n)));
            Ok(lost.collect::<Result<_, _>>()?)
        })
    }
}

/// Nobody needs the blob `name` at time ?1.
const UNREFERENCED: &str = "going = 0
    AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.blob = blobs.name AND until > ?1)
    AND NOT EXISTS (SELECT 1 FROM media m WHERE m.blob = blobs.name AND
        (m.keep_until > ?1 OR EXISTS (SELECT 1 FROM jobs j WHERE j.submission = m.submission)
            OR EXISTS (SELECT 1 FROM effects e WHERE e.submission = m.submission AND e.kind = 'evidence' AND e.endpoint = m.n)))";

/// A new submission refers to a blob.
pub(crate) fn hold(txn: &Txn<'_>, stored: &StoredMedia) -> Result<(), Error> {
    if !keep(txn, &stored.blob)? {
        txn.conn
            .prepare_cached(
                "INSERT INTO blobs (name, sha256, bytes, stored_at) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![stored.blob, stored.sha256.0, bits(stored.bytes), txn.now.0])?;
    }
    Ok(())
}

/// Calls a deletion off where it has not begun; false where there is no such blob.
pub(crate) fn keep(txn: &Txn<'_>, name: &str) -> Result<bool, Error> {
    let going: Option<bool> = txn
        .conn
        .prepare_cached("SELECT going FROM blobs WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if going == Some(true) {
        let stopped = txn.conn.execute(
            "DELETE FROM effects WHERE kind = 'delete' AND endpoint = ? AND state <> 'leased' AND attempts = 0",
            [name],
        )?;
        if stopped == 0 {
            return Err(Error::BlobGoing(name.to_owned()));
        }
        txn.conn.execute("UPDATE blobs SET going = 0 WHERE name = ?", [name])?;
    }
    Ok(going.is_some())
}

/// Queues the deletion of a blob if nobody needs it.
pub(crate) fn release(txn: &mut Txn<'_>, name: &str) -> Result<(), Error> {
    let going = txn
        .conn
        .prepare_cached(&format!("UPDATE blobs SET going = 1 WHERE name = ?2 AND {UNREFERENCED}"))?
        .execute(params![txn.now.0, name])?;
    if going > 0 {
        let id = EventId::new(txn.tip.of, SubmissionId(Uuid::nil()), 0, "delete", name);
        txn.conn
            .prepare_cached(
                "INSERT OR IGNORE INTO effects (id, tenant, kind, event, endpoint, payload, state, not_before, set_at)
                 VALUES (?1, '', 'delete', 'delete', ?2, x'', 'queued', ?3, ?3)",
            )?
            .execute(params![id.0, name, txn.now.0])?;
    }
    Ok(())
}

/// A file is gone.
pub(crate) fn gone(txn: &mut Txn<'_>, name: &str) -> Result<(), Error> {
    let blob: Option<(Option<Sha256>, i64)> = txn
        .conn
        .prepare_cached("DELETE FROM blobs WHERE name = ? RETURNING sha256, bytes")?
        .query_row([name], |row| Ok((rows::sha256(row, "sha256")?, row.get("bytes")?)))
        .optional()?;
    txn.conn.prepare_cached("UPDATE media SET blob = NULL WHERE blob = ?")?.execute([name])?;
    if let Some((sha256, bytes)) = blob {
        let body = Body::BlobDeleted(BlobDeleted { bytes: bytes.cast_unsigned() });
        let subject = sha256.map_or(Subject::Box, Subject::Media);
        let actor = &Actor::System;
        txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
    }
    Ok(())
}

/// Where the file of a blob lies below a spool directory. Names are the gateway's own; one that would lead elsewhere is refused.
///
/// # Errors
/// [`Error::Invalid`] for a name with a separator or a leading dot.
pub fn path_in(spool: &std::path::Path, name: &str) -> Result<PathBuf, Error> {
    let plain = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain { Ok(spool.join(name)) } else { Err(Error::Invalid("no name of a file in the spool")) }
}
