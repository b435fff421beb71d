//! What a decision means for its author, and an author's standing for a decision.

use std::borrow::Cow;

use domain::{
    Action, Status,
    journal::{Actor, StandingNote},
    standing::{Level, Offence, enforce},
};

use crate::{Error, Verdict, author, submission::Submission, txn::Txn};

/// What the machine would let through of an author whose posts are hidden waits for a person.
pub(crate) fn held_for_standing<'a>(
    txn: &Txn<'_>,
    submission: &Submission,
    actor: &Actor,
    verdict: &'a Verdict,
) -> Result<Cow<'a, Verdict>, Error> {
    let Some(author) = submission.author.filter(|_| *actor == Actor::Machine) else {
        return Ok(Cow::Borrowed(verdict));
    };
    let standing = author::standing(txn.conn, author, txn.now)?;
    let hidden = standing.level(&verdict.ladder, txn.now).0 >= Level::Hidden;
    if !hidden || verdict.decision.status != Status::Approved {
        return Ok(Cow::Borrowed(verdict));
    }
    let mut verdict = verdict.clone();
    verdict.decision.status = Status::Held;
    verdict.decision.action = Action::Hide;
    verdict.decision.reasons.insert(0, "standing".to_owned());
    Ok(Cow::Owned(verdict))
}

/// Lifts what an earlier decision on this submission gave, applies what this one gives. The note says how the author
/// stands afterwards; the flag whether anything changed.
pub(crate) fn apply(
    txn: &mut Txn<'_>,
    submission: &Submission,
    number: u32,
    verdict: &Verdict,
) -> Result<(Option<StandingNote>, bool), Error> {
    let Some(author) = submission.author else { return Ok((None, false)) };
    let decision = &verdict.decision;
    let offence = Offence {
        severity: decision.severity,
        action: decision.action,
        categories: decision.categories.keys().copied().collect(),
        verified: verdict.verified,
    };
    let before = author::standing(txn.conn, author, txn.now)?;
    let since = verdict.again.map_or(txn.now, |earlier| earlier.at);
    let then = enforce(&offence, &verdict.ladder, since);
    let earlier = author::strike_of(txn.conn, submission.id)?;
    match (&then.strike, earlier) {
        // The same matter judged again is no second strike.
        (Some(strike), Some(id)) => author::regrade(txn.conn, id, number, strike)?,
        (Some(strike), None) => author::strike(txn, author, Some((submission.id, number)), strike)?,
        (None, Some(_)) => author::lift_of(txn.conn, submission.id)?,
        (None, None) => {}
    }
    author::unban_of(txn.conn, submission.id)?;
    if then.ban {
        author::order(txn, author, Level::Banned, None, Some(submission.id))?;
    }
    let after = author::standing(txn.conn, author, txn.now)?;
    let (level, until) = after.level(&verdict.ladder, txn.now);
    let struck = then.strike.is_some() && earlier.is_none();
    let strikes = u32::try_from(after.strikes.len()).unwrap_or(u32::MAX);
    let note = StandingNote { author, struck, strikes, level, until };
    Ok((Some(note), before != after))
}
