//! Messages, blobs, the gate, banks, keys, the journal's cursor.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{
    approve, code, config, judged, lease_one, open, photo, reject, start, submission, tell, tenant,
};
use domain::{
    Status,
    journal::{Actor, GENESIS, Lane, Seq, Sha256, link},
};
use store::{
    Again, EffectKind, Error, Exhibit, Hash, MediaVerdict, NewBankEntry, NewMedia, NewSubmission,
    Place, SeenPdq, Store, Verdict,
};

#[test]
fn a_message_keeps_its_id_through_failures_restarts_and_replay() {
    let (dir, time, store) = start();
    judged(&store, submission("a"));
    let lease = |store: &Store| store.lease_effects(EffectKind::Notify, 5).wait().unwrap();
    let first = lease(&store).pop().unwrap();
    assert!(lease(&store).is_empty(), "it is in hand");
    let why = "connection refused".to_owned();
    store.effect_failed(&first, code("refused"), why.clone(), Again::Later).wait().unwrap();
    assert!(lease(&store).is_empty(), "it pauses");
    time.pass(Duration::from_secs(7));
    let second = lease(&store).pop().unwrap();
    assert_eq!((second.id, second.attempts), (first.id, 2));
    let late = store.effect_failed(&first, code("refused"), why, Again::Later).wait();
    assert!(matches!(late, Err(Error::LeaseLost)), "that was another attempt");
    drop(store);
    let store = open(dir.path(), &time);
    let third = lease(&store).pop().unwrap();
    assert_eq!(third.id, first.id, "in hand at the death of the process");
    store.effect_failed(&third, code("gone"), String::new(), Again::Never).wait().unwrap();
    time.pass(Duration::from_secs(1_000_000));
    assert!(lease(&store).is_empty(), "given up");
    assert_eq!(store.effects(&tenant(), true, 10).unwrap()[0].id, first.id);
    let log: Vec<_> = store.effect_failures(first.id).unwrap().iter().map(|f| f.attempt).collect();
    assert_eq!(log, [1, 3]);
    store.replay_effect(tenant(), first.id, Actor::Console).wait().unwrap();
    let again = lease(&store).pop().unwrap();
    assert_eq!(again.id, first.id);
    store.effect_done(&again).wait().unwrap();
    store.effect_done(&again).wait().unwrap();
    assert!(lease(&store).is_empty());
}

#[test]
fn attempts_are_capped_and_take_days() {
    let (_dir, time, store) = start();
    judged(&store, submission("a"));
    let begun = time.now();
    let mut attempts = 0;
    loop {
        let Some(effect) = store.lease_effects(EffectKind::Notify, 1).wait().unwrap().pop() else {
            if store.effects(&tenant(), true, 1).unwrap().len() == 1 {
                break;
            }
            time.pass(Duration::from_secs(60));
            continue;
        };
        attempts += 1;
        store.effect_failed(&effect, code("http_500"), String::new(), Again::Later).wait().unwrap();
    }
    assert_eq!(attempts, config(&time).effect_attempts);
    let days = (time.now().0 - begun.0) / 86_400_000;
    assert!((1..7).contains(&days), "{days} days");
}

#[test]
fn a_shared_blob_goes_with_its_last_need() {
    let (_dir, time, store) = start();
    let going = |store: &Store| store.lease_effects(EffectKind::Delete, 5).wait().unwrap();
    let two =
        [submission("same"), NewSubmission { request: Sha256::of(b"2"), ..submission("same") }];
    for new in two {
        store.accept(new).wait().unwrap();
    }
    let work = lease_one(&store);
    store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
    assert!(going(&store).is_empty(), "the other one is still to be judged");
    let minute = Duration::from_secs(60);
    let claims = [(); 2]
        .map(|()| store.claim_blob(photo("same").blob, time.now().after(minute)).wait().unwrap());
    let work = lease_one(&store);
    let exhibits = vec![Exhibit::default()];
    let verdict = Verdict { keep_media: Some(minute), exhibits, ..reject(&work) };
    store.commit(work.lease.clone(), verdict, tell()).wait().unwrap();
    let [claim, _] = claims;
    store.unclaim_blob(claim).wait().unwrap();
    time.pass(minute);
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 0, "evidence is still to be made");
    let other = store.claim_blob(photo("same").blob, time.now().after(minute)).wait();
    assert!(other.is_ok());
    let due = store.lease_effects(EffectKind::Evidence, 5).wait().unwrap().pop().unwrap();
    store.evidence_none(&due, code("undecodable")).wait().unwrap();
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 0, "it is claimed");
    time.pass(minute);
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 1);
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 0, "it is on its way already");
    let effect = going(&store).pop().unwrap();
    assert_eq!(effect.endpoint, photo("same").blob);
    let late = store.accept(submission("same")).wait();
    assert!(matches!(late, Err(Error::BlobGoing(_))), "too late to use it");
    store.effect_done(&effect).wait().unwrap();
    store.effect_done(&effect).wait().unwrap();
    store.accept(submission("same")).wait().unwrap();
    let listing = [photo("same").blob, "stray.jpg".to_owned()];
    assert_eq!(store.orphans(&listing).unwrap(), ["stray.jpg"]);
    assert_eq!(store.missing(&BTreeSet::new()).unwrap(), [photo("same").blob]);
}

