//! Who may, and switches: API keys and feature flags; and any other call that the journal should know of.

use std::{collections::BTreeMap, sync::Arc};

use domain::journal::{
    Acted, Actor, Body, Code, FlagSet, ItemId, KeyChanged, Lane, Millis, ModelChanged, Sha256,
    Subject, TenantId,
};
use rusqlite::{OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::{
    Error, Reply, Store,
    memory::Void,
    rows,
    store::Way,
    txn::{Entry, Place, random},
};

/// An API key as it is kept: never its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name in the journal.
    pub id: ItemId,
    /// For whom it speaks.
    pub tenant: TenantId,
    /// What it is called.
    pub name: String,
    /// What it may.
    pub scopes: Vec<Code>,
    /// When it was made.
    pub at: Millis,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

/// A new key. The secret is shown once and kept nowhere.
#[derive(Clone)]
pub struct NewKey {
    /// Its name in the journal.
    pub id: ItemId,
    /// `weir_` and 64 hex digits: 256 random bits. So many need no slow hash; SHA-256 is what is stored.
    pub secret: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes an API key.
    pub fn create_key(
        &self,
        tenant: TenantId,
        name: String,
        scopes: Vec<Code>,
        actor: Actor,
    ) -> Reply<NewKey> {
        self.write(Way::Normal, move |txn| {
            let id = uuid::Builder::from_random_bytes(random()?).into_uuid();
            let secret = format!("weir_{}", Sha256(random()?));
            txn.conn.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
                params![
                    id,
                    tenant.as_str(),
                    Sha256::of(secret.as_bytes()).0,
                    rows::to_json(&scopes)?,
                    name,
                    txn.now.0
                ],
            )?;
            let body = Body::KeyChanged(KeyChanged {
                tenant: tenant.clone(),
                added: true,
                scopes: scopes.clone(),
            });
            let subject = Subject::Item(ItemId(id));
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            Ok(NewKey { id: ItemId(id), secret })
        })
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the tenant has no such key in force.
    pub fn revoke_key(&self, tenant: TenantId, id: ItemId, actor: Actor) -> Reply<()> {
        self.write(Way::Urgent, move |txn| {
            let key = txn
                .conn
                .query_row(
                    "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND tenant = ? AND revoked_at IS NULL RETURNING *",
                    params![txn.now.0, id.0, tenant.as_str()],
                    read,
                )
                .optional()?
                .ok_or(Error::NotFound("key"))?;
            let body =
                Body::KeyChanged(KeyChanged { tenant: tenant.clone(), added: false, scopes: key.scopes });
            let subject = Subject::Item(id);
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            txn.void(Void::Keys);
            Ok(())
        })
    }

    /// The key of a secret, unless revoked. The look-up goes by the hash, so that its time tells nothing of a secret. Memory knows
    /// it afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`] where no key in force has this secret.
    pub fn key(&self, secret: &str) -> Result<ApiKey, Error> {
        let hash = Sha256::of(secret.as_bytes());
        let version = self.memory().version();
        let key = self.read(|conn| {
            conn.prepare_cached("SELECT * FROM api_keys WHERE secret = ? AND revoked_at IS NULL")?
                .query_row([hash.0], read)
                .optional()?
                .ok_or(Error::NotFound("key"))
        })?;
        self.memory().keep_key(version, hash, Arc::new(key.clone()));
        Ok(key)
    }

    /// The keys of a tenant, revoked ones too; of all tenants without one.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKey>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT * FROM api_keys WHERE ?1 IS NULL OR tenant = ?1 ORDER BY at, id",
            )?;
            let rows = statement.query_map([tenant.map(TenantId::as_str)], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Sets a feature flag.
    pub fn set_flag(&self, name: Code, on: bool, actor: Actor) -> Reply<()> {
        self.write(Way::Normal, move |txn| {
            txn.conn.execute(
                "INSERT OR REPLACE INTO flags VALUES (?, ?, ?)",
                params![name.as_str(), on, txn.now.0],
            )?;
            let body = Body::FlagSet(FlagSet { name: name.clone(), on });
            let subject = Subject::Box;
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })?;
            Ok(())
        })
    }

    /// All feature flags that were ever set.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn flags(&self) -> Result<BTreeMap<String, bool>, Error> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached("SELECT name, on_off FROM flags")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Journals a call that changes something elsewhere than in the store: drain, resume, configuration.
    pub fn note(&self, tenant: Option<TenantId>, call: Code, actor: Actor) -> Reply<Place> {
        self.write(Way::Normal, move |txn| {
            let body = Body::Acted(Acted { tenant: tenant.clone(), call: call.clone() });
            let subject = Subject::Box;
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })
        })
    }
}

impl Store {
    /// Journals that a version of a model came to another stage of its life.
    pub fn model_changed(&self, change: ModelChanged, actor: Actor) -> Reply<Place> {
        self.write(Way::Normal, move |txn| {
            let (body, subject) = (Body::ModelChanged(change.clone()), Subject::Box);
            txn.append(Entry { lane: Lane::Bulk, actor: &actor, subject, body, side: None })
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: ItemId(row.get::<_, Uuid>("id")?),
        tenant: rows::word(row, "tenant")?,
        name: row.get("name")?,
        scopes: rows::json(row, "scopes")?,
        at: rows::millis(row, "at")?,
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(Millis),
    })
}
