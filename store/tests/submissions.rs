//! Accepting, leasing, deciding.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Time, approve, lease_one, open, reject, submission, tell, tenant};
use domain::journal::{Code, Sha256};
use store::{Acceptance, EffectKind, Error, Fate, State, Store};

fn start() -> (tempfile::TempDir, Time, Store) {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    (dir, time, store)
}

#[test]
fn a_submission_goes_from_accepted_to_decided_and_survives_a_restart() {
    let (dir, time, store) = start();
    let new = submission("a");
    assert_eq!(store.accept(new.clone()).wait().unwrap(), Acceptance::New(new.id));
    let work = lease_one(&store);
    assert_eq!(work.submission.caption.as_deref(), Some("caption of a"));
    let settled = store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
    assert_eq!((settled.number, settled.supersedes), (0, None));
    assert_eq!(settled.standing.as_ref().unwrap().strikes, 1);
    drop(store);

    let store = open(dir.path(), &time);
    let found = store.submission(&tenant(), new.id).unwrap();
    assert_eq!(found.state, State::Rejected);
    let row = found.decision.unwrap();
    assert_eq!((row.number, row.decision.reasons), (0, vec!["nsfw".to_owned()]));
    let effects = store.lease_effects(EffectKind::Notify, 10).wait().unwrap();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].payload, b"decision 0");
    assert!(store.lease(1).wait().unwrap().is_empty(), "nothing is left to do");
}

#[test]
fn the_same_request_is_the_same_submission_and_another_one_a_conflict() {
    let (_dir, _time, store) = start();
    let mut new = submission("a");
    new.idempotency_key = Some("k".to_owned());
    let id = store.accept(new.clone()).wait().unwrap().id();
    assert_eq!(store.accept(new.clone()).wait().unwrap(), Acceptance::Same(id), "by name");
    let again = store::NewSubmission { id: common::new_id(), ..new.clone() };
    assert_eq!(store.accept(again.clone()).wait().unwrap(), Acceptance::Same(id), "by key");
    let other = store::NewSubmission { request: Sha256::of(b"other"), ..again.clone() };
    assert!(matches!(store.accept(other).wait(), Err(Error::Conflict(_))));
    let renamed = store::NewSubmission { request: Sha256::of(b"other"), ..new.clone() };
    assert!(matches!(store.accept(renamed).wait(), Err(Error::Conflict(_))));
    let foreign = store::NewSubmission { tenant: "other".parse().unwrap(), ..again };
    assert!(
        matches!(store.accept(foreign).wait(), Ok(Acceptance::New(_))),
        "keys are a tenant's own"
    );
    let stolen = store::NewSubmission { tenant: "other".parse().unwrap(), ..new };
    assert!(matches!(store.accept(stolen).wait(), Err(Error::Conflict(_))));
}

