//! Proofs of single entries: made out of a real Postgres, verified from the document alone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;
use std::sync::Arc;

use common::service::told;
use common::{Paper, acked, ingest, migrated};
use domain::journal::{
    Body, Carried, Checkpoint, Epoch, Head, Lane, Millis, Seq, Sha256, Subject, SubmissionId,
};
use domain::{Action, Category, Severity, Status};
use hub::ingest::{Config, Ingest};
use hub::proof::{
    BadProof, MOST_FOLLOWING, NotMade, Place, Proof, PublicKey, Stood, Trust, decision, make,
    verify,
};
use hub::receipt::HubKey;
use hub::{Database, Pool};
use rig::postgres::Postgres;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sync::frame::{Hole, nothing};
use tokio::task::JoinSet;
use uuid::Uuid;

/// By proof-1.py beside it, which knows nothing of our code.
const GOLDEN: &str = include_str!("data/proof-1.json");

fn seed(number: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap()
}

fn public(key: &Ed25519KeyPair) -> PublicKey {
    <[u8; 32]>::try_from(key.public_key().as_ref()).unwrap().into()
}

fn trusting(keys: &[PublicKey]) -> Trust {
    Trust { hub: keys.to_vec(), device: None }
}

/// An ingest that signs by this key.
fn signing(database: &Database, key: &Arc<HubKey>) -> (Ingest, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let pool = Arc::new(Pool::new(database.clone(), 4));
    (Ingest::start(Config::default(), pool, Arc::clone(key), &mut tasks), tasks)
}

fn hub_key() -> (Arc<HubKey>, PublicKey) {
    let key = HubKey::new(&HubKey::generate().unwrap()).unwrap();
    let public = <[u8; 32]>::try_from(key.public_key()).unwrap().into();
    (Arc::new(key), public)
}

async fn send(ingest: &Ingest, paper: &Paper, lane: Lane, after: usize) {
    let entries = paper.lanes[usize::from(lane.number())].len();
    for from in (after..entries).step_by(100) {
        let batch = paper.batch(lane, from as u64, 100);
        acked(&ingest.batch(paper.of, &batch).await.unwrap().answer().await.unwrap());
    }
}

async fn seal(ingest: &Ingest, paper: &Paper) {
    assert!(!ingest.checkpoint(paper.of, &paper.checkpoint()).await.unwrap().is_empty());
}

fn place(paper: &Paper, lane: Lane, seq: u64) -> Place {
    Place { of: paper.of, epoch: paper.epoch, lane, seq: Seq(seq) }
}

async fn proved(database: &Database, place: Place) -> Result<Proof, NotMade> {
    make(&database.connect().await.unwrap(), place).await
}

async fn code(database: &Database, place: Place) -> Option<&'static str> {
    proved(database, place).await.unwrap_err().code()
}

#[test]
fn a_document_that_others_wrote_by_the_description_holds_and_is_written_the_same() {
    let proof = Proof::read(GOLDEN.as_bytes()).unwrap();
    assert_eq!(proof.write().unwrap(), GOLDEN);
    let trust = Trust { hub: vec![public(&seed(2))], device: Some(public(&seed(1))) };
    let verified = verify(&proof, &trust).unwrap();
    assert!(verified.hub_key_trusted && verified.device_key_trusted);
    assert_eq!((verified.seq, verified.lane, verified.following), (Seq(40), Lane::Bulk, 2));
    assert_eq!(verified.countersigned_at_ms, Millis(1_700_000_002_000));
    assert_eq!(verified.checkpoint_at_ms, Millis(1_700_000_000_100));
    let meaning = verified.meaning;
    assert_eq!((meaning.at_ms, meaning.kind), (Millis(1_700_000_000_040), 4));
    assert_eq!((meaning.actor.as_str(), meaning.stood), ("the machine", None));
    let side = Sha256::of(&[&[0; 32][..], b"a caption"].concat());
    assert_eq!(meaning.side, Some(side));
    let decided = meaning.decision.unwrap();
    let id = "01930000-0000-7000-8000-00000000002a".parse::<Uuid>().unwrap();
    assert_eq!((decided.submission, decided.tenant.as_str()), (SubmissionId(id), "shop"));
    assert_eq!((decided.number, decided.supersedes, decided.complete), (1, Some(0), true));
    assert_eq!(
        (decided.status, decided.severity, decided.action),
        (Status::Rejected, Severity::High, Action::Reject)
    );
    assert_eq!(decided.reasons, ["nsfw".parse().unwrap()]);
    assert_eq!(decided.categories, [(Category::Sexual, Severity::High, 970)]);
    assert_eq!(decided.policy.as_str(), "starter@1");
}

