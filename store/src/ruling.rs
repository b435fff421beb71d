//! A moderator's word on a submission, and how it is taken back.
//!
//! Everything that a word does is one transaction: the decision with strikes and messages, what is closed with it, what is listed for it.
//! So is taking it back, and each names what it did (`decisions.again`, `reports.closed_by`, `remembered`), so that nothing else goes.

use domain::journal::{Actor, ItemId, Millis, SubmissionId, TenantId};
use domain::standing::Ladder;
use domain::{Decision, Status};
use rusqlite::params;

use crate::{
    DecisionRow, Error, NewBankEntry, Rematch, Reply, Store, bank,
    decision::{self, Earlier, Tell, Verdict},
    directive::keep_rematch,
    report,
    store::Way,
    submission::{self, Submission},
    txn::Txn,
};

/// Last of the reasons of a decision that stands again.
const REOPENED: &str = "reopened";

/// A moderator's word.
pub struct Ruling {
    /// Whose submission.
    pub tenant: TenantId,
    /// Which.
    pub submission: SubmissionId,
    /// The decision in force, which this one supersedes; `None` where it is the moderator's own and the rest is to follow.
    pub supersedes: Option<u32>,
    /// What is decided.
    pub verdict: Verdict,
    /// Entries for the tenant's list.
    pub listed: Vec<NewBankEntry>,
    /// When it was ordered, by the hub's clock: an entry that the hub ordered at this time was ordered along with it.
    pub told_at: Millis,
}

impl Store {
    /// Decides as a moderator at the hub says, closes what was open about the submission, and lists what is to be recognised, which is
    /// then matched with what was seen.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another decision is in force, or none yet.
    pub fn rule(&self, ruling: Ruling, tell: Tell) -> Reply<()> {
        self.write(Way::Urgent, move |txn| {
            let submission = read(txn, &ruling.tenant, ruling.submission)?;
            let row = in_force(&submission)?;
            let number = match ruling.supersedes {
                None if row.actor == Actor::Hub => row.number,
                Some(number) if number == row.number => {
                    let verdict = &ruling.verdict;
                    decision::settle(txn, &submission, &Actor::Hub, verdict, &tell)?.number
                }
                _ => return Err(Error::Conflict("another decision is in force by now")),
            };
            let approved = ruling.verdict.decision.status == Status::Approved;
            report::close_about(txn, &submission, number, approved, &Actor::Hub)?;
            ruling.listed.iter().try_for_each(|entry| remember(txn, &ruling, number, entry))
        })
    }

    /// Takes a moderator's word back: what stood before it stands again. Its strikes go, those that it had lifted count again from when
    /// they were given; what was closed with it is open; what is listed for it alone goes. Once more it does nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] where that decision is not in force, or is not a moderator's.
    pub fn reopen(
        &self,
        tenant: TenantId,
        id: SubmissionId,
        number: u32,
        ladder: Ladder,
        tell: Tell,
    ) -> Reply<()> {
        self.write(Way::Urgent, move |txn| {
            let submission = read(txn, &tenant, id)?;
            let row = in_force(&submission)?;
            if is_taken_back(txn, id, number)? {
                return Ok(());
            }
            if row.number != number {
                return Err(Error::Conflict("another decision is in force by now"));
            }
            let word = origin(txn, id, row)?;
            if word.actor != Actor::Hub {
                return Err(Error::Conflict("it is not a moderator's decision"));
            }
            let listed = listed_for(txn, id, word.number)?;
            let earlier = before(txn, id, &word, &listed)?;
            let verdict = again(txn, id, &earlier, ladder.clone())?;
            decision::settle(txn, &submission, &Actor::Hub, &verdict, &tell)?;
            report::open_again(txn, &submission, word.number, &Actor::Hub)?;
            forget(txn, &submission, word.number, &listed)?;
            // While a person's word stood, nothing that was listed meanwhile had a say.
            for entry in bank::matching_since(txn.conn, &submission, earlier.at)? {
                keep_rematch(txn, &Rematch { tenant: tenant.clone(), added: true, entry })?;
            }
            Ok(())
        })
    }
}

fn read(txn: &Txn<'_>, tenant: &TenantId, id: SubmissionId) -> Result<Submission, Error> {
    let found = submission::read(txn.conn, id)?.filter(|found| found.tenant == *tenant);
    found.ok_or(Error::NotFound("submission"))
}

fn in_force(submission: &Submission) -> Result<&DecisionRow, Error> {
    submission.decision.as_ref().ok_or(Error::Conflict("nothing is decided yet"))
}

fn decided(txn: &Txn<'_>, id: SubmissionId, number: u32) -> Result<DecisionRow, Error> {
    decision::read(txn.conn, id, number)?.ok_or(Error::NotFound("decision"))
}

/// Whether another decision stands again in the place of this one.
fn is_taken_back(txn: &Txn<'_>, id: SubmissionId, number: u32) -> Result<bool, Error> {
    let query =
        "SELECT 1 FROM decisions WHERE submission = ? AND supersedes = ? AND again IS NOT NULL";
    Ok(txn.conn.prepare_cached(query)?.exists(params![id.0, number])?)
}

