//! Which version is at which stage: `state.json` in the model directory.
//!
//! ```json
//! { "format": 1, "generation": 7, "models": { "NAME": { "VERSION": {
//!     "stage": "canary", "share": 0.05, "since_ms": 1790000000000, "bundle": "<SHA-256 of bundle.toml>",
//!     "replaced": null, "proven": false, "control": null, "cause": null } } } }
//! ```
//!
//! Of one name at most one version is active, and at most one is a shadow or canary. Where none is active, the catalogue's
//! own is. Whoever changes the file holds a lock on `.lock` beside it; each change raises `generation`, keeps the state
//! before in `state.json.bak`, and replaces the file in one step, so that a power cut leaves the one or the other.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{LifeError, version};
use crate::file::replace;

/// The file.
pub const FILE: &str = "state.json";
/// The state before the last change.
pub const BACKUP: &str = "state.json.bak";
const LOCK: &str = ".lock";

/// How far a version has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Installed; nothing runs it.
    Candidate,
    /// Runs beside the active version; its findings are kept apart and decide nothing.
    Shadow,
    /// Judges a share of the submissions in the active version's place.
    Canary,
    /// Judges.
    Active,
    /// Runs no more.
    Retired,
}

impl Stage {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    /// Whether it runs beside or in the place of the active version.
    pub fn is_trial(self) -> bool {
        matches!(self, Self::Shadow | Self::Canary)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a version was withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A later one took its place.
    Superseded,
    /// Somebody withdrew it.
    Command,
    /// Its verdicts were too different.
    Drift,
    /// It failed too often.
    Errors,
}

impl Cause {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Command => "command",
            Self::Drift => "drift",
            Self::Errors => "errors",
        }
    }
}

/// What the version before came to, against which a fresh active version is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Submissions that it took part in.
    pub seen: u64,
    /// Those that were not approved.
    pub refused: u64,
}

/// A version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// How far it has come.
    pub stage: Stage,
    /// Of a canary, the share of submissions that it judges.
    #[serde(default)]
    pub share: f64,
    /// Since when it is at this stage, in milliseconds since 1970.
    pub since_ms: i64,
    /// SHA-256 of its signed list.
    pub bundle: String,
    /// Of an active version, the installed one whose place it took; none where that was the catalogue's own.
    #[serde(default)]
    pub replaced: Option<String>,
    /// Of an active version, whether the watch over its first verdicts is over.
    #[serde(default)]
    pub proven: bool,
    /// Of an active version, what it is held against.
    #[serde(default)]
    pub control: Option<Control>,
    /// Of a retired version, why.
    #[serde(default)]
    pub cause: Option<Cause>,
}

impl Entry {
    /// A version that comes to a stage now.
    pub fn new(stage: Stage, bundle: String, since_ms: i64) -> Self {
        let (share, proven) = (0.0, false);
        Self { stage, share, since_ms, bundle, replaced: None, proven, control: None, cause: None }
    }

    fn moves(&mut self, stage: Stage, now_ms: i64) {
        *self = Self::new(stage, std::mem::take(&mut self.bundle), now_ms);
    }
}

/// A version that has come to another stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// From where.
    pub from: Stage,
    /// To where.
    pub to: Stage,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}: {} → {}", self.name, self.version, self.from, self.to)
    }
}

/// All versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    generation: u64,
    models: BTreeMap<String, BTreeMap<String, Entry>>,
}

impl Default for State {
    fn default() -> Self {
        Self { format: 1, generation: 0, models: BTreeMap::new() }
    }
}

