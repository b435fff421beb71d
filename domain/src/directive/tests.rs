#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;
use crate::journal::{AuthorNumber, BoxId, Sha256, SubmissionId, TenantId};
use crate::standing::Level;
use crate::{Category, Severity};

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn tenant() -> TenantId {
    "t".parse().unwrap()
}

fn directive(to: Address, order: impl Into<Order>) -> Directive {
    let place = Place { epoch: Epoch(300), to, seq: Seq(5) };
    Directive { place, at: Millis(-1), by: "eve".parse().unwrap(), order: order.into() }
}

/// Written down by hand from the table in the module and postcard's specification.
#[test]
fn a_directive_has_these_bytes() {
    let flag = Flag { name: "movies".parse().unwrap(), on: true };
    let mut expected = vec![1, 0xac, 0x02]; // schema, epoch 300
    expected.extend([1, 1, b't']); // address: tenant t
    expected.extend([5, 1]); // seq, at −1 in zigzag
    expected.extend(b"\x03eve");
    expected.push(1); // kind: flag
    expected.push(8); // its body: name and on
    expected.extend(b"\x06movies\x01");
    let directive = directive(Address::Tenant(tenant()), flag);
    assert_eq!(directive.encode().unwrap(), expected);
    let told = Told::decode(&expected).unwrap();
    assert_eq!((told.place, told.kind, told.order), (directive.place, 1, Some(directive.order)));
}

/// Every order, as members are stored by their place and kinds by number.
#[test]
fn orders_keep_their_bytes() {
    let hash = Sha256([7; 32]);
    let list = List {
        add: true,
        negative: false,
        hash,
        distance: Some(31),
        category: Some(Category::Sexual),
        verified: true,
        protected: false,
    };
    let standing = SetStanding {
        tenant: tenant(),
        author: AuthorRef::Key(hash),
        level: Level::Banned,
        until: None,
    };
    let erase = Erase { tenant: tenant(), author: AuthorRef::Number(AuthorNumber(300)) };
    let rule = Rule {
        tenant: tenant(),
        submission: SubmissionId(uuid::Uuid::from_u128(0x0a)),
        seen: 1,
        approve: false,
        categories: vec![(Category::Sexual, Severity::High)],
        remember: true,
    };
    let submission = SubmissionId(uuid::Uuid::from_u128(0x0a));
    let reopen = Reopen { tenant: tenant(), submission, seen: 300 };
    let released = Released { bytes: vec![1, 2], signature: vec![3] };
    let rotate = Rotate { of: KeyUse::Release, key: hash, signature: vec![3] };
    let seven = "07".repeat(32);
    let table: [(Order, u16, String); 9] = [
        (Drain { on: true }.into(), 2, "01".into()),
        (list.into(), 3, format!("0100{seven}011f01010100")),
        (standing.into(), 4, format!("017400{seven}0400")),
        (erase.into(), 5, "017401ac02".into()),
        (rule.into(), 6, format!("017410{}0a010001010301", "00".repeat(15))),
        (released.into(), 7, "0201020103".into()),
        (rotate.into(), 8, format!("01{seven}0103")),
        (Bundle { sha256: hash, bytes: 300 }.into(), 9, format!("{seven}ac02")),
        (reopen.into(), 10, format!("017410{}0aac02", "00".repeat(15))),
    ];
    for (order, kind, body) in table {
        assert_eq!(order.kind(), kind);
        let bytes = order.encode().unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, body, "{order:?}");
        assert_eq!(Order::decode(kind, &bytes).unwrap(), Some(order));
    }
    let addresses = [Address::Fleet, Address::Box(BoxId(uuid::Uuid::from_u128(1)))];
    let first: Vec<u8> = addresses.iter().map(|to| postcard::to_stdvec(to).unwrap()[0]).collect();
    assert_eq!(first, [0, 2]);
}

#[test]
fn an_order_of_a_later_release_keeps_its_place() {
    let mut bytes = directive(Address::Fleet, Drain { on: true }).encode().unwrap();
    let at = bytes.len() - 3;
    assert_eq!(bytes[at..], [2, 1, 1]);
    bytes[at] = 99;
    let told = Told::decode(&bytes).unwrap();
    assert_eq!((told.kind, told.order, told.place.seq), (99, None, Seq(5)));
}

