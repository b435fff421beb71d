//! Processes that die: killed at any moment, with a disk that loses a sync, with a disk that is full.
//!
//! The store runs in a child: this test binary once more, with a variable that names the directory. The child tells over
//! its standard output what was acknowledged, and only after it was; the parent's list is the oracle.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use common::{Time, approve, submission, tell, tenant};
use domain::journal::SubmissionId;
use store::{Clock, Config, Error, NewSubmission, Store, verify};

const DIR: &str = "WEIR_STORE_CHILD";
const MODE: &str = "WEIR_STORE_CHILD_MODE";

fn child(dir: &Path, mode: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(MODE, mode)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Says that something was acknowledged. One `write`, so that lines of threads do not mix.
fn say(word: &str, id: SubmissionId) {
    let line = format!("\n{word} {id}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// What the child does; nothing in a normal run of the tests.
#[test]
fn the_child() {
    let (Ok(dir), Ok(mode)) = (std::env::var(DIR), std::env::var(MODE)) else { return };
    let config = Config {
        linger: Duration::from_millis(1),
        checkpoint_entries: 20,
        reserve_bytes: 0,
        ..Config::default()
    };
    let (store, _) = Store::open(Path::new(&dir), config).unwrap();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let store = store.clone();
            scope.spawn(move || {
                loop {
                    let n = COUNT.fetch_add(1, Ordering::Relaxed);
                    let content = format!("{} {n}", std::process::id());
                    match store
                        .accept(NewSubmission { author: None, ..submission(&content) })
                        .wait()
                    {
                        Ok(accepted) => say("A", accepted.id()),
                        Err(_) => return,
                    }
                }
            });
        }
        if mode == "lost-sync" {
            // Let it work, then make every sync fail, for all threads.
            while COUNT.load(Ordering::Relaxed) < 50 {
                std::thread::yield_now();
            }
            fail_syncs();
        }
        let store = store.clone();
        scope.spawn(move || {
            loop {
                let Ok(works) = store.lease(4).wait() else { return };
                let replies: Vec<_> = works
                    .iter()
                    .map(|work| {
                        (
                            work.submission.id,
                            store.commit(work.lease.clone(), approve(work), tell()),
                        )
                    })
                    .collect();
                for (id, reply) in replies {
                    if reply.wait().is_ok() {
                        say("D", id);
                    }
                }
            }
        });
    });
}

fn fail_syncs() {
    use seccompiler::{SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};
    let calls = [(libc::SYS_fsync, vec![]), (libc::SYS_fdatasync, vec![])];
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let eio = SeccompAction::Errno(libc::EIO as u32);
    let filter =
        SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, eio, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    apply_filter_all_threads(&program).unwrap();
}

#[derive(Default)]
struct Ledger {
    accepted: BTreeSet<SubmissionId>,
    decided: BTreeSet<SubmissionId>,
}

impl Ledger {
    /// Reads what the child says, until `enough` lines came or it ended.
    fn read(&mut self, lines: &mut impl Iterator<Item = std::io::Result<String>>, enough: usize) {
        let mut count = 0;
        while count < enough {
            let Some(Ok(line)) = lines.next() else { return };
            match line.split_once(' ') {
                Some(("A", id)) => self.accepted.insert(id.parse().unwrap()),
                Some(("D", id)) => self.decided.insert(id.parse().unwrap()),
                _ => continue,
            };
            count += 1;
        }
    }

    fn compare(&self, store: &Store) {
        for id in &self.accepted {
            assert!(store.submission(&tenant(), *id).is_ok(), "{id} was acknowledged and is gone");
        }
        for id in &self.decided {
            let decisions = store.decisions(&tenant(), *id).unwrap();
            assert_eq!(decisions.len(), 1, "{id}: exactly one machine decision");
        }
    }
}

