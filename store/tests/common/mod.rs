//! What the tests of the store share.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test binary compiles this file and uses a part of it")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    Action, Category, Decision, MediaKind, Severity, Status,
    journal::{Actor, Code, Millis, Sha256, SubmissionId, TenantId},
    standing::Ladder,
};
use store::{
    Clock, Config, MediaVerdict, NewEffect, NewMedia, NewSubmission, Store, StoredMedia, Tell,
    Verdict, Work,
};

/// A clock that a test turns.
#[derive(Clone)]
pub struct Time(Arc<AtomicI64>);

impl Time {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000)))
    }

    pub fn pass(&self, span: Duration) {
        self.0.fetch_add(span.as_millis() as i64, Ordering::SeqCst);
    }

    pub fn set(&self, to: Millis) {
        self.0.store(to.0, Ordering::SeqCst);
    }

    pub fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }

    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || time.now())
    }
}

/// A configuration for tests: no waiting for company, the given clock, nothing held back on a small disk.
pub fn config(time: &Time) -> Config {
    Config {
        linger: Duration::ZERO,
        clock: time.clock(),
        reserve_bytes: 0,
        ballast_bytes: 64 << 10,
        readers: 2,
        ..Config::default()
    }
}

pub fn open(dir: &Path, time: &Time) -> Store {
    Store::open(dir, config(time)).unwrap().0
}

pub fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

pub fn code(text: &str) -> Code {
    text.parse().unwrap()
}

pub fn new_id() -> SubmissionId {
    SubmissionId(uuid::Uuid::now_v7())
}

/// Bytes in a spool, by their content.
pub fn photo(content: &str) -> StoredMedia {
    let sha256 = Sha256::of(content.as_bytes());
    StoredMedia { sha256, bytes: 100, kind: MediaKind::Image, blob: format!("{sha256}.jpg") }
}

/// A submission with a caption, one photo and an author.
pub fn submission(content: &str) -> NewSubmission {
    NewSubmission {
        id: new_id(),
        tenant: tenant(),
        actor: Actor::Anonymous,
        surface: code("post"),
        language: None,
        author: Some([7; 32]),
        priority: 0,
        critical: false,
        client_tag: Some("tag".to_owned()),
        idempotency_key: None,
        request: Sha256::of(content.as_bytes()),
        ip: Some("203.0.113.77".parse().unwrap()),
        caption: Some(format!("caption of {content}")),
        media: vec![NewMedia::Stored(photo(content))],
        per_author_hour: None,
        ladder: Ladder::default(),
    }
}

pub fn verdict(work: &Work, status: Status, severity: Severity) -> Verdict {
    let rejected = status == Status::Rejected;
    let media = work.submission.media.iter().filter_map(|media| media.sha256);
    Verdict {
        decision: Decision {
            status,
            complete: true,
            severity,
            action: if rejected { Action::Reject } else { Action::Allow },
            reasons: if rejected { vec!["nsfw".to_owned()] } else { vec![] },
            categories: if rejected {
                BTreeMap::from([(Category::Sexual, severity)])
            } else {
                BTreeMap::new()
            },
            policy: "starter@1".to_owned(),
        },
        scores: BTreeMap::from([(Category::Sexual, 0.9)]),
        models: vec![code("nsfw@1")],
        detail: Some("{}".to_owned()),
        words: Some("words that were read".to_owned()),
        media: media.map(|sha256| MediaVerdict { sha256, status }).collect(),
        pdqs: vec![],
        verified: false,
        ladder: Ladder::default(),
        keep_media: None,
        exhibits: vec![],
        basis: Some(work.basis),
        again: None,
    }
}

pub fn approve(work: &Work) -> Verdict {
    verdict(work, Status::Approved, Severity::Safe)
}

pub fn reject(work: &Work) -> Verdict {
    verdict(work, Status::Rejected, Severity::High)
}

/// One message to one endpoint for each decision.
pub fn tell() -> Tell {
    Box::new(|_, settled| {
        let payload = format!("decision {}", settled.number).into_bytes();
        vec![NewEffect { event: code("decided"), endpoint: code("main"), payload }]
    })
}

pub fn lease_one(store: &Store) -> Work {
    store.lease(1).wait().unwrap().pop().unwrap()
}

/// A new store in a folder of its own, under a clock of its own.
pub fn start() -> (tempfile::TempDir, Time, Store) {
    let dir = tempfile::tempdir().unwrap();
    let time = Time::new();
    let store = open(dir.path(), &time);
    (dir, time, store)
}

/// Accepts a submission and approves it.
pub fn judged(store: &Store, new: NewSubmission) -> store::Settled {
    store.accept(new).wait().unwrap();
    let work = lease_one(store);
    store.commit(work.lease.clone(), approve(&work), tell()).wait().unwrap()
}
