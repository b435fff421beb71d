//! Evidence: what is kept of a medium that was not approved, instead of its bytes. The store knows names of files; what is
//! in them is the gateway's.
//!
//! A row is `due` with the decision, beside the effect that has it made. It is `here` with the transaction that gives the
//! bytes up, after the file is on the disk, or `none`, where nothing could be made. When its time is over it is `gone`. A
//! file goes by an effect of its own, so that one without a row is always an orphan.

use domain::{
    Status,
    journal::{Acted, Actor, Body, Code, EventId, Lane, Millis, Subject, SubmissionId, TenantId},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Effect, Error, Reply, Store, Verdict, blob,
    rows::{self, bits},
    store::Way,
    submission::Submission,
    txn::{Entry, Txn},
};

/// A medium of which evidence is to be made, should the decision not be an approval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exhibit {
    /// Index of the medium.
    pub media: usize,
    /// Moments on its time line in milliseconds that say most, the most telling first.
    pub moments_ms: Vec<u64>,
}

/// How far the evidence of a medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceState {
    /// It is being made.
    Due,
    /// It is on the disk.
    Here,
    /// Nothing could be made.
    None,
    /// Its time is over.
    Gone,
}

/// The evidence of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Index of the medium.
    pub media: usize,
    /// How far it is.
    pub state: EvidenceState,
    /// When it goes, unless an appeal is open then.
    pub until: Millis,
    /// What was made, while it is here.
    pub made: Option<MadeEvidence>,
    /// Why nothing could be made.
    pub reason: Option<Code>,
}

/// A file with evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeEvidence {
    /// Its name.
    pub file: String,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Width of the picture in it, in pixels.
    pub width: u32,
    /// Height of the picture, in pixels.
    pub height: u32,
    /// Frames of the medium that the picture shows.
    pub frames: u32,
}

impl Store {
    /// The evidence of a submission, in the order of its media; empty where none was ever due.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn evidence(&self, tenant: &TenantId, id: SubmissionId) -> Result<Vec<EvidenceRow>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT * FROM evidence WHERE submission = ? AND tenant = ? ORDER BY n",
            )?;
            let rows = statement.query_map(params![id.0, tenant.as_str()], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The file is on the disk, and its folder synced: the evidence is here, and the bytes of the medium may go.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] where nobody wants it any more, or somebody else makes it: the file is to be deleted.
    pub fn evidence_made(&self, effect: &Effect, made: MadeEvidence) -> Reply<()> {
        let effect = effect.clone();
        self.write(Way::Normal, move |txn| {
            let (id, n) = finish(txn, &effect)?;
            let changed = txn.conn.execute(
                "UPDATE evidence SET state = 'here', file = ?, made_at = ?, bytes = ?, width = ?, height = ?, frames = ?
                 WHERE submission = ? AND n = ? AND state = 'due'",
                params![made.file, txn.now.0, bits(made.bytes), made.width, made.height, made.frames, id.0, n],
            )?;
            if changed == 0 {
                return Err(Error::LeaseLost);
            }
            note(txn, &effect, id, &format!("evidence.made:{n}"))?;
            release(txn, id.0, n)
        })
    }

    /// Nothing can be made of the medium: its bytes go all the same.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] as for [`Store::evidence_made`].
    pub fn evidence_none(&self, effect: &Effect, reason: Code) -> Reply<()> {
        let effect = effect.clone();
        self.write(Way::Normal, move |txn| {
            let (id, n) = finish(txn, &effect)?;
            txn.conn.execute(
                "UPDATE evidence SET state = 'none', reason = ? WHERE submission = ? AND n = ? AND state = 'due'",
                params![reason.as_str(), id.0, n],
            )?;
            release(txn, id.0, n)
        })
    }

    /// Writes down that somebody looks at evidence, and says where it lies.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none.
    pub fn look(
        &self,
        tenant: TenantId,
        id: SubmissionId,
        media: usize,
        clear: bool,
        actor: Actor,
    ) -> Reply<MadeEvidence> {
        self.write(Way::Normal, move |txn| {
            let made = one(txn.conn, &tenant, id, media)?
                .and_then(|row| row.made)
                .ok_or(Error::NotFound("evidence"))?;
            let how = if clear { "clear" } else { "blurred" };
            let call = Code::lossy(&format!("evidence.look.{how}:{media}"));
            let body = Body::Acted(Acted { tenant: Some(tenant.clone()), call });
            let subject = Subject::Submission(id);
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            Ok(made)
        })
    }

    /// Lets go what is over, at most `limit` media; how many. Where an appeal is open it stays until that is decided.
    pub fn sweep_evidence(&self, limit: u32) -> Reply<u32> {
        self.write(Way::Normal, move |txn| {
            let due: Vec<(Uuid, i64, Option<String>)> = txn
                .conn
                .prepare_cached(
                    "SELECT submission, n, file FROM evidence e WHERE state <> 'gone' AND until <= ?
                     AND NOT EXISTS (SELECT 1 FROM appeals a WHERE a.submission = e.submission AND a.state = 'open') LIMIT ?",
                )?
                .query_map(params![txn.now.0, limit], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
                .collect::<Result<_, _>>()?;
            for (id, n, file) in &due {
                txn.conn.execute(
                    "UPDATE evidence SET state = 'gone', file = NULL WHERE submission = ? AND n = ?",
                    params![id, n],
                )?;
                txn.conn.execute(
                    "DELETE FROM effects WHERE submission = ? AND kind = 'evidence' AND endpoint = ?",
                    params![id, n.to_string()],
                )?;
                if let Some(file) = file {
                    discard(txn, *id, file, &[])?;
                }
                release(txn, *id, *n)?;
            }
            Ok(u32::try_from(due.len()).unwrap_or(u32::MAX))
        })
    }

    /// Which of these files with evidence no row names.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn evidence_orphans(&self, listing: &[String]) -> Result<Vec<String>, Error> {
        self.read(|conn| {
            let mut known = conn.prepare_cached("SELECT 1 FROM evidence WHERE file = ?")?;
            let mut orphans = Vec::new();
            for name in listing {
                if !known.exists([name])? {
                    orphans.push(name.clone());
                }
            }
            Ok(orphans)
        })
    }
}