#[test]
fn no_tenant_sees_anothers_submission() {
    let (_dir, _time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let other = "other".parse().unwrap();
    assert!(matches!(store.submission(&other, id), Err(Error::NotFound(_))));
    assert!(store.submissions(&other, &store::Filter::default(), 10).unwrap().is_empty());
    assert_eq!(store.submissions(&tenant(), &store::Filter::default(), 10).unwrap().len(), 1);
}

#[test]
fn priority_passes_but_nothing_waits_for_ever() {
    let (_dir, _time, store) = start();
    let accept = |priority| {
        let new = store::NewSubmission { priority, ..submission("x") };
        store.accept(new).wait().unwrap().id()
    };
    let old = accept(0);
    let urgent = accept(1);
    assert_eq!(lease_one(&store).submission.id, urgent);
    let replies: Vec<_> = (0..1000)
        .map(|_| store.accept(store::NewSubmission { priority: 1, ..submission("y") }))
        .collect();
    for reply in replies {
        reply.wait().unwrap();
    }
    let order: Vec<_> =
        store.lease(1001).wait().unwrap().into_iter().map(|work| work.submission.id).collect();
    let place = order.iter().position(|id| *id == old).unwrap();
    assert!((990..1001).contains(&place), "passed by about a thousand, not by more: {place}");
}

#[test]
fn a_failed_job_pauses_twice_then_waits_for_a_hand() {
    let (_dir, time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let reason: Code = "worker_timeout".parse().unwrap();
    for attempt in 1..=2 {
        let work = lease_one(&store);
        assert_eq!((work.lease.attempt, work.lease.last), (attempt, false));
        let fate = store.fail(work.lease.clone(), reason.clone()).wait().unwrap();
        let Fate::Retry(at) = fate else { panic!("dead after {attempt}") };
        assert!(store.lease(1).wait().unwrap().is_empty(), "it pauses");
        assert!(matches!(
            store.commit(work.lease.clone(), approve(&work), tell()).wait(),
            Err(Error::LeaseLost)
        ));
        time.set(at);
    }
    let work = lease_one(&store);
    assert!(work.lease.last);
    assert_eq!(store.fail(work.lease, reason.clone()).wait().unwrap(), Fate::Dead);
    assert_eq!(store.submission(&tenant(), id).unwrap().state, State::Failed);
    let dead = store.dead_letters(&tenant(), None, 10).unwrap();
    assert_eq!((dead[0].submission, dead[0].reason.clone()), (id, Some(reason)));

    let other = "other".parse().unwrap();
    let by = domain::journal::Actor::Console;
    assert!(matches!(store.retry(other, id, by.clone()).wait(), Err(Error::NotFound(_))));
    store.retry(tenant(), id, by).wait().unwrap();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
    assert_eq!(store.submission(&tenant(), id).unwrap().state, State::Approved);
}

#[test]
fn a_lease_dies_with_its_process() {
    let (dir, time, store) = start();
    store.accept(submission("a")).wait().unwrap();
    let old = lease_one(&store);
    drop(store);
    let (store, opened) = Store::open(dir.path(), common::config(&time)).unwrap();
    assert_eq!(opened.requeued, 1);
    let lost = store.commit(old.lease.clone(), approve(&old), tell()).wait();
    assert!(matches!(lost, Err(Error::LeaseLost)));
    let new = lease_one(&store);
    assert_eq!(new.lease.attempt, 2);
    let lost = store.commit(old.lease.clone(), approve(&old), tell()).wait();
    assert!(matches!(lost, Err(Error::LeaseLost)));
    assert_eq!(
        store.commit(new.lease.clone(), approve(&new), tell()).wait().unwrap().number,
        0,
        "a death is no failure"
    );
}

#[test]
fn an_author_has_so_many_media_an_hour_also_after_a_restart() {
    let (dir, time, store) = start();
    let one = || store::NewSubmission { per_author_hour: Some(2), ..submission("a") };
    store.accept(one()).wait().unwrap();
    time.pass(Duration::from_secs(600));
    store.accept(one()).wait().unwrap();
    drop(store);
    let store = open(dir.path(), &time);
    let Err(Error::AuthorLimit { limit: 2, retry_after }) = store.accept(one()).wait() else {
        panic!("the third is refused")
    };
    assert_eq!(retry_after, Duration::from_secs(3000));
    let other = store::NewSubmission { author: Some([8; 32]), ..one() };
    store.accept(other).wait().unwrap();
    time.pass(retry_after);
    store.accept(one()).wait().unwrap();
    time.pass(Duration::from_secs(3600 * 24 * 3650));
    store.accept(one()).wait().unwrap();
    time.set(domain::journal::Millis(time.now().0 - 3600 * 24 * 3650 * 1000));
    assert!(matches!(store.accept(one()).wait(), Err(Error::AuthorLimit { .. })));
}

#[test]
fn a_clock_that_jumps_ten_years_changes_no_order_and_holds_nothing_up() {
    let (_dir, time, store) = start();
    let years = Duration::from_secs(3600 * 24 * 3650);
    let first = store.accept(submission("a")).wait().unwrap().id();
    time.pass(years);
    let second = store.accept(submission("b")).wait().unwrap().id();
    let work = lease_one(&store);
    store.fail(work.lease, "x".parse().unwrap()).wait().unwrap();
    time.set(domain::journal::Millis(time.now().0 - 2 * years.as_millis() as i64));
    let third = store.accept(submission("c")).wait().unwrap().id();
    let order: Vec<_> =
        store.lease(3).wait().unwrap().into_iter().map(|work| work.submission.id).collect();
    assert_eq!(order, [first, second, third]);
}

#[test]
fn a_lease_that_was_used_fits_no_later_job() {
    let (_dir, _time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
    store.rejudge(tenant(), id).wait().unwrap();
    let again = lease_one(&store);
    assert_eq!((again.submission.id, again.lease.attempt), (id, work.lease.attempt));
    let twice = store.commit(work.lease.clone(), approve(&work), tell()).wait();
    assert!(matches!(twice, Err(Error::LeaseLost)));
}
