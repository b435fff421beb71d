//! Failed logins in the audit journal: one entry for each account in a quarter of an hour, however many try, and one more where they had the password
//! already. Names that nobody has are counted and not written, so that strangers cannot fill the journal.

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Error;
use crate::audit::{self, Deed};
use crate::receipt::HubKey;

/// Seconds for which one entry stands.
const WINDOW_S: f64 = 900.0;

/// Entries of people whom a provider sent, in that time.
const SENT: i64 = 20;

/// Where somebody failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At the password.
    Password,
    /// At the code, behind the password.
    Code,
    /// At a passkey.
    Passkey,
    /// Behind the provider of identities: the account is switched off, or was never set up.
    Provider,
    /// At the password that is asked for once more of who is in.
    Again,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Code => "code",
            Self::Passkey => "passkey",
            Self::Provider => "provider",
            Self::Again => "password, once more",
        }
    }
}

/// Notes that somebody failed to be let in as this account, at which step.
///
/// # Errors
/// Where the database is away.
pub async fn note(
    client: &mut Client,
    key: &HubKey,
    account: Uuid,
    step: Step,
    remote: &str,
) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    // Of many at once one changes the row.
    let noted = match step {
        Step::Password => "failure_noted_at",
        // Strangers' guesses at the password must not hide that somebody has come further.
        _ => "grave_failure_noted_at",
    };
    let query = format!(
        "UPDATE accounts SET {noted} = now() WHERE account = $1
        AND coalesce({noted} < now() - make_interval(secs => $2), true) RETURNING name"
    );
    let Some(row) = transaction.query_opt(&query, &[&account, &WINDOW_S]).await? else {
        return Ok(());
    };
    let deed = Deed {
        action: "session.refuse",
        subject: row.try_get(0)?,
        tenant: None,
        why: "",
        detail: json!({ "step": step.as_str() }),
    };
    audit::note(transaction.client(), key, audit::stranger(remote), &deed).await?;
    transaction.commit().await?;
    Ok(())
}

/// Somebody whom a provider of identities sent and who was not let in: what the provider calls them, or itself where it does not come so far; and why. One entry for
/// each name in a quarter of an hour, and so many in all: a provider may know everybody.
///
/// # Errors
/// Where the database is away.
pub async fn note_sent(
    client: &mut Client,
    key: &HubKey,
    (issuer, name): (&str, &str),
    why: &str,
    remote: &str,
) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    // As the entry itself does: of many at once each sees those before.
    transaction.execute("SELECT pg_advisory_xact_lock(hashtext('weir audit'))", &[]).await?;
    let query = "SELECT count(*), coalesce(bool_or(subject = $1), false) FROM
        (SELECT subject, at FROM audit WHERE action = 'oidc.refuse' ORDER BY seq DESC LIMIT $2) AS last
        WHERE at > clock_timestamp() - make_interval(secs => $3)";
    let row = transaction.query_one(query, &[&name, &SENT, &WINDOW_S]).await?;
    if row.try_get::<_, i64>(0)? >= SENT || row.try_get(1)? {
        return Ok(());
    }
    let detail = json!({ "issuer": issuer });
    let deed = Deed { action: "oidc.refuse", subject: name.to_owned(), tenant: None, why, detail };
    audit::note(transaction.client(), key, audit::stranger(remote), &deed).await?;
    transaction.commit().await?;
    Ok(())
}
