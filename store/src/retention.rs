//! What goes with time: addresses are masked, old rows deleted, free pages given back. In small portions, so that no
//! acceptance waits behind it.

use std::net::IpAddr;

use domain::journal::{SubmissionId, TenantId};
use rusqlite::params;
use uuid::Uuid;

use crate::{Error, Reply, Store, blob, evidence, memory::Void, store::Way, txn::Txn};

/// What one portion did; all zero when nothing is left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Addresses masked, and hashes of addresses forgotten.
    pub masked: u32,
    /// Submissions deleted with all that hangs on them.
    pub submissions: u32,
    /// Other rows deleted: strikes that expired, messages, answers of the gate, authors of whom nothing is left.
    pub rows: u32,
}

/// Free pages given back in one portion.
const PAGES: u32 = 64;

impl Store {
    /// One portion of what is due, at most `limit` rows of a kind. Call it again until it reports nothing.
    pub fn retain(&self, limit: u32) -> Reply<Retained> {
        self.write(Way::Normal, move |txn| {
            let retained = Retained {
                masked: mask(txn, limit)?,
                submissions: submissions(txn, limit)?,
                rows: rows(txn, limit)?,
            };
            let mut vacuum =
                txn.conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            let mut freed = vacuum.query([])?;
            while freed.next()?.is_some() {}
            Ok(retained)
        })
    }
}

impl Store {
    /// Deletes a submission of the box's own (its self-test) at once, with all that hangs on it but its journal entries.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has none of that name; [`Error::Conflict`] while it is in hand.
    pub fn discard(&self, tenant: TenantId, id: SubmissionId) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let known = "SELECT 1 FROM submissions WHERE id = ? AND tenant = ?";
            if !txn.conn.prepare_cached(known)?.exists(params![id.0, tenant.as_str()])? {
                return Err(Error::NotFound("submission"));
            }
            let leased = "SELECT 1 FROM jobs WHERE submission = ? AND state = 'leased'";
            if txn.conn.prepare_cached(leased)?.exists([id.0])? {
                return Err(Error::Conflict("the submission is in hand"));
            }
            for query in [
                "DELETE FROM jobs WHERE submission = ?",
                "DELETE FROM media_verdicts WHERE submission = ?",
            ] {
                txn.conn.prepare_cached(query)?.execute([id.0])?;
            }
            delete(txn, id.0)
        })
    }
}

