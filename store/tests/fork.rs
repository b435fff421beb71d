//! What the box does when the hub has another journal under its name, and what replication asks of the store besides.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use domain::journal::{Body, EpochCause, Lane, Record, Seq, SignedCheckpoint};
use store::{Acknowledged, Place, RawEntry, Store};

fn all(store: &Store, epoch: domain::journal::Epoch) -> Vec<RawEntry> {
    let lanes = store.lanes().unwrap();
    let lanes = lanes.iter().filter(|lane| lane.epoch == epoch);
    lanes.flat_map(|l| store.entries(epoch, l.head.lane, l.base.seq, 10_000).unwrap()).collect()
}

fn acknowledge(store: &Store, seq: u64) {
    let epoch = store.epoch();
    let entries = store.entries(epoch, Lane::Bulk, Seq(seq - 1), 1).unwrap();
    let place = Place { epoch, lane: Lane::Bulk, seq: Seq(seq) };
    let fits = store.acknowledge(place, entries[0].chain).wait().unwrap();
    assert_eq!(fits, Acknowledged::Same);
}

#[test]
fn a_fork_begins_an_epoch_in_which_all_that_was_not_acknowledged_is_told_again() {
    let (dir, time, store) = start();
    for n in 0..10 {
        judged(&store, submission(&format!("{n}")));
    }
    acknowledge(&store, 4);
    let old = store.epoch();
    let before = all(&store, old);
    let open_lanes = || store.lanes().unwrap().into_iter().filter(|lane| !lane.forked).count();
    assert_eq!(open_lanes(), 2);

    let now = store.fork(old).wait().unwrap();
    assert_ne!(now, old);
    assert_eq!(store.epoch(), now);
    assert_eq!(store.fork(old).wait().unwrap(), now, "said twice, it changes nothing");
    assert_eq!(open_lanes(), 2);
    assert!(store.carry(3).wait().unwrap() > 0);
    // The box dies in the middle of it.
    drop(store);
    let store = open(dir.path(), &time);
    assert_eq!(store.epoch(), now);
    while store.carry(3).wait().unwrap() > 0 {}
    assert_eq!(all(&store, old), before, "the old epoch stays as it was");

    let told: Vec<RawEntry> = all(&store, now);
    let began = Record::decode(&told[0].record).unwrap().body;
    let Body::EpochBegan(began) = began else { panic!("{began:?}") };
    assert_eq!(began.cause, EpochCause::Forked);
    let carried: Vec<(Vec<u8>, _)> = told
        .into_iter()
        .filter_map(|entry| match Record::decode(&entry.record).unwrap().body {
            Body::Carried(carried) => Some((carried.record, entry.side)),
            _ => None,
        })
        .collect();
    let expected: Vec<(Vec<u8>, _)> = before
        .into_iter()
        .filter(|entry| {
            let record = Record::decode(&entry.record).unwrap();
            record.lane == Lane::Critical || entry.seq > Seq(4)
        })
        .map(|entry| (entry.record, entry.side))
        .collect();
    assert!(expected.iter().any(|(_, side)| side.is_some()), "captions go along");
    assert_eq!(carried, expected);
    judged(&store, submission("afterwards"));
    drop(store);
    let verified = store::verify(dir.path()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}

#[test]
fn a_checkpoint_is_told_until_its_receipt_is_kept() {
    let (dir, time, store) = start();
    judged(&store, submission("a"));
    drop(store);
    let store = open(dir.path(), &time);
    judged(&store, submission("b"));
    drop(store);
    let store = open(dir.path(), &time);
    let numbers = |list: Vec<(u64, SignedCheckpoint)>| list.into_iter().map(|(n, _)| n).collect();
    let all: Vec<u64> = numbers(store.checkpoints(0, 10).unwrap());
    assert!(all.len() >= 2, "one at each end: {all:?}");
    let rest: Vec<u64> = numbers(store.checkpoints(all[0], 10).unwrap());
    assert_eq!(rest, all[1..]);
    store.keep_receipt(all[0], vec![1]).wait().unwrap();
    let rest: Vec<u64> = numbers(store.checkpoints(0, 10).unwrap());
    assert_eq!(rest, all[1..]);
    store.fork(store.epoch()).wait().unwrap();
    assert!(store.checkpoints(0, 10).unwrap().is_empty(), "the hub takes none of a forked epoch");
}
