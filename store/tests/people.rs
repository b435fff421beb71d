//! Authors, reports, appeals, erasure, retention.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, path::Path, time::Duration};

use common::{Time, approve, code, config, lease_one, open, reject, submission, tell, tenant};
use domain::{
    Action, Category, Severity, Status,
    journal::{Actor, AuthorNumber, Body, Lane, Record, Seq},
    standing::{Ladder, Level},
};
use store::{
    Error, Hide, NewReport, NewSubmission, Resolution, State, Store, Verdict, Work, verify,
};

fn start() -> (tempfile::TempDir, Time, Store) {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    (dir, time, store)
}

fn author(store: &Store) -> AuthorNumber {
    store.author(&tenant(), &[7; 32]).unwrap()
}

#[test]
fn strikes_add_up_expire_and_are_taken_back_with_their_decision() {
    let (_dir, time, store) = start();
    let ladder = Ladder::default();
    let mut last = None;
    for (content, level) in [("a", Level::Warned), ("b", Level::Hidden), ("c", Level::Rejected)] {
        store.accept(submission(content)).wait().unwrap();
        let work = lease_one(&store);
        let settled = store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
        let note = settled.standing.unwrap();
        assert!(note.struck);
        assert_eq!(note.level, level);
        last = Some(work);
        time.pass(Duration::from_secs(24 * 3600));
    }
    let work = last.unwrap();
    let person = Actor::Person(code("mod-1"));
    let reversal = Verdict { basis: None, ..approve(&work) };
    let id = work.submission.id;
    let settled =
        store.decide(tenant(), id, 0, reversal.clone(), person.clone(), tell()).wait().unwrap();
    assert_eq!((settled.number, settled.supersedes), (1, Some(0)));
    let note = settled.standing.unwrap();
    assert_eq!((note.struck, note.strikes, note.level), (false, 2, Level::Hidden));
    let again = store.decide(tenant(), id, 0, reversal, person, tell()).wait();
    assert!(matches!(again, Err(Error::Conflict(_))), "someone else was faster");

    time.pass(ladder.expiry);
    assert_eq!(store.standing(author(&store)).unwrap().level(&ladder, time.now()).0, Level::Good);
}

#[test]
fn who_has_three_strikes_is_refused_and_two_wait_for_a_person() {
    let (_dir, time, store) = start();
    let ladder = Ladder::default();
    let judged = |content: &str, verdict: fn(&Work) -> Verdict| {
        let id = store.accept(submission(content)).wait().unwrap().id();
        let work = lease_one(&store);
        let settled = store.commit(work.lease.clone(), verdict(&work), tell()).wait().unwrap();
        assert_eq!(
            store.submission(&tenant(), id).unwrap().decision.unwrap().decision,
            settled.decision
        );
        settled.decision
    };
    assert_eq!(judged("a", reject).status, Status::Rejected);
    assert_eq!(judged("b", approve).status, Status::Approved, "one strike is a warning");
    judged("c", reject);
    let held = judged("d", approve);
    assert_eq!((held.status, held.action), (Status::Held, Action::Hide));
    assert_eq!(held.reasons, ["standing"]);
    judged("e", reject);
    let refused = store.accept(submission("f")).wait();
    assert!(matches!(refused, Err(Error::Barred { until: Some(_) })), "{refused:?}");
    let stranger = NewSubmission { author: Some([8; 32]), ..submission("g") };
    store.accept(stranger).wait().unwrap();
    time.pass(ladder.expiry);
    store.accept(submission("f")).wait().unwrap();
}

