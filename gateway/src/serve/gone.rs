//! Endpoints that said 410: not called any more, also after a restart, until the settings name another address or a person
//! enables them (`weir webhook enable`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::journal::{Actor, Code, Sha256, TenantId};
use store::{GoneEndpoint, Store};

use super::tenant::All;

type Key = (TenantId, Code);

/// What the store knows of them, at hand for each message.
#[derive(Default)]
pub struct Gone(Mutex<BTreeMap<Key, Sha256>>);

impl Gone {
    /// What the store knows, under these settings: an endpoint that has another address by now may be called again.
    ///
    /// # Errors
    /// What the store says.
    pub fn follow(&self, store: &Store, tenants: &All, actor: &Actor) -> Result<(), store::Error> {
        for GoneEndpoint { tenant, name, url, .. } in store.gone_endpoints()? {
            let endpoints = tenants.get(&tenant).map(|tenant| tenant.endpoints.as_slice());
            let named = endpoints.unwrap_or_default().iter().find(|e| *e.name() == name);
            if named.is_some_and(|endpoint| endpoint.address() != url) {
                tracing::info!(%tenant, endpoint = name.as_str(), "an endpoint that was gone has a new address");
                store.enable_endpoint(tenant, name, actor.clone()).wait()?;
            }
        }
        self.read(store)
    }

    /// Reads them anew, after a person changed something.
    ///
    /// # Errors
    /// What the store says.
    pub fn read(&self, store: &Store) -> Result<(), store::Error> {
        let known = store.gone_endpoints()?;
        *self.all() = known.into_iter().map(|gone| ((gone.tenant, gone.name), gone.url)).collect();
        Ok(())
    }

    /// Whether an endpoint has said so at this address.
    pub fn holds(&self, tenant: &TenantId, name: &Code, address: Sha256) -> bool {
        self.all().get(&(tenant.clone(), name.clone())) == Some(&address)
    }

    /// It says so now. Durable when this returns, unless the store is in trouble: then it will say so again.
    pub fn add(&self, store: &Store, tenant: &TenantId, name: &Code, address: Sha256) {
        self.all().insert((tenant.clone(), name.clone()), address);
        if let Err(error) = store.endpoint_gone(tenant.clone(), name.clone(), address).wait() {
            tracing::warn!(%error, %tenant, endpoint = name.as_str(), "cannot keep that an endpoint is gone");
        }
    }

    /// Their names, with those of their tenants.
    pub fn names(&self) -> Vec<Key> {
        self.all().keys().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Sha256>> {
        // The map is sound after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