#[test]
fn a_deletion_that_has_not_begun_is_called_off() {
    let (_dir, _time, store) = start();
    judged(&store, submission("same"));
    store.accept(submission("same")).wait().unwrap();
    assert!(store.lease_effects(EffectKind::Delete, 5).wait().unwrap().is_empty());
}

#[test]
fn the_gate_forgets_with_every_change_and_learns_no_incomplete_scan() {
    let (_dir, _time, store) = start();
    let sha = photo("a").sha256;
    let gate = || store.media_verdict(&tenant(), &code("post"), sha).unwrap();
    judged(&store, submission("a"));
    assert_eq!(gate(), Some(Status::Approved));
    let other = "other".parse().unwrap();
    assert_eq!(store.media_verdict(&other, &code("post"), sha).unwrap(), None, "a tenant's own");
    assert_eq!(store.media_verdict(&tenant(), &code("avatar"), sha).unwrap(), None);
    store.policy_in_force(tenant(), code("p@2"), Actor::Console).wait().unwrap();
    assert_eq!(gate(), None, "another policy");
    judged(&store, submission("a"));
    assert_eq!(gate(), Some(Status::Approved));
    store.policy_in_force(tenant(), code("p@2"), Actor::System).wait().unwrap();
    assert_eq!(gate(), Some(Status::Approved), "the same policy");

    store.accept(submission("a")).wait().unwrap();
    let work = lease_one(&store);
    store.policy_in_force(tenant(), code("p@3"), Actor::Console).wait().unwrap();
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
    assert_eq!(gate(), None, "judged by the rules of yesterday");

    store.accept(submission("a")).wait().unwrap();
    let work = lease_one(&store);
    let mut verdict = approve(&work);
    verdict.decision.complete = false;
    store.commit(work.lease.clone(), verdict, tell()).wait().unwrap();
    assert_eq!(gate(), None, "incomplete");

    // A rejected caption does not poison its picture.
    store.accept(submission("a")).wait().unwrap();
    let work = lease_one(&store);
    let media = vec![MediaVerdict { sha256: sha, status: Status::Approved }];
    let verdict = Verdict { media, ..reject(&work) };
    store.commit(work.lease.clone(), verdict, tell()).wait().unwrap();
    assert_eq!(gate(), Some(Status::Approved));
}

#[test]
fn an_entry_that_came_after_the_match_stops_the_verdict_it_concerns() {
    let (_dir, _time, store) = start();
    let entry =
        |hash| NewBankEntry { negative: false, hash, label: code("bank:t"), protected: false };
    for content in ["a", "b", "c"] {
        store.accept(submission(content)).wait().unwrap();
    }
    let [first, second, third] = store.lease(3).wait().unwrap().try_into().unwrap();
    let add = |hash| store.add_bank_entry(tenant(), entry(hash), Actor::Console).wait().unwrap();
    let id = add(Hash::Sha256(photo("a").sha256));
    add(Hash::Pdq([0xff; 32], 31));
    let commit = |work: &store::Work, pdqs| {
        let verdict = Verdict { pdqs, ..approve(work) };
        store.commit(work.lease.clone(), verdict, tell()).wait()
    };
    assert!(matches!(commit(&first, vec![]), Err(Error::Stale)), "its bytes are listed now");
    let mut near = [0xff; 32];
    near[..3].fill(0);
    let seen = |pdq| vec![SeenPdq { media: 0, pdq, quality: Some(80) }];
    assert!(matches!(commit(&second, seen(near)), Err(Error::Stale)), "24 bits away");
    near[..4].fill(0);
    assert!(commit(&third, seen(near)).is_ok(), "32 bits away");
    // The same lease, decided again on the lists as they are now.
    let basis = Some(store.basis(&tenant()).unwrap());
    let verdict = Verdict { basis, ..reject(&first) };
    assert!(store.commit(first.lease.clone(), verdict, tell()).wait().is_ok());

    assert_eq!(store.seen(&tenant(), &Hash::Pdq(near, 0), 10).unwrap(), [third.submission.id]);
    let by_bytes = store.seen(&tenant(), &Hash::Sha256(photo("a").sha256), 10).unwrap();
    assert_eq!(by_bytes, [first.submission.id]);
    store.remove_bank_entry(tenant(), id, Actor::Console).wait().unwrap();
    let changed = store.bank_entries(&tenant(), 2).unwrap();
    assert_eq!((changed.len(), changed[0].id, changed[0].removed_at.is_some()), (1, id, true));
    let other = "other".parse().unwrap();
    assert!(store.bank_entries(&other, 0).unwrap().is_empty());
}

