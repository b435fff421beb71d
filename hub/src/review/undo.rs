//! A decision is taken back: what stood before it stands again, its strikes and the hashes that it listed go.

use domain::directive::{Address, List, Order, Reopen};
use domain::journal::{BoxId, Code, Sha256, SubmissionId, TenantId};
use serde_json::{Value, json};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{claim, queue};
use crate::Error;
use crate::account::Right;
use crate::account::session::Who;
use crate::audit::{self, Deed};
use crate::directives;
use crate::receipt::HubKey;

/// What is taken back.
struct Taken {
    subject: Uuid,
    tenant: TenantId,
    seen: i64,
    listed: Value,
    account: Uuid,
    verb: String,
    undone: bool,
}

/// Takes a decision back: the newest one of its item, one's own or with the right to take back others'. The item is in one's hands again; which
/// one is returned.
///
/// # Errors
/// [`Error::Refused`] with why not, [`Error::NotFound`], or where the database is away: then nothing has changed.
pub async fn undo(
    client: &mut Client,
    key: &HubKey,
    who: &Who,
    of: Uuid,
    decision: Uuid,
) -> Result<Uuid, Error> {
    let transaction = client.transaction().await?;
    let client = transaction.client();
    let taken = taken(client, of, decision).await?;
    let lock = "SELECT 1 FROM reviews WHERE box = $1 AND subject = $2 FOR UPDATE";
    client.query_opt(lock, &[&of, &taken.subject]).await?;
    // Only now does it stand still.
    let taken = self::taken(client, of, decision).await?;
    let item = queue::find(client, who, of, taken.subject).await?;
    may(client, who, of, decision, &taken).await?;
    if item.open {
        return refused("it waits for a decision already");
    }
    // The box numbers on: behind what was seen stands this decision, unless the machine spoke in between and the hub has heard of it.
    let number = item.number.filter(|number| *number > taken.seen).unwrap_or(taken.seen + 1);
    let seen = u32::try_from(number).map_err(|_| Error::Damaged(format!("decision {number}")))?;
    let by = Code::lossy(&who.account.account.to_string());
    let submission = SubmissionId(taken.subject);
    // In the order in which a decision that lists something goes through the lanes.
    hold_list(client, taken.tenant.as_str()).await?;
    let unlisted = unlist(client, key, &by, decision, &taken).await?;
    let order = Reopen { tenant: taken.tenant.clone(), submission, seen };
    let to = Address::Box(BoxId(of));
    let given = directives::give_within(client, key, to, by.clone(), order.into()).await?;
    let query = "UPDATE review_decisions SET undone_at = now(), undone_by = $3, undo_epoch = $4, undo_seq = $5 WHERE box = $1 AND decision = $2";
    let me = who.account.account;
    let (epoch, seq) = (given.place.epoch.0.cast_signed(), given.place.seq.0.cast_signed());
    client.execute(query, &[&of, &decision, &me, &epoch, &seq]).await?;
    let open = "UPDATE reviews SET open = true, closed_at = NULL, refused = NULL WHERE box = $1 AND subject = $2";
    client.execute(open, &[&of, &taken.subject]).await?;
    claim::claim(client, who, of, taken.subject).await.map(drop).or_else(|error| match error {
        // A senior moderator's item: it waits for one.
        Error::Refused(_) => Ok(()),
        other => Err(other),
    })?;
    let deed = Deed {
        action: "review.undo",
        subject: format!("{of}/{}", taken.subject),
        tenant: Some(taken.tenant.as_str()),
        why: "",
        detail: json!({ "decision": decision, "of": taken.account, "unlisted": unlisted }),
    };
    audit::note(client, key, who.into(), &deed).await?;
    transaction.commit().await?;
    Ok(taken.subject)
}

/// Of decisions that list the same hash one at a time is made or taken back: each has to see what stands.
pub(super) async fn hold_list(client: &Client, tenant: &str) -> Result<(), Error> {
    let query = "SELECT pg_advisory_xact_lock(hashtextextended('weir list ' || $1, 0))";
    client.execute(query, &[&tenant]).await?;
    Ok(())
}

/// Orders the entries away that came with a decision that a box did not follow.
pub(super) async fn unlist_of(
    client: &Client,
    key: &HubKey,
    of: Uuid,
    decision: Uuid,
) -> Result<(), Error> {
    let taken = taken(client, of, decision).await?;
    hold_list(client, taken.tenant.as_str()).await?;
    unlist(client, key, &Code::lossy("hub"), decision, &taken).await.map(drop)
}

