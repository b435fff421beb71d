//! Who has an item in hand: one person, for a quarter of an hour. Comments and looking at pictures hold on to it.

use tokio_postgres::Client;
use uuid::Uuid;

use super::{Item, Tab, queue};
use crate::Error;
use crate::account::Right;
use crate::account::session::Who;

/// How long a claim holds without a move, in seconds.
const CLAIM_S: f64 = 900.0;

/// Claims an item, or holds on to it.
///
/// # Errors
/// [`Error::Refused`] where somebody else has it, it takes a senior moderator, or it waits no more; [`Error::NotFound`]; or where the database
/// is away.
pub async fn claim(client: &Client, who: &Who, of: Uuid, subject: Uuid) -> Result<Item, Error> {
    let item = queue::find(client, who, of, subject).await?;
    may(who, &item)?;
    let query = "UPDATE reviews SET claimed_by = $3, claimed_until = now() + make_interval(secs => $4)
        WHERE box = $1 AND subject = $2 AND open AND (claimed_by IS NULL OR claimed_by = $3 OR claimed_until <= now())";
    let me = who.account.account;
    if client.execute(query, &[&of, &subject, &me, &CLAIM_S]).await? == 1 {
        return queue::find(client, who, of, subject).await;
    }
    let item = queue::find(client, who, of, subject).await?;
    let why = match (item.open, &item.claimed_shown) {
        (false, _) => "it was decided meanwhile",
        // The item's page says who.
        (true, Some(_)) => "somebody else has it in hand",
        (true, None) => "somebody was faster: try again",
    };
    Err(Error::Refused(why.into()))
}

/// Holds on to an item that one has in hand.
///
/// # Errors
/// Where the database is away.
pub async fn hold_on(client: &Client, who: &Who, of: Uuid, subject: Uuid) -> Result<(), Error> {
    let query = "UPDATE reviews SET claimed_until = now() + make_interval(secs => $4) WHERE box = $1 AND subject = $2 AND claimed_by = $3 AND open";
    client.execute(query, &[&of, &subject, &who.account.account, &CLAIM_S]).await?;
    Ok(())
}

/// Whether somebody may decide it at all.
///
/// # Errors
/// [`Error::Refused`] with why not.
pub(crate) fn may(who: &Who, item: &Item) -> Result<(), Error> {
    if item.is_senior() && !who.may(Right::Senior) {
        let why = "appeals, escalations and what concerns the safety of children are decided by a senior moderator";
        return Err(Error::Refused(why.into()));
    }
    Ok(())
}

/// Gives an item back.
///
/// # Errors
/// Where the database is away.
pub async fn release(client: &Client, who: &Who, of: Uuid, subject: Uuid) -> Result<(), Error> {
    queue::find(client, who, of, subject).await?;
    let query = "UPDATE reviews SET claimed_by = NULL, claimed_until = NULL WHERE box = $1 AND subject = $2 AND claimed_by = $3";
    client.execute(query, &[&of, &subject, &who.account.account]).await?;
    Ok(())
}

/// Claims what comes next: what was given to one first, then what one is good at, then the gravest and oldest. Nothing where nothing waits.
/// Many who ask at once get different items.
///
/// # Errors
/// Where the database is away.
pub async fn next(client: &Client, who: &Who, tab: Tab) -> Result<Option<(Uuid, Uuid)>, Error> {
    let query = "UPDATE reviews SET claimed_by = $1, claimed_until = now() + make_interval(secs => $2)
        WHERE (box, subject) = (
            SELECT r.box, r.subject FROM reviews r LEFT JOIN boxes b USING (box)
            WHERE r.open AND r.tab = $3 AND ($4::text[] IS NULL OR r.tenant = ANY($4))
              AND (r.claimed_by IS NULL OR r.claimed_until <= now())
              AND (r.assignee IS NULL OR r.assignee = $1)
              AND (r.tab <> 'appeals' OR NOT EXISTS (SELECT 1 FROM review_decisions d WHERE d.box = r.box AND d.subject = r.subject
                  AND d.account = $1 AND d.undone_at IS NULL))
              AND ($5 OR NOT (r.escalated OR r.tab = 'appeals' OR 'sexual/minors' = ANY(r.categories)))
            ORDER BY (r.assignee IS NULL), r.severity DESC, NOT coalesce(r.category = ANY($6) OR b.region = ANY($6) OR r.language = ANY($6), false), r.since, r.box, r.subject
            LIMIT 1 FOR UPDATE OF r SKIP LOCKED)
        RETURNING box, subject";
    let (me, senior) = (who.account.account, who.may(Right::Senior));
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&me, &CLAIM_S, &tab.as_str(), &who.account.tenants, &senior, &who.account.skills];
    let row = client.query_opt(query, &parameters).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}
