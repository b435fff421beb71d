//! A tenant's own hash lists, and what changes when they or the policy do.
//!
//! Two numbers per tenant: `lists` rises with each entry that comes or goes, so that whoever keeps the lists in memory asks
//! only for what is new; `generation` rises with every change of list or policy, and with it all that the gate remembers is void.

use domain::journal::{
    Actor, BankChanged, Body, Code, Hashed, ItemId, Lane, Millis, PdqNote, PolicyInForce, Sha256,
    Subject, SubmissionId, TenantId,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    Error, Reply, Store,
    decision::{SeenPdq, Verdict},
    memory::Void,
    rows::{self, bits},
    store::Way,
    submission::Submission,
    txn::{Entry, Txn, random},
};

/// On which state of policy and lists a verdict rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// Rises with every change of policy or list.
    pub generation: u64,
    /// Rises with every change of a list.
    pub lists: u64,
}

/// A hash and how near is near enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Exactly these bytes.
    Sha256(Sha256),
    /// PDQ within so many of its 256 bits.
    Pdq([u8; 32], u16),
}

/// An entry to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBankEntry {
    /// Whether it clears rather than matches.
    pub negative: bool,
    /// The hash.
    pub hash: Hash,
    /// Label of its findings.
    pub label: Code,
    /// Whether no negative entry may silence it.
    pub protected: bool,
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankEntry {
    /// Its name.
    pub id: ItemId,
    /// What was added.
    pub entry: NewBankEntry,
    /// The state of the lists since which it is as it is.
    pub version: u64,
    /// When it was added.
    pub added_at: Millis,
    /// When it was taken away; such an entry matches nothing.
    pub removed_at: Option<Millis>,
}

impl Store {
    /// Adds an entry; in force from the next match on. The same entry twice is one.
    pub fn add_bank_entry(
        &self,
        tenant: TenantId,
        new: NewBankEntry,
        actor: Actor,
    ) -> Reply<ItemId> {
        self.write(Way::Normal, move |txn| Ok(add(txn, &tenant, &new, None, &actor)?.0))
    }

    /// The same by order of the hub, given at this time by its clock.
    pub fn add_ordered_entry(
        &self,
        tenant: TenantId,
        new: NewBankEntry,
        told_at: Millis,
    ) -> Reply<ItemId> {
        self.write(Way::Normal, move |txn| {
            Ok(add(txn, &tenant, &new, Some(told_at), &Actor::Hub)?.0)
        })
    }

    /// Whether an entry is in force.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn is_listed(&self, tenant: &TenantId, entry: &NewBankEntry) -> Result<bool, Error> {
        self.read(|conn| Ok(same(conn, tenant, entry)?.is_some()))
    }

    /// Takes an entry away.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such entry in force.
    pub fn remove_bank_entry(
        &self,
        tenant: TenantId,
        id: ItemId,
        actor: Actor,
    ) -> Reply<NewBankEntry> {
        self.write(Way::Normal, move |txn| {
            remove(txn, &tenant, id, &actor)?.ok_or(Error::NotFound("bank entry"))
        })
    }

    /// Entries that came or went after a state of the lists, in order; all, removed ones too, from state 0.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn bank_entries(&self, tenant: &TenantId, after: u64) -> Result<Vec<BankEntry>, Error> {
        self.read(|conn| entries_after(conn, tenant, after))
    }

    /// The state of a tenant's policy and lists.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn basis(&self, tenant: &TenantId) -> Result<Basis, Error> {
        self.read(|conn| basis(conn, tenant))
    }

    /// A policy is in force from now on, by `name@version`. Where it is another than before, all that the gate remembers of
    /// the tenant is void.
    pub fn policy_in_force(&self, tenant: TenantId, policy: Code, actor: Actor) -> Reply<Basis> {
        self.write(Way::Normal, move |txn| {
            let known: Option<Option<String>> = txn
                .conn
                .query_row("SELECT policy FROM tenants WHERE tenant = ?", [tenant.as_str()], |r| {
                    r.get(0)
                })
                .optional()?;
            if known.flatten().as_deref() == Some(policy.as_str()) {
                return basis(txn.conn, &tenant);
            }
            let basis = bump(txn, &tenant, false)?;
            txn.conn.execute(
                "UPDATE tenants SET policy = ? WHERE tenant = ?",
                params![policy.as_str(), tenant.as_str()],
            )?;
            let body = Body::PolicyInForce(PolicyInForce {
                tenant: tenant.clone(),
                policy: policy.clone(),
            });
            let subject = Subject::Box;
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            Ok(basis)
        })
    }

    /// Submissions of a tenant that a hash matches, newest first: what a new entry says of what was seen.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn seen(
        &self,
        tenant: &TenantId,
        hash: &Hash,
        limit: u32,
    ) -> Result<Vec<SubmissionId>, Error> {
        self.read(|conn| match hash {
            Hash::Sha256(sha256) => {
                let mut statement = conn.prepare_cached(
                    "SELECT DISTINCT submission FROM media JOIN submissions s ON s.id = submission
                     WHERE sha256 = ? AND s.tenant = ? ORDER BY submission DESC LIMIT ?",
                )?;
                let rows = statement
                    .query_map(params![sha256.0, tenant.as_str(), limit], |row| row.get(0))?;
                Ok(rows.map(|id| id.map(SubmissionId)).collect::<Result<_, _>>()?)
            }
            Hash::Pdq(pdq, most) => {
                let mut statement = conn.prepare_cached(
                    "SELECT submission, pdq FROM pdqs WHERE tenant = ? ORDER BY submission DESC",
                )?;
                let mut rows = statement.query([tenant.as_str()])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    let id = SubmissionId(row.get(0)?);
                    if distance(pdq, &row.get(1)?) <= u32::from(*most) && found.last() != Some(&id)
                    {
                        found.push(id);
                    }
                    if found.len() >= limit as usize {
                        break;
                    }
                }
                Ok(found)
            }
        })
    }
}

