//! Passkeys (WebAuthn): a second factor after the password, or both factors at once.
//!
//! The private key stays in the authenticator, which signs for this hub's name alone: nobody can be talked into giving it away, and what the database
//! holds opens nothing.

pub mod ceremony;
pub mod challenge;
mod key;

use tokio_postgres::Client;
use uuid::Uuid;

pub use key::ALGORITHMS;

use crate::Error;
use ceremony::{Known, Made, Used};

/// Passkeys of an account, and characters of a name.
const MOST: i64 = 10;
const NAME: usize = 40;

// Refusals name both in sentences that catalogues have whole.
const _: () = assert!(MOST == 10 && NAME == 40);

/// A passkey, as its owner sees it.
#[derive(Clone, Debug)]
pub struct Passkey {
    /// Its id, in hexadecimal.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Whether it is on other devices of its owner as well.
    pub moved: bool,
    /// When it was added, seconds since 1970.
    pub added_at: f64,
    /// When it was last used.
    pub used_at: Option<f64>,
}

/// Those of an account, oldest first.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client, account: Uuid) -> Result<Vec<Passkey>, Error> {
    let query =
        "SELECT encode(credential, 'hex'), name, moved, extract(epoch FROM added_at)::float8,
        extract(epoch FROM used_at)::float8 FROM passkeys WHERE account = $1 ORDER BY added_at";
    let passkey = |row: &tokio_postgres::Row| {
        Ok(Passkey {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            moved: row.try_get(2)?,
            added_at: row.try_get(3)?,
            used_at: row.try_get(4)?,
        })
    };
    client.query(query, &[&account]).await?.iter().map(passkey).collect()
}

/// The ids of an account's passkeys that were made for this name.
///
/// # Errors
/// Where the database is away.
pub async fn ids(client: &Client, account: Uuid, rp: &str) -> Result<Vec<Vec<u8>>, Error> {
    let query = "SELECT credential FROM passkeys WHERE account = $1 AND rp = $2 ORDER BY added_at";
    let rows = client.query(query, &[&account, &rp]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A name, as it is kept.
///
/// # Errors
/// [`Error::Invalid`] with what to write instead.
pub fn named(name: &str) -> Result<&str, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err(Error::Invalid("a passkey's name has 1 to 40 characters".into()));
    }
    Ok(name)
}

/// Gives an account another.
///
/// # Errors
/// [`Error::Invalid`] where it is somebody's already or there are too many, or where the database is away.
pub async fn add(
    client: &Client,
    account: Uuid,
    name: &str,
    rp: &str,
    made: &Made,
) -> Result<(), Error> {
    let name = named(name)?;
    // Two at once are counted one after the other.
    client.execute("SELECT 1 FROM accounts WHERE account = $1 FOR UPDATE", &[&account]).await?;
    let many =
        client.query_one("SELECT count(*) FROM passkeys WHERE account = $1", &[&account]).await?;
    if many.try_get::<_, i64>(0)? >= MOST {
        return Err(Error::Invalid("an account has at most 10 passkeys: remove one first".into()));
    }
    let query =
        "INSERT INTO passkeys (credential, account, name, rp, public_key, counter, may_move, moved)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    let Made { credential, key, counter, may_move, moved } = made;
    let counter = i64::from(*counter);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [credential, &account, &name, &rp, key, &counter, may_move, moved];
    match client.execute(query, &values).await? {
        0 => Err(Error::Invalid("this passkey is in use already".into())),
        _ => Ok(()),
    }
}

/// Takes one away: its name. There is always another second factor, the codes.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn remove(client: &Client, account: Uuid, id: &str) -> Result<String, Error> {
    let query =
        "DELETE FROM passkeys WHERE account = $1 AND encode(credential, 'hex') = $2 RETURNING name";
    let row = client.query_opt(query, &[&account, &id]).await?;
    let row = row.ok_or_else(|| Error::NotFound("there is no such passkey".into()))?;
    Ok(row.try_get(0)?)
}

/// Whose a passkey is, and what is known of it; nothing where it is nobody's who may log in.
///
/// # Errors
/// Where the database is away.
pub async fn known(client: &Client, credential: &[u8]) -> Result<Option<(Uuid, Known)>, Error> {
    let query = "SELECT p.account, p.public_key, p.rp, p.may_move FROM passkeys p JOIN accounts a USING (account)
        WHERE p.credential = $1 AND a.disabled_at IS NULL";
    let Some(row) = client.query_opt(query, &[&credential]).await? else { return Ok(None) };
    let known = Known { key: row.try_get(1)?, rp: row.try_get(2)?, may_move: row.try_get(3)? };
    Ok(Some((row.try_get(0)?, known)))
}

/// Notes that one was used. False where its counter did not move on: there is a copy of it that its owner may not know of.
///
/// # Errors
/// Where the database is away.
pub async fn note_use(client: &Client, credential: &[u8], used: Used) -> Result<bool, Error> {
    let query = "UPDATE passkeys SET counter = $2, moved = $3, used_at = now()
        WHERE credential = $1 AND (counter < $2 OR counter = 0 AND $2 = 0)";
    let counter = i64::from(used.counter);
    Ok(client.execute(query, &[&credential, &counter, &used.moved]).await? == 1)
}
