//! Endpoints of webhooks that said 410 Gone: not called any more until their address changes, or a person says so.
//!
//! Kept in the table `meta`, one row for each: key `endpoint_gone:TENANT:NAME`, value in JSON. Of the address only the hash,
//! since it may hold a secret.

use domain::journal::{Acted, Actor, Body, Code, Lane, Millis, Sha256, Subject, TenantId};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reply, Store,
    store::Way,
    txn::{Entry, Txn},
};

const PREFIX: &str = "endpoint_gone:";

/// An endpoint that is not called any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneEndpoint {
    /// Whose.
    pub tenant: TenantId,
    /// Its name in the settings.
    pub name: Code,
    /// Hash of the address that said so.
    pub url: Sha256,
    /// When it did.
    pub since: Millis,
}

impl Store {
    /// Notes that an endpoint said 410 at this address. Said twice it is noted once.
    pub fn endpoint_gone(&self, tenant: TenantId, name: Code, url: Sha256) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let key = key(&tenant, &name);
            let known: Option<GoneEndpoint> = read(txn, &key)?;
            if known.is_some_and(|gone| gone.url == url) {
                return Ok(());
            }
            let (since, row) = (txn.now, (tenant.clone(), name.clone()));
            let gone = GoneEndpoint { tenant: row.0, name: row.1, url, since };
            let value = serde_json::to_vec(&gone).map_err(|_| Error::Invalid("an endpoint"))?;
            txn.conn.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", params![key, value])?;
            note(txn, &tenant, "gone", &name, &Actor::Machine)
        })
    }

    /// Lets an endpoint be called again.
    ///
    /// # Errors
    /// [`Error::NotFound`] where none of that name is out of use.
    pub fn enable_endpoint(&self, tenant: TenantId, name: Code, actor: Actor) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            let key = key(&tenant, &name);
            if txn.conn.execute("DELETE FROM meta WHERE key = ?", [key])? == 0 {
                return Err(Error::NotFound("endpoint out of use"));
            }
            note(txn, &tenant, "enable", &name, &actor)
        })
    }

    /// All endpoints that are not called any more, by tenant and name.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn gone_endpoints(&self) -> Result<Vec<GoneEndpoint>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT value FROM meta WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key",
            )?;
            let values = statement.query_map([PREFIX], |row| row.get::<_, Vec<u8>>(0))?;
            let values: Vec<Vec<u8>> = values.collect::<Result<_, _>>()?;
            Ok(values.iter().filter_map(|value| serde_json::from_slice(value).ok()).collect())
        })
    }
}

fn key(tenant: &TenantId, name: &Code) -> String {
    format!("{PREFIX}{tenant}:{name}")
}

fn read(txn: &Txn<'_>, key: &str) -> Result<Option<GoneEndpoint>, Error> {
    let mut statement = txn.conn.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
    let mut values = statement.query_map([key], |row| row.get::<_, Vec<u8>>(0))?;
    let value = values.next().transpose()?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
}

fn note(
    txn: &mut Txn<'_>,
    tenant: &TenantId,
    what: &str,
    name: &Code,
    actor: &Actor,
) -> Result<(), Error> {
    let call = Code::lossy(&format!("webhook.{what}:{name}"));
    let body = Body::Acted(Acted { tenant: Some(tenant.clone()), call });
    txn.append(Entry { lane: Lane::Bulk, actor, subject: Subject::Box, body, side: None })?;
    Ok(())
}
