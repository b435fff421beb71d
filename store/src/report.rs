//! What people say about a submission: reports of others, appeals of its author. The words are side records.

use domain::{
    journal::{
        Acted, Actor, Appealed, AuthorNumber, Body, Code, ItemId, Lane, Millis, Reported, Subject,
        SubmissionId, TenantId,
    },
    standing::Ladder,
};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reply, Store, author,
    decision::{self, Settled, Tell, Verdict},
    rows::{self, bits},
    store::Way,
    submission::{self, State, Submission},
    txn::{Entry, NewSide, SideKind, Txn, random},
};

/// A report to store.
pub struct NewReport {
    /// Where.
    pub tenant: TenantId,
    /// About which submission, if it is about one.
    pub submission: Option<SubmissionId>,
    /// About what else, in the platform's words: a user, a page. Never journaled.
    pub target: Option<String>,
    /// From the platform's list of reasons.
    pub reason: Code,
    /// What the reporter wrote.
    pub text: Option<String>,
    /// HMAC of the reporter's id, where told.
    pub reporter: Option<[u8; 32]>,
    /// What tells anonymous reporters apart for the threshold, for instance a keyed hash of their address. Those that tell
    /// nothing count as one. Forgotten when addresses are masked.
    pub source: Option<String>,
    /// Self-harm and the like: at once, in the critical lane, even when room is short.
    pub critical: bool,
    /// Who calls.
    pub actor: Actor,
    /// What happens past a threshold.
    pub hide: Option<Hide>,
}

/// Hiding what many report: an approved submission is held for a person.
pub struct Hide {
    /// So many different reporters, of whom at most half may be anonymous: names are the platform's word, and an address is
    /// nobody's. One, where one is enough.
    pub reporters: u32,
    /// The rules of the tenant.
    pub ladder: Ladder,
    /// What is then told.
    pub tell: Tell,
}

/// What a report brought about.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportOutcome {
    /// Its name.
    pub id: ItemId,
    /// Different reporters of the submission's open reports, this one included, as they count for the threshold.
    pub reporters: u32,
    /// The decision that hid the submission, if this report passed the threshold.
    pub hidden: Option<Settled>,
}

/// What became of a report or an appeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// Nobody has decided.
    Open,
    /// It was right.
    Upheld,
    /// It was not.
    Dismissed,
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// Its name.
    pub id: ItemId,
    /// About which submission.
    pub submission: Option<SubmissionId>,
    /// About what else.
    pub target: Option<String>,
    /// The reason.
    pub reason: Code,
    /// What the reporter wrote, unless erased.
    pub text: Option<String>,
    /// By whom, where told.
    pub reporter: Option<AuthorNumber>,
    /// When.
    pub at: Millis,
    /// What became of it.
    pub state: Resolution,
}

/// An appeal as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppealRow {
    /// Its name.
    pub id: ItemId,
    /// About which submission.
    pub submission: SubmissionId,
    /// Against which decision.
    pub decision: u32,
    /// What the author wrote, unless erased.
    pub text: Option<String>,
    /// When.
    pub at: Millis,
    /// What became of it.
    pub state: Resolution,
}

impl Store {
    /// Stores a report, and hides the submission where it passes the threshold, in the same transaction.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such submission.
    pub fn report(&self, new: NewReport) -> Reply<ReportOutcome> {
        let way = if new.critical { Way::Urgent } else { Way::Growing };
        self.write(way, move |txn| report(txn, &new))
    }

    /// Stores an appeal against the decision in force.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another decision is in force or it was appealed against already.
    pub fn appeal(
        &self,
        tenant: TenantId,
        id: SubmissionId,
        against: u32,
        text: String,
        actor: Actor,
    ) -> Reply<ItemId> {
        self.write(Way::Growing, move |txn| appeal(txn, &tenant, id, against, &text, &actor))
    }

    /// Closes a report.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such open report.
    pub fn resolve_report(
        &self,
        tenant: TenantId,
        id: ItemId,
        to: Resolution,
        actor: Actor,
    ) -> Reply<()> {
        self.resolve("reports", tenant, id, to, actor)
    }

    /// Closes an appeal. The decision that follows from it is a call of its own.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such open appeal.
    pub fn resolve_appeal(
        &self,
        tenant: TenantId,
        id: ItemId,
        to: Resolution,
        actor: Actor,
    ) -> Reply<()> {
        self.resolve("appeals", tenant, id, to, actor)
    }

    fn resolve(
        &self,
        table: &'static str,
        tenant: TenantId,
        id: ItemId,
        to: Resolution,
        actor: Actor,
    ) -> Reply<()> {
        self.write(Way::Normal, move |txn| close(txn, table, &tenant, id, to, &actor))
    }

