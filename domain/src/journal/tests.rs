#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{Action, Category, MediaKind, Severity, Status, standing::Level};

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn record(body: Body) -> Record {
    Record {
        of: BoxId(uuid::Uuid::from_u128(0x0102)),
        epoch: Epoch(300),
        lane: Lane::Bulk,
        seq: Seq(5),
        at: Millis(-1),
        actor: Actor::Machine,
        subject: Subject::Submission(SubmissionId(uuid::Uuid::from_u128(0x0a))),
        side: None,
        body,
    }
}

fn decided() -> Body {
    Body::Decided(Decided {
        tenant: "t".parse().unwrap(),
        number: 1,
        supersedes: Some(0),
        status: Status::Rejected,
        complete: true,
        severity: Severity::High,
        action: Action::Reject,
        reasons: vec![code("nsfw")],
        categories: vec![(Category::Sexual, Severity::High, 970)],
        policy: code("p@1"),
        models: vec![],
        standing: None,
    })
}

/// Written down by hand from the table in `journal` and postcard's specification.
#[test]
fn a_decision_has_these_bytes() {
    let mut expected = vec![1]; // schema
    expected.extend([0; 14]);
    expected.extend([0x01, 0x02]); // box
    expected.extend([0xac, 0x02]); // epoch 300
    expected.extend([1, 5]); // lane, seq
    expected.push(1); // at −1, zigzag
    expected.push(4); // kind: Decided
    expected.push(1); // actor: Machine
    expected.extend([1, 16]); // subject: Submission, 16 bytes of UUID
    expected.extend([0; 15]);
    expected.push(0x0a);
    expected.push(0); // no side record
    let mut body = vec![1, b't', 1, 1, 0]; // tenant, number, supersedes 0
    body.extend([1, 1, 3, 3]); // Rejected, complete, High, Reject
    body.extend([1, 4]);
    body.extend(b"nsfw");
    body.extend([1, 1, 3, 0xca, 0x07]); // one category: Sexual, High, 970
    body.extend([3]);
    body.extend(b"p@1");
    body.extend([0, 0]); // no models, standing unchanged
    expected.push(u8::try_from(body.len()).unwrap());
    expected.extend(body);
    assert_eq!(record(decided()).encode().unwrap(), expected);
    assert_eq!(Record::decode(&expected).unwrap(), record(decided()));
}

/// Enum members are stored by their place: a member put in between would change the meaning of every old entry.
#[test]
fn members_of_enums_keep_their_numbers() {
    fn numbers<T: serde::Serialize>(all: &[T]) -> Vec<u8> {
        all.iter().flat_map(|one| postcard::to_stdvec(one).unwrap()).collect()
    }
    let upto = |n: u8| (0..n).collect::<Vec<u8>>();
    assert_eq!(numbers(&Category::ALL), upto(14));
    assert_eq!(numbers(&Severity::ALL), upto(5));
    use Status::{Approved, Failed, Held, Rejected};
    assert_eq!(numbers(&[Approved, Rejected, Held, Failed]), upto(4));
    let actions = [Action::Allow, Action::Flag, Action::Hide, Action::Reject, Action::Ban];
    assert_eq!(numbers(&actions), upto(5));
    use MediaKind::{Animation, Audio, Image, Text, Unknown, Video};
    assert_eq!(numbers(&[Image, Animation, Video, Audio, Text, Unknown]), upto(6));
    assert_eq!(numbers(&[Level::Good, Level::Warned, Level::Hidden, Level::Rejected]), upto(4));
    use EpochCause::{Forked, Fresh, Restored, Rewound, Salvaged};
    assert_eq!(numbers(&[Fresh, Salvaged, Restored, Rewound, Forked]), upto(5));
    let actors =
        [Actor::System, Actor::Machine, Actor::Console, Actor::Technician, Actor::Anonymous];
    assert_eq!(numbers(&actors), [0, 1, 4, 5, 6]);
    assert_eq!(numbers(&[Actor::Hub]), [7]);
}

fn model_changed() -> Body {
    Body::ModelChanged(ModelChanged {
        model: code("m@2"),
        from: code("canary"),
        to: code("retired"),
        cause: code("drift"),
        seen: 300,
        refused: 40,
        errors: 1,
        control_seen: 5700,
        control_refused: 114,
    })
}

/// Written down by hand, as above. It came after the layout of the others was frozen.
#[test]
fn a_change_of_a_model_has_these_bytes() {
    let bytes = record(model_changed()).encode().unwrap();
    let mut body = vec![3];
    body.extend(b"m@2");
    for word in ["canary", "retired", "drift"] {
        body.push(word.len() as u8);
        body.extend(word.as_bytes());
    }
    body.extend([0xac, 0x02, 40, 1, 0xc4, 0x2c, 114]);
    assert!(bytes.ends_with(&body), "{bytes:?}");
    assert_eq!(bytes[bytes.len() - body.len() - 1] as usize, body.len());
}

fn hashed() -> Body {
    let pdq = PdqNote { index: 2, pdq: Sha256([7; 32]), quality: Some(80) };
    Body::Hashed(Hashed { tenant: "t".parse().unwrap(), pdqs: vec![pdq] })
}

