//! What is kept of media instead of their bytes: made once, for its time, and gone with whoever it is about.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{path::Path, time::Duration};

use common::{Time, approve, code, lease_one, open, photo, reject, submission, tell, tenant};
use domain::journal::{Actor, Body, Lane, Record, Seq, Sha256, SubmissionId};
use store::{
    Effect, EffectKind, Error, EvidenceState, Exhibit, MadeEvidence, NewMedia, NewSubmission,
    Resolution, Store, Verdict, Work,
};

const WINDOW: Duration = Duration::from_secs(14 * 24 * 3600);

fn start() -> (tempfile::TempDir, Time, Store) {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    (dir, time, store)
}

fn kept(work: &Work) -> Verdict {
    let exhibits = (0..work.submission.media.len())
        .map(|media| Exhibit { media, moments_ms: vec![5, 7] })
        .collect();
    Verdict { keep_media: Some(WINDOW), exhibits, ..reject(work) }
}

/// Hands a submission in and has it rejected, with evidence due.
fn rejected(store: &Store, new: NewSubmission) -> SubmissionId {
    let id = store.accept(new).wait().unwrap().id();
    let work = lease_one(store);
    store.commit(work.lease.clone(), kept(&work), tell()).wait().unwrap();
    id
}

fn lease(store: &Store, kind: EffectKind) -> Vec<Effect> {
    store.lease_effects(kind, 10).wait().unwrap()
}

fn made(file: &str) -> MadeEvidence {
    MadeEvidence { file: file.to_owned(), bytes: 50, width: 640, height: 480, frames: 1 }
}

fn make(store: &Store, file: &str) -> Effect {
    let effect = lease(store, EffectKind::Evidence).pop().unwrap();
    store.evidence_made(&effect, made(file)).wait().unwrap();
    effect
}

/// Names of files on their way out.
fn going(store: &Store, kind: EffectKind) -> Vec<String> {
    let effects = lease(store, kind);
    for effect in &effects {
        store.effect_done(effect).wait().unwrap();
        store.effect_done(effect).wait().unwrap();
    }
    effects.into_iter().map(|effect| effect.endpoint).collect()
}

fn state(store: &Store, id: SubmissionId) -> Vec<EvidenceState> {
    store.evidence(&tenant(), id).unwrap().iter().map(|row| row.state).collect()
}

/// Calls in the journal, with who called.
fn calls(store: &Store) -> Vec<(String, Actor)> {
    let entries = store.entries(store.epoch(), Lane::Bulk, Seq(0), 1_000).unwrap();
    let records = entries.iter().map(|entry| Record::decode(&entry.record).unwrap());
    let acted = records.filter_map(|record| match record.body {
        Body::Acted(acted) => Some((acted.call.as_str().to_owned(), record.actor)),
        _ => None,
    });
    acted.collect()
}

fn sound(dir: &Path) {
    assert_eq!(store::verify(dir).unwrap().problems, Vec::<String>::new());
}

#[test]
fn the_bytes_go_with_the_transaction_that_names_the_evidence_and_not_before() {
    let (dir, time, store) = start();
    let id = rejected(&store, submission("a"));
    assert_eq!(state(&store, id), [EvidenceState::Due]);
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 0);
    assert_eq!(going(&store, EffectKind::Delete), [""; 0], "they are still needed");
    let effect = lease(&store, EffectKind::Evidence).pop().unwrap();
    assert_eq!((effect.submission, effect.endpoint.as_str()), (Some(id), "0"));
    assert_eq!((effect.tenant.clone(), &effect.payload[..]), (Some(tenant()), &b"[5,7]"[..]));
    // The process dies with it in hand: the file that it wrote has no row, and the next one makes another.
    drop(store);
    let store = open(dir.path(), &time);
    assert_eq!(store.evidence_orphans(&["first".to_owned()]).unwrap(), ["first"]);
    let late = store.evidence_made(&effect, made("first")).wait();
    assert!(matches!(late, Err(Error::LeaseLost)), "that was another process");
    let effect = make(&store, "second");
    let twice = store.evidence_made(&effect, made("third")).wait();
    assert!(matches!(twice, Err(Error::LeaseLost)), "made once");
    let row = store.evidence(&tenant(), id).unwrap().pop().unwrap();
    assert_eq!((row.state, row.made.unwrap().file.as_str()), (EvidenceState::Here, "second"));
    assert_eq!(row.until, time.now().after(WINDOW));
    assert_eq!(store.evidence_orphans(&["second".to_owned(), "x".to_owned()]).unwrap(), ["x"]);
    assert_eq!(going(&store, EffectKind::Delete), [photo("a").blob]);
    let stranger = "stranger".parse().unwrap();
    assert!(store.evidence(&stranger, id).unwrap().is_empty(), "a tenant's own");
    drop(store);
    sound(dir.path());
}

