//! OpenID Connect: a provider of identities says who somebody is, and an account that was linked to that person before opens.
//!
//! Nobody gets an account or a role by it. The key is what the provider calls a person, together with the provider's own name; never
//! an address of theirs, which another one may get. What is checked, and why a client of our own: docs/adr/0015.

mod about;
pub mod flow;
mod keys;
pub mod provider;
pub mod settings;
pub mod token;

use tokio_postgres::Client;
use uuid::Uuid;

pub use provider::{Provider, Wrong};
pub use settings::{Config, Second};

use crate::Error;

/// Who an account is at a provider.
#[derive(Clone, Debug)]
pub struct Link {
    /// The provider.
    pub issuer: String,
    /// What it calls the person.
    pub subject: String,
    /// When it was linked, seconds since 1970.
    pub linked_at: f64,
    /// When somebody last came by it.
    pub used_at: Option<f64>,
}

/// Those of an account.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client, account: Uuid) -> Result<Vec<Link>, Error> {
    let query = "SELECT issuer, subject, extract(epoch FROM linked_at)::float8,
        extract(epoch FROM used_at)::float8 FROM oidc_links WHERE account = $1 ORDER BY linked_at";
    let link = |row: &tokio_postgres::Row| {
        Ok(Link {
            issuer: row.try_get(0)?,
            subject: row.try_get(1)?,
            linked_at: row.try_get(2)?,
            used_at: row.try_get(3)?,
        })
    };
    client.query(query, &[&account]).await?.iter().map(link).collect()
}

/// Links an account to a person at a provider.
///
/// # Errors
/// [`Error::Invalid`] where either is linked already, or where the database is away.
pub async fn link(
    client: &Client,
    issuer: &str,
    subject: &str,
    account: Uuid,
    by: &str,
) -> Result<(), Error> {
    if !token::is_subject(subject) {
        return Err(Error::Invalid("a subject has 1 to 255 characters of ASCII".into()));
    }
    let query = "INSERT INTO oidc_links (issuer, subject, account, linked_by) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    match client.execute(query, &[&issuer, &subject, &account, &by]).await? {
        0 => Err(Error::Invalid(
            "this account, or this person at the provider, is linked already: unlink first".into(),
        )),
        _ => Ok(()),
    }
}

/// Takes all links of an account away: who it was.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn unlink(client: &Client, account: Uuid) -> Result<Vec<(String, String)>, Error> {
    let query = "DELETE FROM oidc_links WHERE account = $1 RETURNING issuer, subject";
    let rows = client.query(query, &[&account]).await?;
    let gone = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let gone: Vec<_> = gone.collect::<Result<_, Error>>()?;
    match gone.is_empty() {
        true => Err(Error::NotFound("this account is not linked to anybody".into())),
        false => Ok(gone),
    }
}

/// Whose account a person's is, and whether its owner may log in.
///
/// # Errors
/// Where the database is away.
pub async fn known(
    client: &Client,
    issuer: &str,
    subject: &str,
) -> Result<Option<(Uuid, bool)>, Error> {
    // Without password and second factor the invitation was not used yet.
    let query = "SELECT l.account, a.disabled_at IS NULL AND a.password IS NOT NULL AND coalesce(a.totp_sealed, a.totp) IS NOT NULL
        FROM oidc_links l JOIN accounts a USING (account) WHERE l.issuer = $1 AND l.subject = $2";
    let row = client.query_opt(query, &[&issuer, &subject]).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// Notes that somebody came by a link.
///
/// # Errors
/// Where the database is away.
pub async fn note_use(client: &Client, issuer: &str, subject: &str) -> Result<(), Error> {
    let query = "UPDATE oidc_links SET used_at = now() WHERE issuer = $1 AND subject = $2";
    client.execute(query, &[&issuer, &subject]).await?;
    Ok(())
}