/// A box with thirty photos in the bulk lane and one in the critical one, sealed behind the twentieth entry and at the end.
async fn filled(database: &Database, key: &Arc<HubKey>) -> (Paper, SubmissionId) {
    let (ingest, _tasks) = signing(database, key);
    let mut paper = Paper::new(7);
    paper.enrol(database).await;
    paper.photos(9);
    let id = paper.photo(Lane::Bulk, Some(1));
    send(&ingest, &paper, Lane::Bulk, 0).await;
    seal(&ingest, &paper).await;
    paper.photos(20);
    paper.photo(Lane::Critical, None);
    send(&ingest, &paper, Lane::Bulk, 20).await;
    send(&ingest, &paper, Lane::Critical, 0).await;
    seal(&ingest, &paper).await;
    (paper, id)
}

#[tokio::test]
async fn a_proof_goes_to_the_next_checkpoint_and_holds_without_the_database() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (key, known) = hub_key();
    let (paper, id) = filled(&database, &key).await;
    let client = database.connect().await.unwrap();
    let found = decision(&client, paper.of, id.0, None).await.unwrap();
    assert_eq!(found, place(&paper, Lane::Bulk, 20));
    assert!(decision(&client, paper.of, id.0, Some(1)).await.is_err());
    let mut made = Vec::new();
    for (lane, seq, following) in
        [(Lane::Bulk, 20, 0), (Lane::Bulk, 1, 19), (Lane::Bulk, 21, 39), (Lane::Critical, 2, 0)]
    {
        let proof = proved(&database, place(&paper, lane, seq)).await.unwrap();
        made.push((proof.write().unwrap(), following));
    }
    drop((client, database, postgres));
    for (text, following) in made {
        let proof = Proof::read(text.as_bytes()).unwrap();
        let verified = verify(&proof, &trusting(&[known])).unwrap();
        assert_eq!(verified.following, following);
        let entry = &paper.lanes[usize::from(proof.lane.number())][proof.seq.0 as usize - 1];
        assert_eq!((&proof.record, verified.chain), (&entry.record, entry.chain));
        assert_eq!(verified.device_key, public(&paper.key()));
        // Nothing that was personal is in it.
        assert!(!text.contains("salt") && !text.contains("caption"));
    }
}

