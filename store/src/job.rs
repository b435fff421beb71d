//! Work: one job for each submission that waits, leased by process incarnation and attempt, never by time.

use domain::journal::{
    Actor, Body, Code, Fetched, JobChange, JobNote, Lane, Millis, Subject, SubmissionId, TenantId,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reply, Store, author,
    bank::{self, Basis},
    blob,
    rows::{self, bits},
    store::Way,
    submission::{self, State, StoredMedia, Submission},
    txn::{Entry, Txn},
};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Get media by their addresses.
    Fetch,
    /// Judge.
    Judge,
}

/// The right to finish a job. It ends with the process, or when the job is leased again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which job.
    pub(crate) job: i64,
    /// Which process.
    pub(crate) incarnation: u64,
    /// Which attempt, counted from 1 when the lease is given.
    pub attempt: u32,
    /// What is to be done.
    pub kind: JobKind,
    /// Whether a failure of this attempt makes a dead letter.
    pub last: bool,
    /// For which submission.
    pub submission: SubmissionId,
}

/// A lease and all that the work needs.
#[derive(Clone, Debug)]
pub struct Work {
    /// The lease.
    pub lease: Lease,
    /// What is to be judged, or fetched.
    pub submission: Submission,
    /// The author's standing.
    pub standing: domain::standing::Standing,
    /// The state of policy and lists from which the work starts; goes into the verdict.
    pub basis: Basis,
}

/// What becomes of a job whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Another attempt, not before this time.
    Retry(Millis),
    /// Dead letter; a person may retry it.
    Dead,
}

/// A job that nobody will try again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its submission.
    pub submission: SubmissionId,
    /// What was to be done.
    pub kind: JobKind,
    /// How often it was leased.
    pub attempts: u32,
    /// The last reason.
    pub reason: Option<Code>,
    /// When it was given up.
    pub at: Millis,
}

/// The queue in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs in hand.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest waiting submission came.
    pub oldest: Option<Millis>,
}

impl Store {
    /// Leases up to `most` jobs, those of the highest rank first: a step of priority passes a thousand earlier
    /// submissions, so that nothing waits for ever, and no clock has a say.
    pub fn lease(&self, most: u32) -> Reply<Vec<Work>> {
        self.write(Way::Normal, move |txn| lease(txn, most))
    }

    /// Gives a job back unfinished, for instance at a drain. It counts as no failure.
    pub fn release(&self, lease: Lease) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            held(txn, &lease)?;
            requeue(txn.conn, lease.job)
        })
    }

    /// An attempt failed. The reason is machine-readable.
    pub fn fail(&self, lease: Lease, reason: Code) -> Reply<Fate> {
        self.write(Way::Normal, move |txn| {
            held(txn, &lease)?;
            fail(txn, lease.job, &reason)
        })
    }

    /// The media of a fetch job are here, one for each address in the order of the media; the job goes on as a judge job.
    /// They lie in the spool, synced.
    pub fn fetched(&self, lease: Lease, media: Vec<(usize, StoredMedia)>) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            held(txn, &lease)?;
            fetched(txn, &lease, &media)
        })
    }

    /// Retries a dead letter by hand, with a fresh count.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such submission, [`Error::Conflict`] where it is no dead letter.
    pub fn retry(&self, tenant: TenantId, id: SubmissionId, actor: Actor) -> Reply<()> {
        self.write(Way::Normal, move |txn| retry(txn, &tenant, id, &actor))
    }

    /// Judges a decided submission again: the machine's next decision supersedes the one in force. Nothing happens where a
    /// job waits already. Deletions of its bytes are called off.
    ///
    /// # Errors
    /// [`Error::BlobGoing`] where it is too late for that.
    pub fn rejudge(&self, tenant: TenantId, id: SubmissionId) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let submission = submission::read(txn.conn, id)?
                .filter(|found| found.tenant == tenant)
                .ok_or(Error::NotFound("submission"))?;
            for name in submission.media.iter().filter_map(|media| media.blob.as_deref()) {
                blob::keep(txn, name)?;
            }
            txn.conn.execute(
                "INSERT OR IGNORE INTO jobs (submission, tenant, kind, priority, state, not_before, set_at)
                 VALUES (?1, ?2, 'judge', ?3, 'queued', ?4, ?4)",
                params![id.0, tenant.as_str(), submission.priority, txn.now.0],
            )?;
            Ok(())
        })
    }

    /// Dead letters of a tenant, oldest first, behind the submission named last.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn dead_letters(
        &self,
        tenant: &TenantId,
        after: Option<SubmissionId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT * FROM jobs WHERE tenant = ?1 AND state = 'dead' AND (?2 IS NULL OR submission > ?2)
                 ORDER BY submission LIMIT ?3",
            )?;
            let rows =
                statement.query_map(params![tenant.as_str(), after.map(|id| id.0), limit], |row| {
                    let reason: Option<String> = row.get("reason")?;
                    Ok(DeadLetter {
                        submission: SubmissionId(row.get("submission")?),
                        kind: rows::unslug(row, "kind")?,
                        attempts: row.get("attempts")?,
                        reason: reason.map(|text| Code::lossy(&text)),
                        at: rows::millis(row, "set_at")?,
                    })
                })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The queue in numbers, all tenants together.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn queue_depth(&self) -> Result<QueueDepth, Error> {
        self.read(|conn| {
            let count = |state: &str| {
                conn.prepare_cached("SELECT count(*) FROM jobs WHERE state = ?")?
                    .query_row([state], |row| row.get::<_, i64>(0))
                    .map(i64::cast_unsigned)
            };
            let oldest: Option<i64> = conn
                .prepare_cached(
                    "SELECT received_at FROM submissions WHERE id = (SELECT min(submission) FROM jobs WHERE state = 'queued')",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            Ok(QueueDepth {
                queued: count("queued")?,
                leased: count("leased")?,
                dead: count("dead")?,
                oldest: oldest.map(Millis),
            })
        })
    }
}

