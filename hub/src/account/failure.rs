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

/// Where somebody failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At the password.
    Password,
    /// At the code, behind the password.
    Code,
    /// At a passkey.
    Passkey,
    /// At the password that is asked for once more of who is in.
    Again,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Code => "code",
            Self::Passkey => "passkey",
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
