//! Who was sent to the provider: a state in the address, a cookie in the browser, both good once and for ten minutes, at any node. The database has the hashes of
//! both. What the token has to name (nonce) and what the code is bound to (PKCE, RFC 7636) are drawn from them, so that they lie nowhere.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use domain::journal::Sha256;
use tokio_postgres::Client;

use crate::Error;
use crate::account::knock::network;
use crate::account::{hashed, secret};

/// How long one may take at the provider, in seconds.
pub const LIFE_S: f64 = 600.0;

/// Of those who want in, so many wait for one network: a row each. Many sit behind one.
const WAITING: i64 = 100;

/// Characters of where to go after it; what is longer is nothing that a screen made.
const NEXT: usize = 2048;

/// One that began.
#[derive(Debug)]
pub struct Flow {
    /// What the browser keeps.
    pub cookie: String,
    /// What goes to the provider and comes back.
    pub state: String,
}

/// One that came back.
#[derive(Debug)]
pub struct Back {
    /// What it was.
    pub flow: Flow,
    /// The session whose account is to be linked; nothing of who wants in.
    pub session: Option<Vec<u8>>,
    /// Where to go after it.
    pub next: String,
}

impl Flow {
    fn drawn(&self, what: &str) -> String {
        let Self { cookie, state } = self;
        BASE64URL.encode(Sha256::of(format!("weir oidc {what} 1\0{cookie}\0{state}").as_bytes()).0)
    }

    /// What the ID token has to name.
    pub fn nonce(&self) -> String {
        self.drawn("nonce")
    }

    /// What has to be told with the code.
    pub fn verifier(&self) -> String {
        self.drawn("verifier")
    }

    /// Its hash, which the provider is told first.
    pub fn challenge(&self) -> String {
        BASE64URL.encode(Sha256::of(self.verifier().as_bytes()).0)
    }
}

/// Begins one, for a session where an account is to be linked. What the same browser or session began before is over.
///
/// # Errors
/// [`Error::Refused`] where too many wait, or where the database is away.
pub async fn begin(
    client: &Client,
    session: Option<&[u8]>,
    earlier: &str,
    next: &str,
    from: IpAddr,
) -> Result<Flow, Error> {
    let flow = Flow { cookie: secret()?, state: secret()? };
    let over = "DELETE FROM oidc_flows WHERE ends_at < now() OR cookie = $1 OR session = $2";
    client.execute(over, &[&hashed(earlier), &session]).await?;
    let query = "INSERT INTO oidc_flows (state_sha256, cookie, session, next, network, ends_at)
        SELECT $1, $2, $3::bytea, $4, $5::text, now() + make_interval(secs => $6)
        WHERE $3 IS NOT NULL OR (SELECT count(*) FROM oidc_flows WHERE network = $5 AND session IS NULL) < $7";
    let (state, cookie) = (hashed(&flow.state), hashed(&flow.cookie));
    let next = if next.len() > NEXT { "/ops" } else { next };
    let network = network(from).to_string();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&state, &cookie, &session, &next, &network, &LIFE_S, &WAITING];
    match client.execute(query, &values).await? {
        0 => Err(Error::Refused("too many from your network are logging in: try again in ten minutes, or with your password".into())),
        _ => Ok(flow),
    }
}

/// What this browser began under this state; it is used up then, at every node.
///
/// # Errors
/// Where the database is away.
pub async fn take(client: &Client, state: &str, cookie: &str) -> Result<Option<Back>, Error> {
    let query = "DELETE FROM oidc_flows WHERE state_sha256 = $1 AND cookie = $2 AND ends_at > now()
        RETURNING session, next";
    let row = client.query_opt(query, &[&hashed(state), &hashed(cookie)]).await?;
    let Some(row) = row else { return Ok(None) };
    let flow = Flow { cookie: cookie.to_owned(), state: state.to_owned() };
    Ok(Some(Back { flow, session: row.try_get(0)?, next: row.try_get(1)? }))
}
