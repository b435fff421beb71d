//! A moderator's word taken back: everything that it did is undone, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::directive::{List, Reopen, Rule};
use domain::journal::{Actor, Millis, Sha256, SubmissionId};
use domain::standing::Level;
use domain::{Category, Severity, Status};
use store::{BankEntry, DecisionRow, Hash, NewBankEntry, NewReport, Resolution, Submission};

use super::rig::{Rig, code, tenant};
use super::*;

fn rule(id: SubmissionId, seen: u32, approve: bool) -> Rule {
    let categories = vec![(Category::Sexual, Severity::High)];
    Rule { tenant: tenant(), submission: id, seen, approve, categories, remember: !approve }
}

fn reopen(id: SubmissionId, seen: u32) -> Reopen {
    Reopen { tenant: tenant(), submission: id, seen }
}

fn row(rig: &Rig, id: SubmissionId) -> DecisionRow {
    rig.app().store.submission(&tenant(), id).unwrap().decision.unwrap()
}

fn status(rig: &Rig, id: SubmissionId) -> Status {
    row(rig, id).decision.status
}

fn in_force(rig: &Rig) -> Vec<Hash> {
    let all: Vec<BankEntry> = rig.app().store.bank_entries(&tenant(), 0).unwrap();
    all.iter().filter(|row| row.removed_at.is_none()).map(|row| row.entry.hash).collect()
}

fn match_all(rig: &Rig) {
    while rematches::next(rig.app()).unwrap() {}
}

fn own(submission: &Submission) -> [Hash; 2] {
    let sha256 = submission.media[0].sha256.unwrap();
    [Hash::Sha256(sha256), Hash::Pdq(sha256.0, 31)]
}

fn listed(add: bool, hash: Sha256) -> List {
    List {
        add,
        negative: false,
        hash,
        distance: None,
        category: Some(Category::Sexual),
        verified: true,
        protected: false,
    }
}

#[test]
fn what_stood_before_a_moderators_word_stands_again_once() {
    let rig = Rig::new();
    let store = &rig.app().store;
    let (seen, same) = (rig.approved("a"), rig.approved("a"));
    let appeal = store.appeal(tenant(), seen.id, 0, "why?".to_owned(), Actor::Anonymous);
    appeal.wait().unwrap();
    let report = NewReport {
        tenant: tenant(),
        submission: Some(seen.id),
        target: None,
        reason: code("spam"),
        text: None,
        reporter: None,
        source: None,
        critical: false,
        actor: Actor::Anonymous,
        hide: None,
    };
    let report = store.report(report).wait().unwrap().id;
    store.resolve_report(tenant(), report, Resolution::Dismissed, Actor::Console).wait().unwrap();
    rig.applied(&rig.us(), rule(seen.id, 0, false));
    match_all(&rig);
    assert_eq!((status(&rig, same.id), rig.level()), (Status::Rejected, Level::Hidden));
    for lost in [true, false] {
        match lost {
            true => rig.lost(&rig.us(), reopen(seen.id, 1)),
            false => rig.applied(&rig.us(), reopen(seen.id, 1)),
        }
        let (before, now) = (seen.decision.clone().unwrap(), row(&rig, seen.id));
        assert_eq!((now.number, now.supersedes, &now.actor), (2, Some(1), &Actor::Hub));
        assert_eq!(now.decision.reasons, ["reopened"]);
        assert_eq!(
            now.decision,
            domain::Decision { reasons: now.decision.reasons.clone(), ..before.decision }
        );
        assert_eq!((now.models, now.detail), (before.models, before.detail));
        assert_eq!(in_force(&rig), []);
    }
    let appeals = |state| store.appeals(&tenant(), state, None, 10).unwrap().len();
    assert_eq!((appeals(Resolution::Open), appeals(Resolution::Dismissed)), (1, 0));
    let reports = store.reports(&tenant(), Resolution::Dismissed, None, 10).unwrap();
    assert_eq!(reports.len(), 1, "what somebody else had closed stays closed");
    match_all(&rig);
    assert_eq!((status(&rig, seen.id), row(&rig, seen.id).number), (Status::Approved, 2));
    // What was rejected for those entries is judged again; its strike counts until it is.
    let waiting = store.lease(10).wait().unwrap();
    assert_eq!(waiting.iter().map(|work| work.submission.id).collect::<Vec<_>>(), [same.id]);
    assert_eq!(rig.level(), Level::Warned);
    let again = rig.approved("a");
    assert_eq!(status(&rig, again.id), Status::Approved);
    // Before it was the machine's word: there is nothing more to take back, until somebody decides again.
    rig.refused(&rig.us(), reopen(seen.id, 2), "superseded");
    rig.applied(&rig.us(), rule(seen.id, 2, false));
    rig.applied(&rig.us(), reopen(seen.id, 3));
    assert_eq!(row(&rig, seen.id).decision.reasons, ["reopened"], "told once");
}

