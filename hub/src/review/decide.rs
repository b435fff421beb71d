//! A person's decision: what it says, the directive that tells the box, and the audit entry are one transaction. Killed in between, nothing
//! of it was done.

use domain::directive::{Address, AuthorRef, List, Order, Rule, SetStanding};
use domain::journal::{AuthorNumber, BoxId, Code, SubmissionId};
use domain::standing::Level;
use domain::{Category, Severity};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Item, Tab, claim, queue, rank, undo};
use crate::Error;
use crate::account::Right;
use crate::account::session::Who;
use crate::audit::{self, Deed};
use crate::directives::{self, Given};
use crate::lists;
use crate::reason;
use crate::receipt::HubKey;

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It may be seen.
    Approve,
    /// It may not, for this.
    Reject {
        /// The policy that it breaks.
        category: Category,
        /// How gravely.
        severity: Severity,
        /// Whether its media are to be recognised from now on.
        remember: bool,
    },
    /// An author gets this penalty, whatever the strikes.
    Standing(Level),
    /// An author's penalty stays as it is.
    Dismiss,
}

impl Verb {
    /// As stored.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject { .. } => "reject",
            Self::Standing(_) => "standing",
            Self::Dismiss => "dismiss",
        }
    }
}

/// A decision as it is handed in.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What.
    pub verb: Verb,
    /// Why, in the words of who decides.
    pub reason: String,
    /// The decision in force that they saw.
    pub seen: Option<i64>,
}

/// Decides an item that one has in hand; the name of the decision.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Refused`] with what to do, or where the database is away: then nothing was decided.
pub async fn decide(
    client: &mut Client,
    key: &HubKey,
    who: &Who,
    (of, subject): (Uuid, Uuid),
    decision: &Decision,
) -> Result<Uuid, Error> {
    let reason = reason::given(&decision.reason)?;
    let transaction = client.transaction().await?;
    let client = transaction.client();
    let lock = "SELECT 1 FROM reviews WHERE box = $1 AND subject = $2 FOR UPDATE";
    client.query_opt(lock, &[&of, &subject]).await?;
    let item = queue::find(client, who, of, subject).await?;
    may(client, who, &item, decision).await?;
    if matches!(decision.verb, Verb::Reject { remember: true, .. }) {
        undo::hold_list(client, &item.tenant).await?;
    }
    let given = match order(&item, decision)? {
        Some(order) => {
            // A moderator's id, by which every directive can be traced to a person.
            let by = Code::lossy(&who.account.account.to_string());
            Some(directives::give_within(client, key, Address::Box(BoxId(of)), by, order).await?)
        }
        None => None,
    };
    no_flood(client, &item, given.as_ref()).await?;
    let name = write(client, who, &item, decision, reason, given.as_ref()).await?;
    let close = "UPDATE reviews SET open = false, closed_at = now(), claimed_by = NULL, claimed_until = NULL, refused = NULL,
        escalated = false, assignee = NULL WHERE box = $1 AND subject = $2";
    client.execute(close, &[&of, &subject]).await?;
    let deed = Deed {
        action: "review.decide",
        subject: format!("{of}/{subject}"),
        tenant: Some(&item.tenant),
        why: reason,
        detail: told(&item, decision, name, given.as_ref()),
    };
    audit::note(client, key, who.into(), &deed).await?;
    transaction.commit().await?;
    Ok(name)
}

/// Whether this person may decide this now.
async fn may(client: &Client, who: &Who, item: &Item, decision: &Decision) -> Result<(), Error> {
    let refused = |why: &str| Err(Error::Refused(why.to_owned()));
    if !item.open {
        return refused("it was decided meanwhile");
    }
    // A claim that ran out while nobody else took the item is good enough: the row is locked.
    let query = "SELECT claimed_by FROM reviews WHERE box = $1 AND subject = $2";
    let row = client.query_one(query, &[&item.of, &item.subject]).await?;
    match row.try_get::<_, Option<Uuid>>(0)? {
        Some(by) if by == who.account.account => {}
        Some(_) => return refused("somebody else has it in hand"),
        None => return refused("nobody has it in hand: claim it first"),
    }
    claim::may(who, item)?;
    if undo::is_pending(client, item.of, item.subject).await? {
        return refused(
            "the box has not answered yet that the decision before was taken back: a moment",
        );
    }
    if item.number != decision.seen {
        return refused("there is a newer decision than the one that you saw: look again");
    }
    let children = matches!(decision.verb, Verb::Reject { category: Category::SexualMinors, .. });
    if children && !who.may(Right::Senior) {
        return refused(
            "what concerns the safety of children is decided by a senior moderator: escalate it",
        );
    }
    if item.tab == Tab::Appeals {
        let first = "SELECT 1 FROM review_decisions WHERE box = $1 AND subject = $2 AND account = $3 AND undone_at IS NULL";
        let me = who.account.account;
        if client.query_opt(first, &[&item.of, &item.subject, &me]).await?.is_some() {
            return refused("you decided this before: somebody else decides the appeal");
        }
    }
    Ok(())
}