#[test]
fn only_what_the_hub_signed_is_believed() {
    let (hub, other) = (key(), key());
    let directive = directive(Address::Fleet, Drain { on: true });
    let mut signed = SignedDirective::sign(&directive, &hub).unwrap();
    let public = hub.public_key().as_ref();
    assert_eq!(signed.open(public).unwrap().place, directive.place);
    assert_eq!(signed.open(other.public_key().as_ref()), Err(Distrust::Unsigned));
    for at in 0..signed.bytes.len() {
        let mut altered = signed.clone();
        altered.bytes[at] ^= 1;
        assert_eq!(altered.open(public), Err(Distrust::Unsigned), "byte {at}");
    }
    assert_eq!(
        SignedDirective { signatures: vec![], ..signed.clone() }.open(public),
        Err(Distrust::Unsigned)
    );
    // After a rotation both believe.
    signed.signatures.push(SignedDirective::signature(&signed.bytes, &other));
    for key in [&hub, &other] {
        assert!(signed.open(key.public_key().as_ref()).is_ok());
    }
    // A signature over something else that the hub signs is none.
    let label = hub.sign(&signed.bytes).as_ref().to_vec();
    let naked = SignedDirective { bytes: signed.bytes, signatures: vec![label] };
    assert_eq!(naked.open(public), Err(Distrust::Unsigned));
}

#[test]
fn a_release_is_believed_by_its_own_key_only() {
    let (release_key, hub) = (key(), key());
    let release = Release {
        kind: ReleaseKind::Policy,
        name: "starter".parse().unwrap(),
        version: 7,
        to: Address::Fleet,
        text: "x = 1".into(),
    };
    let released = Released::sign(&release, &release_key).unwrap();
    assert_eq!(released.open(release_key.public_key().as_ref()).unwrap(), release);
    assert_eq!(released.open(hub.public_key().as_ref()), Err(BadRelease::Signature));
    assert_eq!(released.look().unwrap(), release);
    let new: [u8; 32] = hub.public_key().as_ref().try_into().unwrap();
    let rotate = Rotate::release(new, &release_key);
    assert!(rotate.is_by(release_key.public_key().as_ref()));
    assert!(!rotate.is_by(hub.public_key().as_ref()));
}

#[test]
fn addresses_are_written_as_they_are_read() {
    for text in ["fleet", "tenant/dating", "box/0190a000-0000-7000-8000-000000000001"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    for text in ["", "Fleet", "tenant/", "tenant/a b", "box/1", "fleet/x"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

#[test]
fn the_copy_beside_a_receipt_names_nobody_and_is_opened_by_the_tenants_secret_alone() {
    let (hub, author) = (key(), Sha256([0xa5; 32]));
    let erase = Erase { tenant: tenant(), author: AuthorRef::Key(author) };
    let ban = SetStanding {
        tenant: tenant(),
        author: AuthorRef::Key(author),
        level: Level::Banned,
        until: None,
    };
    let secret = |of: &TenantId| (*of == tenant()).then_some([7; 32]);
    for order in [Order::from(erase), ban.into()] {
        let signed =
            SignedDirective::sign(&directive(Address::Tenant(tenant()), order.clone()), &hub);
        let signed = signed.unwrap();
        assert_eq!(Copied::of(&signed, &order, |_| None), None, "not without the secret");
        let bytes = Copied::of(&signed, &order, secret).unwrap().encode().unwrap();
        assert!(!bytes.windows(32).any(|part| part == author.0), "the author's key is in it");
        let copied = Copied::decode(&bytes).unwrap();
        assert_eq!(copied.tenant(), Some(&tenant()));
        assert_eq!(copied.clone().open(None), None);
        assert_eq!(copied.clone().open(Some(&[8; 32])), None);
        assert_eq!(copied.open(Some(&[7; 32])), Some(signed));
        let mut altered = bytes;
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(Copied::decode(&altered).unwrap().open(Some(&[7; 32])), None);
    }
    let flag = Order::from(Flag { name: "movies".parse().unwrap(), on: true });
    let signed = SignedDirective::sign(&directive(Address::Fleet, flag.clone()), &hub).unwrap();
    let bytes = Copied::of(&signed, &flag, |_| None).unwrap().encode().unwrap();
    // Version, kind, and postcard's own writing of what was told.
    assert_eq!(bytes, [&[1, 0][..], &postcard::to_stdvec(&signed).unwrap()].concat());
    assert_eq!(Copied::decode(&bytes[1..]), None);
    let released = Released { bytes: vec![1], signature: vec![2] };
    assert_eq!(Copied::of(&signed, &released.into(), secret), None, "a release is not copied");
}