#[test]
fn an_address_is_fetched_first_and_then_forgotten() {
    let (dir, time, store) = start();
    let secret = "https://bucket.example/a.jpg?signature=geheim";
    let media = vec![NewMedia::Address(secret.to_owned())];
    let id = store.accept(NewSubmission { media, ..submission("a") }).wait().unwrap().id();
    let work = lease_one(&store);
    assert_eq!(work.lease.kind, store::JobKind::Fetch);
    assert_eq!(work.submission.media[0].url.as_deref(), Some(secret));
    let nothing = store.fetched(work.lease.clone(), vec![]).wait();
    assert!(matches!(nothing, Err(Error::Invalid(_))));
    store.fetched(work.lease, vec![(0, photo("a"))]).wait().unwrap();
    let work = lease_one(&store);
    assert_eq!(work.lease.kind, store::JobKind::Judge);
    assert_eq!(work.submission.media[0].sha256, Some(photo("a").sha256));
    assert_eq!(store.submission(&tenant(), id).unwrap().media[0].url, None);
    for lane in Lane::ALL {
        for entry in store.entries(store.epoch(), lane, Seq(0), 100).unwrap() {
            let text = String::from_utf8_lossy(&entry.record).into_owned();
            assert!(
                !text.contains("geheim") && !text.contains("bucket"),
                "no address in the journal"
            );
        }
    }
    drop(store);
    open(dir.path(), &time);
}

#[test]
fn the_journal_reads_from_a_cursor_and_goes_when_acknowledged_sealed_and_old() {
    let (dir, time, store) = start();
    for n in 0..20 {
        judged(&store, submission(&format!("{n}")));
    }
    let epoch = store.epoch();
    let mut chain = GENESIS;
    let mut cursor = Seq(0);
    loop {
        let batch = store.entries(epoch, Lane::Bulk, cursor, 7).unwrap();
        let Some(last) = batch.last() else { break };
        for (n, entry) in batch.iter().enumerate() {
            assert_eq!(entry.seq, Seq(cursor.0 + n as u64 + 1), "gapless");
            chain = link(chain, &entry.record);
            assert_eq!(entry.chain, chain);
        }
        cursor = last.seq;
    }
    let place = Place { epoch, lane: Lane::Bulk, seq: cursor };
    let fork = store.acknowledge(place, Sha256::of(b"another")).wait().unwrap();
    assert_eq!(fork, store::Acknowledged::Other);
    time.pass(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(store.prune_journal(100).wait().unwrap(), 0, "not acknowledged");
    let fits = store.acknowledge(place, chain).wait().unwrap();
    assert_eq!(fits, store::Acknowledged::Same);
    assert_eq!(store.prune_journal(100).wait().unwrap(), 0, "behind no checkpoint");
    drop(store);
    let store = open(dir.path(), &time);
    judged(&store, submission("young"));
    assert_eq!(store.prune_journal(10).wait().unwrap(), 10, "in portions");
    assert_eq!(store.prune_journal(1000).wait().unwrap(), cursor.0 - 10);
    assert!(matches!(store.entries(epoch, Lane::Bulk, Seq(0), 1), Err(Error::NotFound(_))));
    // The hub was put back: the place of which it speaks is gone, then it is that where ours begin.
    let before = Place { seq: Seq(5), ..place };
    let fits = store.acknowledge(before, chain).wait().unwrap();
    assert_eq!(fits, store::Acknowledged::Pruned);
    assert_eq!(store.acknowledge(place, chain).wait().unwrap(), store::Acknowledged::Same);
    let rest = store.entries(epoch, Lane::Bulk, cursor, 10).unwrap();
    assert_eq!(
        rest[0].chain,
        link(chain, &rest[0].record),
        "the chain goes on from what was pruned"
    );
    drop(store);
    let verified = store::verify(dir.path()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}

#[test]
fn a_key_opens_until_it_is_revoked_and_its_secret_is_nowhere() {
    let (dir, _time, store) = start();
    let scopes = vec![code("modnet:submit")];
    let made = store
        .create_key(tenant(), "backend".to_owned(), scopes.clone(), Actor::Console)
        .wait()
        .unwrap();
    let key = store.key(&made.secret).unwrap();
    assert_eq!((key.id, key.tenant, key.scopes), (made.id, tenant(), scopes));
    assert!(matches!(store.key("weir_wrong"), Err(Error::NotFound(_))));
    assert!(!format!("{made:?}").contains(&made.secret));
    let other = "other".parse().unwrap();
    let foreign = store.revoke_key(other, made.id, Actor::Console).wait();
    assert!(matches!(foreign, Err(Error::NotFound(_))));
    store.revoke_key(tenant(), made.id, Actor::Console).wait().unwrap();
    assert!(matches!(store.key(&made.secret), Err(Error::NotFound(_))));
    for file in std::fs::read_dir(dir.path()).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let secret = made.secret.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{:?}", file.path());
    }
    store.set_flag(code("movies_modnet_enabled"), true, Actor::Console).wait().unwrap();
    assert_eq!(store.flags().unwrap().get("movies_modnet_enabled"), Some(&true));
}
