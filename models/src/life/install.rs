//! A bundle becomes a candidate.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::bundle::{GOLDEN, LIST, MANIFEST, WEIGHTS};
use super::raw::{List, Member};
use super::unpack::{Opened, unpack};
use super::{
    Entry, Golden, INSTALLED, Ledger, LifeError, PublicKey, Stage, Trusted, folder, version,
};
use crate::library::{digest, digest_of};
use crate::{Catalogue, Manifest};

/// What an install came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Who signed it.
    pub signer: PublicKey,
    /// Whether it was not here before.
    pub new: bool,
    /// Whether files of it that were changed or gone are there again.
    pub repaired: bool,
}

/// What of a bundle is here already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Here {
    /// Nothing.
    Nothing,
    /// Some of it, or what was changed since.
    Damaged,
    /// All of it.
    Whole,
}

/// How folders begin that are not complete yet.
const UNFINISHED: &str = ".new-";

/// Installs a bundle as a candidate. The same bundle again changes nothing but what of it was changed or lost meanwhile; its
/// version stays at its stage. With `older`, a version may be lower than one
/// that is known. `now_ms` is the time in milliseconds since 1970.
///
/// # Errors
/// What of the bundle does not hold, what is here already under its name, or what the file system says. Then nothing has
/// changed.
pub fn install(dir: &Path, path: &Path, older: bool, now_ms: i64) -> Result<Installed, LifeError> {
    let root = dir.join(INSTALLED);
    fs::create_dir_all(&root).map_err(|e| LifeError::file("cannot make", &root, &e))?;
    let trusted = Trusted::read(dir)?;
    let mut ledger = Ledger::open(dir)?;
    sweep(&root);
    let mut repaired = false;
    let take = |opened: &Opened| {
        match here(dir, path, opened, &ledger)? {
            Here::Whole => return Ok(None),
            Here::Damaged => repaired = true,
            Here::Nothing => rises(dir, &ledger, path, &opened.list, older)?,
        }
        let made = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&root);
        Ok(Some(made.map_err(|e| LifeError::file("cannot write below", &root, &e))?))
    };
    let (opened, unpacked) = unpack(path, &trusted, take)?;
    let (name, version) = (opened.list.name.clone(), opened.list.version.clone());
    let place = folder(dir, &name, &version);
    if let Some(unpacked) = unpacked {
        check(path, &opened.list, unpacked.path())?;
        let failed = |error: std::io::Error| LifeError::file("cannot write", &place, &error);
        fs::set_permissions(unpacked.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
        if repaired && place.exists() {
            // Out of the way under a name that the next install sweeps, should this one be cut off here.
            let old = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&root);
            let old = old.map_err(failed)?;
            fs::rename(&place, old.path().join("old")).map_err(failed)?;
        }
        fs::rename(unpacked.path(), &place).map_err(failed)?;
        // It has another name now, under which nothing removes it.
        let _ = unpacked.keep();
        File::open(&root).and_then(|root| root.sync_all()).map_err(failed)?;
    }
    let bundle = digest_of(&opened.text).sha256;
    let new = ledger.state().entry(&name, &version).is_none();
    if new {
        let entry = Entry::new(Stage::Candidate, bundle, now_ms);
        ledger.change(|state| state.put(&name, &version, entry))?;
    }
    Ok(Installed { name, version, signer: opened.signer, new, repaired })
}

/// What of the very same bundle is here. One of the same name and version with other bytes is refused.
fn here(dir: &Path, path: &Path, opened: &Opened, ledger: &Ledger) -> Result<Here, LifeError> {
    let List { name, version, members, .. } = &opened.list;
    let place = folder(dir, name, version);
    let known = ledger.state().entry(name, version).map(|entry| entry.bundle.as_str());
    let listed = match fs::read(place.join(LIST)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(LifeError::file("cannot read", &place, &error)),
    };
    let same = match known {
        Some(bundle) => bundle == digest_of(&opened.text).sha256,
        // An install that was cut off before the state knew of it.
        None => listed.as_ref().is_none_or(|text| *text == opened.text),
    };
    if !same {
        return Err(LifeError::bundle(
            path,
            format!(
                "{name}@{version} is installed with other bytes; give what has changed a version of its own"
            ),
        ));
    }
    let whole = |member: &Member| {
        digest(&place.join(&member.file)).is_ok_and(|found| found == member.pin())
    };
    Ok(match listed {
        None if known.is_none() => Here::Nothing,
        Some(text) if text == opened.text && members.iter().all(whole) => Here::Whole,
        _ => Here::Damaged,
    })
}

/// Versions only rise, unless `older`; and never does a bundle take the name of a version that the catalogue has.
fn rises(
    dir: &Path,
    ledger: &Ledger,
    path: &Path,
    list: &List,
    older: bool,
) -> Result<(), LifeError> {
    let List { name, version: wanted, .. } = list;
    let installed = ledger.state().versions(name).map(|(version, _)| version.to_owned());
    let own = Catalogue::load(dir).ok();
    let own = own.and_then(|catalogue| Some(catalogue.find(name).ok()?.version.clone()));
    if own.as_ref() == Some(wanted) {
        let detail =
            format!("the catalogue has a {name}@{wanted} of its own; give yours another version");
        return Err(LifeError::bundle(path, detail));
    }
    let newest = installed.chain(own).max_by(|a, b| version::compare(a, b));
    match newest {
        Some(newest) if !older && version::compare(wanted, &newest) != Ordering::Greater => {
            Err(LifeError::bundle(
                path,
                format!(
                    "{name}@{wanted} is no later than {newest}, which is known; write --older where it is meant so"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Whether the members belong together.
fn check(path: &Path, list: &List, dir: &Path) -> Result<(), LifeError> {
    let mut problems = Vec::new();
    match fs::read_to_string(dir.join(MANIFEST)) {
        Err(error) => problems.push(format!("{MANIFEST}: {error}")),
        Ok(text) => match Manifest::parse(MANIFEST, &text) {
            Err(error) => problems.push(error.to_string()),
            Ok(manifest) => {
                if (&manifest.name, &manifest.version) != (&list.name, &list.version) {
                    let (id, list) = (manifest.id(), format!("{}@{}", list.name, list.version));
                    problems.push(format!("{MANIFEST} is of {id}, {LIST} of {list}"));
                }
                if list.member(WEIGHTS).is_none_or(|member| member.pin() != manifest.pin) {
                    problems.push(format!("{MANIFEST} pins other weights than {WEIGHTS}"));
                }
                match Golden::read(&dir.join(GOLDEN)) {
                    Ok(golden) => problems.extend(golden.problems(&manifest, dir)),
                    Err(error) => problems.push(error.to_string()),
                }
            }
        },
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(LifeError::Bundle { path: path.to_owned(), problems })
}

/// Removes what an install left that did not come to its end. The ledger's lock says that none is under way.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
