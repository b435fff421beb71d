//! Plans that cannot be written, and what builds leave behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{Bench, Settings, TINY, TensorRtEngine, with};
use crate::Engine as _;

fn load(bench: &Bench, engine: &TensorRtEngine) -> bool {
    engine.load(&bench.manifest, &bench.weights(), 1).is_ok()
}

/// Whether a model loads where nothing can be built any more.
fn loads_without_a_build(bench: &Bench, plans: &Path) -> bool {
    let trtexec = Some(PathBuf::from("/nowhere/trtexec"));
    let settings = Settings { trtexec, plans: plans.to_owned(), ..bench.settings() };
    load(bench, &bench.open(settings).unwrap())
}

#[test]
fn a_plan_whose_folder_cannot_be_made_is_used_from_memory_and_told() {
    let bench = Bench::new(TINY);
    // Below a file, so that not even root can make it.
    let plans = bench.weights().join("engines");
    let engine = bench.open(Settings { plans: plans.clone(), ..bench.settings() }).unwrap();
    assert_eq!(engine.warnings(), Vec::<String>::new());
    assert!(engine.plans().writable().is_err());
    assert!(load(&bench, &engine));
    let warnings = engine.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let says = |word: &str| warnings[0].contains(word);
    assert!(says("tiny@1") && says("from memory") && says("engines"), "{warnings:?}");
    // As at a reload, and for another tenant: with an engine of its own, and without another build.
    drop(engine);
    assert!(loads_without_a_build(&bench, &plans));
    let other = Bench::new(&with("# another model"));
    assert!(!loads_without_a_build(&other, &plans), "there is no plan of it");
    // Whoever builds ahead wants it kept.
    let engine = bench.open(Settings { plans, ..bench.settings() }).unwrap();
    assert!(engine.build(&bench.manifest, &bench.weights(), false).is_err());
}

#[test]
fn a_plan_that_can_be_written_after_all_is() {
    let bench = Bench::new(TINY);
    let engine = bench.engine();
    assert!(engine.plans().writable().is_ok());
    let key = engine.key(&bench.manifest, &bench.weights()).unwrap();
    let file = engine.plans().path(&key);
    // What cannot be replaced by a file.
    fs::create_dir_all(file.join("in the way")).unwrap();
    assert!(load(&bench, &engine));
    assert_eq!(engine.warnings().len(), 1);
    fs::remove_dir_all(&file).unwrap();
    assert!(loads_without_a_build(&bench, engine.plans().dir()));
    assert_eq!(engine.warnings(), Vec::<String>::new());
    assert!(engine.plans().list().unwrap()[0].made.is_some());
}

#[test]
fn what_a_build_that_was_cut_off_left_is_removed_and_what_is_in_use_is_not() {
    let bench = Bench::new(TINY);
    let engine = bench.engine();
    let folder = |name: &str| {
        let path = engine.plans().dir().join(name);
        fs::create_dir_all(path.join("plan")).unwrap();
        path
    };
    let (left, held) = (folder(".build-left"), folder(".build-held"));
    let lock = File::open(&held).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    assert!(load(&bench, &engine));
    assert!(!left.exists() && held.is_dir());
    drop(lock);
    let left = folder(".build-left");
    engine.build(&bench.manifest, &bench.weights(), false).unwrap();
    assert!(!left.exists() && !held.exists());
    let left = folder(".build-left");
    engine.plans().prune(|_| true).unwrap();
    assert!(!left.exists());
    assert_eq!(bench.plans().len(), 1);
    // While a build is under way its own folder is one of those in use.
    let key = engine.key(&bench.manifest, &bench.weights()).unwrap();
    let place = engine.plans().workplace(&key).unwrap();
    engine.plans().sweep();
    assert!(place.path().is_dir());
}
