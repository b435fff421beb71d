//! Verdicts: decision, standing, effects, what the gate answers, and the journal entry, in one transaction.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Action, Category, Decision, Status,
    journal::{
        Actor, Body, Code, Decided, EventId, Lane, Millis, Sha256, StandingNote, Subject,
        SubmissionId, TenantId,
    },
    standing::Ladder,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    Error, Reply, Store,
    bank::{self, Basis},
    blob, effect,
    effect::NewEffect,
    evidence::{self, Exhibit},
    job::{self, Lease},
    memory::Void,
    penalty,
    rows::{self, bits},
    store::Way,
    submission::{self, State, Submission},
    txn::{Entry, NewSide, Place, SideKind, Txn},
};

/// A decision and all that goes with it into one transaction.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Highest score for each category, 0 to 1.
    pub scores: BTreeMap<Category, f32>,
    /// `name@version` of models, banks and lists that took part.
    pub models: Vec<Code>,
    /// What was found, as JSON, for the tenant's view. Erased with the author; in no journal.
    pub detail: Option<String>,
    /// Text read and words matched: the side record.
    pub words: Option<String>,
    /// What each medium is worth by itself, for the gate.
    pub media: Vec<MediaVerdict>,
    /// PDQ hashes seen, to be matched with bank entries that come later.
    pub pdqs: Vec<SeenPdq>,
    /// Whether a verified bank match or a person says so.
    pub verified: bool,
    /// The tenant's rules for strikes.
    pub ladder: Ladder,
    /// How long from now evidence of the media stays for a review or an appeal; none is kept with zero, nor of what is
    /// approved. `None` leaves it as an earlier decision set it; with a first decision that is none. The bytes go as soon
    /// as the evidence is made.
    pub keep_media: Option<Duration>,
    /// Of which media evidence is made.
    pub exhibits: Vec<Exhibit>,
    /// The state of policy and lists on which it rests; `None` for a person's decision.
    pub basis: Option<Basis>,
    /// The earlier decision that stands again by this one.
    pub again: Option<Earlier>,
}

/// An earlier decision on the same submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its number.
    pub number: u32,
    /// Since when its strike counts.
    pub at: Millis,
}

impl Verdict {
    /// The decision in force, held for a person for this reason; all that it rests on stays as it was.
    pub fn held(row: &DecisionRow, reason: &str, ladder: Ladder) -> Self {
        let mut decision = row.decision.clone();
        (decision.status, decision.action) = (Status::Held, Action::Hide);
        decision.reasons.insert(0, reason.to_owned());
        Self {
            decision,
            scores: BTreeMap::new(),
            models: row.models.clone(),
            detail: row.detail.clone(),
            words: None,
            media: Vec::new(),
            pdqs: Vec::new(),
            verified: false,
            ladder,
            keep_media: None,
            exhibits: Vec::new(),
            basis: None,
            again: None,
        }
    }
}

/// What a medium is worth by itself, whatever its caption or its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaVerdict {
    /// Hash of its bytes.
    pub sha256: Sha256,
    /// What the gate is to answer.
    pub status: Status,
}

/// A PDQ hash of a medium: of a picture, its mirror image, or a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPdq {
    /// Index of the medium.
    pub media: usize,
    /// 256 bits.
    pub pdq: [u8; 32],
    /// 0 to 100, where known.
    pub quality: Option<u8>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The submission.
    pub submission: SubmissionId,
    /// The decision's number: 0 for the machine's first.
    pub number: u32,
    /// What it supersedes.
    pub supersedes: Option<u32>,
    /// When.
    pub at: Millis,
    /// What was decided: the verdict's decision, unless the author's standing made it graver.
    pub decision: Decision,
    /// Where its entry stands in the journal.
    pub place: Place,
    /// The author's standing afterwards, where an author is known.
    pub standing: Option<StandingNote>,
}

/// A decision as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRow {
    /// 0 is the machine's first.
    pub number: u32,
    /// What it supersedes.
    pub supersedes: Option<u32>,
    /// When.
    pub at: Millis,
    /// Who decided.
    pub actor: Actor,
    /// What.
    pub decision: Decision,
    /// What took part.
    pub models: Vec<Code>,
    /// What was found, as JSON, unless erased.
    pub detail: Option<String>,
    /// Whether a verified match or a person said so.
    pub verified: bool,
    /// The earlier decision that stands again by this one.
    pub again: Option<u32>,
}

/// What is to be told of a decision: called inside the transaction, so that messages can carry its number and the strikes.
/// It must be quick, pure, and ready to be called twice.
pub type Tell = Box<dyn Fn(&Submission, &Settled) -> Vec<NewEffect> + Send>;