    /// Reports of a tenant in a state, newest first, before the one named last.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn reports(
        &self,
        tenant: &TenantId,
        state: Resolution,
        before: Option<ItemId>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, Error> {
        let state = rows::slug(&state)?;
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT r.*, s.bytes FROM reports r LEFT JOIN sides s USING (epoch, lane, seq)
                 WHERE tenant = ?1 AND state = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4",
            )?;
            let params = params![tenant.as_str(), state, before.map(|id| id.0), limit];
            let rows = statement.query_map(params, |row| {
                let submission: Option<uuid::Uuid> = row.get("submission")?;
                Ok(ReportRow {
                    id: ItemId(row.get("id")?),
                    submission: submission.map(SubmissionId),
                    target: row.get("target")?,
                    reason: rows::word(row, "reason")?,
                    text: text(row)?,
                    reporter: rows::author(row, "reporter")?,
                    at: rows::millis(row, "at")?,
                    state: rows::unslug(row, "state")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Appeals of a tenant in a state, newest first, before the one named last.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn appeals(
        &self,
        tenant: &TenantId,
        state: Resolution,
        before: Option<ItemId>,
        limit: u32,
    ) -> Result<Vec<AppealRow>, Error> {
        let state = rows::slug(&state)?;
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT a.*, s.bytes FROM appeals a LEFT JOIN sides s USING (epoch, lane, seq)
                 WHERE tenant = ?1 AND state = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4",
            )?;
            let params = params![tenant.as_str(), state, before.map(|id| id.0), limit];
            let rows = statement.query_map(params, |row| {
                Ok(AppealRow {
                    id: ItemId(row.get("id")?),
                    submission: SubmissionId(row.get("submission")?),
                    decision: row.get("decision")?,
                    text: text(row)?,
                    at: rows::millis(row, "at")?,
                    state: rows::unslug(row, "state")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Closes a report or an appeal, and journals it as `report.resolve:…`, `appeal.resolve:…`.
fn close(
    txn: &mut Txn<'_>,
    table: &'static str,
    tenant: &TenantId,
    id: ItemId,
    to: Resolution,
    actor: &Actor,
) -> Result<(), Error> {
    let changed = txn.conn.execute(
        &format!("UPDATE {table} SET state = ? WHERE id = ? AND tenant = ? AND state = 'open'"),
        params![rows::slug(&to)?, id.0, tenant.as_str()],
    )?;
    if changed == 0 {
        return Err(Error::NotFound("open report or appeal"));
    }
    let call = format!("{}.resolve:{}", table.trim_end_matches('s'), rows::slug(&to)?);
    acted(txn, tenant, id, &call, actor)
}

/// Closes all that is open about a submission, for a person has decided on it: where it was rejected the reports were right, where it
/// was approved the appeals.
pub(crate) fn close_about(
    txn: &mut Txn<'_>,
    about: &Submission,
    with: u32,
    approved: bool,
    actor: &Actor,
) -> Result<(), Error> {
    for (table, right) in [("reports", !approved), ("appeals", approved)] {
        let open = items(txn, table, "state = 'open'", params![about.id.0])?;
        let to = if right { Resolution::Upheld } else { Resolution::Dismissed };
        for id in open {
            close(txn, table, &about.tenant, id, to, actor)?;
            let query = format!("UPDATE {table} SET closed_by = ? WHERE id = ?");
            txn.conn.prepare_cached(&query)?.execute(params![with, id.0])?;
        }
    }
    Ok(())
}

/// Opens again what was closed with a decision; journaled as `report.reopen`, `appeal.reopen`.
pub(crate) fn open_again(
    txn: &mut Txn<'_>,
    about: &Submission,
    with: u32,
    actor: &Actor,
) -> Result<(), Error> {
    for (table, call) in [("reports", "report.reopen"), ("appeals", "appeal.reopen")] {
        for id in items(txn, table, "closed_by = ?", params![about.id.0, with])? {
            let query = format!("UPDATE {table} SET state = 'open', closed_by = NULL WHERE id = ?");
            txn.conn.prepare_cached(&query)?.execute([id.0])?;
            acted(txn, &about.tenant, id, call, actor)?;
        }
    }
    Ok(())
}

/// Reports or appeals about a submission that are so.
fn items(
    txn: &Txn<'_>,
    table: &str,
    so: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<ItemId>, Error> {
    let query = format!("SELECT id FROM {table} WHERE submission = ? AND {so} ORDER BY id");
    let mut statement = txn.conn.prepare_cached(&query)?;
    let found = statement.query_map(params, |row| row.get(0).map(ItemId))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn acted(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    id: ItemId,
    call: &str,
    actor: &Actor,
) -> Result<(), Error> {
    let body = Body::Acted(Acted { tenant: Some(tenant.clone()), call: Code::lossy(call) });
    let subject = Subject::Item(id);
    txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: None })?;
    Ok(())
}

fn text(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let bytes: Option<Vec<u8>> = row.get("bytes")?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A name that sorts by the store's time.
fn new_item(now: Millis) -> Result<ItemId, Error> {
    let ms = u64::try_from(now.0).unwrap_or(0);
    Ok(ItemId(uuid::Builder::from_unix_timestamp_millis(ms, &random()?).into_uuid()))
}

fn report(txn: &mut Txn<'_>, new: &NewReport) -> Result<ReportOutcome, Error> {
    let submission = match new.submission {
        Some(id) => Some(
            submission::read(txn.conn, id)?
                .filter(|found| found.tenant == new.tenant)
                .ok_or(Error::NotFound("submission"))?,
        ),
        None => None,
    };
    let reporter = match &new.reporter {
        Some(key) => Some(author::number(txn, &new.tenant, key)?),
        None => None,
    };
    let id = new_item(txn.now)?;
    let side = new.text.as_deref().map(|text| NewSide {
        kind: SideKind::Report,
        submission: new.submission,
        author: reporter,
        bytes: text.as_bytes(),
        salt: None,
    });
    let body = Body::Reported(Reported {
        tenant: new.tenant.clone(),
        report: id,
        reason: new.reason.clone(),
        reporter,
    });
    let lane = if new.critical { Lane::Critical } else { Lane::Bulk };
    let subject = new.submission.map_or(Subject::Item(id), Subject::Submission);
    let place = txn.append(Entry { lane, actor: &new.actor, subject, body, side })?;
    txn.conn
        .prepare_cached(
            "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, NULL)",
        )?
        .execute(params![
            id.0,
            new.tenant.as_str(),
            new.submission.map(|id| id.0),
            new.target,
            new.reason.as_str(),
            reporter.map(|n| bits(n.0)),
            new.source,
            txn.now.0,
            bits(place.epoch.0),
            place.lane.number(),
            bits(place.seq.0)
        ])?;
    let Some(submission) = submission else {
        return Ok(ReportOutcome { id, reporters: 1, hidden: None });
    };
    let threshold = new.hide.as_ref().map(|hide| hide.reporters);
    let reporters = reporters(txn, submission.id, threshold)?;
    let due = new.hide.as_ref().filter(|hide| reporters >= hide.reporters.max(1));
    let hidden = match (due, &submission.decision, submission.state) {
        (Some(hide), Some(row), State::Approved) => {
            let verdict = Verdict::held(row, "reports", hide.ladder.clone());
            Some(decision::settle(txn, &submission, &Actor::System, &verdict, &hide.tell)?)
        }
        _ => None,
    };
    Ok(ReportOutcome { id, reporters, hidden })
}

/// Different reporters of a submission's open reports: one person reporting ten times is one.
fn reporters(txn: &Txn<'_>, id: SubmissionId, threshold: Option<u32>) -> Result<u32, Error> {
    let (named, anonymous): (u32, u32) = txn
        .conn
        .prepare_cached(
            "SELECT count(DISTINCT reporter), count(DISTINCT CASE WHEN reporter IS NULL THEN coalesce(source, '') END)
             FROM reports WHERE submission = ? AND state = 'open'",
        )?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let most = threshold.map_or(anonymous, |threshold| (threshold / 2).max(1));
    Ok(named + anonymous.min(most))
}

fn appeal(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    id: SubmissionId,
    against: u32,
    text: &str,
    actor: &Actor,
) -> Result<ItemId, Error> {
    let submission = submission::read(txn.conn, id)?
        .filter(|found| found.tenant == *tenant)
        .ok_or(Error::NotFound("submission"))?;
    if submission.decision.as_ref().map(|row| row.number) != Some(against) {
        return Err(Error::Conflict("another decision is in force: appeal against that one"));
    }
    let before: Option<uuid::Uuid> = txn
        .conn
        .query_row(
            "SELECT id FROM appeals WHERE submission = ? AND decision = ?",
            params![id.0, against],
            |row| row.get(0),
        )
        .optional()?;
    if before.is_some() {
        return Err(Error::Conflict("there is an appeal against this decision already"));
    }
    let item = new_item(txn.now)?;
    let author = submission.author;
    let side = NewSide {
        kind: SideKind::Appeal,
        submission: Some(id),
        author,
        bytes: text.as_bytes(),
        salt: None,
    };
    let body = Body::Appealed(Appealed { tenant: tenant.clone(), appeal: item, decision: against });
    let subject = Subject::Submission(id);
    let place = txn.append(Entry { lane: Lane::Bulk, actor, subject, body, side: Some(side) })?;
    txn.conn.execute(
        "INSERT INTO appeals VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?, NULL)",
        params![
            item.0,
            tenant.as_str(),
            id.0,
            against,
            txn.now.0,
            bits(place.epoch.0),
            place.lane.number(),
            bits(place.seq.0)
        ],
    )?;
    Ok(item)
}
