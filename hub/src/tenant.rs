//! Tenants, and which boxes serve them. A tenant's directives reach only these, and its secret is the same on all of them, so that an
//! author has one name wherever something of them turns up.

use std::collections::BTreeMap;

use domain::journal::{BoxId, Sha256, TenantId};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use tokio_postgres::{Client, Row};

use crate::Error;

/// A tenant as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Tenant {
    /// Its name.
    pub tenant: String,
    /// Boxes that serve it.
    pub boxes: i64,
    /// Seconds since 1970.
    pub created_at: f64,
}

/// Adds a tenant, with a secret of its own.
///
/// # Errors
/// Where there is one of that name, or the database is away.
pub async fn add(client: &Client, tenant: &TenantId) -> Result<(), Error> {
    let mut secret = [0; 32];
    let filled = SystemRandom::new().fill(&mut secret);
    filled.map_err(|_| Error::Invalid("no randomness for a tenant's secret".into()))?;
    let query =
        "INSERT INTO tenants (tenant, author_secret) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    match client.execute(query, &[&tenant.as_str(), &secret.as_slice()]).await? {
        0 => Err(Error::Invalid(format!("there is a tenant {tenant} already"))),
        _ => Ok(()),
    }
}

/// All tenants, by name.
///
/// # Errors
/// Where the database is away.
pub async fn list(client: &Client) -> Result<Vec<Tenant>, Error> {
    let query = "SELECT tenant, (SELECT count(*) FROM box_tenants b WHERE b.tenant = t.tenant),
        extract(epoch FROM created_at)::float8 FROM tenants t ORDER BY tenant";
    let tenant = |row: &Row| {
        Ok(Tenant { tenant: row.try_get(0)?, boxes: row.try_get(1)?, created_at: row.try_get(2)? })
    };
    client.query(query, &[]).await?.iter().map(tenant).collect()
}

/// Refuses a tenant that nobody has added: a slip of the pen would reach nobody.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn known(client: &Client, tenant: &TenantId) -> Result<(), Error> {
    let query = "SELECT 1 FROM tenants WHERE tenant = $1";
    match client.query_opt(query, &[&tenant.as_str()]).await? {
        Some(_) => Ok(()),
        None => Err(Error::NotFound(format!(
            "there is no tenant {tenant}: add it with `weir-hub tenant add {tenant}`"
        ))),
    }
}

/// Sets which tenants a box serves, and no others.
///
/// # Errors
/// Where the database is away.
pub async fn assign(client: &Client, of: BoxId, tenants: &[String]) -> Result<(), Error> {
    let query = "DELETE FROM box_tenants WHERE box = $1 AND tenant <> ALL($2)";
    client.execute(query, &[&of.0, &tenants]).await?;
    let query = "INSERT INTO box_tenants (box, tenant) SELECT $1, t FROM unnest($2::text[]) t ON CONFLICT DO NOTHING";
    client.execute(query, &[&of.0, &tenants]).await?;
    Ok(())
}

/// The tenants that a box serves, with their secrets.
///
/// # Errors
/// Where the database is away.
pub async fn of_box(client: &Client, of: BoxId) -> Result<BTreeMap<String, [u8; 32]>, Error> {
    let query = "SELECT t.tenant, t.author_secret FROM tenants t JOIN box_tenants b ON b.tenant = t.tenant WHERE b.box = $1";
    let tenant = |row: &Row| {
        let secret: Vec<u8> = row.try_get(1)?;
        let secret = secret.try_into();
        Ok((row.try_get(0)?, secret.map_err(|_| Error::Damaged("a tenant's secret".into()))?))
    };
    client.query(query, &[&of.0]).await?.iter().map(tenant).collect()
}

/// The name by which boxes know an author of a tenant: HMAC-SHA-256 of the platform's id by the tenant's secret.
///
/// # Errors
/// [`Error::NotFound`], or where the database is away.
pub async fn author_key(client: &Client, tenant: &TenantId, id: &str) -> Result<Sha256, Error> {
    known(client, tenant).await?;
    let query = "SELECT author_secret FROM tenants WHERE tenant = $1";
    let secret: Vec<u8> = client.query_one(query, &[&tenant.as_str()]).await?.try_get(0)?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), id.as_bytes());
    let key = tag.as_ref().try_into().map(Sha256);
    key.map_err(|_| Error::Damaged("a tenant's secret".into()))
}