impl State {
    /// Reads the state of a model directory; nothing is installed where there is no file.
    ///
    /// # Errors
    /// [`LifeError::State`] where the file is damaged, [`LifeError::File`] where it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, LifeError> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(LifeError::file("cannot read", &path, &error)),
        };
        let damaged = |detail: String| LifeError::State { path: path.clone(), detail };
        let state: Self = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        state.check().map_err(damaged)?;
        Ok(state)
    }

    /// How often it was changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Names of which a version is installed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The versions of a name, the earliest first.
    pub fn versions(&self, name: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let mut all: Vec<_> = self.models.get(name).into_iter().flatten().collect();
        all.sort_by(|a, b| version::compare(a.0, b.0));
        all.into_iter().map(|(version, entry)| (version.as_str(), entry))
    }

    /// One version.
    pub fn entry(&self, name: &str, version: &str) -> Option<&Entry> {
        self.models.get(name)?.get(version)
    }

    /// The version that is active; none where the catalogue's own is.
    pub fn active(&self, name: &str) -> Option<(&str, &Entry)> {
        self.versions(name).find(|(_, entry)| entry.stage == Stage::Active)
    }

    /// The version that is a shadow or canary.
    pub fn trial(&self, name: &str) -> Option<(&str, &Entry)> {
        self.versions(name).find(|(_, entry)| entry.stage.is_trial())
    }

    pub(super) fn put(&mut self, name: &str, version: &str, entry: Entry) {
        self.models.entry(name.to_owned()).or_default().insert(version.to_owned(), entry);
    }

    /// One version, to be changed.
    pub fn entry_mut(&mut self, name: &str, version: &str) -> Option<&mut Entry> {
        self.models.get_mut(name)?.get_mut(version)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != 1 {
            return Err(format!("it has format {}, and this release reads format 1", self.format));
        }
        for name in self.models.keys() {
            let count = |is: fn(Stage) -> bool| {
                self.versions(name).filter(|(_, entry)| is(entry.stage)).count()
            };
            if count(|stage| stage == Stage::Active) > 1 || count(Stage::is_trial) > 1 {
                return Err(format!("two versions of {name} are at one stage"));
            }
            let shares = |entry: &Entry| {
                entry.stage != Stage::Canary || (entry.share > 0.0 && entry.share <= 1.0)
            };
            if !self.versions(name).all(|(_, entry)| shares(entry)) {
                return Err(format!("the canary of {name} has no share above 0 and up to 1"));
            }
        }
        Ok(())
    }
}

/// The state with the right to change it.
pub struct Ledger {
    dir: PathBuf,
    state: State,
    /// Unlocks when it is closed.
    _lock: File,
}

