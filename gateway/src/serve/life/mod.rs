//! Watches versions of models that are new, and changes which of them are in use while the service runs.
//!
//! Every verdict is counted for the versions on which it rests. A canary is held against the active version beside it, a
//! fresh active version against the one before; what drifts or fails too often is withdrawn here. A trial is switched off
//! at that moment ([`Life::is_off`]), whatever the change of the state and of what is served may take.

mod change;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::journal::Actor;
use models::life::{Cause, Control, Stage, State, version};
use tokio::sync::Notify;

use super::App;
use super::tenant::All;
use super::trial::Ran;
use crate::config::Models as Bounds;
use crate::life_command::hold;
use crate::paths;
pub use change::{promote, rollback};
use watch::{Finding, Tally, judge};

/// How long after a withdrawal that failed the next is tried.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of versions that are new.
#[derive(Default)]
pub struct Life {
    inner: Mutex<Inner>,
    /// Something is due.
    ready: Notify,
}

#[derive(Default)]
struct Inner {
    /// Canaries, by `name@version`.
    canaries: BTreeMap<String, Canary>,
    /// Versions beside, and on how many submissions they failed.
    shadows: BTreeMap<String, u64>,
    /// Active versions whose first verdicts are watched, and what they are held against.
    fresh: BTreeMap<String, Fresh>,
    /// What active versions have come to since the start.
    actives: BTreeMap<String, Tally>,
    /// Withdrawn, and perhaps still loaded.
    off: BTreeSet<String>,
    /// Those that were withdrawn by themselves, in words.
    withdrawn: Vec<String>,
    /// Tells commands that the model directory is in use, from the first model on.
    held: Option<File>,
    due: VecDeque<Due>,
}

#[derive(Clone, Debug, PartialEq)]
struct Canary {
    active: String,
    share: f64,
    tally: Tally,
    control: Tally,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Fresh {
    tally: Tally,
    control: Option<Control>,
}

/// What is to be done with a version.
#[derive(Clone, Debug, PartialEq)]
struct Due {
    id: String,
    finding: Finding,
    tally: Tally,
    control: Control,
}

/// Numbers on which a change rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    tally: Tally,
    control: Control,
}