fn one(
    conn: &Connection,
    tenant: &TenantId,
    id: SubmissionId,
    media: usize,
) -> Result<Option<EvidenceRow>, Error> {
    let n = i64::try_from(media).unwrap_or(i64::MAX);
    Ok(conn
        .prepare_cached("SELECT * FROM evidence WHERE submission = ? AND tenant = ? AND n = ?")?
        .query_row(params![id.0, tenant.as_str(), n], read)
        .optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<EvidenceRow> {
    let file: Option<String> = row.get("file")?;
    let made = match file {
        Some(file) => Some(MadeEvidence {
            file,
            bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
            width: row.get("width")?,
            height: row.get("height")?,
            frames: row.get("frames")?,
        }),
        None => None,
    };
    let reason: Option<String> = row.get("reason")?;
    Ok(EvidenceRow {
        media: usize::try_from(row.get::<_, i64>("n")?).unwrap_or(usize::MAX),
        state: rows::unslug(row, "state")?,
        until: rows::millis(row, "until")?,
        made,
        reason: reason.map(|reason| Code::lossy(&reason)),
    })
}

/// What a decision means for the evidence: due, kept for longer, or gone.
pub(crate) fn settle(
    txn: &mut Txn<'_>,
    submission: &Submission,
    verdict: &Verdict,
) -> Result<(), Error> {
    let keep = match verdict.keep_media {
        _ if verdict.decision.status == Status::Approved => None,
        Some(keep) if keep.is_zero() => None,
        Some(keep) => Some(keep),
        None => return Ok(()),
    };
    let Some(keep) = keep else { return forget(txn, submission.id.0, &[]) };
    let until = txn.now.after(keep);
    for exhibit in &verdict.exhibits {
        let here = submission.media.get(exhibit.media).is_some_and(|media| media.blob.is_some());
        let n = i64::try_from(exhibit.media).unwrap_or(i64::MAX);
        let new = here
            && txn.conn.execute(
                "INSERT OR IGNORE INTO evidence (submission, n, tenant, state, until) VALUES (?, ?, ?, 'due', ?)",
                params![submission.id.0, n, submission.tenant.as_str(), until.0],
            )? > 0;
        if new {
            let id = EventId::new(txn.tip.of, submission.id, 0, "evidence", &n.to_string());
            txn.conn.execute(
                "INSERT OR IGNORE INTO effects (id, tenant, kind, event, endpoint, submission, payload, state, not_before, set_at)
                 VALUES (?1, ?2, 'evidence', 'evidence', ?3, ?4, ?5, 'queued', ?6, ?6)",
                params![
                    id.0,
                    submission.tenant.as_str(),
                    n.to_string(),
                    submission.id.0,
                    rows::to_json(&exhibit.moments_ms)?.into_bytes(),
                    txn.now.0
                ],
            )?;
        }
    }
    txn.conn.execute(
        "UPDATE evidence SET until = max(until, ?) WHERE submission = ? AND state <> 'gone'",
        params![until.0, submission.id.0],
    )?;
    Ok(())
}

/// All evidence of a submission goes, also what is still to be made; one in hand finds nothing to write to. The caller
/// releases the bytes. `mark` stands in the deletions, so that somebody can ask whether they are done.
pub(crate) fn forget(txn: &mut Txn<'_>, submission: Uuid, mark: &[u8]) -> Result<(), Error> {
    txn.conn
        .prepare_cached("DELETE FROM effects WHERE submission = ? AND kind = 'evidence'")?
        .execute([submission])?;
    let files: Vec<Option<String>> = txn
        .conn
        .prepare_cached("DELETE FROM evidence WHERE submission = ? RETURNING file")?
        .query_map([submission], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    files.iter().flatten().try_for_each(|file| discard(txn, submission, file, mark))
}

/// What is still to be judged leaves no evidence: its author is erased.
pub(crate) fn rule_out(txn: &Txn<'_>, submission: Uuid) -> Result<(), Error> {
    txn.conn
        .prepare_cached(
            "INSERT INTO evidence (submission, n, tenant, state, until)
             SELECT m.submission, m.n, j.tenant, 'gone', ? FROM media m JOIN jobs j USING (submission) WHERE m.submission = ?",
        )?
        .execute(params![txn.now.0, submission])?;
    Ok(())
}

/// Queues the deletion of a file.
fn discard(txn: &Txn<'_>, submission: Uuid, file: &str, mark: &[u8]) -> Result<(), Error> {
    let id = EventId::new(txn.tip.of, SubmissionId(Uuid::nil()), 0, "discard", file);
    txn.conn
        .prepare_cached(
            "INSERT OR IGNORE INTO effects (id, tenant, kind, event, endpoint, submission, payload, state, not_before, set_at)
             VALUES (?1, '', 'discard', 'discard', ?2, ?3, ?4, 'queued', ?5, ?5)",
        )?
        .execute(params![id.0, file, submission, mark, txn.now.0])?;
    Ok(())
}

/// A file with evidence is gone.
pub(crate) fn discarded(txn: &mut Txn<'_>, effect: &Effect) -> Result<(), Error> {
    let there = txn.conn.execute("DELETE FROM effects WHERE id = ?", [effect.id.0])?;
    match effect.submission {
        Some(id) if there > 0 => note(txn, effect, id, "evidence.deleted"),
        _ => Ok(()),
    }
}

fn note(txn: &mut Txn<'_>, effect: &Effect, id: SubmissionId, call: &str) -> Result<(), Error> {
    let body = Body::Acted(Acted { tenant: effect.tenant.clone(), call: Code::lossy(call) });
    let (actor, subject) = (&Actor::System, Subject::Submission(id));
    txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
    Ok(())
}

/// Ends an effect that is in hand; which medium of which submission it is about.
fn finish(txn: &Txn<'_>, effect: &Effect) -> Result<(SubmissionId, i64), Error> {
    let ended = txn.conn.execute(
        "DELETE FROM effects WHERE id = ? AND kind = 'evidence' AND state = 'leased' AND incarnation = ? AND attempts = ?",
        params![effect.id.0, bits(txn.incarnation), effect.attempts],
    )?;
    match (effect.submission, effect.endpoint.parse()) {
        (Some(id), Ok(n)) if ended > 0 => Ok((id, n)),
        _ => Err(Error::LeaseLost),
    }
}

/// The bytes go as soon as nothing else needs them.
fn release(txn: &mut Txn<'_>, submission: Uuid, n: i64) -> Result<(), Error> {
    let blob: Option<Option<String>> = txn
        .conn
        .prepare_cached("SELECT blob FROM media WHERE submission = ? AND n = ?")?
        .query_row(params![submission, n], |row| row.get(0))
        .optional()?;
    blob.flatten().map_or(Ok(()), |name| blob::release(txn, &name))
}