/// Each byte of each field, one bit of it; what the refusal says first.
#[tokio::test]
async fn whatever_is_altered_is_refused_for_what_it_is() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (key, known) = hub_key();
    let (paper, _) = filled(&database, &key).await;
    let sound = proved(&database, place(&paper, Lane::Bulk, 12)).await.unwrap();
    assert_eq!(sound.following.len(), 8);
    let (blind, trust) = (Trust::default(), trusting(&[known]));
    let flip = |bytes: &mut [u8], n: usize| bytes[n / 8] ^= 1 << (n % 8);
    let flipped = |key: PublicKey, n: usize| {
        let mut bytes = *key.bytes();
        flip(&mut bytes, n);
        PublicKey::from(bytes)
    };
    type Alter<'a> = Box<dyn Fn(&mut Proof, usize) + 'a>;
    let fields: [(&[&str], usize, Alter<'_>); 11] = [
        (&["record: ", "chain: "], sound.record.len(), Box::new(|p, n| flip(&mut p.record, n))),
        (
            &["record: ", "chain: "],
            sound.following[0].len(),
            Box::new(|p, n| flip(&mut p.following[0], n)),
        ),
        (
            &["record: ", "chain: "],
            sound.following[7].len(),
            Box::new(|p, n| flip(&mut p.following[7], n)),
        ),
        (&["chain: "], 32, Box::new(|p, n| flip(&mut p.previous.0, n))),
        (
            &["checkpoint: the signature"],
            sound.checkpoint.bytes.len(),
            Box::new(|p, n| flip(&mut p.checkpoint.bytes, n)),
        ),
        (&["checkpoint: the signature"], 64, Box::new(|p, n| flip(&mut p.checkpoint.signature, n))),
        (
            &["checkpoint: the signature"],
            32,
            Box::new(|p, n| p.device_key = flipped(p.device_key, n)),
        ),
        (
            &["receipt: it is not by hub key"],
            64,
            Box::new(|p, n| flip(&mut p.receipt.signature, n)),
        ),
        (&["receipt: it is not by hub key"], 8, Box::new(|p, n| p.receipt.at_ms.0 ^= 1 << n)),
        (
            &["receipt: it is not by hub key"],
            32,
            Box::new(|p, n| p.hub_key = Some(flipped(p.hub_key.unwrap(), n))),
        ),
        (&["checkpoint: it is of epoch"], 8, Box::new(|p, n| p.epoch.0 ^= 1 << n)),
    ];
    for (number, (why, bytes, alter)) in fields.iter().enumerate() {
        for bit in 0..bytes * 8 {
            let mut altered = sound.clone();
            alter(&mut altered, bit);
            assert_ne!(altered, sound);
            for trust in [&blind, &trust] {
                let refused = verify(&altered, trust).unwrap_err().to_string();
                let so = why.iter().any(|why| refused.starts_with(why));
                assert!(so, "field {number}, bit {bit}: {refused}");
            }
        }
    }
    let whole: [(&str, Alter<'_>); 8] = [
        ("checkpoint: it is of box", Box::new(|p, _| p.of.0 = Uuid::from_u128(8))),
        ("checkpoint: it ends this lane", Box::new(|p, _| p.lane = Lane::Critical)),
        ("checkpoint: it ends this lane", Box::new(|p, _| p.seq = Seq(11))),
        ("checkpoint: it ends this lane", Box::new(|p, _| p.seq = Seq(u64::MAX))),
        ("checkpoint: it ends this lane", Box::new(|p, _| drop(p.following.pop()))),
        ("record: ", Box::new(|p, _| p.following.swap(1, 2))),
        ("record: ", Box::new(|p, _| p.record.push(0))),
        ("the document has the format", Box::new(|p, _| p.format.push('1'))),
    ];
    for (why, alter) in whole {
        let mut altered = sound.clone();
        alter(&mut altered, 0);
        let refused = verify(&altered, &trust).unwrap_err().to_string();
        assert!(refused.starts_with(why), "{why}: {refused}");
    }
    assert!(verify(&sound, &trust).unwrap().hub_key_trusted);
    assert!(!verify(&sound, &blind).unwrap().hub_key_trusted);
}

/// Documents by somebody who knows how they are made, and has keys of their own.
#[tokio::test]
async fn a_forger_with_other_keys_gets_past_no_key_that_the_reader_has() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (key, known) = hub_key();
    let (paper, _) = filled(&database, &key).await;
    let sound = proved(&database, place(&paper, Lane::Bulk, 20)).await.unwrap();
    let (theirs, hub) = (seed(99), HubKey::new(&HubKey::generate().unwrap()).unwrap());
    let hub_public: PublicKey = <[u8; 32]>::try_from(hub.public_key()).unwrap().into();
    let head = |lane, seq, chain| Head { lane, seq: Seq(seq), chain };
    let own = |heads: Vec<Head>| {
        let (of, epoch) = (paper.of, paper.epoch);
        let signed = Checkpoint { of, epoch, at: Millis(1), heads }.sign(&theirs).unwrap();
        let receipt = hub.receipt(Sha256::of(&signed.bytes), 5);
        let mut proof = sound.clone();
        proof.checkpoint.bytes = signed.bytes;
        proof.checkpoint.signature = signed.signature;
        proof.device_key = public(&theirs);
        proof.receipt.at_ms = Millis(5);
        proof.receipt.signature = receipt.signature;
        proof.hub_key = Some(hub_public);
        proof
    };
    let chain = paper.lanes[1][19].chain;
    let forged = own(vec![head(Lane::Bulk, 20, chain)]);
    // It is whole in itself: only the keys tell.
    assert!(!verify(&forged, &Trust::default()).unwrap().hub_key_trusted);
    assert_eq!(verify(&forged, &trusting(&[known])), Err(BadProof::HubKey(hub_public)));
    let unnamed = Proof { hub_key: None, ..forged.clone() };
    assert_eq!(verify(&unnamed, &trusting(&[known])), Err(BadProof::NoKey));
    assert_eq!(verify(&unnamed, &Trust::default()), Err(BadProof::KeyMissing));
    // The hub's own receipt is over the true checkpoint, not over theirs.
    let borrowed =
        Proof { receipt: sound.receipt.clone(), hub_key: sound.hub_key, ..forged.clone() };
    assert_eq!(verify(&borrowed, &trusting(&[known])), Err(BadProof::Receipt(known)));
    // The true checkpoint, with a signature of theirs over it.
    let resigned = Checkpoint {
        of: paper.of,
        epoch: paper.epoch,
        at: Millis(1),
        heads: vec![head(Lane::Critical, 0, domain::journal::GENESIS), head(Lane::Bulk, 20, chain)],
    };
    let resigned = resigned.sign(&theirs).unwrap();
    assert_eq!(resigned.bytes, sound.checkpoint.bytes);
    let mut borrowed = sound.clone();
    borrowed.checkpoint.signature = resigned.signature;
    borrowed.device_key = public(&theirs);
    let device = Some(public(&paper.key()));
    let trust = Trust { hub: vec![known], device };
    assert_eq!(verify(&borrowed, &trust), Err(BadProof::DeviceKey(public(&theirs))));
    assert!(verify(&sound, &trust).unwrap().device_key_trusted);
    // Two ends of one lane are none.
    for heads in [vec![], vec![head(Lane::Bulk, 20, chain), head(Lane::Bulk, 20, chain)]] {
        let refused = verify(&own(heads), &Trust::default()).unwrap_err().to_string();
        assert!(refused.starts_with("checkpoint: it has "), "{refused}");
    }
    let mut first = proved(&database, place(&paper, Lane::Bulk, 1)).await.unwrap();
    first.previous = Sha256([1; 32]);
    assert_eq!(verify(&first, &trust), Err(BadProof::Genesis));
}