impl Store {
    /// Commits the machine's verdict and ends the job.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] unless the lease is the one in force; [`Error::Stale`] where a bank entry that concerns one of
    /// the media came after the match.
    pub fn commit(&self, lease: Lease, verdict: Verdict, tell: Tell) -> Reply<Settled> {
        // A critical verdict is neither kept waiting for company nor refused.
        let grave = verdict.decision.severity == domain::Severity::Critical;
        let way = if grave { Way::Urgent } else { Way::Normal };
        self.write(way, move |txn| {
            job::held(txn, &lease)?;
            let submission = submission::read(txn.conn, lease.submission)?
                .ok_or(Error::NotFound("submission"))?;
            if let Some(basis) = verdict.basis {
                bank::refuse_stale(txn.conn, &submission, basis, &verdict.pdqs)?;
            }
            txn.conn.prepare_cached("DELETE FROM jobs WHERE id = ?")?.execute([lease.job])?;
            settle(txn, &submission, &Actor::Machine, &verdict, &tell)
        })
    }

    /// A person's decision. It names the one that it supersedes, so that two people cannot decide past each other.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another decision is in force, or none yet.
    pub fn decide(
        &self,
        tenant: TenantId,
        id: SubmissionId,
        supersedes: u32,
        verdict: Verdict,
        actor: Actor,
        tell: Tell,
    ) -> Reply<Settled> {
        self.write(Way::Urgent, move |txn| {
            let submission = submission::read(txn.conn, id)?
                .filter(|found| found.tenant == tenant)
                .ok_or(Error::NotFound("submission"))?;
            match &submission.decision {
                Some(row) if row.number == supersedes => {}
                Some(_) => {
                    return Err(Error::Conflict("another decision is in force by now: look again"));
                }
                None => {
                    return Err(Error::Conflict(
                        "the machine has not decided yet: a person's decision supersedes one",
                    ));
                }
            }
            settle(txn, &submission, &actor, &verdict, &tell)
        })
    }

    /// All decisions on a submission, first to last.
    ///
    /// # Errors
    /// [`Error::NotFound`] also where it is another tenant's.
    pub fn decisions(
        &self,
        tenant: &TenantId,
        id: SubmissionId,
    ) -> Result<Vec<DecisionRow>, Error> {
        let latest = self.submission(tenant, id)?.decision.map_or(0, |row| row.number + 1);
        self.read(|conn| {
            (0..latest).filter_map(|number| read(conn, id, number).transpose()).collect()
        })
    }

    /// What the gate answers for bytes on a surface; `None` where nothing in force says. Memory knows it afterwards.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn media_verdict(
        &self,
        tenant: &TenantId,
        surface: &Code,
        sha256: Sha256,
    ) -> Result<Option<Status>, Error> {
        let version = self.memory().version();
        let found = self.read(|conn| {
            let found = conn
                .prepare_cached(
                    "SELECT status FROM media_verdicts JOIN tenants USING (tenant, generation)
                     WHERE tenant = ? AND surface = ? AND sha256 = ?",
                )?
                .query_row(params![tenant.as_str(), surface.as_str(), sha256.0], |row| {
                    rows::unslug(row, "status")
                })
                .optional()?;
            Ok(found)
        })?;
        self.memory().keep_answer(version, tenant, surface, sha256, found);
        Ok(found)
    }
}

