//! A box with a hub that signs, for the tests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::path::Path;

use domain::directive::{Directive, Release, ReleaseKind, Released};
use domain::journal::{Actor, Body, Directed, Epoch, Lane, Millis, Record, Sha256, SubmissionId};
use domain::standing::{Ladder, Level};
use domain::{Action, Decision, MediaKind, Severity, Status};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use store::{MediaVerdict, NewMedia, NewSubmission, SeenPdq, StoredMedia, Submission, Verdict};
use sync::directives::Directives as _;
use tokio::sync::watch;

use super::*;
use crate::cli::ServeArguments;
use crate::config;
use crate::serve::reload::Reload;
use crate::serve::{Embedding, open, tenant};

/// A box with a hub that signs.
pub struct Rig {
    pub hub: Hub,
    pub hub_key: Ed25519KeyPair,
    pub release_key: Ed25519KeyPair,
    /// The hub's clock.
    pub at: Cell<Millis>,
    pub _stop: watch::Sender<bool>,
    pub dir: tempfile::TempDir,
}

pub fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

pub fn public(key: &Ed25519KeyPair) -> Vec<u8> {
    key.public_key().as_ref().to_vec()
}

pub fn code(text: &str) -> Code {
    text.parse().unwrap()
}

pub fn tenant() -> TenantId {
    "shop".parse().unwrap()
}

/// The sandbox's program lies beside `weir`, one folder above the tests.
pub fn link_sandbox() {
    let exe = std::env::current_exe().unwrap();
    let here = exe.parent().unwrap();
    // Another test may be making it at this moment.
    let _ = std::os::unix::fs::symlink("../weir-sandbox", here.join("weir-sandbox"));
}

