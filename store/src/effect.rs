//! What is still to be done outside: endpoints to notify, files to delete. Rows, so that no crash forgets them.

use std::time::Duration;

use domain::journal::{
    Acted, Actor, Body, Code, EventId, Lane, Millis, NotifyFailed, Subject, SubmissionId, TenantId,
};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reply, Store, blob, evidence,
    rows::{self, bits},
    store::Way,
    submission::Submission,
    txn::{Entry, Txn, random},
};

/// A message to queue with a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEffect {
    /// The event, for example `submission.decided`.
    pub event: Code,
    /// Name of the endpoint in the tenant's configuration.
    pub endpoint: Code,
    /// What is sent, as it is sent.
    pub payload: Vec<u8>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectKind {
    /// Tell an endpoint.
    Notify,
    /// Delete a file of the spool; its name is the endpoint.
    Delete,
    /// Make evidence of a medium, whose index is the endpoint; the payload lists moments to show, as JSON.
    Evidence,
    /// Delete a file with evidence; its name is the endpoint.
    Discard,
}

/// An effect in hand, or listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The event's id: the same at every attempt, after every crash.
    pub id: EventId,
    /// Whose; `None` for deletions.
    pub tenant: Option<TenantId>,
    /// What is to be done.
    pub kind: EffectKind,
    /// The event.
    pub event: String,
    /// Where to: an endpoint's name, or the name of a file.
    pub endpoint: String,
    /// About which submission.
    pub submission: Option<SubmissionId>,
    /// About which decision.
    pub decision: Option<u32>,
    /// What is sent.
    pub payload: Vec<u8>,
    /// How often it was leased, this time included.
    pub attempts: u32,
    /// `queued`, `leased`, `done` or `failed`.
    pub state: String,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectFailure {
    /// Which attempt.
    pub attempt: u32,
    /// When.
    pub at: Millis,
    /// Machine-readable.
    pub reason: Code,
    /// One sentence for people.
    pub detail: String,
}

/// What the far end wants after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Later, with the store's own pause.
    Later,
    /// Not before so long (Retry-After).
    After(Duration),
    /// Never (410 Gone).
    Never,
}

/// Pause before the second attempt; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 3600);

impl Store {
    /// Leases up to `most` effects of a kind, oldest first.
    pub fn lease_effects(&self, kind: EffectKind, most: u32) -> Reply<Vec<Effect>> {
        self.write(Way::Normal, move |txn| {
            let mut statement = txn.conn.prepare_cached(
                "UPDATE effects SET state = 'leased', attempts = attempts + 1, incarnation = ?1, set_at = ?2
                 WHERE n IN (SELECT n FROM effects WHERE state = 'queued' AND kind = ?3
                     AND (not_before <= ?2 OR set_at > ?2) ORDER BY n LIMIT ?4) RETURNING *",
            )?;
            let params = params![bits(txn.incarnation), txn.now.0, rows::slug(&kind)?, most];
            let mut effects: Vec<(i64, Effect)> =
                statement.query_map(params, read)?.collect::<Result<_, _>>()?;
            // RETURNING promises no order.
            effects.sort_by_key(|(n, _)| *n);
            Ok(effects.into_iter().map(|(_, effect)| effect).collect())
        })
    }

    /// It is done. May be said twice.
    pub fn effect_done(&self, effect: &Effect) -> Reply<()> {
        let effect = effect.clone();
        self.write(Way::Normal, move |txn| match effect.kind {
            EffectKind::Notify => {
                txn.conn.execute(
                    "UPDATE effects SET state = 'done', set_at = ? WHERE id = ?",
                    params![txn.now.0, effect.id.0],
                )?;
                Ok(())
            }
            EffectKind::Delete => {
                txn.conn.execute("DELETE FROM effects WHERE id = ?", [effect.id.0])?;
                blob::gone(txn, &effect.endpoint)
            }
            EffectKind::Discard => evidence::discarded(txn, &effect),
            EffectKind::Evidence => {
                Err(Error::Invalid("evidence is made, or there is none: say which"))
            }
        })
    }

    /// It failed: logged, and tried again after a jittered pause that doubles, up to `effect_attempts`. Only messages are
    /// given up.
    pub fn effect_failed(
        &self,
        effect: &Effect,
        reason: Code,
        detail: String,
        again: Again,
    ) -> Reply<()> {
        let effect = effect.clone();
        self.write(Way::Normal, move |txn| failed(txn, &effect, &reason, &detail, again))
    }