impl Ledger {
    /// Waits for whoever changes the state now, then reads it.
    ///
    /// # Errors
    /// What the file system says, and as [`State::read`].
    pub fn open(dir: &Path) -> Result<Self, LifeError> {
        let path = dir.join(LOCK);
        let failed = |error: std::io::Error| LifeError::file("cannot lock", &path, &error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::create(&path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), state: State::read(dir)?, _lock: lock })
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Changes it, durably.
    ///
    /// # Errors
    /// What the file system says; then the old state is in force.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut State) -> T) -> Result<T, LifeError> {
        let mut next = self.state.clone();
        let outcome = change(&mut next);
        self.set(next)?;
        Ok(outcome)
    }

    /// Puts another state in its place, durably.
    ///
    /// # Errors
    /// As [`Ledger::change`].
    pub fn set(&mut self, mut next: State) -> Result<(), LifeError> {
        let path = self.dir.join(FILE);
        let damaged = |detail: String| LifeError::State { path: path.clone(), detail };
        next.check().map_err(damaged)?;
        next.generation = self.state.generation + 1;
        let failed = |error: std::io::Error| LifeError::file("cannot write", &path, &error);
        match std::fs::read(&path) {
            Ok(now) => replace(&self.dir.join(BACKUP), &[&now], 0o644).map_err(failed)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let text = serde_json::to_string_pretty(&next).map_err(|e| damaged(e.to_string()))?;
        replace(&path, &[text.as_bytes(), b"\n"], 0o644).map_err(failed)?;
        self.state = next;
        Ok(())
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// The model.
    pub name: String,
    /// Its version; none: the one that is meant.
    pub version: Option<String>,
    /// To which stage; none: the next one.
    pub to: Option<Stage>,
    /// Of a canary, the share of submissions.
    pub share: Option<f64>,
}

/// The share of a canary of which nobody said another.
pub const SHARE: f64 = 0.05;

impl State {
    /// Brings a version to a later stage; all that changes by it. `base` tells whether the catalogue has a version of the
    /// name of its own, `control` what the active version has come to so far.
    ///
    /// # Errors
    /// [`LifeError::Refused`] with what to do instead.
    pub fn promote(
        &mut self,
        wish: &Wish,
        base: bool,
        control: Option<Control>,
        now_ms: i64,
    ) -> Result<Vec<Change>, LifeError> {
        let refused = |why: String| Err(LifeError::Refused(why));
        let name = wish.name.as_str();
        let version = self.meant(wish)?;
        let id = format!("{name}@{version}");
        let Some(from) = self.entry(name, &version).map(|entry| entry.stage) else {
            return refused(format!("{id} is not installed; `weir models list` shows what is"));
        };
        let to = wish.to.unwrap_or(match from {
            Stage::Candidate | Stage::Retired => Stage::Shadow,
            Stage::Shadow => Stage::Canary,
            Stage::Canary | Stage::Active => Stage::Active,
        });
        let share = wish.share.unwrap_or(SHARE);
        if wish.share.is_some() && to != Stage::Canary {
            return refused(format!("a share is a canary's, and {id} would be {to}"));
        }
        if !(share > 0.0 && share <= 1.0) {
            return refused(format!("{share} is no share: write a number above 0 and up to 1"));
        }
        let same = from == to && !(to == Stage::Canary && wish.share.is_some());
        if same || from == Stage::Active || !(to.is_trial() || to == Stage::Active) {
            return refused(format!("{id} is {from} and cannot be promoted to {to}"));
        }
        let active = self.active(name).map(|(version, _)| version.to_owned());
        if to.is_trial() && active.is_none() && !base {
            return refused(format!(
                "no version of {name} is active beside which {id} could run; add `--to active` to make it the first"
            ));
        }
        if let Some((other, entry)) = self.trial(name).filter(|(other, _)| *other != version) {
            let stage = entry.stage;
            return refused(format!(
                "{name}@{other} is {stage}, and there is one at a time: promote it, or withdraw it with `weir models rollback {name}@{other}`"
            ));
        }
        let change = |version: &str, from, to| Change {
            name: name.to_owned(),
            version: version.to_owned(),
            from,
            to,
        };
        let mut changes = Vec::new();
        if let (Stage::Active, Some(old)) = (to, &active)
            && let Some(entry) = self.entry_mut(name, old)
        {
            entry.moves(Stage::Retired, now_ms);
            entry.cause = Some(Cause::Superseded);
            changes.push(change(old, Stage::Active, Stage::Retired));
        }
        if let Some(entry) = self.entry_mut(name, &version) {
            entry.moves(to, now_ms);
            if to == Stage::Canary {
                entry.share = share;
            }
            if to == Stage::Active {
                (entry.replaced, entry.control) = (active, control);
            }
        }
        changes.push(change(&version, from, to));
        Ok(changes)
    }

    /// Withdraws the shadow or canary of a name, or the version that is named; else the active version, so that the one
    /// before it is active again.
    ///
    /// # Errors
    /// [`LifeError::Refused`] where there is nothing to go back to.
    pub fn rollback(
        &mut self,
        name: &str,
        version: Option<&str>,
        base: bool,
        cause: Cause,
        now_ms: i64,
    ) -> Result<Vec<Change>, LifeError> {
        let refused = |why: String| Err(LifeError::Refused(why));
        let running = self.trial(name).or_else(|| self.active(name));
        let Some(version) = version.or(running.map(|(version, _)| version)).map(str::to_owned)
        else {
            return refused(format!("no installed version of {name} is in use"));
        };
        let id = format!("{name}@{version}");
        let Some(entry) = self.entry(name, &version).cloned() else {
            return refused(format!("{id} is not installed; `weir models list` shows what is"));
        };
        let from = entry.stage;
        let change = |version: &str, from, to| Change {
            name: name.to_owned(),
            version: version.to_owned(),
            from,
            to,
        };
        if !from.is_trial() && from != Stage::Active {
            return refused(format!("{id} is {from}: it is not in use"));
        }
        if from == Stage::Active && entry.replaced.is_none() && !base {
            return refused(format!("there was no version of {name} before {id}"));
        }
        let mut changes = Vec::new();
        if let Some(entry) = self.entry_mut(name, &version) {
            entry.moves(Stage::Retired, now_ms);
            entry.cause = Some(cause);
            changes.push(change(&version, from, Stage::Retired));
        }
        if let (Stage::Active, Some(before)) = (from, &entry.replaced) {
            let Some(entry) = self.entry_mut(name, before) else {
                return refused(format!("{name}@{before}, which was active before, is not here"));
            };
            let stage = entry.stage;
            entry.moves(Stage::Active, now_ms);
            // It was in use before: nothing new is to be watched.
            entry.proven = true;
            changes.push(change(before, stage, Stage::Active));
        }
        Ok(changes)
    }

    /// The version that is meant where none is named: the shadow or canary, else the latest candidate.
    fn meant(&self, wish: &Wish) -> Result<String, LifeError> {
        if let Some(version) = &wish.version {
            return Ok(version.clone());
        }
        let name = wish.name.as_str();
        let latest = || self.versions(name).filter(|(_, e)| e.stage == Stage::Candidate).last();
        self.trial(name).or_else(latest).map(|(version, _)| version.to_owned()).ok_or_else(|| {
            LifeError::Refused(format!(
                "no version of {name} waits to be promoted; name one as {name}@VERSION, `weir models list` shows them"
            ))
        })
    }
}