/// The decision that was first made as this one says.
fn origin(txn: &Txn<'_>, id: SubmissionId, row: &DecisionRow) -> Result<DecisionRow, Error> {
    let mut row = row.clone();
    while let Some(earlier) = row.again {
        row = decided(txn, id, earlier)?;
    }
    Ok(row)
}

/// Lists an entry, or finds it there. Where it was there for something else than a moderator's word, it stays that.
fn remember(
    txn: &mut Txn<'_>,
    ruling: &Ruling,
    number: u32,
    entry: &NewBankEntry,
) -> Result<(), Error> {
    let (tenant, told) = (&ruling.tenant, Some(ruling.told_at));
    let (id, told_at) = bank::add(txn, tenant, entry, told, &Actor::Hub)?;
    let known =
        txn.conn.prepare_cached("SELECT 1 FROM remembered WHERE entry = ?")?.exists([id.0])?;
    if told_at == told || known {
        txn.conn
            .prepare_cached("INSERT OR IGNORE INTO remembered VALUES (?, ?, ?)")?
            .execute(params![id.0, ruling.submission.0, number])?;
    }
    keep_rematch(txn, &Rematch { tenant: tenant.clone(), added: true, entry: entry.clone() })
}

/// Entries that are there for a word, and since when.
fn listed_for(
    txn: &Txn<'_>,
    id: SubmissionId,
    number: u32,
) -> Result<Vec<(ItemId, Millis)>, Error> {
    let mut statement = txn.conn.prepare_cached(
        "SELECT b.id, b.added_at FROM remembered r JOIN bank_entries b ON b.id = r.entry
         WHERE r.submission = ? AND r.decision = ? ORDER BY b.id",
    )?;
    let rows = statement
        .query_map(params![id.0, number], |row| Ok((ItemId(row.get(0)?), Millis(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What stood before a word, but for what the machine decided since an entry is listed that goes with it: the entries that go out to all
/// boxes of a tenant may be there before the word itself.
fn before(
    txn: &Txn<'_>,
    id: SubmissionId,
    word: &DecisionRow,
    listed: &[(ItemId, Millis)],
) -> Result<DecisionRow, Error> {
    let first = listed.iter().map(|(_, added_at)| *added_at).min();
    let number = word.supersedes.ok_or(Error::NotFound("decision"))?;
    let mut row = decided(txn, id, number)?;
    while let (Some(earlier), Actor::Machine, Some(first)) = (row.supersedes, &row.actor, first) {
        if row.at < first {
            break;
        }
        row = decided(txn, id, earlier)?;
    }
    Ok(row)
}

/// The same once more. What the gate knew of each medium is not kept; it asks again.
fn again(
    txn: &Txn<'_>,
    id: SubmissionId,
    earlier: &DecisionRow,
    ladder: Ladder,
) -> Result<Verdict, Error> {
    let first = origin(txn, id, earlier)?;
    let mut reasons = first.decision.reasons.clone();
    reasons.push(REOPENED.to_owned());
    let decision = Decision { reasons, ..first.decision.clone() };
    Ok(Verdict {
        decision,
        verified: first.verified || first.actor != Actor::Machine,
        again: Some(Earlier { number: earlier.number, at: first.at }),
        ..Verdict::held(&first, REOPENED, ladder)
    })
}

/// Takes away what is listed for this word alone, to be matched with what was seen.
fn forget(
    txn: &mut Txn<'_>,
    submission: &Submission,
    number: u32,
    listed: &[(ItemId, Millis)],
) -> Result<(), Error> {
    let tenant = &submission.tenant;
    for (entry, _) in listed {
        txn.conn
            .prepare_cached(
                "DELETE FROM remembered WHERE entry = ? AND submission = ? AND decision = ?",
            )?
            .execute(params![entry.0, submission.id.0, number])?;
        if is_needed(txn, *entry)? {
            continue;
        }
        txn.conn.prepare_cached("DELETE FROM remembered WHERE entry = ?")?.execute([entry.0])?;
        if let Some(entry) = bank::remove(txn, tenant, *entry, &Actor::Hub)? {
            keep_rematch(txn, &Rematch { tenant: tenant.clone(), added: false, entry })?;
        }
    }
    Ok(())
}

/// Whether a moderator's rejection stands for which the entry is there too; one of a submission that is not here any more stands.
fn is_needed(txn: &Txn<'_>, entry: ItemId) -> Result<bool, Error> {
    let submissions: Vec<uuid::Uuid> = txn
        .conn
        .prepare_cached("SELECT DISTINCT submission FROM remembered WHERE entry = ?")?
        .query_map([entry.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in submissions.into_iter().map(SubmissionId) {
        let stands = match submission::read(txn.conn, id)?.and_then(|found| found.decision) {
            None => true,
            Some(row) => {
                let word = origin(txn, id, &row)?;
                word.actor == Actor::Hub && word.decision.status == Status::Rejected
            }
        };
        if stands {
            return Ok(true);
        }
    }
    Ok(false)
}
