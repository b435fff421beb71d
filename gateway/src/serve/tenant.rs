//! A tenant made ready.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use domain::Profile;
use domain::journal::{Actor, SubmissionId, TenantId};
use domain::standing::Ladder;
use models::life::LeftOut;
use ring::hmac;
use store::Store;

use super::clamav::Clamav;
use super::engine::Engine;
use super::help::Help;
use super::jwt::{Keys, Provider};
use super::lists::Lists;
use super::notify::Endpoint;
use super::outbound;
use super::page::self_test;
use super::releases::Releases;
use crate::config::Config;
use crate::profile::{self, Effort};
use crate::secret;

/// Bytes of the secret under which authors are named.
const SECRET_BYTES: usize = 32;

/// Answers of the gate that are read at the start, for each tenant: as many as memory holds.
const GATE_WARM: u32 = 65_536;

/// How long a provider of identities may take to tell its keys.
const KEYS: Duration = Duration::from_secs(10);

/// A tenant made ready.
pub struct Tenant {
    /// Its profile.
    pub profile: Arc<Profile>,
    /// The profile's detectors and policy; shared by tenants of the same profile.
    pub engine: Arc<Engine>,
    /// Whether `held` is shown as `pending`.
    pub held_as_pending: bool,
    /// Whether the gate lets through what it does not know.
    pub gate_open: bool,
    /// Its own hash lists.
    pub lists: Arc<Lists>,
    /// So many different reporters hide a submission; 0 never.
    pub hide_reports: u32,
    /// What to tell people who may hurt themselves.
    pub help: Help,
    /// Whose tokens speak for it.
    pub provider: Option<Provider>,
    /// Who is told.
    pub endpoints: Vec<Endpoint>,
    secret: hmac::Key,
}

impl Tenant {
    /// A tenant of the box's own with the same profile, who is told nothing.
    pub fn as_own(&self) -> Self {
        Self {
            profile: Arc::clone(&self.profile),
            engine: Arc::clone(&self.engine),
            held_as_pending: false,
            gate_open: false,
            lists: Arc::default(),
            hide_reports: 0,
            help: self.help.clone(),
            provider: None,
            endpoints: Vec::new(),
            secret: self.secret.clone(),
        }
    }

    /// When a strike is given, and to what strikes lead.
    pub fn ladder(&self) -> Ladder {
        self.profile.enforcement.ladder.clone()
    }

    /// How long what was not approved is kept for an appeal; `None` where nothing is.
    pub fn appeal_window(&self) -> Option<Duration> {
        Some(self.profile.enforcement.appeal_window).filter(|window| !window.is_zero())
    }

    /// The name of an author in the store.
    pub fn author_key(&self, author: &str) -> [u8; 32] {
        hashed(&self.secret, author.as_bytes())
    }