/// Whether the box has still to say that a decision on this item was taken back.
pub(super) async fn is_pending(client: &Client, of: Uuid, subject: Uuid) -> Result<bool, Error> {
    let query = "SELECT 1 FROM review_decisions d WHERE d.box = $1 AND d.subject = $2 AND d.undo_seq IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM directive_receipts r WHERE r.box = d.box AND r.epoch = d.undo_epoch AND r.lane = d.lane AND r.seq = d.undo_seq) LIMIT 1";
    Ok(client.query_opt(query, &[&of, &subject]).await?.is_some())
}

fn refused<T>(why: &str) -> Result<T, Error> {
    Err(Error::Refused(why.to_owned()))
}

async fn taken(client: &Client, of: Uuid, decision: Uuid) -> Result<Taken, Error> {
    let query = "SELECT subject, tenant, seen, listed, account, verb, undone_at IS NOT NULL FROM review_decisions
        WHERE box = $1 AND decision = $2";
    let row = client.query_opt(query, &[&of, &decision]).await?;
    let row = row.ok_or_else(|| Error::NotFound("there is no such decision".into()))?;
    let tenant: &str = row.try_get(1)?;
    Ok(Taken {
        subject: row.try_get(0)?,
        tenant: tenant.parse().map_err(|_| Error::Damaged("a decision's tenant".into()))?,
        seen: row.try_get::<_, Option<i64>>(2)?.unwrap_or(-1),
        listed: row.try_get(3)?,
        account: row.try_get(4)?,
        verb: row.try_get(5)?,
        undone: row.try_get(6)?,
    })
}

async fn may(
    client: &Client,
    who: &Who,
    of: Uuid,
    decision: Uuid,
    taken: &Taken,
) -> Result<(), Error> {
    if taken.undone {
        return refused("it was taken back already");
    }
    if taken.seen < 0 || !matches!(taken.verb.as_str(), "approve" | "reject") {
        return refused("a penalty is not taken back but set anew");
    }
    if taken.account != who.account.account && !who.may(Right::Senior) {
        return refused("somebody else decided it: a senior moderator may take it back");
    }
    let newer =
        "SELECT 1 FROM review_decisions d, review_decisions o WHERE o.box = $1 AND o.decision = $2
        AND d.box = o.box AND d.subject = o.subject AND d.undone_at IS NULL AND d.at > o.at";
    match client.query_opt(newer, &[&of, &decision]).await? {
        Some(_) => refused("there is a newer decision: take that back first"),
        None => Ok(()),
    }
}

/// Orders the entries away that came with it, but for those that another standing decision listed, too; how many.
async fn unlist(
    client: &Client,
    key: &HubKey,
    by: &Code,
    decision: Uuid,
    taken: &Taken,
) -> Result<u32, Error> {
    let query = "SELECT e->>'hash', (e->>'distance')::int, e->>'category' FROM jsonb_array_elements($1::jsonb) e
        WHERE NOT EXISTS (SELECT 1 FROM review_decisions d WHERE d.tenant = $2 AND d.decision <> $3 AND d.undone_at IS NULL
            AND d.listed <> '[]' AND d.listed @> jsonb_build_array(jsonb_build_object('hash', e->>'hash')))";
    let rows = client.query(query, &[&taken.listed, &taken.tenant.as_str(), &decision]).await?;
    let mut unlisted = 0;
    for row in &rows {
        let order = Order::from(entry(row)?);
        let to = Address::Tenant(taken.tenant.clone());
        directives::give_within(client, key, to, by.clone(), order).await?;
        unlisted += 1;
    }
    Ok(unlisted)
}

fn entry(row: &Row) -> Result<List, Error> {
    let damaged = || Error::Damaged("a listed hash".into());
    let (hash, distance): (&str, Option<i32>) = (row.try_get(0)?, row.try_get(1)?);
    let category: Option<&str> = row.try_get(2)?;
    let hash: Sha256 = hash.parse().map_err(|_| damaged())?;
    Ok(List {
        add: false,
        negative: false,
        hash,
        distance: distance.map(u16::try_from).transpose().map_err(|_| damaged())?,
        category: category.map(str::parse).transpose().map_err(|_| damaged())?,
        verified: true,
        protected: false,
    })
}
