//! Libraries and plans: found, refused, built, kept, healed.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::{Bench, Settings, TINY, fake, with};
use crate::manifest::Shape;
use crate::{Engine as _, Manifest, ModelError, Place};

fn error_of<T>(result: Result<T, ModelError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_engine_says_what_it_runs_on() {
    let place = Place { engine: "tensorrt", version: "10.3.0".into(), device: "Mock".into() };
    assert_eq!(Bench::new(TINY).engine().place(), place);
}

#[test]
fn a_library_that_is_absent_wrong_or_of_another_major_version_is_refused_and_says_why() {
    let bench = Bench::new(TINY);
    let open =
        |library| error_of(bench.open(Settings { library: Some(library), ..bench.settings() }));
    let absent = open("/nowhere/libnvinfer.so.10".into());
    assert!(absent.contains("/nowhere/libnvinfer.so.10"), "{absent}");
    let wrong = open(fake("libnvinfer-wrong.so"));
    assert!(wrong.contains("TensorRT 11") && wrong.contains("built for 10"), "{wrong}");
    let junk = bench.dir.path().join("libnvinfer.so.10");
    fs::write(&junk, "no library").unwrap();
    assert!(open(junk).contains("libnvinfer.so.10"));
    // The C library is a library, but not this one.
    let other = open("/lib/x86_64-linux-gnu/libc.so.6".into());
    assert!(other.contains("is not TensorRT") || !cfg!(target_arch = "x86_64"), "{other}");
}

#[test]
fn a_plan_is_built_once_kept_and_found_again_by_the_next_process() {
    let bench = Bench::new(TINY);
    assert!(bench.engine().build(&bench.manifest, &bench.weights(), false).unwrap());
    assert!(!bench.engine().build(&bench.manifest, &bench.weights(), false).unwrap());
    let kept = bench.engine().plans().list().unwrap();
    let (key, ..) = kept[0].made.clone().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((key.tensorrt.as_str(), key.device.as_str(), key.cuda), ("10.3.0", "Mock", 13));
    assert_eq!(key.precision, "fp32");
    assert!(bench.engine().build(&bench.manifest, &bench.weights(), true).unwrap());
}

#[test]
fn another_model_batch_or_workspace_is_another_plan() {
    let bench = Bench::new(TINY);
    let names = |settings: Settings, manifest: &Manifest| {
        bench.open(settings).unwrap().key(manifest, &bench.weights()).unwrap().file_name()
    };
    let base = names(bench.settings(), &bench.manifest);
    assert_eq!(base, names(bench.settings(), &bench.manifest));
    let mut all = vec![
        base,
        names(Settings { max_batch: 4, ..bench.settings() }, &bench.manifest),
        names(Settings { workspace_mb: 65, ..bench.settings() }, &bench.manifest),
    ];
    let mut manifest = bench.manifest.clone();
    manifest.precision = crate::Precision::Int8;
    all.push(names(bench.settings(), &manifest));
    manifest.input.max_batch = Some(1);
    all.push(names(bench.settings(), &manifest));
    manifest.input.shape = Shape::Within { multiple: 2 };
    all.push(names(bench.settings(), &manifest));
    fs::write(bench.weights(), with("# other weights").replace("# other", "build other")).unwrap();
    all.push(names(bench.settings(), &bench.manifest));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn a_plan_that_was_cut_or_altered_is_built_anew() {
    let bench = Bench::new(TINY);
    bench.engine().build(&bench.manifest, &bench.weights(), false).unwrap();
    let path = bench.plans().remove(0);
    let whole = fs::read(&path).unwrap();
    let (last, tail) = (whole.len() - 1, &whole[whole.len() - TINY.len()..]);
    let mut altered = whole.clone();
    altered[last] ^= 1;
    let longer = [whole.as_slice(), b"x"].concat();
    for bytes in [&whole[..last], &whole[..3], b"", altered.as_slice(), longer.as_slice()] {
        fs::write(&path, bytes).unwrap();
        bench.engine().load(&bench.manifest, &bench.weights(), 1).map(drop).unwrap();
        let header = bench.engine().plans().list().unwrap().remove(0);
        // The time of the build stands before it, so that files differ.
        assert!(header.made.is_some() && fs::read(&path).unwrap().ends_with(tail));
    }
}

#[test]
fn a_plan_that_the_library_refuses_is_built_anew_once_and_then_told() {
    // What is kept was made by another version, as after an upgrade that nobody noticed.
    let bench = Bench::new(TINY);
    let engine = bench.engine();
    let key = engine.key(&bench.manifest, &bench.weights()).unwrap();
    engine.plans().write(&key, b"weir-mock-plan 1\nversion 100200\n", Duration::ZERO).unwrap();
    engine.load(&bench.manifest, &bench.weights(), 1).map(drop).unwrap();
    // What is built is refused as well.
    for (fault, says) in [
        ("fault unreadable", "serialization assertion failed"),
        ("fault unreadable-silent", "does not say why"),
    ] {
        let bench = Bench::new(&with(fault));
        let said = error_of(bench.engine().load(&bench.manifest, &bench.weights(), 1));
        assert!(said.contains(says) && said.contains("another version"), "{said}");
        assert!(bench.plans().is_empty(), "a plan that cannot be used is not kept");
    }
}

#[test]
fn a_context_that_cannot_be_had_is_an_error_with_the_reason() {
    for (fault, says) in [("no-memory", "out of memory"), ("throws", "thrown on purpose")] {
        let bench = Bench::new(&with(&format!("fault {fault}")));
        let said = error_of(bench.engine().load(&bench.manifest, &bench.weights(), 1));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_build_that_fails_gives_its_last_words_and_leaves_nothing() {
    let bench = Bench::new(&with("build fails no kernel fits this layer"));
    let said = error_of(bench.engine().load(&bench.manifest, &bench.weights(), 1));
    assert!(said.contains("no kernel fits this layer"), "{said}");
    assert!(bench.plans().is_empty());
    let left = fs::read_dir(bench.dir.path().join("engines")).unwrap().flatten();
    let left: Vec<_> =
        left.filter(|e| e.file_name().to_string_lossy().starts_with(".build-")).collect();
    assert!(left.is_empty(), "{left:?}");
    let settings = Settings { trtexec: Some("/nowhere/trtexec".into()), ..bench.settings() };
    let engine = bench.open(settings).unwrap();
    let said = error_of(engine.load(&bench.manifest, &bench.weights(), 1));
    assert!(said.contains("/nowhere/trtexec"), "{said}");
}

#[test]
fn a_build_that_hangs_is_ended_in_time_with_all_that_it_started() {
    let bench = Bench::new(&with("build hangs"));
    // A shell between, as a wrapper of an installation might be.
    let wrapper = bench.dir.path().join("wrapper");
    let mut file = fs::File::create(&wrapper).unwrap();
    writeln!(
        file,
        "#!/bin/sh\n{} \"$@\" & echo $! > {}; wait",
        fake("trtexec").display(),
        wrapper.with_extension("pid").display()
    )
    .unwrap();
    drop(file);
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let build_limit = Duration::from_millis(1500);
    let settings = Settings { trtexec: Some(wrapper.clone()), build_limit, ..bench.settings() };
    let start = Instant::now();
    let said = error_of(bench.open(settings).unwrap().load(&bench.manifest, &bench.weights(), 1));
    assert!(said.contains("took more than") && said.contains("Building engine"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(wrapper.with_extension("pid")).unwrap();
    // Killed it may still have to die, and wait to be reaped by whoever inherits it.
    let runs = || {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    };
    let patience = Instant::now() + Duration::from_secs(10);
    while runs() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!runs(), "it still runs");
}

#[test]
fn a_build_tells_how_far_it_is() {
    let bench = Bench::new(&with("build slow 1"));
    bench.engine().load(&bench.manifest, &bench.weights(), 1).map(drop).unwrap();
    let told = bench.told.lock().unwrap();
    assert!(
        told.iter().any(|p| p.line.contains("step 9") && p.elapsed > Duration::from_millis(500))
    );
    assert!(told.iter().all(|p| p.model == "tiny@1"));
}

#[test]
fn two_that_want_one_plan_build_it_once() {
    let bench = Bench::new(&with("build slow 1"));
    let built: Vec<bool> = std::thread::scope(|scope| {
        let one = || bench.engine().build(&bench.manifest, &bench.weights(), false).unwrap();
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(built.iter().filter(|built| **built).count(), 1, "{built:?}");
}

#[test]
fn a_plan_that_is_kept_is_used_while_somebody_builds_it_anew() {
    let bench = Bench::new(TINY);
    let engine = bench.engine();
    engine.build(&bench.manifest, &bench.weights(), false).unwrap();
    let key = engine.key(&bench.manifest, &bench.weights()).unwrap();
    let building = bench.engine().plans().lock(&key).unwrap();
    let (done, waiting) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        scope.spawn(|| done.send(engine.load(&bench.manifest, &bench.weights(), 1).is_ok()));
        let loaded = waiting.recv_timeout(Duration::from_secs(10));
        // Let it go before the thread is waited for, or a failure would never end.
        drop(building);
        assert_eq!(loaded, Ok(true));
    });
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&bench.plans()[0]).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o644, "built by root, read by the service");
}

#[test]
fn prune_keeps_what_is_wanted_and_removes_the_rest() {
    let bench = Bench::new(TINY);
    let (engine, weights) = (bench.engine(), bench.weights());
    engine.build(&bench.manifest, &weights, false).unwrap();
    let wanted = engine.key(&bench.manifest, &weights).unwrap();
    let other = bench.open(Settings { max_batch: 2, ..bench.settings() }).unwrap();
    other.build(&bench.manifest, &weights, false).unwrap();
    fs::write(engine.plans().dir().join("junk.plan"), "junk").unwrap();
    let pruned = engine.plans().prune(|key| *key == wanted).unwrap();
    assert_eq!(pruned.paths.len(), 2);
    assert!(pruned.bytes > 4);
    assert_eq!(bench.plans(), [engine.plans().path(&wanted)]);
    let locks = fs::read_dir(engine.plans().dir()).unwrap().flatten();
    assert_eq!(locks.filter(|e| e.path().extension().is_some_and(|x| x == "lock")).count(), 1);
}

#[test]
fn a_hundred_failed_loads_leave_nothing_open() {
    let bench = Bench::new(&with("fault no-memory"));
    let engine = bench.engine();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let fail = || assert!(engine.load(&bench.manifest, &bench.weights(), 1).is_err());
    fail();
    let before = descriptors();
    (0..100).for_each(|_| fail());
    // Other tests of this process may open and close files meanwhile; a leak would be a hundred.
    assert!(descriptors() < before + 50);
}
