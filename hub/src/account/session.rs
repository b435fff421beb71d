//! Sessions: a random cookie, kept as its hash. The password alone, or a provider of identities, opens half a session, good for the second factor and nothing else; the
//! whole one has another cookie, so that nobody can prepare one for somebody.

use domain::journal::Sha256;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{Account, hashed, secret};
use crate::Error;
use crate::tongue::Tongue;

/// How long a whole session lasts, how long without a call, and how long half a one; in seconds.
const WHOLE_S: f64 = 12.0 * 3600.0;
const IDLE_S: f64 = 3600.0;
const HALF_S: f64 = 300.0;

/// Sessions of one account at once; the oldest gives way.
const SESSIONS: i64 = 8;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Who {
    /// The account.
    pub account: Account,
    /// What its forms carry: derived from the cookie, which no other site can read.
    pub csrf: String,
    /// The hash of its cookie.
    pub session: Vec<u8>,
    /// Whence, as the audit journal notes it.
    pub remote: String,
    /// In which language they read.
    pub tongue: Tongue,
    /// By what it was opened, as the audit journal tells it.
    pub means: String,
}

/// Opens a session by these means: its cookie's value.
///
/// # Errors
/// Where the database is away or the system has no randomness.
pub async fn open(
    client: &Client,
    id: Uuid,
    whole: bool,
    means: &str,
    remote: &str,
) -> Result<String, Error> {
    let cookie = secret()?;
    let swept =
        "DELETE FROM sessions WHERE ends_at < now() OR account = $1 AND whole = $3 AND secret_sha256 NOT IN
        (SELECT secret_sha256 FROM sessions WHERE account = $1 AND whole = $3 ORDER BY began_at DESC LIMIT $2)";
    client.execute(swept, &[&id, &(SESSIONS - 1), &whole]).await?;
    let query = "INSERT INTO sessions (secret_sha256, account, whole, ends_at, remote, means)
        VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5, $6)";
    let life = if whole { WHOLE_S } else { HALF_S };
    client.execute(query, &[&hashed(&cookie), &id, &whole, &life, &remote, &means]).await?;
    Ok(cookie)
}

/// Whose cookie it is; nothing where it is nobody's, over, or half where a whole one is asked for.
///
/// # Errors
/// Where the database is away.
pub async fn whose(client: &Client, cookie: &str, whole: bool) -> Result<Option<Who>, Error> {
    let session = hashed(cookie);
    let query = "SELECT s.account, s.seen_at < now() - interval '1 minute', s.remote, s.means FROM sessions s JOIN accounts a USING (account)
        WHERE s.secret_sha256 = $1 AND s.whole = $2 AND s.ends_at > now() AND s.seen_at > now() - make_interval(secs => $3)
          AND a.disabled_at IS NULL";
    let Some(row) = client.query_opt(query, &[&session, &whole, &IDLE_S]).await? else {
        return Ok(None);
    };
    if row.try_get(1)? {
        let seen = "WITH a AS (UPDATE accounts SET seen_at = now() WHERE account = (SELECT account FROM sessions WHERE secret_sha256 = $1))
            UPDATE sessions SET seen_at = now() WHERE secret_sha256 = $1";
        client.execute(seen, &[&session]).await?;
    }
    let account = super::find(client, row.try_get(0)?).await?;
    let tongue = account.language.unwrap_or_default();
    let (remote, means) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Some(Who { account, csrf: csrf(cookie), session, remote, tongue, means }))
}

/// Ends a session.
///
/// # Errors
/// Where the database is away.
pub async fn close(client: &Client, cookie: &str) -> Result<(), Error> {
    client.execute("DELETE FROM sessions WHERE secret_sha256 = $1", &[&hashed(cookie)]).await?;
    Ok(())
}

/// What forms of a session carry. From it nobody comes to the cookie.
pub fn csrf(cookie: &str) -> String {
    Sha256::of(format!("weir form 1\0{cookie}").as_bytes()).to_string()
}

impl Who {
    /// Whether it may.
    pub fn may(&self, right: super::Right) -> bool {
        self.account.role.may(right)
    }

    /// Whether it may see what is a tenant's.
    pub fn sees(&self, tenant: &str) -> bool {
        let own = self.account.tenants.as_ref();
        own.is_none_or(|tenants| tenants.iter().any(|own| own == tenant))
    }
}