#[test]
fn only_a_moderators_word_in_force_is_taken_back() {
    let rig = Rig::new();
    let seen = rig.approved("a");
    rig.refused(&rig.us(), reopen(seen.id, 0), "superseded");
    rig.refused(&Address::Fleet, reopen(seen.id, 0), "wrong_address");
    rig.refused(&Address::Tenant(tenant()), reopen(seen.id, 0), "wrong_address");
    let elsewhere = Reopen { tenant: "bank".parse().unwrap(), ..reopen(seen.id, 0) };
    rig.refused(&rig.us(), elsewhere, "unknown_tenant");
    let nobody = SubmissionId(uuid::Uuid::now_v7());
    rig.refused(&rig.us(), reopen(nobody, 0), "unknown_submission");
    // Each word is taken back by itself, the last one first.
    rig.applied(&rig.us(), rule(seen.id, 0, false));
    rig.applied(&rig.us(), rule(seen.id, 1, true));
    rig.refused(&rig.us(), reopen(seen.id, 1), "superseded");
    rig.applied(&rig.us(), reopen(seen.id, 2));
    assert_eq!((status(&rig, seen.id), rig.level()), (Status::Rejected, Level::Warned));
    assert_eq!(row(&rig, seen.id).decision.reasons, ["moderator", "reopened"]);
    assert_eq!(in_force(&rig), own(&seen), "the first word has its entries");
    rig.applied(&rig.us(), reopen(seen.id, 3));
    assert_eq!((status(&rig, seen.id), rig.level()), (Status::Approved, Level::Good));
    assert_eq!(in_force(&rig), []);
    assert_eq!(row(&rig, seen.id).decision.reasons, ["reopened"]);
    rig.refused(&rig.us(), reopen(seen.id, 4), "superseded");
}

#[test]
fn an_entry_stays_that_is_there_for_something_else_too() {
    let rig = Rig::new();
    let ours = Address::Tenant(tenant());
    let (a, b) = (rig.approved("a"), rig.approved("b"));
    let [exact, near] = own(&a);
    // By the tenant itself, and by the hub at another time.
    let entry = NewBankEntry {
        negative: false,
        hash: exact,
        label: code("bank:sexual:own"),
        protected: false,
    };
    let store = &rig.app().store;
    store.add_bank_entry(tenant(), entry, Actor::Console).wait().unwrap();
    rig.applied(&ours, listed(true, b.media[0].sha256.unwrap()));
    rig.at.set(Millis(1));
    for (id, left) in [(a.id, exact), (b.id, own(&b)[0])] {
        rig.applied(&rig.us(), rule(id, 0, false));
        rig.applied(&rig.us(), reopen(id, 1));
        assert!(in_force(&rig).contains(&left));
    }
    assert!(!in_force(&rig).contains(&near), "what came with the word went with it");
    // For two words: with the second one only.
    let (one, two) = (rig.approved("c"), rig.approved("c"));
    let there = || in_force(&rig).iter().filter(|hash| own(&one).contains(hash)).count();
    rig.applied(&rig.us(), rule(one.id, 0, false));
    rig.applied(&rig.us(), rule(two.id, 0, false));
    rig.applied(&rig.us(), reopen(one.id, 1));
    assert_eq!(there(), 2);
    rig.applied(&rig.us(), reopen(two.id, 1));
    assert_eq!(there(), 0);
}

#[test]
fn what_came_along_with_the_word_for_all_boxes_may_have_come_first() {
    let rig = Rig::new();
    let seen = rig.approved("a");
    let hash = seen.media[0].sha256.unwrap();
    rig.applied(&Address::Tenant(tenant()), listed(true, hash));
    match_all(&rig);
    assert_eq!((row(&rig, seen.id).number, status(&rig, seen.id)), (1, Status::Rejected));
    rig.applied(&rig.us(), rule(seen.id, 0, false));
    rig.applied(&rig.us(), reopen(seen.id, 2));
    assert_eq!((row(&rig, seen.id).number, status(&rig, seen.id)), (3, Status::Approved));
    match_all(&rig);
    assert_eq!((row(&rig, seen.id).number, in_force(&rig).len()), (3, 0));
}

#[test]
fn a_strike_that_a_word_lifted_counts_again_and_what_was_listed_meanwhile_has_its_say() {
    let rig = Rig::new();
    let seen = rig.judged("a", Status::Rejected);
    let strikes = || {
        let store = &rig.app().store;
        let author = store.author(&tenant(), &[7; 32]).unwrap();
        store.strikes(author).unwrap().into_iter().map(|row| row.strike).collect::<Vec<_>>()
    };
    let given = strikes();
    assert_eq!(given.len(), 1);
    rig.applied(&rig.us(), rule(seen.id, 0, true));
    assert_eq!(strikes(), []);
    rig.applied(&rig.us(), reopen(seen.id, 1));
    assert_eq!((strikes(), status(&rig, seen.id)), (given, Status::Rejected));
    // While a moderator's rejection stands, an entry that comes has no say in it.
    let other = rig.approved("b");
    rig.applied(&rig.us(), Rule { remember: false, ..rule(other.id, 0, false) });
    rig.applied(&Address::Tenant(tenant()), listed(true, other.media[0].sha256.unwrap()));
    match_all(&rig);
    assert_eq!(row(&rig, other.id).number, 1);
    rig.applied(&rig.us(), reopen(other.id, 1));
    assert_eq!(status(&rig, other.id), Status::Approved);
    match_all(&rig);
    let row = row(&rig, other.id);
    assert_eq!((row.actor, row.decision.status), (Actor::Machine, Status::Rejected));
}