/// What is to be remembered must not refuse what very many post: that takes two people. Asked of the bytes alone, which an index finds; near
/// pictures would have to be compared one by one, and a decision has to be fast.
async fn no_flood(client: &Client, item: &Item, given: Option<&Given>) -> Result<(), Error> {
    let listed = given.and_then(|given| given.listed.as_deref()).unwrap_or_default();
    for entry in listed.iter().filter(|entry| entry.distance.is_none()) {
        let effect = lists::effect(client, &item.tenant, entry.hash, None).await?;
        if effect.is_flood() {
            return Err(Error::Invalid(format!(
                "its medium was in {} submissions of the last {} days, of which {} stand approved: reject it without refusing its media from now on; to list {} is for two people, under Hash lists",
                effect.submissions,
                lists::EFFECT_DAYS,
                effect.approved,
                entry.hash
            )));
        }
    }
    Ok(())
}

/// What the box is told.
fn order(item: &Item, decision: &Decision) -> Result<Option<Order>, Error> {
    let tenant = item.tenant.parse().map_err(|_| Error::Damaged("an item's tenant".into()))?;
    let author = item.tab == Tab::Accounts;
    let seen = || {
        let seen = decision.seen.and_then(|seen| u32::try_from(seen).ok());
        seen.ok_or_else(|| {
            Error::Invalid("the box has decided nothing about it yet: wait for its verdict".into())
        })
    };
    let submission = SubmissionId(item.subject);
    Ok(match &decision.verb {
        Verb::Approve if !author => Some(
            Rule {
                tenant,
                submission,
                seen: seen()?,
                approve: true,
                categories: Vec::new(),
                remember: false,
            }
            .into(),
        ),
        Verb::Reject { category, severity, remember } if !author => {
            if *severity < Severity::Low {
                return Err(Error::Invalid("a rejection says how grave it is".into()));
            }
            let categories = vec![(*category, *severity)];
            Some(
                Rule {
                    tenant,
                    submission,
                    seen: seen()?,
                    approve: false,
                    categories,
                    remember: *remember,
                }
                .into(),
            )
        }
        Verb::Standing(level) if author => {
            let author = AuthorRef::Number(AuthorNumber(item.subject.as_u128() as u64));
            Some(SetStanding { tenant, author, level: *level, until: None }.into())
        }
        Verb::Dismiss if author => None,
        _ => return Err(Error::Invalid("that cannot be said of this item".into())),
    })
}

async fn write(
    client: &Client,
    who: &Who,
    item: &Item,
    decision: &Decision,
    reason: &str,
    given: Option<&Given>,
) -> Result<Uuid, Error> {
    let name = Uuid::now_v7();
    let (category, severity, remember) = match &decision.verb {
        Verb::Reject { category, severity, remember } => {
            (Some(category.as_str()), Some(rank(*severity)), *remember)
        }
        _ => (None, None, false),
    };
    let policy = category.unwrap_or("none");
    let place = given.map(|given| &given.place);
    let (epoch, lane, seq) = (
        place.map(|place| place.epoch.0.cast_signed()),
        place.map(|place| place.to.to_string()),
        place.map(|place| place.seq.0.cast_signed()),
    );
    let listed = given.and_then(|given| given.listed.as_deref()).unwrap_or_default();
    let listed = listed.iter().map(entry).collect::<Value>();
    let query = "INSERT INTO review_decisions (box, subject, decision, tab, tenant, verb, seen, category, severity, policy, reason, remember,
        account, actor, epoch, lane, seq, listed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
    let parameters: [&(dyn ToSql + Sync); 18] = [
        &item.of,
        &item.subject,
        &name,
        &item.tab.as_str(),
        &item.tenant,
        &decision.verb.as_str(),
        &decision.seen,
        &category,
        &severity,
        &policy,
        &reason,
        &remember,
        &who.account.account,
        &who.account.shown,
        &epoch,
        &lane,
        &seq,
        &listed,
    ];
    client.execute(query, &parameters).await?;
    Ok(name)
}

