//! Directives of the hub: places, receipts, releases, and what is still to be matched.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{code, judged, open, start, submission, tenant};
use domain::directive::{Address, Bundle, Place, Release, ReleaseKind};
use domain::journal::{Actor, Body, Epoch, Lane, Record, Seq, Sha256};
use domain::standing::{Ladder, Level};
use store::{Hash, Kept, NewBankEntry, Rematch, Store};

fn place(epoch: u64, to: &Address, seq: u64) -> Place {
    Place { epoch: Epoch(epoch), to: to.clone(), seq: Seq(seq) }
}

/// Bodies of the critical lane in which the hub acted.
fn told(store: &Store) -> Vec<Body> {
    let epoch = store.lanes().unwrap().last().unwrap().epoch;
    let entries = store.entries(epoch, Lane::Critical, Seq(0), 100).unwrap();
    let records = entries.iter().map(|entry| Record::decode(&entry.record).unwrap());
    records.filter(|record| record.actor == Actor::Hub).map(|record| record.body).collect()
}

#[test]
fn a_place_moves_by_one_with_its_receipt_and_stays_after_a_restart() {
    let (dir, time, store) = start();
    let (fleet, of_tenant) = (Address::Fleet, Address::Tenant(tenant()));
    let take = |place, refused| store.directed(place, 1, refused, Kept::default()).wait().unwrap();
    assert!(!take(place(9, &fleet, 2), None), "the first is missing");
    assert!(take(place(9, &fleet, 1), None));
    assert!(!take(place(9, &fleet, 1), None), "it was taken");
    assert!(take(place(9, &fleet, 2), Some(code("unknown_order"))));
    assert!(take(place(9, &of_tenant, 1), None), "each lane counts by itself");
    assert!(take(place(3, &fleet, 1), None), "and each life of the hub's journal");
    let receipts: Vec<_> = told(&store)
        .into_iter()
        .map(|body| match body {
            Body::Directed(it) => (it.place.seq.0, it.order, it.refused),
            other => panic!("{other:?}"),
        })
        .collect();
    let refused = Some(code("unknown_order"));
    assert_eq!(receipts, [(1, 1, None), (2, 1, refused), (1, 1, None), (1, 1, None)]);
    drop(store);
    let store = open(dir.path(), &time);
    let places = store.directives_taken().unwrap();
    assert_eq!(places, [place(3, &fleet, 1), place(9, &fleet, 2), place(9, &of_tenant, 1)]);
}

#[test]
fn what_is_kept_is_kept_with_the_receipt_or_not_at_all() {
    let (_dir, _time, store) = start();
    let release = |version, text: &str| Release {
        kind: ReleaseKind::Policy,
        name: code("starter"),
        version,
        to: Address::Fleet,
        text: text.to_owned(),
    };
    let entry = |hash| NewBankEntry {
        negative: false,
        hash,
        label: code("bank:sexual:own"),
        protected: true,
    };
    let rematch = |added, hash| Rematch { tenant: tenant(), added, entry: entry(hash) };
    let rematches =
        [rematch(true, Hash::Sha256(Sha256([7; 32]))), rematch(false, Hash::Pdq([8; 32], 31))];
    let kept = |version| Kept {
        release: Some(release(version, "text")),
        rematches: rematches.to_vec(),
        bundle: None,
        copy: None,
    };
    let take = |seq, version| {
        store.directed(place(1, &Address::Fleet, seq), 7, None, kept(version)).wait().unwrap()
    };
    assert!(!take(5, 1));
    assert!(store.releases().unwrap().is_empty() && store.next_rematch().unwrap().is_none());
    assert!(take(1, u64::MAX - 1));
    assert_eq!(store.releases().unwrap(), [release(u64::MAX - 1, "text")]);
    for expected in rematches {
        let (n, found) = store.next_rematch().unwrap().unwrap();
        assert_eq!(found, expected);
        store.rematched(n).wait().unwrap();
    }
    assert!(store.next_rematch().unwrap().is_none());
    let last = store.last_directed().unwrap().unwrap();
    assert_eq!((last.place.seq, last.kind, last.refused), (Seq(1), 7, None));
}

#[test]
fn a_bundle_is_wanted_with_the_receipt_until_it_came_to_something() {
    let (dir, time, store) = start();
    let bundle = |n: u8| Bundle { sha256: Sha256([n; 32]), bytes: u64::from(n) };
    let take = |seq, n| {
        let kept = Kept { bundle: Some(bundle(n)), ..Kept::default() };
        store.directed(place(1, &Address::Fleet, seq), 9, None, kept).wait().unwrap()
    };
    assert!(!take(2, 7), "not the next one");
    assert!(store.wanted_bundles().unwrap().is_empty());
    assert!(take(1, 7) && take(2, 8) && take(3, 7));
    assert_eq!(store.wanted_bundles().unwrap(), [bundle(8), bundle(7)], "once, as last ordered");
    drop(store);
    let store = open(dir.path(), &time);
    assert_eq!(store.wanted_bundles().unwrap(), [bundle(8), bundle(7)]);
    for _ in 0..2 {
        store.bundle_ended(Sha256([8; 32]), code("bundle.refused:no_room")).wait().unwrap();
    }
    assert_eq!(store.wanted_bundles().unwrap(), [bundle(7)]);
    let told = told(&store);
    let ends = told.iter().filter(|body| matches!(body, Body::Acted(_))).count();
    assert_eq!(ends, 1, "told once: {told:?}");
}

#[test]
fn what_was_passed_over_is_in_the_journal() {
    let (_dir, _time, store) = start();
    store.distrusted(code("unsigned"), 3).wait().unwrap();
    let [Body::Distrusted(told)] = &told(&store)[..] else { panic!() };
    assert_eq!((told.why.as_str(), told.count), ("unsigned", 3));
}

#[test]
fn a_ban_holds_for_an_author_who_comes_later() {
    let (_dir, _time, store) = start();
    let order = |level| {
        let set =
            store.set_standing_of(tenant(), [7; 32], level, None, Ladder::default(), Actor::Hub);
        set.wait().unwrap()
    };
    assert_eq!(order(Level::Good), None, "nobody is made to be good");
    assert_eq!(order(Level::Banned).unwrap().level, Level::Banned);
    let refused = store.accept(submission("a")).wait();
    assert!(matches!(refused, Err(store::Error::Barred { until: None })), "{refused:?}");
    assert_eq!(order(Level::Good).unwrap().level, Level::Good);
    judged(&store, submission("a"));
}