impl Store {
    /// The PDQs by which media of a submission were matched; of each medium the first is its own, the others are its mirror image's
    /// and lesser frames'.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn pdqs(&self, tenant: &TenantId, id: SubmissionId) -> Result<Vec<SeenPdq>, Error> {
        self.read(|conn| pdqs(conn, tenant, id))
    }
}

fn pdqs(conn: &Connection, tenant: &TenantId, id: SubmissionId) -> Result<Vec<SeenPdq>, Error> {
    let mut statement = conn.prepare_cached(
        "SELECT n, pdq, quality FROM pdqs WHERE submission = ? AND tenant = ? ORDER BY n, k",
    )?;
    let rows = statement.query_map(params![id.0, tenant.as_str()], |row| {
        let media: u32 = row.get("n")?;
        Ok(SeenPdq { media: media as usize, pdq: row.get("pdq")?, quality: row.get("quality")? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The same entry in force: its name, and when the hub ordered it, if it did.
fn same(
    conn: &Connection,
    tenant: &TenantId,
    entry: &NewBankEntry,
) -> Result<Option<(ItemId, Option<Millis>)>, Error> {
    let (hash, distance) = parts(&entry.hash);
    let same = conn
        .prepare_cached(
            "SELECT id, told_at FROM bank_entries WHERE tenant = ? AND hash = ? AND distance IS ? AND negative = ?
             AND label = ? AND protected = ? AND removed_at IS NULL",
        )?
        .query_row(
            params![tenant.as_str(), hash, distance, entry.negative, entry.label.as_str(), entry.protected],
            |row| Ok((ItemId(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(Millis))),
        )
        .optional()?;
    Ok(same)
}

/// The entry's name, and when the hub ordered it: the same twice is one, and stays whose it was.
pub(crate) fn add(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    new: &NewBankEntry,
    told_at: Option<Millis>,
    actor: &Actor,
) -> Result<(ItemId, Option<Millis>), Error> {
    if let Some(same) = same(txn.conn, tenant, new)? {
        return Ok(same);
    }
    let id = ItemId(uuid::Builder::from_random_bytes(random()?).into_uuid());
    let (hash, distance) = parts(&new.hash);
    let basis = bump(txn, tenant, true)?;
    txn.conn.execute(
        "INSERT INTO bank_entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        params![
            id.0,
            tenant.as_str(),
            new.negative,
            hash,
            distance,
            new.label.as_str(),
            new.protected,
            bits(basis.lists),
            txn.now.0,
            told_at.map(|at| at.0)
        ],
    )?;
    journal(txn, tenant, id, new, true, actor)?;
    Ok((id, told_at))
}

/// Takes an entry away; `None` where it is not in force.
pub(crate) fn remove(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    id: ItemId,
    actor: &Actor,
) -> Result<Option<NewBankEntry>, Error> {
    let basis = bump(txn, tenant, true)?;
    let removed = txn
        .conn
        .query_row(
            "UPDATE bank_entries SET removed_at = ?, version = ? WHERE id = ? AND tenant = ? AND removed_at IS NULL RETURNING *",
            params![txn.now.0, bits(basis.lists), id.0, tenant.as_str()],
            read,
        )
        .optional()?;
    if let Some(removed) = &removed {
        journal(txn, tenant, id, &removed.entry, false, actor)?;
    }
    Ok(removed.map(|removed| removed.entry))
}

/// Bits in which two hashes differ.
fn distance(a: &[u8; 32], b: &[u8; 32]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

pub(crate) fn parts(hash: &Hash) -> ([u8; 32], Option<u16>) {
    match hash {
        Hash::Sha256(sha256) => (sha256.0, None),
        Hash::Pdq(pdq, distance) => (*pdq, Some(*distance)),
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<BankEntry> {
    let hash: [u8; 32] = row.get("hash")?;
    let distance: Option<u16> = row.get("distance")?;
    Ok(BankEntry {
        id: ItemId(row.get("id")?),
        entry: NewBankEntry {
            negative: row.get("negative")?,
            hash: distance.map_or(Hash::Sha256(Sha256(hash)), |d| Hash::Pdq(hash, d)),
            label: rows::word(row, "label")?,
            protected: row.get("protected")?,
        },
        version: row.get::<_, i64>("version")?.cast_unsigned(),
        added_at: rows::millis(row, "added_at")?,
        removed_at: row.get::<_, Option<i64>>("removed_at")?.map(Millis),
    })
}

fn entries_after(
    conn: &Connection,
    tenant: &TenantId,
    after: u64,
) -> Result<Vec<BankEntry>, Error> {
    let mut statement = conn.prepare_cached(
        "SELECT * FROM bank_entries WHERE tenant = ? AND version > ? ORDER BY version",
    )?;
    let rows = statement.query_map(params![tenant.as_str(), bits(after)], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn basis(conn: &Connection, tenant: &TenantId) -> Result<Basis, Error> {
    let found = conn
        .prepare_cached("SELECT generation, lists FROM tenants WHERE tenant = ?")?
        .query_row([tenant.as_str()], |row| {
            let number = |n| row.get::<_, i64>(n).map(i64::cast_unsigned);
            Ok(Basis { generation: number(0)?, lists: number(1)? })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// The state of a tenant, with a row to join verdicts to.
pub(crate) fn ensure(conn: &Connection, tenant: &TenantId) -> Result<Basis, Error> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO tenants (tenant, generation, lists) VALUES (?, 0, 0)",
    )?
    .execute([tenant.as_str()])?;
    basis(conn, tenant)
}

/// Something changed for a tenant.
pub(crate) fn bump(txn: &Txn<'_>, tenant: &TenantId, lists: bool) -> Result<Basis, Error> {
    txn.conn
        .prepare_cached(
            "INSERT INTO tenants (tenant, generation, lists) VALUES (?1, 1, ?2)
             ON CONFLICT (tenant) DO UPDATE SET generation = generation + 1, lists = lists + ?2",
        )?
        .execute(params![tenant.as_str(), lists])?;
    txn.void(Void::Gate);
    basis(txn.conn, tenant)
}

/// Tells in the journal by which PDQ each medium of a decision can be found: the first of each, for the others are its mirror image
/// and lesser frames.
pub(crate) fn tell_hashes(
    txn: &mut Txn<'_>,
    submission: &Submission,
    verdict: &Verdict,
    lane: Lane,
) -> Result<(), Error> {
    let mut pdqs: Vec<PdqNote> = Vec::new();
    for seen in &verdict.pdqs {
        let index = u8::try_from(seen.media).unwrap_or(u8::MAX);
        if pdqs.iter().all(|note| note.index != index) {
            pdqs.push(PdqNote { index, pdq: Sha256(seen.pdq), quality: seen.quality });
        }
    }
    if pdqs.is_empty() {
        return Ok(());
    }
    let body = Body::Hashed(Hashed { tenant: submission.tenant.clone(), pdqs });
    let (actor, subject) = (&Actor::Machine, Subject::Submission(submission.id));
    txn.append(Entry { lane, actor, subject, body, side: None })?;
    Ok(())
}

/// Refuses a verdict where an entry that came or went after its match concerns one of its media.
pub(crate) fn refuse_stale(
    conn: &Connection,
    submission: &Submission,
    basis: Basis,
    pdqs: &[SeenPdq],
) -> Result<(), Error> {
    let newer = entries_after(conn, &submission.tenant, basis.lists)?;
    if newer.iter().any(|row| concerns(&row.entry, submission, pdqs)) {
        return Err(Error::Stale);
    }
    Ok(())
}

/// Entries in force since an instant that match one of a submission's media.
pub(crate) fn matching_since(
    conn: &Connection,
    submission: &Submission,
    since: Millis,
) -> Result<Vec<NewBankEntry>, Error> {
    let pdqs = pdqs(conn, &submission.tenant, submission.id)?;
    let mut statement = conn.prepare_cached(
        "SELECT * FROM bank_entries WHERE tenant = ? AND added_at >= ? AND removed_at IS NULL AND NOT negative ORDER BY version",
    )?;
    let mut rows = statement.query(params![submission.tenant.as_str(), since.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let BankEntry { entry, .. } = read(row)?;
        if concerns(&entry, submission, &pdqs) {
            found.push(entry);
        }
    }
    Ok(found)
}

fn concerns(entry: &NewBankEntry, submission: &Submission, pdqs: &[SeenPdq]) -> bool {
    match &entry.hash {
        Hash::Sha256(hash) => submission.media.iter().any(|media| media.sha256 == Some(*hash)),
        Hash::Pdq(hash, most) => {
            pdqs.iter().any(|seen| distance(hash, &seen.pdq) <= u32::from(*most))
        }
    }
}

fn journal(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    id: ItemId,
    entry: &NewBankEntry,
    added: bool,
    actor: &Actor,
) -> Result<(), Error> {
    let (hash, distance) = parts(&entry.hash);
    let body = Body::BankChanged(BankChanged {
        tenant: tenant.clone(),
        added,
        negative: entry.negative,
        hash: Sha256(hash),
        distance,
        label: entry.label.clone(),
        protected: entry.protected,
    });
    txn.append(Entry { lane: Lane::Bulk, actor, subject: Subject::Item(id), body, side: None })?;
    Ok(())
}
