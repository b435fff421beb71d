//! Erasure: an author's rows and side records go, the journal keeps a tombstone, and every chain still verifies.

use domain::journal::{Actor, AuthorNumber, Body, Erased, Lane, Subject, TenantId};
use rusqlite::params;
use uuid::Uuid;

use crate::{
    Error, Reply, Store, author, blob, evidence,
    rows::bits,
    store::Way,
    txn::{Entry, Txn},
};

/// What an erasure took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Whose; the number now stands for nobody.
    pub author: AuthorNumber,
    /// Submissions that lost what was personal in them.
    pub submissions: u32,
    /// Side records that went.
    pub sides: u32,
}

impl Store {
    /// Erases an author: the link to the platform's id, captions, texts read, details of findings, addresses, tags, strikes,
    /// reports' texts, delivered messages, evidence. Decisions stay, about nobody; what waits is still judged. When the reply has
    /// come, the bytes are gone from database and log; snapshots made before still hold them.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such author.
    pub fn erase_author(
        &self,
        tenant: TenantId,
        author: AuthorNumber,
        actor: Actor,
    ) -> Reply<Erasure> {
        self.write(Way::Urgent, move |txn| erase(txn, &tenant, author, &actor))
    }
}

fn erase(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    author: AuthorNumber,
    actor: &Actor,
) -> Result<Erasure, Error> {
    author::of_tenant(txn.conn, tenant, author)?;
    let number = bits(author.0);
    let submissions: Vec<Uuid> = txn
        .conn
        .prepare_cached("SELECT id FROM submissions WHERE author = ?")?
        .query_map([number], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut sides = txn.conn.execute("DELETE FROM sides WHERE author = ?", [number])?;
    for id in &submissions {
        sides += txn
            .conn
            .prepare_cached("DELETE FROM sides WHERE submission = ? AND kind <> 'report'")?
            .execute([id])?;
        for query in [
            "UPDATE submissions SET author = NULL, client_tag = NULL, idempotency_key = NULL, ip = NULL, language = NULL WHERE id = ?",
            "UPDATE decisions SET detail = NULL WHERE submission = ?",
            "DELETE FROM effect_failures WHERE effect IN (SELECT id FROM effects WHERE submission = ? AND state IN ('done', 'failed'))",
            "DELETE FROM effects WHERE submission = ? AND state IN ('done', 'failed')",
        ] {
            txn.conn.prepare_cached(query)?.execute([id])?;
        }
        evidence::forget(txn, *id, number.to_string().as_bytes())?;
        evidence::rule_out(txn, *id)?;
        release_media(txn, *id)?;
    }
    for query in [
        "UPDATE reports SET reporter = NULL, source = NULL WHERE reporter = ?",
        "DELETE FROM strikes WHERE author = ?",
        "DELETE FROM orders WHERE author = ?",
        "DELETE FROM authors WHERE number = ?",
    ] {
        txn.conn.prepare_cached(query)?.execute([number])?;
    }
    txn.truncate_log = true;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (submissions, sides) = (count(submissions.len()), count(sides));
    let body = Body::Erased(Erased { tenant: tenant.clone(), submissions, sides });
    let subject = Subject::Author(author);
    txn.append(Entry { lane: Lane::Critical, actor, subject, body, side: None })?;
    Ok(Erasure { author, submissions, sides })
}

/// The bytes go as soon as no job needs them.
fn release_media(txn: &mut Txn<'_>, submission: Uuid) -> Result<(), Error> {
    txn.conn
        .prepare_cached(
            "UPDATE media SET keep_until = ? WHERE submission = ? AND keep_until IS NOT NULL",
        )?
        .execute(params![txn.now.0, submission])?;
    let names: Vec<String> = txn
        .conn
        .prepare_cached("SELECT blob FROM media WHERE submission = ? AND blob IS NOT NULL")?
        .query_map([submission], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    names.iter().try_for_each(|name| blob::release(txn, name))
}
