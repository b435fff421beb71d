#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::directive::{
    AuthorRef, Bundle, Drain, Erase, Flag, KeyUse, List, Release, ReleaseKind, Released, Rotate,
    Rule, SetStanding,
};
use domain::journal::{Actor, BoxId, Epoch, Sha256, SubmissionId};
use domain::standing::Level;
use domain::{Action, Category, Profile, Severity, Status};
use ring::signature::Ed25519KeyPair;
use store::{Hash, Resolution};
use sync::directives::Directives as _;

use super::rig::{Rig, code, encoded, key, public, tenant};
use super::*;

fn flag(name: &str, on: bool) -> Flag {
    Flag { name: code(name), on }
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
fn what_is_not_the_hubs_or_not_ours_is_passed_over_and_told() {
    let rig = Rig::new();
    let (fleet, stranger) = (Address::Fleet, key());
    let take = |signed: &SignedDirective| rig.hub.take(signed).unwrap();
    let good = rig.directive(&fleet, 1, flag("x", true));
    let mut forged = good.clone();
    forged.signatures = vec![SignedDirective::signature(&good.bytes, &stranger)];
    let mut altered = good.clone();
    *altered.bytes.last_mut().unwrap() ^= 1;
    let bytes = b"no directive".to_vec();
    let signatures = vec![SignedDirective::signature(&bytes, &rig.hub_key)];
    let damaged = SignedDirective { bytes, signatures };
    let other = Address::Box(BoxId(uuid::Uuid::from_u128(1)));
    let not_ours = [other, Address::Tenant("bank".parse().unwrap())];
    for bad in [&forged, &altered, &forged, &damaged] {
        assert_eq!(take(bad), Taken::Distrusted);
    }
    for to in not_ours {
        assert_eq!(take(&rig.directive(&to, 1, flag("x", true))), Taken::Distrusted);
    }
    let own = format!("{}self-test-1", crate::serve::OWN).parse().unwrap();
    let own = Address::Tenant(own);
    assert_eq!(take(&rig.directive(&own, 1, flag("x", true))), Taken::Distrusted);
    assert!(rig.app().store.flags().unwrap().is_empty(), "nothing of it was done");
    assert!(rig.hub.taken().unwrap().is_empty());
    // One entry a minute and reason; the rest is counted.
    let told = ["unsigned", "damaged", "not_for_us"].map(|why| (why.to_owned(), 1));
    assert_eq!(rig.passed_over(), told);
    let view = rig.app().directives.tally.view(None);
    assert_eq!(
        Vec::from_iter(view.distrusted),
        [("damaged", 1), ("not_for_us", 3), ("unsigned", 3)]
    );
    assert_eq!(view.distrusted_last_minute, 7);
    // The lane is where it was.
    assert_eq!(take(&good), Taken::Done);
}

#[test]
fn each_lane_is_taken_in_order_and_once() {
    let rig = Rig::new();
    let fleet = Address::Fleet;
    let take = |seq, on| rig.hub.take(&rig.directive(&fleet, seq, flag("x", on))).unwrap();
    assert_eq!(take(2, true), Taken::Gap);
    assert_eq!(take(1, true), Taken::Done);
    assert_eq!(take(2, false), Taken::Done);
    // Said again: the older one does not win.
    assert_eq!(take(1, true), Taken::Known);
    assert_eq!(take(0, true), Taken::Known);
    let flags = || rig.app().store.flags().unwrap();
    assert_eq!(flags().get("x"), Some(&false));
    rig.applied(&Address::Tenant(tenant()), flag("x", true));
    assert_eq!(flags().get("tenant/shop:x"), Some(&true));
    assert_eq!(flags().get("x"), Some(&false));
    let last = rig.app().store.last_directed().unwrap();
    let view = rig.app().directives.tally.view(last);
    assert_eq!((view.applied, view.refused, view.repeated), (3, 0, 2));
    let last = view.last.unwrap();
    assert_eq!((last.lane, last.seq, last.order), ("tenant", 1, "flag"));
}

#[test]
fn an_order_that_cannot_be_done_is_refused_and_the_lane_goes_on() {
    let rig = Rig::new();
    let (fleet, ours) = (Address::Fleet, Address::Tenant(tenant()));
    let mut unknown = rig.directive(&fleet, 1, Drain { on: true });
    let at = unknown.bytes.len() - 3;
    unknown.bytes[at] = 99;
    unknown.signatures = vec![SignedDirective::signature(&unknown.bytes, &rig.hub_key)];
    assert_eq!(rig.hub.take(&unknown).unwrap(), Taken::Done);
    let receipt = rig.receipts().pop().unwrap();
    assert_eq!((receipt.order, receipt.refused), (99, Some(code("unknown_order"))));
    rig.refused(&ours, Drain { on: true }, "wrong_address");
    rig.refused(&fleet, listed(true, Sha256([1; 32])), "wrong_address");
    let far = List { distance: Some(129), ..listed(true, Sha256([1; 32])) };
    rig.refused(&ours, far, "bad_content");
    let author = AuthorRef::Number(domain::journal::AuthorNumber(1));
    rig.refused(&fleet, Erase { tenant: tenant(), author }, "wrong_address");
    let standing = SetStanding { tenant: tenant(), author, level: Level::Banned, until: None };
    rig.refused(&rig.us(), standing.clone(), "unknown_author");
    let elsewhere = SetStanding { tenant: "bank".parse().unwrap(), ..standing };
    rig.refused(&ours, elsewhere.clone(), "wrong_address");
    rig.refused(&rig.us(), elsewhere, "unknown_tenant");
    let rule = Rule {
        tenant: tenant(),
        submission: SubmissionId(uuid::Uuid::now_v7()),
        seen: 0,
        approve: true,
        categories: vec![],
        remember: false,
    };
    rig.refused(&fleet, rule.clone(), "wrong_address");
    let bundle = |bytes| Bundle { sha256: Sha256([1; 32]), bytes };
    rig.refused(&ours, bundle(1), "wrong_address");
    rig.refused(&fleet, bundle(0), "bad_content");
    rig.refused(&fleet, bundle((1 << 30) + 1), "bad_content");
    assert!(rig.app().store.wanted_bundles().unwrap().is_empty());
    rig.refused(&rig.us(), rule.clone(), "unknown_submission");
    rig.refused(&rig.us(), Rule { approve: false, ..rule }, "bad_content");
    rig.applied(&fleet, flag("after", true));
}

#[test]
fn a_box_is_drained_and_resumed() {
    let rig = Rig::new();
    rig.applied(&Address::Fleet, Drain { on: true });
    assert!(rig.app().refuse_when_loaded().is_err());
    rig.applied(&rig.us(), Drain { on: false });
    assert!(rig.app().refuse_when_loaded().is_ok());
}

#[test]
fn an_entry_is_in_force_with_its_receipt_and_matched_with_what_was_seen_behind_it() {
    let rig = Rig::new();
    let seen = rig.approved("a");
    let (ours, hash) = (Address::Tenant(tenant()), seen.media[0].sha256.unwrap());
    let store = &rig.app().store;
    let in_force = || {
        let all = store.bank_entries(&tenant(), 0).unwrap();
        all.into_iter().filter(|row| row.removed_at.is_none()).count()
    };
    let status = || store.submission(&tenant(), seen.id).unwrap().decision.unwrap().decision.status;
    rig.lost(&ours, listed(true, hash));
    rig.applied(&ours, listed(true, hash));
    assert_eq!((in_force(), status()), (1, Status::Approved));
    assert!(rematches::next(rig.app()).unwrap());
    assert_eq!(status(), Status::Rejected);
    assert!(!rematches::next(rig.app()).unwrap());
    rig.applied(&ours, listed(true, hash));
    assert_eq!(in_force(), 1);
    rig.lost(&ours, listed(false, hash));
    rig.applied(&ours, listed(false, hash));
    assert_eq!(in_force(), 0);
}

#[test]
fn an_author_is_banned_before_they_come_and_pardoned_and_erased() {
    let rig = Rig::new();
    let ours = Address::Tenant(tenant());
    let author = AuthorRef::Key(Sha256([7; 32]));
    let standing = |level| SetStanding { tenant: tenant(), author, level, until: None };
    rig.lost(&ours, standing(Level::Banned));
    rig.applied(&ours, standing(Level::Banned));
    assert_eq!(rig.level(), Level::Banned);
    rig.applied(&ours, standing(Level::Good));
    assert_eq!(rig.level(), Level::Good);
    let submission = rig.approved("a");
    assert!(submission.author.is_some());
    rig.lost(&Address::Fleet, Erase { tenant: tenant(), author });
    rig.applied(&Address::Fleet, Erase { tenant: tenant(), author });
    assert!(rig.app().store.author(&tenant(), &[7; 32]).is_err());
    let number = AuthorRef::Number(submission.author.unwrap());
    rig.applied(&rig.us(), Erase { tenant: tenant(), author: number });
    let left = rig.app().store.submission(&tenant(), submission.id).unwrap();
    assert_eq!(left.author, None);
}

#[test]
fn a_moderator_decides_on_what_they_have_seen_and_the_box_remembers_it() {
    let rig = Rig::new();
    let seen = rig.approved("a");
    let same = rig.approved("a");
    let rule = Rule {
        tenant: tenant(),
        submission: seen.id,
        seen: 0,
        approve: false,
        categories: vec![(Category::Spam, Severity::Low), (Category::Sexual, Severity::High)],
        remember: true,
    };
    let decision = |id| rig.app().store.submission(&tenant(), id).unwrap().decision.unwrap();
    rig.refused(&rig.us(), Rule { seen: 1, ..rule.clone() }, "superseded");
    let appeal = |text: &str| {
        let appealed =
            rig.app().store.appeal(tenant(), seen.id, 0, text.to_owned(), Actor::Anonymous);
        appealed.wait().unwrap();
    };
    appeal("why?");
    for lost in [true, false] {
        match lost {
            true => rig.lost(&rig.us(), rule.clone()),
            false => rig.applied(&rig.us(), rule.clone()),
        }
        let row = decision(seen.id);
        let made = &row.decision;
        assert_eq!((row.number, &row.actor), (1, &Actor::Hub));
        assert_eq!((made.status, made.action), (Status::Rejected, Action::Reject));
        assert_eq!((made.severity, made.complete), (Severity::High, true));
        assert_eq!(
            (made.reasons.as_slice(), made.policy.as_str()),
            (&["moderator".to_owned()][..], "starter@1")
        );
        assert_eq!(rig.level(), Level::Warned, "one strike, not two");
    }
    let appeals = |state| rig.app().store.appeals(&tenant(), state, None, 10).unwrap().len();
    assert_eq!((appeals(Resolution::Open), appeals(Resolution::Dismissed)), (0, 1));
    let listed = rig.app().store.bank_entries(&tenant(), 0).unwrap();
    let hashes: Vec<_> = listed.iter().map(|row| row.entry.hash).collect();
    let sha256 = seen.media[0].sha256.unwrap();
    assert_eq!(hashes, [Hash::Sha256(sha256), Hash::Pdq(sha256.0, 31)]);
    assert!(listed.iter().all(|row| row.entry.label == code("bank:sexual:own")));
    while rematches::next(rig.app()).unwrap() {}
    assert_eq!(decision(same.id).decision.status, Status::Rejected);
    assert_eq!(decision(seen.id).number, 1, "the moderator's word stays");
    // And takes it back.
    rig.applied(
        &rig.us(),
        Rule { seen: 1, approve: true, categories: vec![], remember: false, ..rule },
    );
    let row = decision(seen.id);
    assert_eq!((row.number, row.decision.status), (2, Status::Approved));
}

#[test]
fn a_policy_is_taken_up_while_it_fits_and_its_version_rises() {
    let rig = Rig::new();
    let (fleet, ours) = (Address::Fleet, Address::Tenant(tenant()));
    let own = Profile::embedded_text("starter").unwrap();
    let text = |version: u32| own.replacen("version = 1", &format!("version = {version}"), 1);
    assert_eq!(rig.policy(), "starter@1");
    rig.lost(&fleet, rig.release(5, &fleet, &text(5)));
    rig.applied(&fleet, rig.release(5, &fleet, &text(5)));
    assert_eq!(rig.policy(), "starter@5");
    rig.refused(&fleet, rig.release(5, &fleet, &text(6)), "older_version");
    rig.refused(&fleet, rig.release(4, &fleet, &text(4)), "older_version");
    rig.refused(&fleet, rig.release(9, &ours, &text(9)), "not_for_us");
    rig.refused(&fleet, rig.release(9, &fleet, "nonsense"), "unusable");
    let unfit = "name = \"p\"\nversion = 9\nrequired = [\"nsfw\"]\nmax_gap_ms = 1000\n";
    rig.refused(&fleet, rig.release(9, &fleet, unfit), "unusable");
    let failing =
        "[[case]]\nname = \"c\"\nevidence.findings = []\nexpect = { status = \"rejected\" }\n";
    rig.refused(&fleet, rig.release(9, &fleet, &format!("{}\n{failing}", text(9))), "unusable");
    let mut forged = rig.release(9, &fleet, &text(9));
    forged.signature = rig.hub_key.sign(&forged.bytes).as_ref().to_vec();
    rig.refused(&fleet, forged, "bad_signature");
    assert_eq!(rig.policy(), "starter@5");
    // The tenant's goes before the fleet's, with cases of its own that pass.
    let passing = failing.replace("rejected", "approved");
    rig.applied(&ours, rig.release(6, &ours, &format!("{}\n{passing}", text(6))));
    assert_eq!(rig.policy(), "starter@6");
    rig.applied(&fleet, rig.release(7, &fleet, &text(7)));
    assert_eq!(rig.policy(), "starter@6");
    // After a restart too; and one that does not fit any more keeps nothing from starting.
    let rig = rig.restarted();
    assert_eq!(rig.policy(), "starter@6");
    let unfit = rig.release(8, &ours, unfit).look().unwrap();
    let kept = Kept { release: Some(unfit), ..Kept::default() };
    let place = Place { epoch: Epoch(2), to: fleet, seq: Seq(1) };
    assert!(rig.app().store.directed(place, 7, None, kept).wait().unwrap());
    assert_eq!(rig.restarted().policy(), "starter@1");
}

#[test]
fn a_hash_list_is_taken_up_beside_the_profiles_own() {
    let rig = Rig::new();
    let (fleet, ours) = (Address::Fleet, Address::Tenant(tenant()));
    let release = |version, to: &Address, text: &str| {
        let kind = ReleaseKind::Bank;
        let (to, text) = (to.clone(), text.to_owned());
        let release = Release { kind, name: code("known"), version, to, text };
        Released::sign(&release, &rig.release_key).unwrap()
    };
    let text = |name: &str, hash: &str| {
        format!(
            "name = \"{name}\"\nkind = \"sha256\"\ncategory = \"sexual\"\nseverity = \"high\"\nverified = true\n[[entries]]\nhash = \"{}\"\n",
            hash.repeat(64)
        )
    };
    let lists = || -> Vec<String> {
        let dir = rig.app().config.data.join("hub/lists");
        let files = std::fs::read_dir(dir).into_iter().flatten();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    };
    let basis = || rig.app().tenants.get(&tenant()).unwrap().engine.basis().clone();
    let own = basis();
    rig.applied(&fleet, release(1, &fleet, &text("known", "a")));
    let first = basis();
    assert_ne!(first, own, "what the gate knew is void");
    rig.refused(&fleet, release(1, &fleet, &text("known", "b")), "older_version");
    rig.refused(&fleet, release(2, &fleet, &text("other", "b")), "unusable");
    rig.refused(&fleet, release(2, &fleet, "kind = 1"), "unusable");
    assert_eq!((basis(), lists()), (first, vec![text("known", "a")]));
    rig.applied(&fleet, release(2, &fleet, &text("known", "b")));
    assert_eq!(lists(), [text("known", "b")], "nothing is left of the older one");
    rig.applied(&ours, release(1, &ours, &text("known", "c")));
    let engine = Arc::clone(&rig.app().tenants.get(&tenant()).unwrap().engine);
    let banks = engine.profile().detectors.values().find_map(|detector| match detector {
        domain::profile::Detector::Hash(hash) => Some(hash.banks.clone()),
        _ => None,
    });
    let [bank] = &banks.unwrap()[..] else { panic!() };
    assert_eq!(
        std::fs::read_to_string(bank).unwrap(),
        text("known", "c"),
        "the tenant's goes before"
    );
}

#[test]
fn what_is_withdrawn_gives_way_to_what_stands_behind_it() {
    let rig = Rig::new();
    let (fleet, ours) = (Address::Fleet, Address::Tenant(tenant()));
    let own = Profile::embedded_text("starter").unwrap();
    let text = |version: u32| own.replacen("version = 1", &format!("version = {version}"), 1);
    rig.applied(&fleet, rig.release(5, &fleet, &text(5)));
    rig.applied(&ours, rig.release(6, &ours, &text(6)));
    rig.applied(&ours, rig.release(7, &ours, ""));
    assert_eq!(rig.policy(), "starter@5");
    rig.refused(&ours, rig.release(6, &ours, &text(6)), "older_version");
    let rig = rig.restarted();
    assert_eq!(rig.policy(), "starter@5");
    rig.applied(&fleet, rig.release(8, &fleet, ""));
    assert_eq!(rig.policy(), "starter@1", "the profile's own");
    rig.applied(&ours, rig.release(8, &ours, &text(8)));
    assert_eq!(rig.policy(), "starter@8");
    // A list likewise.
    let basis = || rig.app().tenants.get(&tenant()).unwrap().engine.basis().clone();
    let without = basis();
    let bank = |version, text: &str| {
        let (kind, name) = (ReleaseKind::Bank, code("known"));
        let release = Release { kind, name, version, to: fleet.clone(), text: text.to_owned() };
        Released::sign(&release, &rig.release_key).unwrap()
    };
    let hash = "a".repeat(64);
    let text = format!(
        "name = \"known\"\nkind = \"sha256\"\ncategory = \"sexual\"\nseverity = \"high\"\nverified = true\n[[entries]]\nhash = \"{hash}\"\n"
    );
    rig.applied(&fleet, bank(1, &text));
    assert_ne!(basis(), without);
    rig.applied(&fleet, bank(2, ""));
    assert_eq!(basis(), without);
}

#[test]
fn keys_are_replaced_in_the_file_and_trusted_from_then_on() {
    let rig = Rig::new();
    rig.enrol();
    let (fleet, new_hub, new_release) = (Address::Fleet, key(), key());
    let bytes = |key: &Ed25519KeyPair| -> [u8; 32] { public(key).try_into().unwrap() };
    let theirs = Rotate::release(bytes(&new_release), &rig.hub_key);
    rig.refused(&fleet, theirs, "bad_signature");
    let release = Rotate::release(bytes(&new_release), &rig.release_key);
    rig.lost(&fleet, release.clone());
    rig.applied(&fleet, release);
    assert_eq!(rig.enrolled().release_key, Some(public(&new_release)));
    let policy = rig.release(5, &fleet, "");
    rig.refused(&fleet, policy, "bad_signature");
    let hub = Rotate { of: KeyUse::Hub, key: Sha256(bytes(&new_hub)), signature: vec![] };
    rig.applied(&fleet, hub);
    assert_eq!(rig.enrolled().hub_key, public(&new_hub));
    let old = rig.directive(&fleet, 6, flag("x", true));
    assert_eq!(rig.hub.take(&old).unwrap(), Taken::Distrusted);
    let rig = Rig { hub_key: new_hub, ..rig };
    rig.applied(&fleet, flag("x", true));
    // A renewal brings the hub's keys, and no other release key.
    let store = &rig.app().store;
    let mut granted = rig.enrolled().granted;
    (granted.hub_key, granted.release_key) = (encoded(&rig.release_key), Some(encoded(&key())));
    crate::enrolment::keep_renewed(store.dir(), store.box_id(), granted).unwrap();
    let kept = rig.enrolled();
    assert_eq!(kept.hub_key, public(&rig.release_key));
    assert_eq!(kept.release_key, Some(public(&new_release)));
}