#[test]
fn what_fails_is_tried_again_and_what_cannot_be_made_gives_the_bytes_up_too() {
    let (_dir, time, store) = start();
    let id = rejected(&store, submission("a"));
    for attempt in 1..30 {
        let effect = lease(&store, EffectKind::Evidence).pop().unwrap();
        assert_eq!(effect.attempts, attempt);
        let why = String::from("no worker");
        store.effect_failed(&effect, code("io"), why, store::Again::Later).wait().unwrap();
        assert!(lease(&store, EffectKind::Evidence).is_empty(), "it pauses");
        time.pass(Duration::from_secs(16 * 3600));
    }
    assert_eq!(going(&store, EffectKind::Delete), [""; 0]);
    let effect = lease(&store, EffectKind::Evidence).pop().unwrap();
    store.evidence_none(&effect, code("undecodable")).wait().unwrap();
    let row = store.evidence(&tenant(), id).unwrap().pop().unwrap();
    assert_eq!((row.state, row.reason), (EvidenceState::None, Some(code("undecodable"))));
    assert_eq!(going(&store, EffectKind::Delete), [photo("a").blob]);
}

#[test]
fn its_time_ends_unless_an_appeal_is_open() {
    let (dir, time, store) = start();
    let ids = [rejected(&store, submission("a")), rejected(&store, submission("b"))];
    let due = rejected(&store, submission("c"));
    for (n, effect) in lease(&store, EffectKind::Evidence).into_iter().enumerate() {
        if effect.submission != Some(due) {
            store.evidence_made(&effect, made(&n.to_string())).wait().unwrap();
        }
    }
    let appeal = store.appeal(tenant(), ids[1], 0, "why?".to_owned(), Actor::Anonymous);
    let appeal = appeal.wait().unwrap();
    time.pass(WINDOW - Duration::from_secs(1));
    assert_eq!(store.sweep_evidence(10).wait().unwrap(), 0);
    time.pass(Duration::from_secs(1));
    assert_eq!(store.sweep_evidence(10).wait().unwrap(), 2);
    assert_eq!(state(&store, ids[0]), [EvidenceState::Gone]);
    assert_eq!(state(&store, due), [EvidenceState::Gone], "never made");
    assert_eq!(state(&store, ids[1]), [EvidenceState::Here], "somebody still has to look");
    assert_eq!(going(&store, EffectKind::Discard), ["0"]);
    assert!(going(&store, EffectKind::Delete).contains(&photo("c").blob));
    store.resolve_appeal(tenant(), appeal, Resolution::Dismissed, Actor::Hub).wait().unwrap();
    assert_eq!(store.sweep_evidence(10).wait().unwrap(), 1);
    assert_eq!(store.sweep_evidence(10).wait().unwrap(), 0);
    assert_eq!(going(&store, EffectKind::Discard), ["1"]);
    let looked = store.look(tenant(), ids[0], 0, true, Actor::Console).wait();
    assert!(matches!(looked, Err(Error::NotFound(_))));
    let deleted = calls(&store).iter().filter(|(call, _)| call == "evidence.deleted").count();
    assert_eq!(deleted, 2, "each once, though said twice");
    drop(store);
    sound(dir.path());
}