/// The network of an address: 24 bits of IPv4, 48 of IPv6, as is usual for anonymised logs.
fn masked(ip: &str) -> String {
    match ip.parse() {
        Ok(IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Ok(IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            format!("{:x}:{:x}:{:x}::/48", a, b, c)
        }
        Err(_) => "/".to_owned(),
    }
}

fn mask(txn: &Txn<'_>, limit: u32) -> Result<u32, Error> {
    let old = txn.now.before(txn.config.ip_mask_after);
    let due: Vec<(Uuid, String)> = txn
        .conn
        .prepare_cached(
            "SELECT id, ip FROM submissions WHERE ip IS NOT NULL AND instr(ip, '/') = 0 AND received_at < ? LIMIT ?",
        )?
        .query_map(params![old.0, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut update = txn.conn.prepare_cached("UPDATE submissions SET ip = ? WHERE id = ?")?;
    for (id, ip) in &due {
        update.execute(params![masked(ip), id])?;
    }
    // Whoever has the key could find an address behind its hash by trying all.
    let reports = txn
        .conn
        .prepare_cached(
            "UPDATE reports SET source = NULL
             WHERE id IN (SELECT id FROM reports WHERE source IS NOT NULL AND at < ? LIMIT ?)",
        )?
        .execute(params![old.0, limit])?;
    Ok(u32::try_from(due.len() + reports).unwrap_or(u32::MAX))
}

fn submissions(txn: &mut Txn<'_>, limit: u32) -> Result<u32, Error> {
    let old = txn.now.before(txn.config.submissions_keep);
    let due: Vec<Uuid> = txn
        .conn
        .prepare_cached(
            "SELECT id FROM submissions s WHERE received_at < ? AND decision IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.submission = s.id)
             AND NOT EXISTS (SELECT 1 FROM appeals a WHERE a.submission = s.id AND a.state = 'open')
             AND NOT EXISTS (SELECT 1 FROM media m WHERE m.submission = s.id AND m.blob IS NOT NULL AND m.keep_until > ?)
             AND NOT EXISTS (SELECT 1 FROM evidence e WHERE e.submission = s.id AND e.state IN ('due', 'here')) LIMIT ?",
        )?
        .query_map(params![old.0, txn.now.0, limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &due {
        delete(txn, *id)?;
    }
    Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
}

/// Deletes a submission with all that hangs on it; its entries stay in the journal.
fn delete(txn: &mut Txn<'_>, id: Uuid) -> Result<(), Error> {
    evidence::forget(txn, id, &[])?;
    let blobs: Vec<String> = txn
        .conn
        .prepare_cached("SELECT blob FROM media WHERE submission = ? AND blob IS NOT NULL")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for query in [
        "DELETE FROM media WHERE submission = ?",
        "DELETE FROM pdqs WHERE submission = ?",
        "DELETE FROM decisions WHERE submission = ?",
        "DELETE FROM sides WHERE submission = ?",
        "DELETE FROM reports WHERE submission = ?",
        "DELETE FROM appeals WHERE submission = ?",
        "DELETE FROM effects WHERE submission = ? AND state IN ('done', 'failed')",
        "DELETE FROM submissions WHERE id = ?",
    ] {
        txn.conn.prepare_cached(query)?.execute([id])?;
    }
    for name in blobs {
        blob::release(txn, &name)?;
    }
    Ok(())
}

fn rows(txn: &Txn<'_>, limit: u32) -> Result<u32, Error> {
    let effects = txn.now.before(txn.config.effects_keep);
    let old = txn.now.before(txn.config.submissions_keep);
    let mut gone = 0;
    for (query, before) in [
        ("DELETE FROM strikes WHERE id IN (SELECT id FROM strikes WHERE expires <= ? LIMIT ?)", txn.now),
        ("DELETE FROM effects WHERE n IN (SELECT n FROM effects WHERE state IN ('done', 'failed') AND set_at < ? LIMIT ?)", effects),
        ("DELETE FROM effect_failures WHERE (effect, attempt) IN (SELECT effect, attempt FROM effect_failures f
             WHERE at < ? AND NOT EXISTS (SELECT 1 FROM effects e WHERE e.id = f.effect) LIMIT ?)", effects),
        ("DELETE FROM media_verdicts WHERE (tenant, surface, sha256) IN (SELECT tenant, surface, sha256 FROM media_verdicts v
             WHERE at < ?1 OR generation <> (SELECT generation FROM tenants t WHERE t.tenant = v.tenant) LIMIT ?2)", old),
        ("DELETE FROM reports WHERE id IN (SELECT id FROM reports WHERE at < ? AND state <> 'open' AND submission IS NULL LIMIT ?)", old),
        ("DELETE FROM authors WHERE number IN (SELECT number FROM authors a WHERE seen_at < ?
             AND NOT EXISTS (SELECT 1 FROM submissions s WHERE s.author = a.number)
             AND NOT EXISTS (SELECT 1 FROM strikes s WHERE s.author = a.number)
             AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.author = a.number) LIMIT ?)", old),
        ("DELETE FROM checkpoints WHERE n IN (SELECT n FROM checkpoints WHERE at < ?
             AND n NOT IN (SELECT max(n) FROM checkpoints GROUP BY epoch) LIMIT ?)", old),
    ] {
        let count = txn.conn.prepare_cached(query)?.execute(params![before.0, limit])?;
        if count > 0 && query.starts_with("DELETE FROM media_verdicts") {
            txn.void(Void::Gate);
        }
        gone += count;
    }
    Ok(u32::try_from(gone).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn an_address_keeps_its_network_only() {
        assert_eq!(masked("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(masked("2001:db8:12:34::1"), "2001:db8:12::/48");
        assert_eq!(masked("nonsense"), "/");
    }
}