fn lease(txn: &mut Txn<'_>, most: u32) -> Result<Vec<Work>, Error> {
    // A pause ends early where the clock was set back behind the moment at which it began.
    let mut statement = txn.conn.prepare_cached(
        "SELECT id, submission, kind, attempts, failures FROM jobs
         WHERE state = 'queued' AND (not_before <= ?1 OR set_at > ?1)
         ORDER BY id - 1000 * priority LIMIT ?2",
    )?;
    let mut leases: Vec<(Lease, u32)> = statement
        .query_map(params![txn.now.0, most], |row| {
            let failures: u32 = row.get("failures")?;
            let lease = Lease {
                job: row.get("id")?,
                incarnation: txn.incarnation,
                attempt: row.get::<_, u32>("attempts")? + 1,
                kind: rows::unslug(row, "kind")?,
                last: failures >= txn.config.retries,
                submission: SubmissionId(row.get("submission")?),
            };
            Ok((lease, failures))
        })?
        .collect::<Result<_, _>>()?;
    let mut work = Vec::with_capacity(leases.len());
    for (lease, _) in leases.drain(..) {
        txn.conn
            .prepare_cached(
                "UPDATE jobs SET state = 'leased', attempts = ?, incarnation = ?, set_at = ? WHERE id = ?",
            )?
            .execute(params![lease.attempt, bits(txn.incarnation), txn.now.0, lease.job])?;
        let submission = submission::read(txn.conn, lease.submission)?
            .ok_or_else(|| Error::damaged("a job without its submission"))?;
        let standing = match submission.author {
            Some(author) => author::standing(txn.conn, author, txn.now)?,
            None => domain::standing::Standing::default(),
        };
        let basis = bank::basis(txn.conn, &submission.tenant)?;
        work.push(Work { lease, submission, standing, basis });
    }
    Ok(work)
}

/// Whether the lease is the one in force.
pub(crate) fn held(txn: &Txn<'_>, lease: &Lease) -> Result<(), Error> {
    let found = txn
        .conn
        .prepare_cached(
            "SELECT 1 FROM jobs WHERE id = ? AND submission = ? AND state = 'leased' AND incarnation = ? AND attempts = ?",
        )?
        .exists(params![lease.job, lease.submission.0, bits(lease.incarnation), lease.attempt])?;
    if found && lease.incarnation == txn.incarnation { Ok(()) } else { Err(Error::LeaseLost) }
}

fn requeue(conn: &Connection, job: i64) -> Result<(), Error> {
    conn.prepare_cached("UPDATE jobs SET state = 'queued', incarnation = NULL WHERE id = ?")?
        .execute([job])?;
    Ok(())
}

/// Counts a failure: a pause that doubles, or the dead letters.
fn fail(txn: &mut Txn<'_>, job: i64, reason: &Code) -> Result<Fate, Error> {
    let failures: u32 = txn
        .conn
        .prepare_cached(
            "UPDATE jobs SET failures = failures + 1, reason = ? WHERE id = ? RETURNING failures",
        )?
        .query_row(params![reason.as_str(), job], |row| row.get(0))?;
    if failures > txn.config.retries {
        bury(txn, job, reason)?;
        return Ok(Fate::Dead);
    }
    let pause = txn.config.retry_pause.saturating_mul(1 << (failures - 1).min(16));
    let not_before = txn.now.after(pause);
    txn.conn
        .prepare_cached(
            "UPDATE jobs SET state = 'queued', incarnation = NULL, not_before = ?, set_at = ? WHERE id = ?",
        )?
        .execute(params![not_before.0, txn.now.0, job])?;
    Ok(Fate::Retry(not_before))
}

