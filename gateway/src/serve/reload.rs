//! Takes up tenants, their profiles, policies, lists and endpoints as the files are now, while the service runs: on
//! `weir reload` and SIGHUP.
//!
//! All of it is made ready first and replaces what is served in one step; where anything cannot be used nothing changes.
//! What is being judged ends under the rules it began with, and the gate does not take its verdict. Settings of the
//! process itself (sockets, limits, folders) need a restart, and are named.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail, ensure};
use domain::Problems;
use domain::journal::{Actor, TenantId};
use models::life::State;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::jwt::Provider;
use super::page::self_test;
use super::releases::Releases;
use super::tenant::{self, All};
use super::{App, unusable_files};
use crate::cli::ServeArguments;
use crate::config::{self, Config, Shown};
use crate::{enrolment, paths};

/// What a reload starts from.
pub struct Reload {
    arguments: ServeArguments,
    /// The settings of the process in force.
    shown: Vec<Shown>,
    /// The settings of tenants in force; `None` until a first reload. Held while one is under way.
    latest: Mutex<Option<Config>>,
}

impl Reload {
    /// The command line, and the settings that came of it.
    pub fn new(arguments: ServeArguments, shown: Vec<Shown>) -> Self {
        Self { arguments, shown, latest: Mutex::new(None) }
    }

    /// Waits until no reload is under way, and lets none begin for as long as it is kept.
    pub fn turn(&self) -> Turn<'_> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of the process in force.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }
}

/// The settings of tenants in force; `None` until a first reload.
pub type Turn<'a> = MutexGuard<'a, Option<Config>>;

/// SIGHUP from now on; before it is asked for, it ends the process.
///
/// # Errors
/// What the system says.
pub fn hang_up() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot wait for SIGHUP")
}

/// Reloads at each SIGHUP, until the service is told to end.
pub async fn run(app: Arc<App>, mut hang_up: Signal) {
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            _ = hang_up.recv() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = reload(&app).await {
            tracing::error!(error = format!("{error:#}"), "nothing was reloaded");
        }
    }
}

/// Reloads; what has changed, in lines for people, and the keys that need a restart.
///
/// # Errors
/// Every mistake at once; then all stays as it is.
pub async fn reload(app: &Arc<App>) -> anyhow::Result<Value> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || reload_here(&app)).await?
}

fn reload_here(app: &App) -> anyhow::Result<Value> {
    let mut latest = app.reload.turn();
    let before = latest.as_ref().unwrap_or(&app.config);
    let (read, shown) = config::load(&app.reload.arguments)?;
    // Whom calls without a credential speak for is settled at the start.
    ensure!(
        app.config.auth.required || read.tenants.keys().next() == before.tenants.keys().next(),
        "without credentials all calls speak for the first tenant, and that would be another one: restart instead"
    );
    let config = Config { tenants: read.tenants, clamav: read.clamav, ..app.config.clone() };
    let unusable = unusable_files(&config);
    if !unusable.is_empty() {
        bail!("the settings cannot be used:\n{}", Problems(unusable));
    }
    let releases = Releases::read(&app.store)?;
    let changed = take_up(app, before, &config, &releases, &Actor::Console)?;
    app.life.follow(&State::read(&paths::models_dir())?, &app.tenants.all());
    let restart = restart(&app.reload.shown, &shown);
    tracing::info!(?changed, ?restart, "reloaded");
    *latest = Some(config);
    // Messages may have an endpoint now that they had not.
    app.messages_ready.notify_one();
    app.work_ready.notify_one();
    Ok(json!({ "changed": changed, "restart": restart }))
}

/// Makes all ready once more under the settings in force, for what lies beneath them has changed.
///
/// # Errors
/// As [`reload`].
pub fn remake(app: &App, turn: &Turn<'_>, actor: &Actor) -> anyhow::Result<()> {
    take_releases(app, turn, &Releases::read(&app.store)?, actor)
}

/// The same under these releases of the hub.
///
/// # Errors
/// As [`reload`].
pub fn take_releases(
    app: &App,
    turn: &Turn<'_>,
    releases: &Releases,
    actor: &Actor,
) -> anyhow::Result<()> {
    let config = turn.as_ref().unwrap_or(&app.config);
    let changed = take_up(app, config, config, releases, actor)?;
    tracing::info!(?changed, "taken up");
    app.work_ready.notify_one();
    Ok(())
}

/// Takes over what the hub says of the tenants, as far as that is possible.
///
/// # Errors
/// As [`reload`].
pub fn adopt(app: &App, actor: &Actor) -> anyhow::Result<()> {
    let turn = app.reload.turn();
    match enrolment::adopt(&app.store)? {
        true => remake(app, &turn, actor),
        false => Ok(()),
    }
}

/// Makes all ready, then replaces what is served; what has changed, in lines for people.
fn take_up(
    app: &App,
    before: &Config,
    config: &Config,
    releases: &Releases,
    actor: &Actor,
) -> anyhow::Result<Vec<String>> {
    let old = app.tenants.all();
    let keys = |id: &TenantId| {
        let same = before.tenants.get(id)?.jwt == config.tenants.get(id)?.jwt;
        old.get(id)?.provider.as_ref().filter(|_| same).map(Provider::keys)
    };
    let all = Arc::new(tenant::open_all(config, releases, &keys)?);
    let changed = changes(before, config, &old, &all);
    app.tenants.replace(Arc::clone(&all));
    let noted = tenant::put_in_force(&all, &app.store, actor)
        .and_then(|()| Ok(app.gone.follow(&app.store, &all, actor)?));
    if let Err(error) = noted {
        // What was served before is served again, and its name stands where another one was noted already.
        app.tenants.replace(Arc::clone(&old));
        if let Err(error) = tenant::put_in_force(&old, &app.store, actor) {
            tracing::error!(error = format!("{error:#}"), "the gate may know too much: restart");
        }
        return Err(error.context("all stays as it was"));
    }
    Ok(changed)
}

/// What is different, a line for each tenant.
fn changes(before: &Config, after: &Config, old: &All, new: &All) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, tenant) in new.iter().filter(|(id, _)| !self_test::is_own(id)) {
        let basis = tenant.engine.basis().as_str();
        match old.get(id) {
            None => lines.push(format!("tenant {id}: new, under {basis}")),
            Some(known) if known.engine.basis() != tenant.engine.basis() => {
                let known = known.engine.basis().as_str();
                lines.push(format!("tenant {id}: {basis} in force (was {known})"));
            }
            Some(_) if before.tenants.get(id) != after.tenants.get(id) => {
                lines.push(format!("tenant {id}: its settings have changed"));
            }
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|id| !self_test::is_own(id) && !new.contains_key(*id));
    lines.extend(gone.map(|id| format!("tenant {id}: not served any more")));
    if before.clamav != after.clamav {
        lines.push("the virus scanner's settings have changed".to_owned());
    }
    if lines.is_empty() {
        lines.push("nothing has changed; all was read anew".to_owned());
    }
    lines
}

/// Keys whose values differ and are not taken up.
fn restart(before: &[Shown], after: &[Shown]) -> Vec<&'static str> {
    let live =
        |key: &str| key == "profile" || key.starts_with("clamav.") || key.starts_with("tenant");
    let differs = |shown: &&Shown| {
        !before.iter().any(|known| known.key == shown.key && known.value == shown.value)
    };
    after.iter().filter(differs).map(|shown| shown.key).filter(|key| !live(key)).collect()
}
