//! What runs: of each name the active version, and the one on trial.

use std::fs;
use std::path::{Path, PathBuf};

use super::bundle::{GOLDEN, LIST, MANIFEST, WEIGHTS};
use super::raw::List;
use super::{Entry, Golden, LifeError, Parity, Stage, State, folder};
use crate::library::digest_of;
use crate::{Catalogue, Engine, Library, Manifest};

/// A version that runs beside the active one, or for a share in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What it is.
    pub manifest: Manifest,
    /// Shadow or canary.
    pub stage: Stage,
    /// Of a canary, the share of submissions.
    pub share: f64,
}

/// A version on trial that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// `name@version`.
    pub model: String,
    /// Why not.
    pub why: String,
}

/// The models of a box at this moment.
#[derive(Clone, Debug)]
pub struct Roster {
    dir: PathBuf,
    /// The catalogue with the active versions in it.
    active: Catalogue,
    /// The catalogue without what is installed.
    base: Catalogue,
    trials: Vec<Trial>,
    left_out: Vec<LeftOut>,
    state: State,
}

impl Roster {
    /// Reads catalogue, state and the manifests of what is in use. An active version that is not as it was installed is an
    /// error; a shadow or canary is left out, and told by [`Roster::left_out`].
    ///
    /// # Errors
    /// Every problem, a line each.
    pub fn load(dir: &Path) -> Result<Self, Vec<String>> {
        let of = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut active =
            Catalogue::load(dir).map_err(|errors: Vec<crate::ManifestError>| of(errors))?;
        let state = State::read(dir).map_err(|error| vec![error.to_string()])?;
        let base = active.clone();
        let (mut problems, mut trials, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for name in state.names() {
            if let Some((version, entry)) = state.active(name) {
                match installed(dir, name, version, entry) {
                    Ok(manifest) => active.put(manifest),
                    Err(error) => problems.push(format!(
                        "{error}\n  `weir models rollback {name}` goes back to the version before"
                    )),
                }
            }
        }
        for name in state.names() {
            let Some((version, entry)) = state.trial(name) else { continue };
            let kind = active.find(name).map(|manifest| manifest.kind);
            let why = match installed(dir, name, version, entry) {
                Ok(manifest) if kind == Ok(manifest.kind) => {
                    trials.push(Trial { manifest, stage: entry.stage, share: entry.share });
                    continue;
                }
                Ok(manifest) => other_kind(&manifest),
                Err(error) => error,
            };
            left_out.push(LeftOut { model: format!("{name}@{version}"), why: why.to_string() });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { dir: dir.to_owned(), active, base, trials, left_out, state })
    }

    /// The models that judge.
    pub fn active(&self) -> &Catalogue {
        &self.active
    }

    /// Gives them away.
    pub fn into_active(self) -> Catalogue {
        self.active
    }

    /// The version of a name that is on trial.
    pub fn trial(&self, name: &str) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.manifest.name == name)
    }

    /// All that runs, and how far each has come: the active versions, and behind each the one on trial.
    pub fn running(&self) -> impl Iterator<Item = (&Manifest, Stage)> {
        self.active.iter().flat_map(|manifest| {
            let trial = self.trial(&manifest.name).map(|trial| (&trial.manifest, trial.stage));
            std::iter::once((manifest, Stage::Active)).chain(trial)
        })
    }

    /// Versions on trial that cannot be used.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// `name@version` of what comes back when the active version is withdrawn.
    pub fn before(&self, name: &str) -> Option<String> {
        let (_, entry) = self.state.active(name)?;
        match &entry.replaced {
            Some(version) => Some(format!("{name}@{version}")),
            None => self.base.find(name).ok().map(Manifest::id),
        }
    }

    /// The state that this rests on.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether there is a version of the name that nobody installed.
    pub fn has_base(&self, name: &str) -> bool {
        self.base.find(name).is_ok()
    }

    /// Runs an installed version on this device against its golden vectors.
    ///
    /// # Errors
    /// [`LifeError::Parity`] with the numbers; where the version is not as it was installed, or of another kind than the
    /// one that is active.
    pub fn parity(
        &self,
        engine: &dyn Engine,
        name: &str,
        version: &str,
    ) -> Result<Parity, LifeError> {
        let entry = self.state.entry(name, version).ok_or_else(|| {
            LifeError::Refused(format!(
                "{name}@{version} is not installed; `weir models list` shows what is"
            ))
        })?;
        let manifest = installed(&self.dir, name, version, entry)?;
        if self.active.find(name).is_ok_and(|known| known.kind != manifest.kind) {
            return Err(other_kind(&manifest));
        }
        let weights = Library::new(&self.dir).locate(&manifest)?;
        let place = folder(&self.dir, name, version);
        let list = list(&place, entry, &manifest.id())?;
        for member in list.members.iter().filter(|member| member.file != WEIGHTS) {
            pinned(&place, &list, &member.file, &manifest.id())?;
        }
        Golden::read(&place.join(GOLDEN))?.compare(engine, &manifest, &weights, &place)
    }
}

fn other_kind(manifest: &Manifest) -> LifeError {
    let (id, kind) = (manifest.id(), manifest.kind.as_str());
    LifeError::Refused(format!("{id} is of kind {kind}, and the active version of another one"))
}

/// The manifest of an installed version, which must be the one that was signed.
fn installed(dir: &Path, name: &str, version: &str, entry: &Entry) -> Result<Manifest, LifeError> {
    let (place, id) = (folder(dir, name, version), format!("{name}@{version}"));
    let list = list(&place, entry, &id)?;
    let text = pinned(&place, &list, MANIFEST, &id)?;
    let origin = place.join(MANIFEST).display().to_string();
    let manifest = Manifest::parse(&origin, &String::from_utf8_lossy(&text))
        .map_err(|error| LifeError::Refused(error.to_string()))?;
    if (manifest.name.as_str(), manifest.version.as_str()) != (name, version) {
        return Err(changed(&id, MANIFEST));
    }
    Ok(manifest)
}

/// The list that was signed when the version was installed.
fn list(place: &Path, entry: &Entry, id: &str) -> Result<List, LifeError> {
    let path = place.join(LIST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(changed(id, LIST));
        }
        text => text.map_err(|e| LifeError::file("cannot read", &path, &e))?,
    };
    if digest_of(&text).sha256 != entry.bundle {
        return Err(changed(id, LIST));
    }
    List::parse(&text).map_err(|problems| LifeError::Bundle { path, problems })
}

/// The bytes of a small member.
fn pinned(place: &Path, list: &List, file: &str, id: &str) -> Result<Vec<u8>, LifeError> {
    let path = place.join(file);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(changed(id, file));
        }
        bytes => bytes.map_err(|e| LifeError::file("cannot read", &path, &e))?,
    };
    match list.member(file) {
        Some(member) if member.pin() == digest_of(&bytes) => Ok(bytes),
        _ => Err(changed(id, file)),
    }
}

fn changed(id: &str, file: &str) -> LifeError {
    LifeError::Refused(format!(
        "{file} of {id} is not the one that was installed: install its bundle again with `weir models install`"
    ))
}