impl Life {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what is in use from now on. What was counted of a version that stays where it is goes on.
    pub fn follow(&self, state: &State, tenants: &All) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        if inner.held.is_none() {
            inner.held = hold(&paths::models_dir());
        }
        let (mut canaries, mut shadows) = (BTreeMap::new(), BTreeMap::new());
        let mut used = BTreeSet::new();
        for (active, trial) in tenants.values().flat_map(|t| t.engine.lineup().each()) {
            used.insert(active.to_owned());
            match trial {
                Some((id, Stage::Canary, share)) => {
                    let known = inner.canaries.get(id);
                    let same = known.filter(|c| c.active == active && c.share == share).cloned();
                    let (tally, control) = <(Tally, Tally)>::default();
                    let new = Canary { active: active.to_owned(), share, tally, control };
                    canaries.insert(id.to_owned(), same.unwrap_or(new));
                }
                Some((id, _, _)) => {
                    let errors = inner.shadows.get(id).copied().unwrap_or_default();
                    shadows.insert(id.to_owned(), errors);
                }
                None => {}
            }
        }
        let (mut fresh, mut withdrawn) = (BTreeMap::new(), Vec::new());
        for name in state.names() {
            let active = state.active(name);
            if let Some((version, entry)) = active.filter(|(_, entry)| !entry.proven) {
                let id = format!("{name}@{version}");
                let known = inner.fresh.get(&id).copied();
                let new = Fresh { tally: Tally::default(), control: entry.control };
                fresh.insert(id, known.unwrap_or(new));
            }
            for (version, entry) in state.versions(name) {
                let newer = active.is_none_or(|(a, _)| version::compare(version, a).is_gt());
                let itself = matches!(entry.cause, Some(Cause::Drift | Cause::Errors));
                if let Some(cause) = entry.cause.filter(|_| itself && newer) {
                    withdrawn.push(format!("{name}@{version} ({})", cause.as_str()));
                }
            }
        }
        inner.actives.retain(|id, _| used.contains(id));
        let watched = |id: &String| {
            canaries.contains_key(id) || shadows.contains_key(id) || fresh.contains_key(id)
        };
        inner.due.retain(|due| watched(&due.id));
        // A version that comes back is not off any more; one that is still to go is.
        let due = &inner.due;
        inner.off.retain(|id| due.iter().any(|due| due.id == *id));
        (inner.canaries, inner.shadows) = (canaries, shadows);
        (inner.fresh, inner.withdrawn) = (fresh, withdrawn);
    }

    /// Whether a version was withdrawn, though it may still be loaded.
    pub fn is_off(&self, id: &str) -> bool {
        self.inner().off.contains(id)
    }

    /// Versions that were withdrawn by themselves, and of which no later one has come since.
    pub fn withdrawn(&self) -> Vec<String> {
        self.inner().withdrawn.clone()
    }

    /// What a fresh active version is to be held against: what the active one came to beside the canary, else since the
    /// start.
    fn control(&self, canary: &str, active: &str) -> Option<Control> {
        let inner = self.inner();
        let beside = inner.canaries.get(canary).map(|canary| canary.control);
        let tally = beside.filter(|t| t.seen > 0).or_else(|| inner.actives.get(active).copied());
        tally.filter(|tally| tally.seen > 0).map(Tally::control)
    }

    /// Counts a verdict.
    pub fn note(&self, ran: &Ran, approved: bool, bounds: Bounds) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let mut due = Vec::new();
        for id in &ran.judged {
            if let Some(canary) = inner.canaries.get_mut(id) {
                canary.tally.verdict(approved);
            } else {
                inner.actives.entry(id.clone()).or_default().verdict(approved);
            }
            if let Some(fresh) = inner.fresh.get_mut(id) {
                fresh.tally.verdict(approved);
            }
            // A submission that the active version judged only because the canary failed belongs to neither side.
            let beside = inner.canaries.iter_mut();
            for (_, canary) in beside.filter(|(c, k)| k.active == *id && !ran.failed.contains(*c)) {
                canary.control.verdict(approved);
            }
        }
        for id in &ran.failed {
            let canary = inner.canaries.get_mut(id).map(|canary| &mut canary.tally);
            for tally in canary.into_iter().chain(inner.fresh.get_mut(id).map(|f| &mut f.tally)) {
                tally.errors += 1;
            }
        }
        for (id, Canary { tally, control, .. }) in &inner.canaries {
            let control = control.control();
            let finding = judge(*tally, Some(control), bounds, None);
            due.push(Due { id: id.clone(), finding, tally: *tally, control });
        }
        for (id, Fresh { tally, control }) in &inner.fresh {
            let finding = judge(*tally, *control, bounds, Some(bounds.watch));
            let control = control.unwrap_or_default();
            due.push(Due { id: id.clone(), finding, tally: *tally, control });
        }
        if ran.agreement() == super::trial::Agreement::Failed {
            for (id, errors) in &mut inner.shadows {
                *errors += u64::from(ran.beside.contains(id));
                let tally = Tally { errors: *errors, ..Tally::default() };
                let finding = judge(tally, None, bounds, None);
                due.push(Due { id: id.clone(), finding, tally, control: Control::default() });
            }
        }
        for due in due.into_iter().filter(|due| due.finding != Finding::Wait) {
            let known = inner.due.iter().any(|known| known.id == due.id);
            let is_trial = !inner.fresh.contains_key(&due.id);
            if !known && (!is_trial || inner.off.insert(due.id.clone())) {
                inner.due.push_back(due);
                self.ready.notify_one();
            }
        }
    }

    fn next(&self) -> Option<Due> {
        self.inner().due.front().cloned()
    }

    fn done(&self, due: &Due) {
        self.inner().due.retain(|known| known.id != due.id);
    }
}

/// Does what the counts ask for, until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            () = app.life.ready.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        while let Some(due) = app.life.next() {
            if app.is_draining() {
                return;
            }
            let (ours, what) = (Arc::clone(&app), due.clone());
            let done = tokio::task::spawn_blocking(move || act(&ours, &what)).await;
            let done = done.unwrap_or_else(|error| Err(error.into()));
            match done {
                Ok(()) => app.life.done(&due),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(%error, model = due.id, "a version of a model cannot be withdrawn; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => {}
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
            }
        }
    }
}

fn act(app: &App, due: &Due) -> anyhow::Result<()> {
    let Some((name, version)) = due.id.split_once('@') else { return Ok(()) };
    match due.finding {
        Finding::Wait => Ok(()),
        Finding::Proven => change::proven(app, name, version),
        Finding::Withdraw(cause) => {
            let Due { tally, control, .. } = *due;
            let (model, cause_word) = (due.id.as_str(), cause.as_str());
            tracing::error!(
                model,
                cause = cause_word,
                seen = tally.seen,
                refused = tally.refused,
                errors = tally.errors,
                control_seen = control.seen,
                control_refused = control.refused,
                "a version of a model is withdrawn"
            );
            app.metrics.withdrawn(model, cause_word);
            let grounds = Grounds { tally, control };
            change::withdraw(app, name, version, cause, grounds, &Actor::System).map(drop)
        }
    }
}
