//! Promotions and withdrawals while the service runs: the state on the disk, what is served, and the journal.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use domain::journal::{Actor, Code, ModelChanged};
use models::life::state::Wish;
use models::life::{Cause, Change, Ledger, Stage};
use serde_json::{Value, json};

use super::Grounds;
use crate::inference::{InUse, chosen};
use crate::life_command::{self, parity};
use crate::serve::{App, reload, tenant};
use crate::{paths, profile};

/// Promotes a version.
///
/// # Errors
/// The numbers where it does not answer as it must; what is to be done first; what keeps it from being loaded. Then all
/// stays as it is.
pub fn promote(app: &App, dir: &Path, wish: &Wish) -> anyhow::Result<Value> {
    same_folder(dir)?;
    let turn = app.reload.turn();
    let roster = profile::roster(dir)?;
    let (version, tested) = parity(&roster, wish, &engines(app, &wish.name)?)?;
    let id = format!("{}@{version}", wish.name);
    let active = roster.active().find(&wish.name).map(|manifest| manifest.id()).ok();
    let control = active.and_then(|active| app.life.control(&id, &active));
    let wish = Wish { version: Some(version), ..wish.clone() };
    let base = roster.has_base(&wish.name);
    let now = app.store.now().0;
    let changes = swap(app, &turn, dir, &Actor::Console, Some(&id), |state| {
        Ok(state.promote(&wish, base, control, now)?)
    })?;
    note(app, &changes, Cause::Command, Grounds::default(), &Actor::Console);
    Ok(json!({ "changes": life_command::lines(&changes), "parity": tested }))
}

/// The engines on which a model runs here: what is loaded on another one proves nothing.
fn engines(app: &App, name: &str) -> anyhow::Result<Vec<InUse>> {
    let mut engines: Vec<InUse> = Vec::new();
    for tenant in app.tenants.all().values() {
        let uses = tenant.profile.models().contains(&name);
        let in_use = tenant.engine.runs_on();
        if uses && !engines.iter().any(|known| known.name == in_use.name) {
            engines.push(in_use.clone());
        }
    }
    if engines.is_empty() {
        engines.push(chosen(app.config.inference.wish)?);
    }
    Ok(engines)
}

/// Withdraws a version by command.
///
/// # Errors
/// As [`promote`].
pub fn rollback(app: &App, dir: &Path, name: &str, version: Option<&str>) -> anyhow::Result<Value> {
    same_folder(dir)?;
    let turn = app.reload.turn();
    let (base, now) = (base(dir, name), app.store.now().0);
    let changes = swap(app, &turn, dir, &Actor::Console, None, |state| {
        Ok(state.rollback(name, version, base, Cause::Command, now)?)
    })?;
    note(app, &changes, Cause::Command, Grounds::default(), &Actor::Console);
    Ok(json!({ "changes": life_command::lines(&changes) }))
}

/// Withdraws a version, unless somebody did so meanwhile.
pub(super) fn withdraw(
    app: &App,
    name: &str,
    version: &str,
    cause: Cause,
    grounds: Grounds,
    actor: &Actor,
) -> anyhow::Result<Vec<Change>> {
    let dir = paths::models_dir();
    let turn = app.reload.turn();
    let (base, now) = (base(&dir, name), app.store.now().0);
    let changes = swap(app, &turn, &dir, actor, None, |state| {
        match state.entry(name, version).map(|entry| entry.stage) {
            Some(stage) if stage.is_trial() || stage == Stage::Active => {
                Ok(state.rollback(name, Some(version), base, cause, now)?)
            }
            _ => Ok(Vec::new()),
        }
    })?;
    note(app, &changes, cause, grounds, actor);
    Ok(changes)
}

/// The watch over an active version is over.
pub(super) fn proven(app: &App, name: &str, version: &str) -> anyhow::Result<()> {
    let dir = paths::models_dir();
    let _turn = app.reload.turn();
    let mut ledger = Ledger::open(&dir)?;
    ledger.change(|state| {
        if let Some(entry) = state.entry_mut(name, version) {
            entry.proven = true;
        }
    })?;
    tracing::info!(model = format!("{name}@{version}"), "the watch over a new version is over");
    app.life.follow(ledger.state(), &app.tenants.all());
    Ok(())
}

/// Changes the state, then what is served; back again where that cannot be made ready, or where it lacks the version that
/// must be in it.
fn swap(
    app: &App,
    turn: &reload::Turn<'_>,
    dir: &Path,
    actor: &Actor,
    must: Option<&str>,
    change: impl FnOnce(&mut models::life::State) -> anyhow::Result<Vec<Change>>,
) -> anyhow::Result<Vec<Change>> {
    let mut ledger = Ledger::open(dir)?;
    let before = ledger.state().clone();
    let mut next = before.clone();
    let changes = change(&mut next)?;
    if changes.is_empty() {
        return Ok(changes);
    }
    ledger.set(next)?;
    if let Err(error) = reload::remake(app, turn, actor) {
        ledger.set(before).context("the state before cannot be written again")?;
        return Err(error);
    }
    if let Some(left) = must.and_then(|id| tenant::find_left_out(&app.tenants.all(), id)) {
        ledger.set(before).context("the state before cannot be written again")?;
        reload::remake(app, turn, actor)?;
        bail!("{} cannot be loaded here, and stays where it was: {}", left.model, left.why);
    }
    app.life.follow(ledger.state(), &app.tenants.all());
    Ok(changes)
}

fn note(app: &App, changes: &[Change], cause: Cause, grounds: Grounds, actor: &Actor) {
    for change in changes {
        let Change { name, version, from, to } = change;
        // What goes back into use, and what gives way, has no numbers of its own.
        let withdrawn = *to == Stage::Retired && cause != Cause::Command;
        let Grounds { tally, control } = if withdrawn { grounds } else { Grounds::default() };
        let entry = ModelChanged {
            model: Code::lossy(&format!("{name}@{version}")),
            from: Code::lossy(from.as_str()),
            to: Code::lossy(to.as_str()),
            cause: Code::lossy(cause.as_str()),
            seen: tally.seen,
            refused: tally.refused,
            errors: tally.errors,
            control_seen: control.seen,
            control_refused: control.refused,
        };
        tracing::info!(
            model = entry.model.as_str(),
            from = from.as_str(),
            to = to.as_str(),
            cause = cause.as_str(),
            "a version of a model has come to another stage"
        );
        if let Err(error) = app.store.model_changed(entry, actor.clone()).wait() {
            tracing::error!(%error, "a change of a model could not be journaled");
        }
    }
}

/// Whether the catalogue has a version of its own. Where it cannot be read, nothing can be loaded either.
fn base(dir: &Path, name: &str) -> bool {
    models::Catalogue::load(dir).is_ok_and(|catalogue| catalogue.find(name).is_ok())
}

/// The command and the service must speak of the same folder.
fn same_folder(dir: &Path) -> anyhow::Result<()> {
    let own = paths::models_dir();
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    ensure!(
        real(dir) == real(&own),
        "the service that runs uses the models in {}, not those in {}: name its folder with --dir",
        own.display(),
        dir.display()
    );
    Ok(())
}