    /// Sends a delivered or given-up message once more, under the same id.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such message, or it is on its way.
    pub fn replay_effect(&self, tenant: TenantId, id: EventId, actor: Actor) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let again = txn.conn.execute(
                "UPDATE effects SET state = 'queued', attempts = 0, not_before = ?1, set_at = ?1
                 WHERE id = ?2 AND tenant = ?3 AND state IN ('done', 'failed')",
                params![txn.now.0, id.0, tenant.as_str()],
            )?;
            if again == 0 {
                return Err(Error::NotFound("delivered or failed message"));
            }
            let body = Body::Acted(Acted {
                tenant: Some(tenant.clone()),
                call: Code::lossy("effect.replay"),
            });
            let subject = Subject::Item(domain::journal::ItemId(id.0));
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            Ok(())
        })
    }

    /// Messages of a tenant, newest first; only those given up, if wanted.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn effects(
        &self,
        tenant: &TenantId,
        only_failed: bool,
        limit: u32,
    ) -> Result<Vec<Effect>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT * FROM effects WHERE tenant = ? AND kind = 'notify' AND (NOT ? OR state = 'failed') ORDER BY n DESC LIMIT ?",
            )?;
            let rows = statement.query_map(params![tenant.as_str(), only_failed, limit], read)?;
            Ok(rows.map(|row| row.map(|(_, effect)| effect)).collect::<Result<_, _>>()?)
        })
    }

    /// The failure log of a message.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn effect_failures(&self, id: EventId) -> Result<Vec<EffectFailure>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT * FROM effect_failures WHERE effect = ? ORDER BY at, attempt",
            )?;
            let rows = statement.query_map([id.0], |row| {
                Ok(EffectFailure {
                    attempt: row.get("attempt")?,
                    at: rows::millis(row, "at")?,
                    reason: rows::word(row, "reason")?,
                    detail: row.get("detail")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Effect)> {
    let tenant: String = row.get("tenant")?;
    let submission: Option<uuid::Uuid> = row.get("submission")?;
    let effect = Effect {
        id: EventId(row.get("id")?),
        tenant: tenant.parse().ok(),
        kind: rows::unslug(row, "kind")?,
        event: row.get("event")?,
        endpoint: row.get("endpoint")?,
        submission: submission.map(SubmissionId),
        decision: row.get("decision")?,
        payload: row.get("payload")?,
        attempts: row.get("attempts")?,
        state: row.get("state")?,
    };
    Ok((row.get("n")?, effect))
}

/// Queues a message of a decision.
pub(crate) fn notify(
    txn: &Txn<'_>,
    id: EventId,
    submission: &Submission,
    number: u32,
    new: &NewEffect,
) -> Result<(), Error> {
    txn.conn
        .prepare_cached(
            "INSERT OR IGNORE INTO effects (id, tenant, kind, event, endpoint, submission, decision, payload, state, not_before, set_at)
             VALUES (?1, ?2, 'notify', ?3, ?4, ?5, ?6, ?7, 'queued', ?8, ?8)",
        )?
        .execute(params![
            id.0,
            submission.tenant.as_str(),
            new.event.as_str(),
            new.endpoint.as_str(),
            submission.id.0,
            number,
            new.payload,
            txn.now.0
        ])?;
    Ok(())
}

fn failed(
    txn: &mut Txn<'_>,
    effect: &Effect,
    reason: &Code,
    detail: &str,
    again: Again,
) -> Result<(), Error> {
    let attempts: Option<u32> = txn
        .conn
        .query_row(
            "SELECT attempts FROM effects WHERE id = ? AND state = 'leased' AND incarnation = ?",
            params![effect.id.0, bits(txn.incarnation)],
            |row| row.get(0),
        )
        .optional()?;
    if attempts != Some(effect.attempts) {
        return Err(Error::LeaseLost);
    }
    txn.conn.execute(
        "INSERT OR REPLACE INTO effect_failures VALUES (?, ?, ?, ?, ?)",
        params![effect.id.0, effect.attempts, txn.now.0, reason.as_str(), detail],
    )?;
    let spent = effect.attempts >= txn.config.effect_attempts && effect.kind == EffectKind::Notify;
    if spent || again == Again::Never {
        txn.conn.execute(
            "UPDATE effects SET state = 'failed', set_at = ? WHERE id = ?",
            params![txn.now.0, effect.id.0],
        )?;
        return give_up(txn, effect, reason);
    }
    let pause = match again {
        Again::After(asked) => asked.min(LONGEST_PAUSE).max(pause(effect.attempts)?),
        Again::Later | Again::Never => pause(effect.attempts)?,
    };
    txn.conn.execute(
        "UPDATE effects SET state = 'queued', not_before = ?, set_at = ?, incarnation = NULL WHERE id = ?",
        params![txn.now.after(pause).0, txn.now.0, effect.id.0],
    )?;
    Ok(())
}

/// Doubled with each attempt, ± a quarter, so that messages that failed together do not come back together.
fn pause(attempts: u32) -> Result<Duration, Error> {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let jitter = f64::from(u16::from_le_bytes(random()?)) / f64::from(u16::MAX);
    Ok(doubled.min(LONGEST_PAUSE).mul_f64(0.75 + jitter / 2.0))
}

fn give_up(txn: &mut Txn<'_>, effect: &Effect, reason: &Code) -> Result<(), Error> {
    let (Some(tenant), Some(id)) = (effect.tenant.clone(), effect.submission) else {
        return Ok(());
    };
    let endpoint = Code::lossy(&effect.endpoint);
    let attempts = effect.attempts;
    let body =
        Body::NotifyFailed(NotifyFailed { tenant, endpoint, attempts, reason: reason.clone() });
    let (actor, subject) = (&Actor::System, Subject::Submission(id));
    txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
    Ok(())
}
