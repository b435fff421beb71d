//! What a box finds at its start: torn logs, flipped bits, old copies, other processes, later releases.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

use common::{Time, approve, config, lease_one, open, submission, tell, tenant};
use domain::journal::{EpochCause, SubmissionId};
use store::{Error, Opened, Store, verify};

/// A directory as a power cut would leave it: every file as it is now, while the store is open.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name();
        // The shared-memory index is rebuilt from the log; the lock is a process's own.
        if entry.path().is_file() && name != "store.db-shm" && name != "lock" {
            fs::copy(entry.path(), copy.path().join(name)).unwrap();
        }
    }
    copy
}

fn fill(store: &Store, count: usize) -> Vec<SubmissionId> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(store.accept(submission(&format!("photo {n}"))).wait().unwrap().id());
        if n % 2 == 0 {
            let work = lease_one(store);
            store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
        }
    }
    ids
}

fn reopen(dir: &Path, time: &Time) -> (Store, Opened) {
    Store::open(dir, config(time)).unwrap()
}

fn sound(dir: &Path) {
    let verified = verify(dir).unwrap();
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
    assert!(verified.entries > 0);
}

#[test]
fn the_bundled_sqlite_has_a_sound_log() {
    let version: String = rusqlite::Connection::open_in_memory()
        .unwrap()
        .query_row("SELECT sqlite_version()", [], |row| row.get(0))
        .unwrap();
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
    assert!(numbers >= vec![3, 51, 3], "{version}");
}

#[test]
fn two_processes_cannot_have_one_directory() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    let Err(Error::InUse { pid, .. }) = Store::open(dir.path(), config(&time)) else {
        panic!("a second one got in")
    };
    assert_eq!(pid, std::process::id().to_string());
    drop(store);
    open(dir.path(), &time);
}

#[test]
fn a_later_schema_is_refused_with_the_way_back() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    drop(open(dir.path(), &time));
    let path = dir.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path(), config(&time)).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("weir store restore --data"), "{error}");
    assert!(fs::read(&path).unwrap() == before, "nothing was touched");
}

#[test]
fn a_torn_tail_of_the_log_is_cut_off_cleanly() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    let ids = fill(&store, 10);
    let copy = copy_of(dir.path());
    // A frame that the power cut interrupted: no commit was ever acknowledged from it.
    let mut wal = OpenOptions::new().append(true).open(copy.path().join("store.db-wal")).unwrap();
    wal.write_all(&[0x5a; 1234]).unwrap();
    let (store, opened) = reopen(copy.path(), &time);
    assert_eq!(opened.began, None);
    assert!(ids.iter().all(|id| store.submission(&tenant(), *id).is_ok()));
    drop(store);
    sound(copy.path());
}

#[test]
fn a_log_that_lost_acknowledged_frames_begins_a_new_epoch() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    fill(&store, 2);
    let copy = copy_of(dir.path());
    let wal = OpenOptions::new().write(true).open(copy.path().join("store.db-wal")).unwrap();
    let length = wal.metadata().unwrap().len();
    assert!(length < 256 * 4096, "the log was not begun anew, so that its end is its newest");
    wal.set_len(length - 5_000).unwrap();
    let (again, opened) = reopen(copy.path(), &time);
    assert_eq!(opened.began, Some(EpochCause::Rewound));
    assert_ne!(again.epoch(), store.epoch());
    drop(again);
    sound(copy.path());
}

#[test]
fn a_deleted_log_and_an_old_copy_begin_a_new_epoch() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    fill(&store, 3);
    drop(store);
    let yesterday = fs::read(dir.path().join("store.db")).unwrap();
    let store = open(dir.path(), &time);
    fill(&store, 3);
    let epoch = store.epoch();
    let copy = copy_of(dir.path());
    fs::remove_file(copy.path().join("store.db-wal")).unwrap();
    let (again, opened) = reopen(copy.path(), &time);
    assert_eq!(opened.began, Some(EpochCause::Rewound), "the log was deleted");
    assert_ne!(again.epoch(), epoch);
    drop(again);
    sound(copy.path());
    drop(store);

    fs::write(dir.path().join("store.db"), yesterday).unwrap();
    let (store, opened) = reopen(dir.path(), &time);
    assert_eq!(opened.began, Some(EpochCause::Rewound), "an old copy");
    // The first entry of the new epoch says how far the old one had come, beyond what this database knows.
    let entries = store
        .entries(store.epoch(), domain::journal::Lane::Critical, Default::default(), 1)
        .unwrap();
    let record = domain::journal::Record::decode(&entries[0].record).unwrap();
    let domain::journal::Body::EpochBegan(began) = record.body else { panic!("not the first") };
    let known = store.lanes().unwrap();
    let old = |head: &domain::journal::Head| {
        known.iter().find(|l| l.epoch == epoch && l.head.lane == head.lane).unwrap().head.seq
    };
    assert!(began.previous.iter().any(|(e, head)| *e == epoch && head.seq > old(head)));
}