/// Makes a dead letter of a job. A submission without a decision is failed; one that was only judged again keeps its own.
fn bury(txn: &mut Txn<'_>, job: i64, reason: &Code) -> Result<(), Error> {
    let (id, tenant, attempts): (uuid::Uuid, String, u32) = txn
        .conn
        .prepare_cached(
            "UPDATE jobs SET state = 'dead', incarnation = NULL, reason = ?, set_at = ? WHERE id = ?
             RETURNING submission, tenant, attempts",
        )?
        .query_row(params![reason.as_str(), txn.now.0, job], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    txn.conn
        .prepare_cached("UPDATE submissions SET state = ? WHERE id = ? AND decision IS NULL")?
        .execute(params![rows::slug(&State::Failed)?, id])?;
    note(txn, SubmissionId(id), &tenant, JobChange::Dead, attempts, reason, &Actor::System)
}

fn note(
    txn: &mut Txn<'_>,
    id: SubmissionId,
    tenant: &str,
    what: JobChange,
    attempts: u32,
    reason: &Code,
    actor: &Actor,
) -> Result<(), Error> {
    let tenant = tenant.parse().map_err(|_| Error::damaged("the tenant of a job"))?;
    let body = Body::JobNote(JobNote { tenant, what, attempts, reason: reason.clone() });
    let subject = Subject::Submission(id);
    txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
    Ok(())
}

fn fetched(txn: &mut Txn<'_>, lease: &Lease, media: &[(usize, StoredMedia)]) -> Result<(), Error> {
    for (index, stored) in media {
        blob::hold(txn, stored)?;
        let changed = txn.conn.execute(
            "UPDATE media SET sha256 = ?, bytes = ?, kind = ?, blob = ?, url = NULL WHERE submission = ? AND n = ? AND url IS NOT NULL",
            params![stored.sha256.0, bits(stored.bytes), rows::slug(&stored.kind)?, stored.blob, lease.submission.0, *index as i64],
        )?;
        if changed == 0 {
            return Err(Error::Invalid("no medium of that index was to be fetched"));
        }
        let index = u8::try_from(*index).map_err(|_| Error::Invalid("an index above 255"))?;
        let body = Body::Fetched(Fetched { index, media: submission::note(stored) });
        let subject = Subject::Submission(lease.submission);
        let actor = &Actor::System;
        txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
    }
    let missing = txn
        .conn
        .prepare_cached("SELECT 1 FROM media WHERE submission = ? AND url IS NOT NULL")?
        .exists(params![lease.submission.0])?;
    if missing {
        return Err(Error::Invalid("not all media were fetched: fail the job, or bring them all"));
    }
    txn.conn.execute(
        "UPDATE jobs SET kind = 'judge', state = 'queued', incarnation = NULL, failures = 0 WHERE id = ?",
        [lease.job],
    )?;
    Ok(())
}

fn retry(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    id: SubmissionId,
    actor: &Actor,
) -> Result<(), Error> {
    let found: Option<(u32, Option<String>)> = txn
        .conn
        .query_row(
            "UPDATE jobs SET state = 'queued', failures = 0, crashes = 0, not_before = ?1, set_at = ?1
             WHERE submission = ?2 AND tenant = ?3 AND state = 'dead' RETURNING attempts, reason",
            params![txn.now.0, id.0, tenant.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((attempts, reason)) = found else {
        let known = submission::read(txn.conn, id)?.is_some_and(|found| found.tenant == *tenant);
        return Err(if known {
            Error::Conflict("this submission is no dead letter: it waits, or is decided")
        } else {
            Error::NotFound("submission")
        });
    };
    txn.conn.execute(
        "UPDATE submissions SET state = ? WHERE id = ? AND decision IS NULL",
        params![rows::slug(&State::Pending)?, id.0],
    )?;
    let reason = Code::lossy(&reason.unwrap_or_default());
    note(txn, id, tenant.as_str(), JobChange::Retried, attempts, &reason, actor)
}

/// Puts back the jobs of dead processes. One that was in hand at too many deaths is a dead letter.
pub(crate) fn requeue_all(txn: &mut Txn<'_>, reason: &Code) -> Result<u32, Error> {
    let leased: Vec<(i64, u32)> = txn
        .conn
        .prepare(
            "UPDATE jobs SET crashes = crashes + 1 WHERE state = 'leased' RETURNING id, crashes",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (job, crashes) in &leased {
        if *crashes > txn.config.crashes {
            bury(txn, *job, reason)?;
        } else {
            requeue(txn.conn, *job)?;
        }
    }
    Ok(u32::try_from(leased.len()).unwrap_or(u32::MAX))
}
