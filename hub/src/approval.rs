//! What takes two people: one asks and says why, another one with the right to approve grants or denies. Done in the transaction that grants.

use domain::directive::{Address, Order};
use domain::journal::{BoxId, Code};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Error;
use crate::account::session::Who;
use crate::account::{self, Role};
use crate::audit::{self, Deed};
use crate::directives::{self, Asked};
use crate::fleet::{self, State};
use crate::reason;
use crate::receipt::HubKey;
use crate::rollout::Act;

/// How long somebody may wait for the second person, in seconds.
const WAIT_S: f64 = 7.0 * 86_400.0;

/// What it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "grave", rename_all = "snake_case")]
pub enum Grave {
    /// An account gets the rights of an admin.
    Role {
        /// Whose.
        account: Uuid,
        /// Which.
        role: Role,
    },
    /// A box is cut off for good.
    Revoke {
        /// Which.
        #[serde(rename = "box")]
        of: Uuid,
    },
    /// A stage of a roll-out goes to the whole fleet.
    Stage {
        /// Which roll-out.
        rollout: Uuid,
        /// Its stage.
        stage: i16,
        /// As people read it.
        what: String,
        /// Whether it goes on without boxes that have not taken up the one before.
        anyway: bool,
    },
    /// Something is ordered: an erasure, an entry of a list.
    Order {
        /// To whom.
        to: String,
        /// What, as `POST /v1/directives` takes it.
        order: serde_json::Value,
    },
}

impl Grave {
    fn action(&self) -> &'static str {
        match self {
            Self::Role { .. } => "account.role",
            Self::Revoke { .. } => "box.revoke",
            Self::Stage { .. } => "rollout.advance",
            Self::Order { .. } => "directive.order",
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Role { account, role } => format!("{account} becomes {role}"),
            Self::Revoke { of } => of.to_string(),
            Self::Stage { what, .. } => what.clone(),
            Self::Order { to, order } => {
                format!("{} to {to}", order["kind"].as_str().unwrap_or("order"))
            }
        }
    }
}

/// What waits for a second person, or was settled.
#[derive(Clone, Debug, Serialize)]
pub struct Approval {
    /// Its name.
    pub approval: Uuid,
    /// What would be done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The same, as it was asked for.
    pub wanted: Grave,
    /// What the account or the box is called that it is about; nothing where it is about none that there is.
    pub name: Option<String>,
    /// Why.
    pub why: String,
    /// Who asked.
    pub asked_by: Uuid,
    /// As colleagues see them.
    pub asked_shown: String,
    /// When, seconds since 1970.
    pub asked_at: f64,
    /// Until when it can be granted.
    pub expires_at: f64,
    /// Who settled it.
    pub settled_shown: Option<String>,
    /// Whether it was granted.
    pub granted: Option<bool>,
}

/// Asks for something.
///
/// # Errors
/// [`Error::Invalid`] with what to do, or where the database is away.
pub async fn ask(client: &Client, who: &Who, grave: &Grave, why: &str) -> Result<Uuid, Error> {
    if !reason::LENGTH.contains(&why.chars().count()) {
        return Err(Error::Invalid(
            "say why, in 3 to 500 characters: somebody else has to approve it".into(),
        ));
    }
    let id = Uuid::now_v7();
    let wanted = serde_json::to_value(grave).map_err(|error| Error::Invalid(error.to_string()))?;
    let query =
        "INSERT INTO approvals (approval, action, subject, wanted, why, asked_by, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))";
    let me = who.account.account;
    client
        .execute(query, &[&id, &grave.action(), &grave.subject(), &wanted, &why, &me, &WAIT_S])
        .await?;
    Ok(id)
}

/// What waits, and the newest that were settled.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Approval>, Error> {
    let query = "SELECT p.approval, p.action, p.subject, p.why, p.asked_by, a.shown, extract(epoch FROM p.asked_at)::float8,
            extract(epoch FROM p.expires_at)::float8, s.shown, p.granted, p.wanted,
            coalesce((SELECT a.shown FROM accounts a WHERE a.account::text = p.wanted->>'account'),
                (SELECT b.name FROM boxes b WHERE b.box::text = p.wanted->>'box' OR 'box/' || b.box::text = p.wanted->>'to'))
        FROM approvals p JOIN accounts a ON a.account = p.asked_by LEFT JOIN accounts s ON s.account = p.settled_by
        WHERE p.settled_at IS NOT NULL OR p.expires_at > now() ORDER BY p.settled_at IS NOT NULL, p.asked_at DESC LIMIT 100";
    let approval = |row: &tokio_postgres::Row| {
        Ok(Approval {
            approval: row.try_get(0)?,
            action: row.try_get(1)?,
            subject: row.try_get(2)?,
            why: row.try_get(3)?,
            asked_by: row.try_get(4)?,
            asked_shown: row.try_get(5)?,
            asked_at: row.try_get(6)?,
            expires_at: row.try_get(7)?,
            settled_shown: row.try_get(8)?,
            granted: row.try_get(9)?,
            wanted: serde_json::from_value(row.try_get(10)?)
                .map_err(|error| Error::Damaged(error.to_string()))?,
            name: row.try_get(11)?,
        })
    };
    client.query(query, &[]).await?.iter().map(approval).collect()
}