fn sound(dir: &Path) {
    let verified = verify(dir).unwrap();
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for round in 0..12 {
        let mut child = child(dir.path(), "work");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // No two rounds stop at the same place.
        ledger.read(&mut lines, 10 + round * 17 % 90);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died still stands in the pipe.
        ledger.read(&mut lines, usize::MAX);
        sound(dir.path());
    }
    let (store, opened) = Store::open(dir.path(), Config::default()).unwrap();
    assert_eq!(opened.began, None, "no kill looks like a lost log");
    ledger.compare(&store);
    // The rest is done once, and nothing twice.
    loop {
        let works = store.lease(100).wait().unwrap();
        if works.is_empty() {
            break;
        }
        for work in works {
            let settled = store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
            assert_eq!(settled.number, 0);
            assert!(!ledger.decided.contains(&work.submission.id), "decided twice");
        }
    }
    ledger.decided.clone_from(&ledger.accepted);
    ledger.compare(&store);
    let mut events = BTreeSet::new();
    for effect in store.lease_effects(store::EffectKind::Notify, 1_000_000).wait().unwrap() {
        assert!(events.insert((effect.submission, effect.decision)), "one event, two ids");
    }
    drop(store);
    sound(dir.path());
    assert!(ledger.accepted.len() > 200);
}

#[test]
fn a_lost_sync_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let mut child = child(dir.path(), "lost-sync");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    ledger.read(&mut lines, usize::MAX);
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
    assert!(!ledger.accepted.is_empty());
    let (store, _) = Store::open(dir.path(), Config::default()).unwrap();
    ledger.compare(&store);
}

/// Accepts until there is no more room; then what was accepted is finished, critical work still comes in, and with room
/// everything goes on.
fn fill_up(dir: &Path, config: Config, make_room: impl FnOnce(&Store)) {
    let (store, _) = Store::open(dir, config).unwrap();
    let big = |critical| NewSubmission {
        caption: Some("x".repeat(20_000)),
        author: None,
        critical,
        ..submission("big")
    };
    let mut accepted = Vec::new();
    let refused = loop {
        match store.accept(big(false)).wait() {
            Ok(acceptance) => accepted.push(acceptance.id()),
            Err(error) => break error,
        }
        assert!(accepted.len() < 10_000, "it never filled up");
    };
    assert!(matches!(refused, Error::Full), "{refused}");
    assert!(store.is_tight());
    assert!(matches!(store.accept(big(false)).wait(), Err(Error::Full)), "it stays refused");
    let critical = NewSubmission { caption: Some("help".to_owned()), ..big(true) };
    accepted.push(store.accept(critical).wait().unwrap().id());
    // In hand to the last one; the verdicts free what waited.
    let mut decided = 0;
    while let Some(work) = store.lease(1).wait().unwrap().pop() {
        store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
        decided += 1;
        if decided == 20 {
            break;
        }
    }
    assert_eq!(decided, accepted.len().min(20));
    for id in &accepted {
        assert!(store.submission(&tenant(), *id).is_ok(), "accepted and gone");
    }
    make_room(&store);
    store.accept(big(false)).wait().unwrap();
    assert!(!store.is_tight());
    drop(store);
    sound(dir);
}

#[test]
fn a_full_database_refuses_new_work_finishes_the_old_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let later = time.clone();
    let config = Config {
        max_bytes: 1 << 20,
        submissions_keep: Duration::from_secs(1),
        ..common::config(&time)
    };
    fill_up(dir.path(), config, move |store| {
        later.pass(Duration::from_secs(10));
        while store.retain(100).wait().unwrap().submissions > 0 {}
    });
}

/// A small file system of its own, where mounting is permitted.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_new_work_finishes_the_old_and_recovers() {
    let Some(mount) = Mount::new("6m") else {
        eprintln!(
            "skipped: mounting is not permitted here; the full database stands in for the full disk"
        );
        return;
    };
    let filler = mount.0.path().join("filler");
    std::fs::write(&filler, vec![1; 2 << 20]).unwrap();
    let config = Config {
        reserve_bytes: 0,
        linger: Duration::ZERO,
        clock: Clock::system(),
        ..Config::default()
    };
    fill_up(mount.0.path(), config, |_| std::fs::remove_file(&filler).unwrap());
    assert!(mount.0.path().join("ballast").exists(), "laid again");
}