#[test]
fn the_same_matter_judged_again_is_no_second_strike() {
    let (_dir, _time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    for number in 0..3 {
        let work = lease_one(&store);
        let settled = store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
        assert_eq!(settled.number, number);
        assert_eq!(settled.standing.unwrap().strikes, 1);
        store.rejudge(tenant(), id).wait().unwrap();
    }
    let numbers: Vec<_> =
        store.decisions(&tenant(), id).unwrap().iter().map(|d| (d.number, d.supersedes)).collect();
    assert_eq!(numbers, [(0, None), (1, Some(0)), (2, Some(1))]);
}

#[test]
fn a_ban_needs_proof_and_ends_with_the_decision_that_brought_it() {
    let (_dir, _time, store) = start();
    let ladder = Ladder::default();
    let grave = |work: &Work, verified| {
        let mut verdict = common::verdict(work, Status::Rejected, Severity::Critical);
        verdict.decision.categories = [(Category::SexualMinors, Severity::Critical)].into();
        Verdict { verified, ..verdict }
    };
    for (content, verified, level) in [("a", false, Level::Good), ("b", true, Level::Banned)] {
        store.accept(submission(content)).wait().unwrap();
        let work = lease_one(&store);
        let verdict = grave(&work, verified);
        let settled = store.commit(work.lease.clone(), verdict, tell()).wait().unwrap();
        assert_eq!(settled.standing.unwrap().level, level, "verified: {verified}");
        assert_eq!(settled.place.lane, Lane::Critical);
        if verified {
            let reversal = Verdict { basis: None, ..approve(&work) };
            let id = work.submission.id;
            store.decide(tenant(), id, 0, reversal, Actor::Console, tell()).wait().unwrap();
        }
    }
    let standing = store.standing(author(&store)).unwrap();
    assert_eq!(standing.level(&ladder, store.now()).0, Level::Good);
}

fn report(
    id: domain::journal::SubmissionId,
    reporter: Option<u8>,
    source: Option<&str>,
) -> NewReport {
    NewReport {
        tenant: tenant(),
        submission: Some(id),
        target: None,
        reason: code("hate"),
        text: Some("they wrote terrible things".to_owned()),
        reporter: reporter.map(|n| [n; 32]),
        source: source.map(str::to_owned),
        critical: false,
        actor: Actor::Anonymous,
        hide: Some(Hide { reporters: 3, ladder: Ladder::default(), tell: tell() }),
    }
}

#[test]
fn strangers_hide_nothing_among_themselves_and_one_is_one() {
    let (_dir, time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
    let said = |reporter, source, threshold| {
        let hide = Hide { reporters: threshold, ladder: Ladder::default(), tell: tell() };
        let new = NewReport { hide: Some(hide), ..report(id, reporter, source) };
        let outcome = store.report(new).wait().unwrap();
        (outcome.reporters, outcome.hidden.is_some())
    };
    for source in [Some("a"), Some("a"), None, None] {
        said(None, source, 5);
    }
    // Two that tell nothing of themselves are one, and the one address is another.
    assert_eq!(said(None, Some("a"), 100), (2, false));
    for source in ["b", "c", "d", "e", "f"] {
        assert_eq!(said(None, Some(source), 5), (2, false), "half of five, rounded down");
    }
    assert_eq!(said(Some(1), None, 5), (3, false));
    assert_eq!(said(Some(2), None, 5), (4, false));
    // Their addresses' hashes go with the addresses.
    time.pass(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(store.retain(100).wait().unwrap().masked, 9, "eight, and the author's own");
    assert_eq!(said(None, Some("a"), 100), (4, false), "all that is forgotten is one");
    assert_eq!(said(Some(3), None, 5), (5, true));
}

#[test]
fn one_stranger_is_enough_where_one_is_enough() {
    let (_dir, _time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
    let hide = Hide { reporters: 1, ladder: Ladder::default(), tell: tell() };
    let new = NewReport { hide: Some(hide), ..report(id, None, Some("a")) };
    assert!(store.report(new).wait().unwrap().hidden.is_some());
}

#[test]
fn three_reporters_hide_what_one_cannot() {
    let (_dir, _time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap();
    let report = |reporter, source| store.report(report(id, reporter, source)).wait().unwrap();
    assert_eq!(report(Some(1), None).reporters, 1);
    assert_eq!(report(Some(1), None).reporters, 1, "the same person again");
    assert_eq!(report(None, Some("ip a")).reporters, 2);
    assert_eq!(report(None, Some("ip a")).hidden, None);
    let outcome = report(Some(2), None);
    assert_eq!((outcome.reporters, outcome.hidden.as_ref().unwrap().number), (3, 1));
    assert_eq!(report(Some(3), None).hidden, None, "it is hidden already");
    let found = store.submission(&tenant(), id).unwrap();
    assert_eq!(found.state, State::Held);
    assert_eq!(found.decision.unwrap().decision.reasons[0], "reports");
    let open = store.reports(&tenant(), Resolution::Open, None, 10).unwrap();
    assert_eq!(open.len(), 6);
    assert_eq!(open[0].text.as_deref(), Some("they wrote terrible things"));
    store.resolve_report(tenant(), open[0].id, Resolution::Upheld, Actor::Console).wait().unwrap();
    let twice = store.resolve_report(tenant(), open[0].id, Resolution::Upheld, Actor::Console);
    assert!(matches!(twice.wait(), Err(Error::NotFound(_))));
}

#[test]
fn one_appeal_against_the_decision_in_force() {
    let (_dir, _time, store) = start();
    let id = store.accept(submission("a")).wait().unwrap().id();
    let appeal = |against| {
        store.appeal(tenant(), id, against, "it is art".to_owned(), Actor::Anonymous).wait()
    };
    assert!(matches!(appeal(0), Err(Error::Conflict(_))), "nothing is decided yet");
    let work = lease_one(&store);
    store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
    let item = appeal(0).unwrap();
    assert!(matches!(appeal(0), Err(Error::Conflict(_))));
    let open = store.appeals(&tenant(), Resolution::Open, None, 10).unwrap();
    assert_eq!((open[0].id, open[0].text.as_deref()), (item, Some("it is art")));
}

/// Whether any file of the directory holds these bytes.
fn holds(dir: &Path, needle: &str) -> bool {
    fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file()).any(|entry| {
        let bytes = fs::read(entry.path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

#[test]
fn erasure_leaves_no_byte_of_a_person_and_every_chain_whole() {
    let (dir, time, store) = start();
    let secret = "a caption nobody else would write";
    let new = NewSubmission {
        caption: Some(secret.to_owned()),
        client_tag: Some("tag of mine".to_owned()),
        ..submission("a")
    };
    let id = store.accept(new).wait().unwrap().id();
    store.accept(NewSubmission { author: Some([9; 32]), ..submission("other") }).wait().unwrap();
    let work = lease_one(&store);
    let verdict = Verdict { detail: Some("detail of mine".to_owned()), ..reject(&work) };
    store.commit(work.lease.clone(), verdict, tell()).wait().unwrap();
    store.appeal(tenant(), id, 0, "appeal of mine".to_owned(), Actor::Anonymous).wait().unwrap();
    let needles =
        [secret, "tag of mine", "detail of mine", "appeal of mine", "words that were read"];
    for needle in needles {
        assert!(holds(dir.path(), needle), "the search finds `{needle}` while it is there");
    }
    let author = author(&store);
    let other = "other".parse().unwrap();
    let foreign = store.erase_author(other, author, Actor::Console).wait();
    assert!(matches!(foreign, Err(Error::NotFound(_))));
    assert!(!store::remains(dir.path(), author).unwrap().is_empty());
    let erasure = store.erase_author(tenant(), author, Actor::Console).wait().unwrap();
    assert_eq!((erasure.submissions, erasure.sides), (1, 3));
    assert!(store::remains(dir.path(), author).unwrap().is_empty());
    for needle in needles {
        assert!(!holds(dir.path(), needle), "`{needle}` is still somewhere");
    }
    assert!(matches!(store.author(&tenant(), &[7; 32]), Err(Error::NotFound(_))));
    let found = store.submission(&tenant(), id).unwrap();
    assert_eq!((found.author, found.caption, found.ip), (None, None, None));
    assert_eq!(found.state, State::Rejected, "the decision stays, about nobody");
    let entries = store.entries(store.epoch(), Lane::Critical, Seq(0), 100).unwrap();
    let last = Record::decode(&entries.last().unwrap().record).unwrap();
    assert!(matches!(last.body, Body::Erased(_)), "a tombstone");
    drop(store);
    let verified = verify(dir.path()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
    assert_eq!((verified.sides, verified.sides_gone), (1, 3));
    open(dir.path(), &time);
}

#[test]
fn time_masks_addresses_and_takes_what_is_old() {
    let (dir, time, store) = start();
    let config = config(&time);
    let id = store.accept(submission("a")).wait().unwrap().id();
    let work = lease_one(&store);
    store.commit(work.lease.clone(), reject(&work), tell()).wait().unwrap();
    assert_eq!(store.retain(100).wait().unwrap().masked, 0);
    time.pass(config.ip_mask_after + Duration::from_secs(1));
    assert_eq!(store.retain(100).wait().unwrap().masked, 1);
    assert_eq!(store.retain(100).wait().unwrap().masked, 0);
    let ip = || store.submission(&tenant(), id).unwrap().ip;
    assert_eq!(ip().as_deref(), Some("203.0.113.0/24"));
    time.pass(config.submissions_keep);
    assert_eq!(store.retain(100).wait().unwrap().submissions, 1);
    assert!(matches!(store.submission(&tenant(), id), Err(Error::NotFound(_))));
    while store.retain(1).wait().unwrap() != store::Retained::default() {}
    drop(store);
    let verified = verify(dir.path()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}