#[tokio::test]
async fn what_cannot_be_proved_is_said_to_be_so_and_why() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (key, _) = hub_key();
    let (ingest, _tasks) = signing(&database, &key);
    let (mut paper, _) = filled(&database, &key).await;
    let at = |seq| place(&Paper::new(7), Lane::Bulk, seq);
    for nowhere in [at(0), at(61), place(&Paper::new(9), Lane::Bulk, 1)] {
        let why = proved(&database, nowhere).await.unwrap_err();
        assert!(matches!(why, NotMade::Failed(hub::Error::NotFound(_))), "{why}");
    }
    paper.photos(10);
    send(&ingest, &paper, Lane::Bulk, 60).await;
    assert_eq!(code(&database, at(61)).await, Some("not_yet"));
    seal(&ingest, &paper).await;
    assert_eq!(proved(&database, at(61)).await.unwrap().following.len(), 19);
    // No checkpoint came for long.
    paper.photos(usize::try_from(MOST_FOLLOWING / 2).unwrap() + 1);
    send(&ingest, &paper, Lane::Bulk, 80).await;
    seal(&ingest, &paper).await;
    assert_eq!(code(&database, at(81)).await, Some("too_far"));
    let most = proved(&database, at(82)).await.unwrap();
    assert_eq!(most.following.len() as u64, MOST_FOLLOWING);
    let read = Proof::read(most.write().unwrap().as_bytes()).unwrap();
    verify(&read, &Trust::default()).unwrap();
    // Altered behind the hub's back: it hands out no proof of that.
    let client = database.connect().await.unwrap();
    let spoil = "UPDATE entries SET record = set_byte(record, 60, get_byte(record, 60) # 1) WHERE seq = 70 AND lane = 1";
    client.batch_execute(spoil).await.unwrap();
    let why = proved(&database, at(65)).await.unwrap_err();
    assert!(matches!(why, NotMade::Failed(hub::Error::Damaged(_))), "{why}");
    // As retention drops them: the days before, whole.
    client.batch_execute("DELETE FROM entries WHERE seq < 10 AND lane = 1").await.unwrap();
    assert_eq!(code(&database, at(9)).await, Some("gone"));
    assert_eq!(code(&database, at(10)).await, Some("gone"), "nothing leads there any more");
    proved(&database, at(11)).await.unwrap();
    client.batch_execute("DELETE FROM entries WHERE seq = 15 AND lane = 1").await.unwrap();
    assert_eq!(code(&database, at(11)).await, Some("gone"));

    // What follows a hole begins at its end.
    let mut late = Paper::new(8);
    late.enrol(&database).await;
    late.photos(10);
    let to = Head { lane: Lane::Bulk, seq: Seq(8), chain: late.lanes[1][7].chain };
    let hole = Hole { from: nothing(late.epoch, Lane::Bulk), to };
    ingest.hole(late.of, hole).await.unwrap().answer().await.unwrap();
    send(&ingest, &late, Lane::Bulk, 8).await;
    seal(&ingest, &late).await;
    assert_eq!(code(&database, place(&late, Lane::Bulk, 8)).await, Some("gone"));
    let proof = proved(&database, place(&late, Lane::Bulk, 9)).await.unwrap();
    verify(&proof, &Trust::default()).unwrap();
}