pub fn start(dir: &Path) -> (Arc<App>, watch::Sender<bool>) {
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

/// The box's own secret is the hub's.
fn secrets(dir: &Path) -> BTreeMap<TenantId, [u8; 32]> {
    let shop: TenantId = "shop".parse().unwrap();
    let secret = tenant::author_secret(&dir.join("data"), &shop).unwrap();
    BTreeMap::from([(shop, secret)])
}

impl Rig {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (app, stop) = start(dir.path());
        let (hub_key, release_key) = (key(), key());
        let keys = Keys { hub: public(&hub_key), release: Some(public(&release_key)) };
        Self {
            hub: Hub::trusting(app, keys, secrets(dir.path())),
            hub_key,
            release_key,
            at: Cell::new(Millis(0)),
            _stop: stop,
            dir,
        }
    }

    pub fn restarted(self) -> Self {
        let Self { hub, hub_key, release_key, at, _stop, dir } = self;
        drop((hub, _stop));
        let (app, _stop) = start(dir.path());
        let keys = Keys { hub: public(&hub_key), release: Some(public(&release_key)) };
        Self {
            hub: Hub::trusting(app, keys, secrets(dir.path())),
            hub_key,
            release_key,
            at,
            _stop,
            dir,
        }
    }

    pub fn app(&self) -> &Arc<App> {
        &self.hub.app
    }

    pub fn us(&self) -> Address {
        Address::Box(self.app().store.box_id())
    }

    pub fn directive(&self, to: &Address, seq: u64, order: impl Into<Order>) -> SignedDirective {
        let (place, at) = (Place { epoch: Epoch(1), to: to.clone(), seq: Seq(seq) }, self.at.get());
        let directive = Directive { place, at, by: code("eve"), order: order.into() };
        SignedDirective::sign(&directive, &self.hub_key).unwrap()
    }

    /// Tells the next one of a lane; its receipt.
    pub fn tell(&self, to: &Address, order: impl Into<Order>) -> Directed {
        let places = self.app().store.directives_taken().unwrap();
        let last = places.iter().find(|place| place.to == *to).map_or(0, |place| place.seq.0);
        let signed = self.directive(to, last + 1, order);
        assert_eq!(self.hub.take(&signed).unwrap(), Taken::Done);
        let receipt = self.receipts().pop().unwrap();
        assert_eq!((receipt.place.to.clone(), receipt.place.seq), (to.clone(), Seq(last + 1)));
        receipt
    }

    /// Does the next one of a lane, and dies before the receipt.
    pub fn lost(&self, to: &Address, order: impl Into<Order>) {
        let places = self.app().store.directives_taken().unwrap();
        let last = places.iter().find(|place| place.to == *to).map_or(0, |place| place.seq.0);
        let signed = self.directive(to, last + 1, order);
        let told = signed.open(&self.hub.keys().hub).unwrap();
        assert!(self.hub.apply(&told).0.is_ok());
        assert_eq!(self.app().store.directives_taken().unwrap(), places);
    }

    pub fn applied(&self, to: &Address, order: impl Into<Order>) {
        assert_eq!(self.tell(to, order).refused, None);
    }

    pub fn refused(&self, to: &Address, order: impl Into<Order>, why: &str) {
        assert_eq!(self.tell(to, order).refused, Some(code(why)));
    }

    pub fn bodies(&self) -> Vec<Body> {
        let store = &self.app().store;
        let epoch = store.lanes().unwrap().last().unwrap().epoch;
        let entries = store.entries(epoch, Lane::Critical, Seq(0), 1000).unwrap();
        entries.iter().map(|entry| Record::decode(&entry.record).unwrap().body).collect()
    }

    pub fn receipts(&self) -> Vec<Directed> {
        let bodies = self.bodies().into_iter();
        let receipts = bodies.filter_map(|body| match body {
            Body::Directed(receipt) => Some(receipt),
            _ => None,
        });
        receipts.collect()
    }

    /// What the journal says was passed over.
    pub fn passed_over(&self) -> Vec<(String, u32)> {
        let bodies = self.bodies().into_iter();
        let all = bodies.filter_map(|body| match body {
            Body::Distrusted(it) => Some((it.why.as_str().to_owned(), it.count)),
            _ => None,
        });
        all.collect()
    }

    /// A submission with one picture, by an author, that the machine has approved.
    pub fn approved(&self, content: &str) -> Submission {
        self.judged(content, Status::Approved)
    }

    /// The same as the machine has judged it.
    pub fn judged(&self, content: &str, status: Status) -> Submission {
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
        let rejected = status == Status::Rejected;
        let decision = Decision {
            status,
            complete: true,
            severity: if rejected { Severity::High } else { Severity::Safe },
            action: if rejected { Action::Reject } else { Action::Allow },
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
            media: vec![MediaVerdict { sha256, status }],
            pdqs: vec![SeenPdq { media: 0, pdq: sha256.0, quality: Some(90) }],
            verified: false,
            ladder: Ladder::default(),
            keep_media: None,
            exhibits: vec![],
            basis: Some(work.basis),
            again: None,
        };
        store.commit(work.lease.clone(), verdict, Box::new(|_, _| vec![])).wait().unwrap();
        store.submission(&tenant(), id).unwrap()
    }

    pub fn level(&self) -> Level {
        let store = &self.app().store;
        let author = store.author(&tenant(), &[7; 32]).unwrap();
        store.standing(author).unwrap().level(&Ladder::default(), store.now()).0
    }

    pub fn release(&self, version: u64, to: &Address, text: &str) -> Released {
        let release = Release {
            kind: ReleaseKind::Policy,
            name: code("starter"),
            version,
            to: to.clone(),
            text: text.to_owned(),
        };
        Released::sign(&release, &self.release_key).unwrap()
    }

    pub fn policy(&self) -> String {
        self.app().tenants.get(&tenant()).unwrap().profile.policy.id()
    }

    /// Makes the box one of a hub's, as far as its file goes.
    pub fn enrol(&self) {
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
            tenants: BTreeMap::new(),
            quic: vec!["127.0.0.1:1".to_owned()],
            mqtt: None,
            hubs: vec![],
        };
        crate::enrolment::keep(store.dir(), store.box_id(), &granted).unwrap();
    }

    pub fn enrolled(&self) -> Enrolment {
        let store = &self.app().store;
        Enrolment::read(store.dir(), store.box_id()).unwrap().unwrap()
    }
}

pub fn encoded(key: &Ed25519KeyPair) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(public(key))
}

pub fn pem_of(der: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
