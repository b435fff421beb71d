#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use domain::directive::{
    AuthorRef, Directive, Drain, Erase, Flag, KeyUse, List, Release, ReleaseKind, Released, Rotate,
    Rule, SetStanding,
};
use domain::journal::{
    Actor, Body, BoxId, Directed, Epoch, Lane, Millis, Record, Sha256, SubmissionId,
};
use domain::standing::{Ladder, Level};
use domain::{Action, Category, Decision, MediaKind, Profile, Severity, Status};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use store::{
    Hash, MediaVerdict, NewMedia, NewSubmission, Resolution, SeenPdq, StoredMedia, Submission,
    Verdict,
};
use sync::directives::Directives as _;
use tokio::sync::watch;

use super::*;
use crate::cli::ServeArguments;
use crate::config;
use crate::serve::reload::Reload;
use crate::serve::{Embedding, open};

/// A box with a hub that signs.
struct Rig {
    hub: Hub,
    hub_key: Ed25519KeyPair,
    release_key: Ed25519KeyPair,
    _stop: watch::Sender<bool>,
    dir: tempfile::TempDir,
}

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn public(key: &Ed25519KeyPair) -> Vec<u8> {
    key.public_key().as_ref().to_vec()
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn tenant() -> TenantId {
    "shop".parse().unwrap()
}

/// The sandbox's program lies beside `weir`, one folder above the tests.
fn link_sandbox() {
    let exe = std::env::current_exe().unwrap();
    let here = exe.parent().unwrap();
    // Another test may be making it at this moment.
    let _ = std::os::unix::fs::symlink("../weir-sandbox", here.join("weir-sandbox"));
}

fn start(dir: &Path) -> (Arc<App>, watch::Sender<bool>) {
    link_sandbox();
    let settings = dir.join("weir.toml");
    std::fs::write(&settings, "workers = 1\n[tenant.shop]\nprofile = \"starter\"\n").unwrap();
    let arguments = ServeArguments {
        config: Some(settings),
        listen: None,
        data: Some(dir.join("data")),
        profile: None,
    };
    let (config, shown) = config::load(&arguments).unwrap();
    let (tell, stop) = watch::channel(false);
    let reload = Reload::new(arguments, shown);
    (Arc::new(open(config, reload, Embedding::default(), stop).unwrap()), tell)
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (app, stop) = start(dir.path());
        let (hub_key, release_key) = (key(), key());
        let keys = Keys { hub: public(&hub_key), release: Some(public(&release_key)) };
        Self { hub: Hub::trusting(app, keys), hub_key, release_key, _stop: stop, dir }
    }

    fn app(&self) -> &Arc<App> {
        &self.hub.app
    }

    fn us(&self) -> Address {
        Address::Box(self.app().store.box_id())
    }

    fn directive(&self, to: &Address, seq: u64, order: impl Into<Order>) -> SignedDirective {
        let place = Place { epoch: Epoch(1), to: to.clone(), seq: Seq(seq) };
        let directive = Directive { place, at: Millis(0), by: code("eve"), order: order.into() };
        SignedDirective::sign(&directive, &self.hub_key).unwrap()
    }

    /// Tells the next one of a lane; its receipt.
    fn tell(&self, to: &Address, order: impl Into<Order>) -> Directed {
        let places = self.app().store.directives_taken().unwrap();
        let last = places.iter().find(|place| place.to == *to).map_or(0, |place| place.seq.0);
        let signed = self.directive(to, last + 1, order);
        assert_eq!(self.hub.take(&signed).unwrap(), Taken::Done);
        let receipt = self.receipts().pop().unwrap();
        assert_eq!((receipt.place.to.clone(), receipt.place.seq), (to.clone(), Seq(last + 1)));
        receipt
    }

    /// Does the next one of a lane, and dies before the receipt.
    fn lost(&self, to: &Address, order: impl Into<Order>) {
        let places = self.app().store.directives_taken().unwrap();
        let last = places.iter().find(|place| place.to == *to).map_or(0, |place| place.seq.0);
        let signed = self.directive(to, last + 1, order);
        let told = signed.open(&self.hub.keys().hub).unwrap();
        assert!(self.hub.apply(&told).0.is_ok());
        assert_eq!(self.app().store.directives_taken().unwrap(), places);
    }

    fn applied(&self, to: &Address, order: impl Into<Order>) {
        assert_eq!(self.tell(to, order).refused, None);
    }

    fn refused(&self, to: &Address, order: impl Into<Order>, why: &str) {
        assert_eq!(self.tell(to, order).refused, Some(code(why)));
    }

    fn bodies(&self) -> Vec<Body> {
        let store = &self.app().store;
        let epoch = store.lanes().unwrap().last().unwrap().epoch;
        let entries = store.entries(epoch, Lane::Critical, Seq(0), 1000).unwrap();
        entries.iter().map(|entry| Record::decode(&entry.record).unwrap().body).collect()
    }

    fn receipts(&self) -> Vec<Directed> {
        let bodies = self.bodies().into_iter();
        let receipts = bodies.filter_map(|body| match body {
            Body::Directed(receipt) => Some(receipt),
            _ => None,
        });
        receipts.collect()
    }

    /// What the journal says was passed over.
    fn passed_over(&self) -> Vec<(String, u32)> {
        let bodies = self.bodies().into_iter();
        let all = bodies.filter_map(|body| match body {
            Body::Distrusted(it) => Some((it.why.as_str().to_owned(), it.count)),
            _ => None,
        });
        all.collect()
    }

    /// A submission with one picture, by an author, that the machine has approved.
    fn approved(&self, content: &str) -> Submission {
        let store = &self.app().store;
        let sha256 = Sha256::of(content.as_bytes());
        let stored =
            StoredMedia { sha256, bytes: 1, kind: MediaKind::Image, blob: format!("{sha256}.jpg") };
        let id = SubmissionId(uuid::Uuid::now_v7());
        let new = NewSubmission {
            id,
            tenant: tenant(),
            actor: Actor::Anonymous,
            surface: code("post"),
            language: None,
            author: Some([7; 32]),
            priority: 0,
            critical: false,
            client_tag: None,
            idempotency_key: None,
            request: sha256,
            ip: None,
            caption: None,
            media: vec![NewMedia::Stored(stored)],
            per_author_hour: None,
            ladder: Ladder::default(),
        };
        store.accept(new).wait().unwrap();
        let work = store.lease(1).wait().unwrap().pop().unwrap();
        let decision = Decision {
            status: Status::Approved,
            complete: true,
            severity: Severity::Safe,
            action: Action::Allow,
            reasons: vec![],
            categories: Default::default(),
            policy: "starter@1".to_owned(),
        };
        let verdict = Verdict {
            decision,
            scores: Default::default(),
            models: vec![],
            detail: Some("{\"findings\":[]}".to_owned()),
            words: None,
            media: vec![MediaVerdict { sha256, status: Status::Approved }],
            pdqs: vec![SeenPdq { media: 0, pdq: sha256.0, quality: Some(90) }],
            verified: false,
            ladder: Ladder::default(),
            keep_media: None,
            exhibits: vec![],
            basis: Some(work.basis),
        };
        store.commit(work.lease.clone(), verdict, Box::new(|_, _| vec![])).wait().unwrap();
        store.submission(&tenant(), id).unwrap()
    }

    fn level(&self) -> Level {
        let store = &self.app().store;
        let author = store.author(&tenant(), &[7; 32]).unwrap();
        store.standing(author).unwrap().level(&Ladder::default(), store.now()).0
    }

    fn release(&self, version: u64, to: &Address, text: &str) -> Released {
        let release = Release {
            kind: ReleaseKind::Policy,
            name: code("starter"),
            version,
            to: to.clone(),
            text: text.to_owned(),
        };
        Released::sign(&release, &self.release_key).unwrap()
    }

    fn policy(&self) -> String {
        self.app().tenants.get(&tenant()).unwrap().profile.policy.id()
    }

    /// Makes the box one of a hub's, as far as its file goes.
    fn enrol(&self) {
        let store = &self.app().store;
        let (pem, private) = sync::identity::Authority::create("test").unwrap();
        let authority = sync::identity::Authority::open(&pem, &private).unwrap();
        let request =
            sync::identity::request(store.box_id(), &store.device_key().unwrap()).unwrap();
        let request = sync::identity::BoxRequest::read(&request).unwrap();
        let issued = authority.issue(request, 1).unwrap();
        let granted = sync::identity::enrol::Granted {
            certificate: pem_of(&issued.certificate),
            authority: pem,
            hub_key: encoded(&self.hub_key),
            release_key: Some(encoded(&self.release_key)),
            quic: vec!["127.0.0.1:1".to_owned()],
            mqtt: None,
            hubs: vec![],
        };
        crate::enrolment::keep(store.dir(), store.box_id(), &granted).unwrap();
    }

    fn enrolled(&self) -> Enrolment {
        let store = &self.app().store;
        Enrolment::read(store.dir(), store.box_id()).unwrap().unwrap()
    }
}

fn encoded(key: &Ed25519KeyPair) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(public(key))
}

fn pem_of(der: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

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
    let restarted = |rig: Rig| {
        let Rig { hub, hub_key, release_key, _stop, dir } = rig;
        drop((hub, _stop));
        let (app, _stop) = start(dir.path());
        let keys = Keys { hub: public(&hub_key), release: Some(public(&release_key)) };
        Rig { hub: Hub::trusting(app, keys), hub_key, release_key, _stop, dir }
    };
    let rig = restarted(rig);
    assert_eq!(rig.policy(), "starter@6");
    let unfit = rig.release(8, &ours, unfit).look().unwrap();
    let kept = Kept { release: Some(unfit), rematches: vec![] };
    let place = Place { epoch: Epoch(2), to: fleet, seq: Seq(1) };
    assert!(rig.app().store.directed(place, 7, None, kept).wait().unwrap());
    assert_eq!(restarted(rig).policy(), "starter@1");
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