impl Store {
    /// What the gate may answer for a tenant, newest first: to fill a memory with at the start.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn media_verdicts(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<(Code, MediaVerdict)>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT surface, sha256, status FROM media_verdicts JOIN tenants USING (tenant, generation)
                 WHERE tenant = ? ORDER BY at DESC LIMIT ?",
            )?;
            let rows = statement.query_map(params![tenant.as_str(), limit], |row| {
                let sha256 = Sha256(row.get("sha256")?);
                let status = rows::unslug(row, "status")?;
                Ok((rows::word(row, "surface")?, MediaVerdict { sha256, status }))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Writes a decision with everything that follows from it.
pub(crate) fn settle(
    txn: &mut Txn<'_>,
    submission: &Submission,
    actor: &Actor,
    verdict: &Verdict,
    tell: &Tell,
) -> Result<Settled, Error> {
    let supersedes = submission.decision.as_ref().map(|row| row.number);
    let number = supersedes.map_or(0, |n| n + 1);
    let verdict = &penalty::held_for_standing(txn, submission, actor, verdict)?;
    let decision = &verdict.decision;
    let (standing, changed) = penalty::apply(txn, submission, number, verdict)?;
    let body = Body::Decided(Decided {
        tenant: submission.tenant.clone(),
        number,
        supersedes,
        status: decision.status,
        complete: decision.complete,
        severity: decision.severity,
        action: decision.action,
        reasons: decision.reasons.iter().map(|reason| Code::lossy(reason)).collect(),
        categories: categories(verdict),
        policy: Code::lossy(&decision.policy),
        models: verdict.models.clone(),
        standing: standing.clone().filter(|_| changed),
    });
    let side = verdict.words.as_deref().map(|text| NewSide {
        kind: SideKind::Words,
        submission: Some(submission.id),
        author: submission.author,
        bytes: text.as_bytes(),
        salt: None,
    });
    let grave = decision.severity == domain::Severity::Critical;
    let lane = if grave { Lane::Critical } else { Lane::Bulk };
    let subject = Subject::Submission(submission.id);
    let place = txn.append(Entry { lane, actor, subject, body, side })?;
    insert(txn, submission.id, number, supersedes, actor, verdict, place)?;
    bank::tell_hashes(txn, submission, verdict, lane)?;
    record_media(txn, submission, verdict)?;
    let settled = Settled {
        submission: submission.id,
        number,
        supersedes,
        at: txn.now,
        decision: decision.clone(),
        place,
        standing,
    };
    for new in tell(submission, &settled) {
        let words = (new.event.as_str(), new.endpoint.as_str());
        let id = EventId::new(txn.tip.of, submission.id, number, words.0, words.1);
        effect::notify(txn, id, submission, number, &new)?;
    }
    Ok(settled)
}

fn categories(verdict: &Verdict) -> Vec<(Category, domain::Severity, u16)> {
    let thousandths = |category| {
        let score = verdict.scores.get(category).copied().unwrap_or_default();
        (score.clamp(0.0, 1.0) * 1000.0).round() as u16
    };
    let touched = &verdict.decision.categories;
    let scored = verdict.scores.keys().filter(|category| !touched.contains_key(category));
    let safe = scored.map(|category| (*category, domain::Severity::Safe, thousandths(category)));
    touched.iter().map(|(c, severity)| (*c, *severity, thousandths(c))).chain(safe).collect()
}

fn insert(
    txn: &Txn<'_>,
    id: SubmissionId,
    number: u32,
    supersedes: Option<u32>,
    actor: &Actor,
    verdict: &Verdict,
    place: Place,
) -> Result<(), Error> {
    txn.conn
        .prepare_cached("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            id.0,
            number,
            supersedes,
            txn.now.0,
            rows::to_json(actor)?,
            rows::to_json(&verdict.decision)?,
            rows::to_json(&verdict.models)?,
            verdict.detail,
            bits(place.epoch.0),
            place.lane.number(),
            bits(place.seq.0),
            verdict.verified,
            verdict.again.map(|earlier| earlier.number)
        ])?;
    let state = State::from(verdict.decision.status);
    txn.conn
        .prepare_cached("UPDATE submissions SET state = ?, decision = ? WHERE id = ?")?
        .execute(params![rows::slug(&state)?, number, id.0])?;
    Ok(())
}

/// What the gate and later bank entries need of the media, and what is kept of them.
fn record_media(
    txn: &mut Txn<'_>,
    submission: &Submission,
    verdict: &Verdict,
) -> Result<(), Error> {
    let tenant = submission.tenant.as_str();
    let now = bank::ensure(txn.conn, &submission.tenant)?;
    for media in submission.media.iter().filter_map(|media| media.sha256) {
        txn.conn
            .prepare_cached("DELETE FROM media_verdicts WHERE tenant = ? AND surface = ? AND sha256 = ? AND submission = ?")?
            .execute(params![tenant, submission.surface.as_str(), media.0, submission.id.0])?;
        txn.void(Void::Medium(media));
    }
    // Neither an incomplete scan nor one by rules of yesterday is an answer.
    let current = verdict.basis.is_none_or(|basis| basis.generation == now.generation);
    if verdict.decision.complete && current {
        for media in &verdict.media {
            txn.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO media_verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    tenant,
                    submission.surface.as_str(),
                    media.sha256.0,
                    rows::slug(&media.status)?,
                    submission.id.0,
                    bits(now.generation),
                    txn.now.0
                ])?;
            txn.void(Void::Medium(media.sha256));
        }
    }
    for (k, seen) in verdict.pdqs.iter().enumerate() {
        txn.conn.prepare_cached("INSERT OR REPLACE INTO pdqs VALUES (?, ?, ?, ?, ?, ?)")?.execute(
            params![submission.id.0, seen.media as i64, k as i64, tenant, seen.pdq, seen.quality],
        )?;
    }
    evidence::settle(txn, submission, verdict)?;
    for name in submission.media.iter().filter_map(|media| media.blob.as_deref()) {
        blob::release(txn, name)?;
    }
    Ok(())
}

/// A decision by its number.
pub(crate) fn read(
    conn: &Connection,
    id: SubmissionId,
    number: u32,
) -> Result<Option<DecisionRow>, Error> {
    let found = conn
        .prepare_cached("SELECT * FROM decisions WHERE submission = ? AND number = ?")?
        .query_row(params![id.0, number], |row| {
            Ok(DecisionRow {
                number,
                supersedes: row.get("supersedes")?,
                at: rows::millis(row, "at")?,
                actor: rows::json(row, "actor")?,
                decision: rows::json(row, "decision")?,
                models: rows::json(row, "models")?,
                detail: row.get("detail")?,
                verified: row.get::<_, Option<bool>>("verified")?.unwrap_or_default(),
                again: row.get("again")?,
            })
        })
        .optional()?;
    Ok(found)
}
