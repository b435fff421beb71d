//! What memory answers is what the database says, from the moment on at which somebody is told of a change.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Time, approve, code, lease_one, open, reject, submission, tell, tenant, verdict};
use domain::{
    Severity, Status,
    journal::{Actor, Sha256},
};
use store::{Error, Hash, NewBankEntry, Store, Verdict, Work};

/// Asks as the gate does: memory first, then the database.
fn ask(store: &Store, content: &str) -> Option<Status> {
    let of = Sha256::of(content.as_bytes());
    let known = store.remembered(&tenant(), &code("post"), &of);
    known.unwrap_or_else(|| store.media_verdict(&tenant(), &code("post"), of).unwrap())
}

fn judged(store: &Store, content: &str, of: impl Fn(&Work) -> Verdict) -> Work {
    store.accept(submission(content)).wait().unwrap();
    let work = lease_one(store);
    store.commit(work.lease.clone(), of(&work), tell()).wait().unwrap();
    work
}

#[test]
fn a_verdict_a_person_a_list_and_a_policy_are_in_force_for_the_next_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Time::new());
    assert_eq!(ask(&store, "a"), None);
    let of = Sha256::of(b"a");
    assert_eq!(store.remembered(&tenant(), &code("post"), &of), Some(None), "now memory knows");
    let work = judged(&store, "a", approve);
    assert_eq!(ask(&store, "a"), Some(Status::Approved));
    assert_eq!(store.remembered(&tenant(), &code("post"), &of), Some(Some(Status::Approved)));
    assert_eq!(store.remembered(&"other".parse().unwrap(), &code("post"), &of), None);
    // A person overrides.
    let no = Verdict { basis: None, ..reject(&work) };
    let id = work.submission.id;
    store.decide(tenant(), id, 0, no, Actor::Console, tell()).wait().unwrap();
    assert_eq!(ask(&store, "a"), Some(Status::Rejected));
    // A list changes; what was judged before it says nothing any more.
    let new = NewBankEntry {
        negative: false,
        hash: Hash::Sha256(Sha256::of(b"b")),
        label: code("listed"),
        protected: false,
    };
    let entry = store.add_bank_entry(tenant(), new, Actor::Console).wait().unwrap();
    assert_eq!(ask(&store, "a"), None);
    judged(&store, "c", approve);
    assert_eq!(ask(&store, "c"), Some(Status::Approved));
    store.remove_bank_entry(tenant(), entry, Actor::Console).wait().unwrap();
    assert_eq!(ask(&store, "c"), None);
    // A policy changes; the same one again changes nothing.
    judged(&store, "d", approve);
    assert_eq!(ask(&store, "d"), Some(Status::Approved));
    store.policy_in_force(tenant(), code("strict@2"), Actor::System).wait().unwrap();
    assert_eq!(ask(&store, "d"), None);
    judged(&store, "e", approve);
    store.policy_in_force(tenant(), code("strict@2"), Actor::System).wait().unwrap();
    assert_eq!(ask(&store, "e"), Some(Status::Approved));
}

#[test]
fn a_start_fills_memory_with_what_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    judged(&store, "a", approve);
    judged(&store, "b", reject);
    drop(store);
    let store = open(dir.path(), &time);
    assert_eq!(store.remembered(&tenant(), &code("post"), &Sha256::of(b"a")), None);
    assert_eq!(store.warm_gate(&tenant(), 100).unwrap(), 2);
    for (content, status) in [("a", Status::Approved), ("b", Status::Rejected)] {
        let of = Sha256::of(content.as_bytes());
        assert_eq!(store.remembered(&tenant(), &code("post"), &of), Some(Some(status)));
    }
}

#[test]
fn a_revoked_key_is_nobodys_from_the_next_call_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Time::new());
    let new = store
        .create_key(tenant(), "shop".to_owned(), vec![code("modnet:read")], Actor::Console)
        .wait()
        .unwrap();
    assert!(store.remembered_key(&new.secret).is_none());
    assert_eq!(store.key(&new.secret).unwrap().tenant, tenant());
    assert_eq!(store.remembered_key(&new.secret).unwrap().id, new.id);
    assert!(store.remembered_key("weir_other").is_none());
    store.revoke_key(tenant(), new.id, Actor::Console).wait().unwrap();
    assert!(store.remembered_key(&new.secret).is_none());
    assert!(matches!(store.key(&new.secret), Err(Error::NotFound(_))));
    assert!(store.remembered_key(&new.secret).is_none());
}

#[test]
fn nobody_who_was_told_of_a_decision_gets_an_older_answer_while_others_ask() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Time::new());
    let work = judged(&store, "a", approve);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    ask(&store, "a");
                }
            });
        }
        for number in 0..200u32 {
            let no = number.is_multiple_of(2);
            let (status, severity) = if no {
                (Status::Rejected, Severity::High)
            } else {
                (Status::Approved, Severity::Safe)
            };
            let next = Verdict { basis: None, ..verdict(&work, status, severity) };
            let id = work.submission.id;
            store.decide(tenant(), id, number, next, Actor::Console, tell()).wait().unwrap();
            let answer = ask(&store, "a");
            if answer != Some(status) {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(answer, Some(status), "after decision {}", number + 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