#[test]
fn a_damaged_page_sets_the_database_aside_and_saves_the_rest() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    let ids = fill(&store, 60);
    let epoch = store.epoch();
    drop(store);
    let pages = fs::metadata(dir.path().join("store.db")).unwrap().len() / 4096;
    let (mut salvaged, mut kept) = (0, 0);
    for page in (1..pages).step_by(9) {
        let copy = copy_of(dir.path());
        let file = OpenOptions::new().write(true).open(copy.path().join("store.db")).unwrap();
        // The head of a b-tree page: its kind and where its cells begin.
        file.write_all_at(&[0xee; 8], page * 4096).unwrap();
        drop(file);
        let (store, opened) = reopen(copy.path(), &time);
        if let Some(report) = opened.salvaged {
            salvaged += 1;
            assert_eq!(opened.began, Some(EpochCause::Salvaged), "page {page}");
            assert_ne!(store.epoch(), epoch);
            assert!(report.aside.exists());
        }
        kept += ids.iter().filter(|id| store.submission(&tenant(), **id).is_ok()).count();
        // What was saved can be worked on, and proves itself.
        for work in store.lease(100).wait().unwrap() {
            store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
        }
        drop(store);
        sound(copy.path());
    }
    assert!(salvaged >= 3, "{salvaged} of {pages} pages");
    let rounds = pages.div_ceil(9) as usize;
    assert!(kept * 2 > ids.len() * rounds, "most was saved: {kept} of {}", ids.len() * rounds);
}

#[test]
fn a_salvage_that_was_cut_short_is_finished_by_the_next_start() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    let ids = fill(&store, 4);
    drop(store);
    // Dead between the two renames: the database is set aside, the whole salvage not yet in its place.
    fs::rename(dir.path().join("store.db"), dir.path().join("store.salvage")).unwrap();
    let (store, opened) = reopen(dir.path(), &time);
    assert_eq!(opened.began, Some(EpochCause::Salvaged));
    assert!(ids.iter().all(|id| store.submission(&tenant(), *id).is_ok()));
}

#[test]
fn a_database_that_is_no_database_is_set_aside() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    drop(open(dir.path(), &time));
    fs::write(dir.path().join("store.db"), [7; 20_000]).unwrap();
    let (store, opened) = reopen(dir.path(), &time);
    assert_eq!(opened.began, Some(EpochCause::Salvaged));
    store.accept(submission("a")).wait().unwrap();
    drop(store);
    sound(dir.path());
}

#[test]
fn an_altered_entry_or_row_is_found_by_verify() {
    let alterations = [
        ("UPDATE journal SET record = zeroblob(40) WHERE lane = 1 AND seq = 3", "chain"),
        ("DELETE FROM journal WHERE lane = 1 AND seq = 3", "follows"),
        (
            "DELETE FROM journal WHERE lane = 1 AND seq = (SELECT max(seq) FROM journal WHERE lane = 1)",
            "checkpoint",
        ),
        (
            "UPDATE decisions SET decision = replace(decision, 'approved', 'rejected')",
            "says something else",
        ),
        ("UPDATE sides SET bytes = x'00'", "not the one committed to"),
        ("DELETE FROM jobs", "neither a job"),
        ("UPDATE checkpoints SET signature = zeroblob(64)", "signature"),
    ];
    for (sql, sign) in alterations {
        let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
        let store = open(dir.path(), &time);
        fill(&store, 4);
        drop(store);
        sound(dir.path());
        rusqlite::Connection::open(dir.path().join("store.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let problems = verify(dir.path()).unwrap().problems;
        assert!(problems.iter().any(|p| p.contains(sign)), "{sql}: {problems:?}");
    }
}

#[test]
fn a_snapshot_restores_into_a_new_epoch_that_knows_the_old_heads() {
    let (dir, time) = (tempfile::tempdir().unwrap(), Time::new());
    let store = open(dir.path(), &time);
    let first = fill(&store, 3);
    let copy = dir.path().join("snapshots/one.db");
    store::snapshot(dir.path(), &copy).unwrap();
    let second = fill(&store, 3);
    let epoch = store.epoch();
    let refused = store::restore(dir.path(), &copy, &config(&time));
    assert!(matches!(refused, Err(Error::InUse { .. })), "while the store is open");
    let heads = store.lanes().unwrap();
    drop(store);
    let restored = store::restore(dir.path(), &copy, &config(&time)).unwrap();
    assert_ne!(restored.epoch, epoch);
    assert!(restored.replaced.unwrap().exists());
    for lane in heads {
        assert!(restored.previous.contains(&(lane.epoch, lane.head)), "{lane:?}");
    }
    let (store, opened) = reopen(dir.path(), &time);
    assert_eq!((store.epoch(), opened.began), (restored.epoch, None));
    assert!(first.iter().all(|id| store.submission(&tenant(), *id).is_ok()));
    assert!(second.iter().all(|id| store.submission(&tenant(), *id).is_err()));
    drop(store);
    sound(dir.path());
    let junk = dir.path().join("junk");
    fs::write(&junk, b"not a database at all, but long enough to look").unwrap();
    assert!(store::restore(dir.path(), &junk, &config(&time)).is_err());
    sound(dir.path());
}