#[test]
fn an_approval_lets_it_go_and_another_rejection_keeps_it_longer() {
    let (_dir, time, store) = start();
    let decide = |id, number, verdict: Verdict| {
        store.decide(tenant(), id, number, verdict, Actor::Hub, tell()).wait().unwrap();
    };
    store.accept(submission("a")).wait().unwrap();
    let work = lease_one(&store);
    let id = work.submission.id;
    store.commit(work.lease.clone(), kept(&work), tell()).wait().unwrap();
    make(&store, "a");
    time.pass(WINDOW / 2);
    decide(id, 0, kept(&work));
    let row = store.evidence(&tenant(), id).unwrap().pop().unwrap();
    assert_eq!(row.until, time.now().after(WINDOW));
    decide(id, 1, reject(&work));
    assert_eq!(state(&store, id), [EvidenceState::Here], "as it was");
    decide(id, 2, approve(&work));
    assert_eq!(state(&store, id), []);
    assert_eq!(going(&store, EffectKind::Discard), ["a"]);

    // It turns out to be what nothing is kept of, while it is being made.
    let id = rejected(&store, submission("b"));
    let effect = lease(&store, EffectKind::Evidence).pop().unwrap();
    decide(id, 0, Verdict { keep_media: Some(Duration::ZERO), ..kept(&work) });
    let late = store.evidence_made(&effect, made("b")).wait();
    assert!(matches!(late, Err(Error::LeaseLost)));
    assert_eq!(state(&store, id), []);
    assert!(going(&store, EffectKind::Delete).contains(&photo("b").blob));

    // What is approved leaves none, whatever the verdict asks for; nor what nobody looked at.
    for (content, verdict) in [
        (
            "c",
            (|work| Verdict { decision: approve(work).decision, ..kept(work) }) as fn(&Work) -> _,
        ),
        ("d", |work| Verdict { exhibits: Vec::new(), ..kept(work) }),
    ] {
        store.accept(submission(content)).wait().unwrap();
        let work = lease_one(&store);
        let id = work.submission.id;
        store.commit(work.lease.clone(), verdict(&work), tell()).wait().unwrap();
        assert_eq!(state(&store, id), [], "{content}");
        assert_eq!(going(&store, EffectKind::Delete), [photo(content).blob]);
    }
}

#[test]
fn submissions_that_share_bytes_have_evidence_each_and_the_last_one_lets_them_go() {
    let (_dir, _time, store) = start();
    let other = NewSubmission { request: Sha256::of(b"2"), ..submission("same") };
    let ids = [rejected(&store, submission("same")), rejected(&store, other)];
    let effects = lease(&store, EffectKind::Evidence);
    store.evidence_made(&effects[0], made("1")).wait().unwrap();
    assert_eq!(going(&store, EffectKind::Delete), [""; 0], "the other one's is still to be made");
    store.evidence_made(&effects[1], made("2")).wait().unwrap();
    assert_eq!(going(&store, EffectKind::Delete), [photo("same").blob]);
    assert_eq!(ids.map(|id| state(&store, id)), [[EvidenceState::Here], [EvidenceState::Here]]);
}

