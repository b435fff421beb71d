//! What authenticators are asked to sign: drawn here, kept in the database, good once and for five minutes, for one purpose, to whoever has the cookie.

use std::net::IpAddr;

use tokio_postgres::Client;

use crate::Error;
use crate::account::knock::network;
use crate::account::random;
use domain::journal::Sha256;

/// How long one is good, in seconds; browsers are told to ask no longer.
pub const LIFE_S: f64 = 300.0;

/// Of those that strangers asked for, so many wait for one network: a row each.
const WAITING: i64 = 30;

/// What a passkey is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be a new one of an account.
    Add,
    /// To be the second factor, after the password.
    Second,
    /// To be both factors.
    Alone,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Second => "second",
            Self::Alone => "alone",
        }
    }
}

/// Draws one; what the same cookie was asked before is not asked any more.
///
/// # Errors
/// [`Error::Refused`] where too many wait, or where the database is away.
pub async fn issue(
    client: &Client,
    purpose: Purpose,
    cookie: &[u8],
    from: IpAddr,
) -> Result<[u8; 32], Error> {
    let challenge = random::<32>()?;
    client.execute("DELETE FROM challenges WHERE ends_at < now()", &[]).await?;
    forget(client, cookie).await?;
    let query = "INSERT INTO challenges (challenge_sha256, purpose, cookie, network, ends_at)
        SELECT $1, $2::text, $3, $4::text, now() + make_interval(secs => $5)
        WHERE $2 <> 'alone' OR (SELECT count(*) FROM challenges WHERE network = $4 AND purpose = 'alone') < $6";
    let hash = Sha256::of(&challenge).0.to_vec();
    let network = network(from).to_string();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&hash, &purpose.as_str(), &cookie, &network, &LIFE_S, &WAITING];
    match client.execute(query, &values).await? {
        0 => Err(Error::Refused(
            "too many from your network are logging in by passkey: try again in five minutes, or with your password".into(),
        )),
        _ => Ok(challenge),
    }
}

/// What this cookie was asked is not asked any more.
///
/// # Errors
/// Where the database is away.
pub async fn forget(client: &Client, cookie: &[u8]) -> Result<(), Error> {
    client.execute("DELETE FROM challenges WHERE cookie = $1", &[&cookie]).await?;
    Ok(())
}

/// Whether this was asked for this purpose of whoever has this cookie; it is used up then, at every node.
///
/// # Errors
/// Where the database is away.
pub async fn take(
    client: &Client,
    purpose: Purpose,
    cookie: &[u8],
    challenge: &[u8],
) -> Result<bool, Error> {
    let query = "DELETE FROM challenges WHERE challenge_sha256 = $1 AND purpose = $2 AND cookie = $3 AND ends_at > now()";
    let hash = Sha256::of(challenge).0.to_vec();
    Ok(client.execute(query, &[&hash, &purpose.as_str(), &cookie]).await? == 1)
}