/// Written down by hand, as above.
#[test]
fn hashes_and_carried_entries_have_these_bytes() {
    let bytes = record(hashed()).encode().unwrap();
    let body = [&[1u8, b't', 1, 2][..], &[7; 32], &[1, 80]].concat();
    assert!(bytes.ends_with(&[&[38u8][..], &body].concat()), "{bytes:?}");
    let bytes = record(Body::Carried(Carried { record: vec![1, 2, 3] })).encode().unwrap();
    assert!(bytes.ends_with(&[4, 3, 1, 2, 3]), "{bytes:?}");
}

fn one_of_each() -> Vec<Body> {
    let tenant: TenantId = "t".parse().unwrap();
    let item = ItemId(uuid::Uuid::from_u128(3));
    let note = StandingNote {
        author: AuthorNumber(u64::MAX),
        struck: true,
        strikes: 2,
        level: Level::Banned,
        until: Some(Millis(1)),
    };
    let media =
        MediaNote { sha256: Some(Sha256::of(b"a")), bytes: Some(1), kind: MediaKind::Image };
    let head = Head { lane: Lane::Bulk, seq: Seq(1), chain: GENESIS };
    let accepted = Accepted {
        tenant: tenant.clone(),
        surface: code("post"),
        author: Some(AuthorNumber(1)),
        priority: 3,
        media: vec![media.clone()],
        has_text: true,
    };
    vec![
        Body::EpochBegan(EpochBegan { cause: EpochCause::Fresh, previous: vec![(Epoch(1), head)] }),
        Body::Accepted(accepted.clone()),
        Body::Fetched(Fetched { index: 1, media }),
        decided(),
        Body::JobNote(JobNote {
            tenant: tenant.clone(),
            what: JobChange::Dead,
            attempts: 3,
            reason: code("worker_timeout"),
        }),
        Body::Reported(Reported {
            tenant: tenant.clone(),
            report: item,
            reason: code("hate"),
            reporter: None,
        }),
        Body::Appealed(Appealed { tenant: tenant.clone(), appeal: item, decision: 0 }),
        Body::BankChanged(BankChanged {
            tenant: tenant.clone(),
            added: true,
            negative: false,
            hash: Sha256::of(b"b"),
            distance: Some(31),
            label: code("bank:t"),
            protected: false,
        }),
        Body::KeyChanged(KeyChanged {
            tenant: tenant.clone(),
            added: true,
            scopes: vec![code("modnet:read")],
        }),
        Body::FlagSet(FlagSet { name: code("movies_modnet_enabled"), on: true }),
        Body::Erased(Erased { tenant: tenant.clone(), submissions: 1, sides: 2 }),
        Body::BlobDeleted(BlobDeleted { bytes: 9 }),
        Body::NotifyFailed(NotifyFailed {
            tenant: tenant.clone(),
            endpoint: code("main"),
            attempts: 9,
            reason: code("http_500"),
        }),
        Body::PolicyInForce(PolicyInForce { tenant: tenant.clone(), policy: code("p@2") }),
        Body::StandingNote(note),
        Body::Acted(Acted { tenant: Some(tenant), call: code("drain") }),
        model_changed(),
        Body::Carried(Carried { record: vec![1, 2, 3] }),
        hashed(),
        Body::AcceptedIn(AcceptedIn { accepted, language: code("sw-KE") }),
    ]
}

#[test]
fn every_body_reads_back_and_has_a_kind_of_its_own() {
    let mut kinds = Vec::new();
    for body in one_of_each() {
        kinds.push(body.kind());
        let record = record(body);
        assert_eq!(Record::decode(&record.encode().unwrap()).unwrap(), record);
    }
    assert_eq!(kinds, (1..=19).chain([22]).collect::<Vec<u16>>(), "numbers are never moved");
}

/// It came after the layout of the others was frozen: what was there before, and the tag behind it.
#[test]
fn a_submission_in_a_language_has_the_bytes_of_one_without_and_the_tag_behind_them() {
    let all = one_of_each();
    let told = |kind: u16| {
        let body = all.iter().find(|body| body.kind() == kind).unwrap().clone();
        record(body).encode().unwrap()
    };
    let (without, with) = (told(2), told(22));
    let behind = with.strip_suffix(b"\x05sw-KE").unwrap();
    // Tenant, surface, author, priority, media and text, by hand as above.
    let accepted =
        [&b"\x01t\x04post\x01\x01\x03\x01\x01"[..], &Sha256::of(b"a").0, &[1, 1]].concat();
    let place = |bytes: &[u8]| bytes.windows(accepted.len()).position(|part| part == accepted);
    let (first, second) = (place(&without).unwrap(), place(behind).unwrap());
    assert_eq!(without[first..], behind[second..]);
}

/// The hash over one of each: any change of layout shows, whichever body it is in. A new schema adds a line, and keeps this.
#[test]
fn the_layout_of_schema_1_is_frozen() {
    let bytes: Vec<u8> = one_of_each()
        .into_iter()
        .take(16)
        .flat_map(|body| record(body).encode().unwrap())
        .collect();
    assert_eq!(Sha256::of(&bytes).to_string(), LAYOUT_1);
}

const LAYOUT_1: &str = "d6c37dbf0adc2bf6f11b4fc5cee2f82294e749617d2d5c5838e34813f7b9e40c";

#[test]
fn damage_is_refused_and_what_is_newer_is_named() {
    let bytes = record(decided()).encode().unwrap();
    for end in 0..bytes.len() {
        assert!(Record::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_err(), "a byte too many");
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(Record::decode(&newer), Err(NotRecord::Schema { found: 2 }));
}
