//! What the box keeps and does for itself: the technician's PIN, and submissions of its self-test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Time, code, lease_one, open, reject, submission, tell, tenant};
use domain::journal::{Actor, Body, Lane, Record, Seq, Sha256};
use store::{EffectKind, Error, Filter, GoneEndpoint, Store};

#[test]
fn a_discarded_submission_leaves_nothing_but_its_journal_entries() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &Time::new());
    let (new, other) = (submission("a"), submission("b"));
    store.accept(new.clone()).wait().unwrap();
    let work = lease_one(&store);
    assert!(matches!(store.discard(tenant(), new.id).wait(), Err(Error::Conflict(_))), "in hand");
    store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
    store.accept(other.clone()).wait().unwrap();
    let stranger = "stranger".parse().unwrap();
    assert!(matches!(store.discard(stranger, new.id).wait(), Err(Error::NotFound(_))));
    store.discard(tenant(), new.id).wait().unwrap();
    let left = store.submissions(&tenant(), &Filter::default(), 10).unwrap();
    assert_eq!(left.iter().map(|s| s.id).collect::<Vec<_>>(), [other.id]);
    let sha256 = Sha256::of(b"a");
    assert!(store.media_verdict(&tenant(), &new.surface, sha256).unwrap().is_none());
    let going = store.lease_effects(EffectKind::Delete, 10).wait().unwrap();
    assert_eq!(
        going.iter().map(|e| e.endpoint.clone()).collect::<Vec<_>>(),
        [format!("{sha256}.jpg")]
    );
    drop(store);
    let verified = store::verify(dir.path()).unwrap();
    assert_eq!(verified.problems, Vec::<String>::new());
    assert!(verified.entries >= 3, "{verified:?}");
}

#[test]
fn a_pin_is_kept_until_it_is_removed_and_both_are_in_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    assert_eq!(store.pin().unwrap(), None);
    store.set_pin(Some("hash".to_owned()), Actor::Console).wait().unwrap();
    drop(store);
    let store = open(dir.path(), &time);
    assert_eq!(store.pin().unwrap().as_deref(), Some("hash"));
    store.set_pin(None, Actor::Console).wait().unwrap();
    assert_eq!(store.pin().unwrap(), None);
    drop(store);
    assert_eq!(store::verify(dir.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn an_endpoint_that_is_gone_is_noted_once_and_both_changes_name_who_made_them() {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    let (name, url) = (code("main"), Sha256::of(b"https://hook.example/"));
    let says =
        |store: &Store, url| store.endpoint_gone(tenant(), code("main"), url).wait().unwrap();
    says(&store, url);
    let since = store.gone_endpoints().unwrap()[0].since;
    time.pass(std::time::Duration::from_secs(60));
    says(&store, url);
    drop(store);
    let store = open(dir.path(), &time);
    let gone = GoneEndpoint { tenant: tenant(), name: name.clone(), url, since };
    assert_eq!(store.gone_endpoints().unwrap(), [gone]);
    let stranger = store.enable_endpoint("stranger".parse().unwrap(), name.clone(), Actor::Console);
    assert!(matches!(stranger.wait(), Err(Error::NotFound(_))));
    store.enable_endpoint(tenant(), name.clone(), Actor::Console).wait().unwrap();
    assert_eq!(store.gone_endpoints().unwrap(), []);
    assert!(matches!(
        store.enable_endpoint(tenant(), name, Actor::Console).wait(),
        Err(Error::NotFound(_))
    ));
    let entries = store.entries(store.epoch(), Lane::Bulk, Seq(0), 100).unwrap();
    let records = entries.iter().map(|entry| Record::decode(&entry.record).unwrap());
    let calls: Vec<_> = records
        .filter_map(|record| match record.body {
            Body::Acted(acted) => Some((acted.call.to_string(), record.actor)),
            _ => None,
        })
        .collect();
    let want = [("webhook.gone:main", Actor::Machine), ("webhook.enable:main", Actor::Console)];
    assert_eq!(calls, want.map(|(call, actor)| (call.to_owned(), actor)));
}