    /// What tells one stranger who speaks about a submission from another: a keyed hash of the address, of IPv6 of its first
    /// 48 bits, which are one household's or office's. About another submission it is another one, so that it leads nowhere.
    pub fn stranger(&self, about: SubmissionId, address: IpAddr) -> String {
        let bytes = match address.to_canonical() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().into_iter().take(6).collect(),
        };
        let text = [&b"stranger\0"[..], about.0.as_bytes(), &bytes].concat();
        hashed(&self.secret, &text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Versions of models on trial that some tenant's profile was to use and cannot.
pub fn left_out(all: &All) -> BTreeSet<LeftOut> {
    all.values().flat_map(|tenant| tenant.engine.runs_on().left_out()).cloned().collect()
}

/// The same for one version, by `name@version`.
pub fn find_left_out(all: &All, id: &str) -> Option<LeftOut> {
    left_out(all).into_iter().find(|left| left.model == id)
}

/// HMAC-SHA-256 of the platform's name with the tenant's secret, so that the box keeps no name of a person.
fn hashed(secret: &hmac::Key, name: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(hmac::sign(secret, name).as_ref());
    key
}

/// The name of an author in the store of a data folder.
///
/// # Errors
/// Where the tenant has no secret there: then no author of it was ever kept.
pub fn author_key(data: &Path, id: &TenantId, author: &str) -> anyhow::Result<[u8; 32]> {
    let path = secret_path(data, id);
    anyhow::ensure!(
        path.exists(),
        "{} has no tenant {id}: there is no {}",
        data.display(),
        path.display()
    );
    Ok(hashed(&hmac::Key::new(hmac::HMAC_SHA256, &author_secret(data, id)?), author.as_bytes()))
}

/// Tenants by name: those of the configuration, and the box's own.
pub type All = BTreeMap<TenantId, Arc<Tenant>>;

/// The tenants that are served, which a reload replaces as a whole: who took hold of one keeps it until it is done.
pub struct Tenants(RwLock<Arc<All>>);

impl Tenants {
    /// Serves these.
    pub fn new(all: Arc<All>) -> Self {
        Self(RwLock::new(all))
    }

    /// All that are served now.
    pub fn all(&self) -> Arc<All> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One that is served now.
    pub fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Serves these from now on.
    pub fn replace(&self, all: Arc<All>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

/// Tells the store on what the verdicts of each tenant rest from now on: where that is something new, what the gate knew
/// is void. To be called before anything is served, or when the tenants are those that are served: a verdict that was
/// begun before then rests on the older state, and the gate does not take it.
///
/// # Errors
/// What the store says.
pub fn put_in_force(all: &All, store: &Store, actor: &Actor) -> anyhow::Result<()> {
    for (id, tenant) in all {
        store
            .policy_in_force(id.clone(), tenant.engine.basis().clone(), actor.clone())
            .wait()
            .with_context(|| format!("cannot note the policy of the tenant {id}"))?;
    }
    // Only now: each change empties what is remembered of all.
    for id in all.keys() {
        store.warm_gate(id, GATE_WARM).context("cannot read what the gate may answer")?;
    }
    Ok(())
}

/// Makes every tenant of the configuration ready, and those of the box's own, under the hub's releases where there are any. `known` are keys of a tenant's provider that
/// are here already: a provider that is out of reach at this moment locks nobody out.
///
/// # Errors
/// What a profile misses, with the command that brings it; a secret that others may read.
pub fn open_all(
    config: &Config,
    releases: &Releases,
    known: &dyn Fn(&TenantId) -> Option<Arc<Keys>>,
) -> anyhow::Result<All> {
    let agent = outbound::agent(config.fetch.allow.clone(), KEYS);
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    let mut engines = BTreeMap::new();
    let mut tenants = BTreeMap::new();
    for (id, tenant) in &config.tenants {
        let of = tenant.profile.as_str();
        let load = || profile::load(of);
        if !names.contains_key(of) {
            names.insert(of, load()?.name);
        }
        let chosen = releases.of(names.get(of).map_or("", String::as_str), id);
        let engine = match engines.entry((of, chosen.key())) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => {
                let profile = chosen.put_or_leave(load, &config.data)?;
                let scanner = config.clamav.as_ref().map(Clamav::new);
                let effort = Effort::behind_calls(config.workers, config.inference);
                let effort = Effort { hardware: config.hardware_decoders, ..effort };
                Arc::clone(place.insert(Arc::new(Engine::new(profile, effort, scanner)?)))
            }
        };
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &author_secret(&config.data, id)?);
        let open = |jwt| Provider::open(jwt, &secret, &agent, known(id));
        let provider = tenant.jwt.as_ref().map(open).transpose();
        let ready = Tenant {
            profile: Arc::clone(engine.profile()),
            engine,
            held_as_pending: tenant.held_as_pending,
            gate_open: tenant.gate_open,
            lists: Arc::default(),
            hide_reports: tenant.hide_reports,
            help: Help::open(tenant.help.as_deref())?,
            provider: provider.with_context(|| format!("tenant.{id}.jwt"))?,
            endpoints: tenant.webhooks.iter().map(Endpoint::open).collect::<Result<_, _>>()?,
            secret,
        };
        tenants.insert(id.clone(), Arc::new(ready));
    }
    releases.sweep(&config.data);
    tenants.extend(self_test::tenants(&tenants));
    Ok(tenants)
}

fn secret_path(data: &Path, id: &TenantId) -> PathBuf {
    // A tenant's name may hold characters that mean something in a path.
    let name: String = id.as_str().bytes().map(|b| format!("{b:02x}")).collect();
    data.join("secrets").join(format!("author-{name}"))
}

/// Takes over the secrets of a hub for the tenants of whom nobody is kept here yet; whether any was. One by which authors are named
/// already stays: by another nobody would find them again, and then the hub cannot name them either.
///
/// # Errors
/// Where the store cannot be read or a file cannot be written.
pub fn adopt_secrets(
    store: &Store,
    granted: &BTreeMap<TenantId, [u8; SECRET_BYTES]>,
) -> anyhow::Result<bool> {
    let mut any = false;
    for (id, secret) in granted {
        let path = secret_path(store.dir(), id);
        if path.exists() && author_secret(store.dir(), id)? == *secret {
            continue;
        }
        if store.has_authors(id)? {
            tracing::warn!(tenant = %id, "authors have their names here by a secret of this box's own: the hub cannot order anything about them by the platform's id");
            continue;
        }
        secret::put(&path, secret)?;
        any = true;
    }
    Ok(any)
}

/// Whether a tenant's authors are named here by this secret.
///
/// # Errors
/// Where the file cannot be read.
pub fn is_secret(data: &Path, id: &TenantId, secret: &[u8]) -> anyhow::Result<bool> {
    Ok(secret_path(data, id).exists() && author_secret(data, id)? == *secret)
}

/// The secret of a tenant: made once, readable by the service alone. All boxes of a tenant need the same one, so that an
/// author has one name: of boxes of a hub it is the hub's, else copy the file.
pub(super) fn author_secret(data: &Path, id: &TenantId) -> anyhow::Result<[u8; SECRET_BYTES]> {
    secret::own(&secret_path(data, id), "every author is a stranger")
}
