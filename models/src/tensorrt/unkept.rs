//! Plans that were built and cannot be written. They stay in memory until the process ends or they can be written after
//! all, so that a reload, or another tenant, need not build them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ModelError;

/// A plan, and why it is not on the disk.
#[derive(Clone)]
struct Unkept {
    model: String,
    why: String,
    plan: Arc<[u8]>,
    took: Duration,
}

/// By the file in which each belongs.
static UNKEPT: LazyLock<Mutex<BTreeMap<PathBuf, Unkept>>> = LazyLock::new(Mutex::default);

fn all() -> MutexGuard<'static, BTreeMap<PathBuf, Unkept>> {
    UNKEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a plan in memory.
pub(super) fn put(file: PathBuf, model: &str, why: &ModelError, plan: Arc<[u8]>, took: Duration) {
    let (model, why) = (model.to_owned(), why.to_string());
    all().insert(file, Unkept { model, why, plan, took });
}

/// The plan that belongs in a file, and how long its build took.
pub(super) fn get(file: &Path) -> Option<(Arc<[u8]>, Duration)> {
    all().get(file).map(|unkept| (Arc::clone(&unkept.plan), unkept.took))
}

/// The plan is on the disk, or of no use.
pub(super) fn forget(file: &Path) {
    all().remove(file);
}

/// What cannot be written in a folder, in words.
pub(super) fn warnings(dir: &Path) -> Vec<String> {
    let all = all();
    let here = all.iter().filter(|(file, _)| file.parent() == Some(dir));
    let words = here.map(|(_, unkept)| {
        format!(
            "the plan of {} is used from memory and will be built anew at the next start: {}",
            unkept.model, unkept.why
        )
    });
    words.collect()
}