#[tokio::test]
async fn a_decision_that_was_told_again_after_a_fork_says_where_it_stood() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let (ingest, _tasks) = ingest(&database, Config::default());
    let mut first = Paper::new(7);
    let id = first.photo(Lane::Critical, None);
    let (mut again, mut twice) = (Paper::new(7), Paper::new(7));
    (again.epoch, twice.epoch) = (Epoch(5), Epoch(6));
    again.enrol(&database).await;
    let carry = |from: &Paper, to: &mut Paper| {
        for entry in &from.lanes[0] {
            let body = Body::Carried(Carried { record: entry.record.clone() });
            to.append(Lane::Critical, Subject::Submission(id), body, entry.side.clone());
        }
    };
    carry(&first, &mut again);
    carry(&again, &mut twice);
    for paper in [&again, &twice] {
        send(&ingest, paper, Lane::Critical, 0).await;
        seal(&ingest, paper).await;
    }
    let client = database.connect().await.unwrap();
    let found = decision(&client, first.of, id.0, None).await.unwrap();
    assert_eq!(found, place(&again, Lane::Critical, 2));
    for place in [found, place(&twice, Lane::Critical, 2)] {
        let proof = proved(&database, place).await.unwrap();
        let meaning = verify(&proof, &Trust::default()).unwrap().meaning;
        assert_eq!(meaning.decision.unwrap().submission, id);
        let stood = Stood { epoch: first.epoch, lane: Lane::Critical, seq: Seq(2) };
        assert_eq!(meaning.stood, Some(stood));
    }
    // What no checkpoint covers before its epoch forked is never covered.
    again.photo(Lane::Critical, None);
    send(&ingest, &again, Lane::Critical, 2).await;
    assert_eq!(code(&database, place(&again, Lane::Critical, 3)).await, Some("not_yet"));
    let forks = "UPDATE cursors SET forked_at = now() WHERE epoch = 5";
    client.batch_execute(forks).await.unwrap();
    assert_eq!(code(&database, place(&again, Lane::Critical, 3)).await, Some("gone"));
    proved(&database, found).await.unwrap();
    // Another box's word is not this box's, whoever carries it.
    let mut other = Paper::new(8);
    other.enrol(&database).await;
    carry(&first, &mut other);
    send(&ingest, &other, Lane::Critical, 0).await;
    seal(&ingest, &other).await;
    let why = proved(&database, place(&other, Lane::Critical, 2)).await.unwrap_err().to_string();
    assert!(why.contains("what another box wrote"), "{why}");
}

#[tokio::test]
async fn receipts_by_a_key_that_was_replaced_hold_by_that_key() {
    let postgres = Postgres::start();
    let database = migrated(&postgres).await;
    let ((old, old_public), (new, new_public)) = (hub_key(), hub_key());
    let (mut paper, _) = filled(&database, &old).await;
    let mut client = database.connect().await.unwrap();
    let by = "console".parse().unwrap();
    hub::directives::rotate(&mut client, &old, &new, by).await.unwrap();
    let (ingest, _tasks) = signing(&database, &new);
    paper.photos(2);
    send(&ingest, &paper, Lane::Bulk, 60).await;
    seal(&ingest, &paper).await;
    let before = proved(&database, place(&paper, Lane::Bulk, 60)).await.unwrap();
    let after = proved(&database, place(&paper, Lane::Bulk, 61)).await.unwrap();
    assert_eq!((before.hub_key, after.hub_key), (Some(old_public), Some(new_public)));
    assert_eq!(
        verify(&before, &trusting(&[new_public])),
        Err(BadProof::HubKey(old_public)),
        "the new key says nothing of the old one's word"
    );
    for proof in [&before, &after] {
        verify(proof, &trusting(&[new_public, old_public])).unwrap();
    }
    let url = postgres.url();
    let list = Command::new(env!("CARGO_BIN_EXE_weir-hub"))
        .args(["key", "list", "--database", &url])
        .output()
        .unwrap();
    assert_eq!(told(&list), format!("{new_public}\n{old_public}"));
    // A key of before the hub wrote its keys down: the proof is as good, for whoever has the key.
    let forget = "DELETE FROM hub_keys WHERE public_key = $1";
    client.execute(forget, &[&old_public.bytes().as_slice()]).await.unwrap();
    let before = proved(&database, place(&paper, Lane::Bulk, 60)).await.unwrap();
    assert_eq!(before.hub_key, None);
    assert_eq!(verify(&before, &Trust::default()), Err(BadProof::KeyMissing));
    assert!(verify(&before, &trusting(&[old_public])).unwrap().hub_key_trusted);
}