/// An entry of a hash list, as it is kept to be taken back.
fn entry(list: &List) -> Value {
    json!({
        "hash": list.hash.to_string(),
        "distance": list.distance,
        "category": list.category.map(|category| category.as_str()),
    })
}

fn told(item: &Item, decision: &Decision, name: Uuid, given: Option<&Given>) -> Value {
    let verb = match &decision.verb {
        Verb::Reject { category, severity, remember } => json!({
            "category": category.as_str(), "severity": severity, "remember": remember,
        }),
        Verb::Standing(level) => json!({ "level": level }),
        Verb::Approve | Verb::Dismiss => json!({}),
    };
    json!({
        "decision": name,
        "tab": item.tab,
        "verb": decision.verb.as_str(),
        "what": verb,
        "seen": decision.seen,
        "directive": given.map(|given| json!({
            "epoch": given.place.epoch.to_string(), "to": given.place.to.to_string(), "seq": given.place.seq,
        })),
        "listed": given.and_then(|given| given.listed.as_ref()).map(Vec::len),
    })
}

/// A box did not do as was decided: the item is back, and says why.
pub(crate) async fn refused(
    client: &Client,
    key: &HubKey,
    of: Uuid,
    (epoch, lane, seq): (i64, &str, i64),
    why: &str,
) -> Result<(), Error> {
    // Whoever decides holds the item first, too.
    let lock = "SELECT 1 FROM reviews r JOIN review_decisions d USING (box, subject) WHERE d.box = $1 AND d.lane = $3
        AND (d.epoch = $2 AND d.seq = $4 OR d.undo_epoch = $2 AND d.undo_seq = $4) FOR UPDATE OF r";
    client.query(lock, &[&of, &epoch, &lane, &seq]).await?;
    // What is not on the box any more comes not back for ever.
    let query = "UPDATE reviews r SET open = $5 NOT IN ('unknown_submission', 'unknown_author', 'unknown_tenant'), refused = $5, closed_at = NULL
        FROM review_decisions d WHERE d.box = $1 AND d.epoch = $2 AND d.lane = $3 AND d.seq = $4 AND d.undone_at IS NULL
          AND r.box = d.box AND r.subject = d.subject";
    client.execute(query, &[&of, &epoch, &lane, &seq, &why]).await?;
    let query = "UPDATE review_decisions SET undone_at = now() WHERE box = $1 AND epoch = $2 AND lane = $3 AND seq = $4 AND undone_at IS NULL RETURNING decision";
    for row in client.query(query, &[&of, &epoch, &lane, &seq]).await? {
        // What it listed for all boxes goes with it.
        undo::unlist_of(client, key, of, row.try_get(0)?).await?;
    }
    // It was to be taken back, and stands.
    let query = "WITH stands AS (UPDATE review_decisions d SET undone_at = NULL, undone_by = NULL, undo_epoch = NULL, undo_seq = NULL
            WHERE box = $1 AND undo_epoch = $2 AND lane = $3 AND undo_seq = $4
              AND EXISTS (SELECT 1 FROM directive_receipts t WHERE t.box = d.box AND t.epoch = d.epoch AND t.lane = d.lane AND t.seq = d.seq AND t.refused IS NULL)
              AND NOT EXISTS (SELECT 1 FROM review_decisions o WHERE o.box = d.box AND o.subject = d.subject AND o.decision <> d.decision AND o.undone_at IS NULL AND o.at >= d.at)
            RETURNING box, subject)
        UPDATE reviews r SET open = false, refused = $5, claimed_by = NULL, claimed_until = NULL FROM stands s WHERE r.box = s.box AND r.subject = s.subject";
    client.execute(query, &[&of, &epoch, &lane, &seq, &why]).await?;
    Ok(())
}
