//! Bearer tokens of the API: shown once, kept as their hash.

use domain::journal::Sha256;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use tokio_postgres::Client;

use crate::Error;

/// What every token begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "weirhub_";

/// A token as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// Whether it may order boxes to do something; all may read.
    pub orders: bool,
    /// Whether it may ask boxes for what shows people.
    pub requests: bool,
    /// Seconds since 1970.
    pub created_at: f64,
    /// Seconds since 1970; nothing where it is in force.
    pub revoked_at: Option<f64>,
}

/// What a token may beside reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rights {
    /// To order boxes to do something.
    pub orders: bool,
    /// To ask boxes for what shows people: previews, findings, texts.
    pub requests: bool,
}

/// Makes a token; the secret is told this once. 256 random bits need no slow hash.
///
/// # Errors
/// Where the name is taken or empty, or the database is away.
pub async fn create(client: &Client, name: &str, rights: Rights) -> Result<String, Error> {
    if name.trim().is_empty() {
        return Err(Error::Invalid("a token needs a name, to be known by in the list".into()));
    }
    let mut random = [0; 32];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| Error::Invalid("no randomness for a token".into()))?;
    let secret = format!("{PREFIX}{}", Sha256(random));
    let hash = Sha256::of(secret.as_bytes());
    let query = "INSERT INTO api_tokens (name, secret_sha256, orders, requests) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";
    match client
        .execute(query, &[&name, &hash.0.as_slice(), &rights.orders, &rights.requests])
        .await?
    {
        0 => Err(Error::Invalid(format!("there is a token `{name}` already: take another name"))),
        _ => Ok(secret),
    }
}

/// All tokens, by name.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Token>, Error> {
    let query = "SELECT name, extract(epoch FROM created_at)::float8, extract(epoch FROM revoked_at)::float8, orders, requests
                 FROM api_tokens ORDER BY name";
    let rows = client.query(query, &[]).await?;
    let token = |row: &tokio_postgres::Row| {
        Ok(Token {
            name: row.try_get(0)?,
            created_at: row.try_get(1)?,
            revoked_at: row.try_get(2)?,
            orders: row.try_get(3)?,
            requests: row.try_get(4)?,
        })
    };
    rows.iter().map(token).collect()
}

/// Revokes a token at once, at every node.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn revoke(client: &Client, name: &str) -> Result<(), Error> {
    let query = "UPDATE api_tokens SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL";
    match client.execute(query, &[&name]).await? {
        0 => Err(Error::NotFound(format!("no token `{name}` is in force"))),
        _ => Ok(()),
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The token's name.
    pub name: String,
    /// Whether it may order boxes to do something.
    pub orders: bool,
    /// Whether it may ask boxes for what shows people.
    pub requests: bool,
}

/// The token in force to which a secret belongs. It is looked up by its hash, so that time tells nothing of it.
///
/// # Errors
/// Where the database is away.
pub async fn holder(client: &Client, secret: &str) -> Result<Option<Holder>, Error> {
    let hash = Sha256::of(secret.as_bytes());
    let query = "SELECT name, orders, requests FROM api_tokens WHERE secret_sha256 = $1 AND revoked_at IS NULL";
    let row = client.query_opt(query, &[&hash.0.as_slice()]).await?;
    let holder = |row: tokio_postgres::Row| {
        Ok(Holder { name: row.try_get(0)?, orders: row.try_get(1)?, requests: row.try_get(2)? })
    };
    row.map(holder).transpose()
}