/// Grants or denies, and does what was granted.
///
/// # Errors
/// [`Error::Refused`] where one asked oneself, [`Error::NotFound`] where it was settled or its time is over; what doing it may refuse; or where the
/// database is away. Then nothing has changed.
pub async fn settle(
    client: &mut Client,
    key: &HubKey,
    who: &Who,
    id: Uuid,
    grant: bool,
) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let client = transaction.client();
    let query = "SELECT wanted, asked_by, why FROM approvals WHERE approval = $1 AND settled_at IS NULL AND expires_at > now() FOR UPDATE";
    let row = client.query_opt(query, &[&id]).await?;
    let row = row
        .ok_or_else(|| Error::NotFound("it was settled meanwhile, or nobody did in time".into()))?;
    let (wanted, asked_by, why): (serde_json::Value, Uuid, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let me = who.account.account;
    let grave: Grave =
        serde_json::from_value(wanted).map_err(|error| Error::Damaged(error.to_string()))?;
    if grant {
        independent(client, who, asked_by, &grave).await?;
    }
    if asked_by == me {
        // One may take back what one asked for.
        client.execute("DELETE FROM approvals WHERE approval = $1", &[&id]).await?;
    } else {
        let query = "UPDATE approvals SET settled_by = $2, settled_at = now(), granted = $3 WHERE approval = $1";
        client.execute(query, &[&id, &me, &grant]).await?;
    }
    if grant {
        done(client, key, who, &grave, &why).await?;
    }
    let deed = Deed {
        action: match (grant, asked_by == me) {
            (true, _) => "approval.grant",
            (false, true) => "approval.withdraw",
            (false, false) => "approval.deny",
        },
        subject: grave.subject(),
        tenant: None,
        why: &why,
        detail: json!({ "asked_by": asked_by, "what": grave }),
    };
    audit::note(client, key, who.into(), &deed).await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether the second person is one: not who asked, nor whom it is about, nor made, let in or promoted by who asked.
async fn independent(
    client: &Client,
    who: &Who,
    asked_by: Uuid,
    grave: &Grave,
) -> Result<(), Error> {
    let me = who.account.account;
    let refused = |why: &str| Err(Error::Refused(why.to_owned()));
    if asked_by == me {
        return refused("you asked for it: somebody else has to approve");
    }
    if matches!(grave, Grave::Role { account, .. } if *account == me) {
        return refused("it is about you: somebody else has to approve");
    }
    let asker = account::find(client, asked_by).await?;
    if asker.disabled_at.is_some() {
        return refused("who asked is switched off: it has to be asked for anew");
    }
    // Each of these shows or makes an invitation, by which whoever made it could be the other person.
    let made = "SELECT 1 FROM audit WHERE account = $1 AND subject = $2 AND action IN ('account.add', 'account.invite', 'account.on')
        AND at > now() - interval '30 days' LIMIT 1";
    match client.query_opt(made, &[&asked_by, &who.account.name]).await? {
        Some(_) => refused(
            "who asked has let you in within the last thirty days: a third person has to approve",
        ),
        None => Ok(()),
    }
}

async fn done(
    client: &Client,
    key: &HubKey,
    who: &Who,
    grave: &Grave,
    why: &str,
) -> Result<(), Error> {
    match grave {
        Grave::Role { account, role } => account::set_role(client, *account, *role).await,
        Grave::Revoke { of } => fleet::set_state(client, BoxId(*of), State::Revoked).await,
        Grave::Stage { rollout, stage, anyway, .. } => {
            Act { key, who, why }.advance(client, *rollout, *stage, *anyway).await
        }
        Grave::Order { to, order } => {
            let to: Address = to.parse().map_err(|error| Error::Damaged(format!("{error}")))?;
            let asked: Asked = serde_json::from_value(order.clone())
                .map_err(|error| Error::Damaged(error.to_string()))?;
            let order: Order = asked.order(client, &to).await?;
            let by = Code::lossy(&who.account.account.to_string());
            directives::give_within(client, key, to, by, order).await.map(drop)
        }
    }
}