#[test]
fn of_several_media_each_goes_when_its_own_is_made() {
    let (_dir, _time, store) = start();
    let media = ["a", "b"].map(|content| NewMedia::Stored(photo(content))).to_vec();
    let id = rejected(&store, NewSubmission { media, ..submission("a") });
    let effects = lease(&store, EffectKind::Evidence);
    assert_eq!(effects.iter().map(|e| e.endpoint.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    store.evidence_made(&effects[1], made("b")).wait().unwrap();
    assert_eq!(going(&store, EffectKind::Delete), [photo("b").blob]);
    store.evidence_none(&effects[0], code("undecodable")).wait().unwrap();
    assert_eq!(going(&store, EffectKind::Delete), [photo("a").blob]);
    assert_eq!(state(&store, id), [EvidenceState::None, EvidenceState::Here]);
}

#[test]
fn an_erasure_takes_it_and_says_when_the_file_is_gone() {
    let (dir, _time, store) = start();
    let id = rejected(&store, submission("a"));
    let other = NewSubmission { author: Some([8; 32]), ..submission("b") };
    let other = rejected(&store, other);
    for (effect, file) in lease(&store, EffectKind::Evidence).iter().zip(["a", "b"]) {
        store.evidence_made(effect, made(file)).wait().unwrap();
    }
    let author = store.author(&tenant(), &[7; 32]).unwrap();
    let left = || store::remains(dir.path(), author).unwrap();
    assert_eq!(left().get("evidence"), Some(&1));
    store.erase_author(tenant(), author, Actor::Console).wait().unwrap();
    assert_eq!(state(&store, id), []);
    assert_eq!(state(&store, other), [EvidenceState::Here], "somebody else's");
    assert_eq!(left().into_iter().collect::<Vec<_>>(), [("effects", 1)], "the file is still there");
    assert_eq!(going(&store, EffectKind::Discard), ["a"]);
    assert!(left().is_empty());
    drop(store);
    sound(dir.path());
}

#[test]
fn each_look_is_in_the_journal_with_who_looked() {
    let (dir, _time, store) = start();
    let id = rejected(&store, submission("a"));
    let early = store.look(tenant(), id, 0, false, Actor::Console).wait();
    assert!(matches!(early, Err(Error::NotFound(_))));
    make(&store, "a");
    let stranger = store.look("stranger".parse().unwrap(), id, 0, true, Actor::Console).wait();
    assert!(matches!(stranger, Err(Error::NotFound(_))));
    assert_eq!(store.look(tenant(), id, 0, false, Actor::Console).wait().unwrap(), made("a"));
    store.look(tenant(), id, 0, true, Actor::Hub).wait().unwrap();
    let looks: Vec<_> =
        calls(&store).into_iter().filter(|(call, _)| call.starts_with("evidence.look")).collect();
    let want = [("evidence.look.blurred:0", Actor::Console), ("evidence.look.clear:0", Actor::Hub)];
    assert_eq!(looks, want.map(|(call, actor)| (call.to_owned(), actor)));
    drop(store);
    sound(dir.path());
}

#[test]
fn a_submission_stays_as_long_as_its_evidence_and_goes_without_a_trace() {
    let (_dir, time, store) = start();
    let id = rejected(&store, submission("a"));
    make(&store, "a");
    time.pass(Duration::from_secs(100 * 24 * 3600));
    assert_eq!(store.retain(10).wait().unwrap().submissions, 0);
    store.sweep_evidence(10).wait().unwrap();
    assert_eq!(store.retain(10).wait().unwrap().submissions, 1);
    assert_eq!(state(&store, id), []);
    assert_eq!(going(&store, EffectKind::Discard), ["a"]);
}

#[test]
fn what_waits_when_its_author_is_erased_leaves_no_evidence_later() {
    let (_dir, _time, store) = start();
    store.accept(submission("a")).wait().unwrap();
    let author = store.author(&tenant(), &[7; 32]).unwrap();
    store.erase_author(tenant(), author, Actor::Console).wait().unwrap();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), kept(&work), tell()).wait().unwrap();
    assert_eq!(state(&store, work.submission.id), [EvidenceState::Gone]);
    assert!(lease(&store, EffectKind::Evidence).is_empty());
    assert_eq!(going(&store, EffectKind::Delete), [photo("a").blob]);
}

/// A database as schema 1 wrote it: bytes with a window, no table of evidence.
#[test]
fn an_upgrade_keeps_the_bytes_that_schema_1_promised_to_keep() {
    let (dir, time, store) = start();
    let old = ["a", "b"].map(|content| rejected(&store, submission(content)));
    drop(store);
    let conn = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let until = time.now().after(WINDOW).0;
    conn.execute_batch(&format!(
        "DROP TABLE directed; DROP TABLE releases; DROP TABLE rematches; DROP TABLE wanted_bundles; DROP TABLE remembered; DROP TABLE evidence; DROP INDEX reports_source; DELETE FROM effects WHERE kind = 'evidence'; UPDATE media SET keep_until = {until};
         ALTER TABLE epochs DROP COLUMN forked_at; ALTER TABLE lanes DROP COLUMN carried_seq; ALTER TABLE checkpoints DROP COLUMN receipt;
         ALTER TABLE decisions DROP COLUMN verified; ALTER TABLE decisions DROP COLUMN again; ALTER TABLE bank_entries DROP COLUMN told_at;
         ALTER TABLE reports DROP COLUMN closed_by; ALTER TABLE appeals DROP COLUMN closed_by;
         DELETE FROM schema_versions WHERE schema > 1; PRAGMA user_version = 1;"
    ))
    .unwrap();
    drop(conn);
    let (store, opened) = Store::open(dir.path(), common::config(&time)).unwrap();
    assert_eq!(opened.upgraded_from, Some(1));
    let copies = std::fs::read_dir(dir.path().join("snapshots")).unwrap().flatten();
    let copies: Vec<_> = copies.map(|e| e.file_name().into_string().unwrap()).collect();
    assert_eq!(copies, [format!("before-schema-{}-from-1.db", store::SCHEMA)]);
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 0, "their window is open");
    time.pass(WINDOW);
    assert_eq!(store.sweep_blobs(10).wait().unwrap(), 2);
    let new = rejected(&store, submission("c"));
    assert_eq!(state(&store, new), [EvidenceState::Due]);
    assert!(old.iter().all(|id| state(&store, *id).is_empty()));
    drop(store);
    sound(dir.path());
}
