//! The real hub, a real Postgres, and boxes that enrol by the API and replicate over QUIC.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::journal::Memory;
use common::service::{Edge, Hub, another, device_key, init, token, told, weir_hub};
use common::{Paper, count};
use domain::journal::Lane;
use hub::Database;
use rig::postgres::Postgres;
use ring::rand::SystemRandom;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sync::identity::enrol::EnrolError;
use sync::identity::{Authority, BoxRequest, request};
use sync::quic::Failure;

/// A box with so many photos, enrolled by a token of its own.
fn enrolled(settings: &Path, number: u128, photos: usize) -> Edge {
    let mut paper = Paper::new(number);
    paper.photos(photos);
    Edge::enrol(&token(settings), device_key(), Memory::new(paper)).unwrap()
}

fn refusal<T>(result: Result<T, EnrolError>) -> String {
    match result {
        Err(EnrolError::Refused { detail, .. }) => detail,
        Err(other) => panic!("not the hub's word: {other}"),
        Ok(_) => panic!("it was granted"),
    }
}

async fn assert_equal(database: &Database, edge: &Edge) {
    for paper in edge.journal.papers() {
        for lane in Lane::ALL {
            paper.assert_stored(database, lane).await;
        }
    }
}

fn assert_verified(postgres: &Postgres) {
    let verified = told(&weir_hub(&["verify", "--database", &postgres.url()]));
    assert!(verified.contains("everything holds"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once_and_a_box_keeps_its_key() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let database = Database::new(&postgres.url()).unwrap();
    let _hub = Hub::start(&settings);
    let (first, key) = (token(&settings), device_key());
    let memory = |number| Memory::new(Paper::new(number));
    let edge = Edge::enrol(&first, key.clone(), memory(1)).unwrap();
    assert_eq!(edge.granted.hubs, first.hubs);
    // The answer was lost: the same box asks again.
    Edge::enrol(&first, key.clone(), memory(1)).unwrap();
    let other = refusal(Edge::enrol(&first, device_key(), memory(2)));
    assert!(other.contains("another box has used this token"), "{other}");
    let other = refusal(Edge::enrol(&token(&settings), device_key(), memory(1)));
    assert!(other.contains("enrolled under another key"), "{other}");
    let mut unknown = token(&settings);
    unknown.secret[0] ^= 1;
    let unknown = refusal(Edge::enrol(&unknown, device_key(), memory(3)));
    assert!(unknown.contains("no such token"), "{unknown}");
    let client = database.connect().await.unwrap();
    let late = token(&settings);
    client.batch_execute("UPDATE enrolment_tokens SET expires_at = now()").await.unwrap();
    let late = refusal(Edge::enrol(&late, device_key(), memory(3)));
    assert!(late.contains("expired"), "{late}");
    // Somebody else in the hub's place is not believed.
    let mut elsewhere = token(&settings);
    elsewhere.authority = domain::journal::Sha256::of(b"another");
    let stranger = Edge::enrol(&elsewhere, device_key(), memory(3)).err();
    assert!(matches!(stranger, Some(EnrolError::Stranger { .. })), "{stranger:?}");
    let impostor = Edge { key: device_key(), ..edge.clone() };
    assert!(refusal(impostor.renew()).contains("another key"));
    let kept = "SELECT count(*) FROM certificates WHERE event = 'enrolled' AND token = 'pier'";
    assert_eq!(count(&database, kept).await, 2, "both asked by the first box");
    assert_eq!(count(&database, "SELECT count(*) FROM boxes").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_cuts_off_and_expiry_is_mended_by_renewal() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let database = Database::new(&postgres.url()).unwrap();
    let _hub = Hub::start(&settings);
    let edge = enrolled(&settings, 1, 20);
    let folder = settings.parent().unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let authority = Authority::open(&read("authority.pem"), &read("authority.key")).unwrap();
    let der = request(edge.of, &edge.key).unwrap();
    let expired = authority.issue(BoxRequest::read(&der).unwrap(), -1).unwrap();
    let quic = edge.granted.quic.clone();
    let running = edge.run_with(expired.certificate, quic.clone());
    let end = tokio::time::timeout(Duration::from_secs(30), running.task).await.unwrap();
    assert!(matches!(end.unwrap(), Some(Failure::Expired)), "it is told what is wrong");

    let client = database.connect().await.unwrap();
    let late = "UPDATE certificates SET expires_at = now() - interval '1 day'";
    client.batch_execute(late).await.unwrap();
    let renewed = edge.renew().unwrap();
    assert_ne!(renewed.certificate, edge.granted.certificate);
    let alarms = "SELECT count(*) FROM alarms";
    let of_renewal = "SELECT count(*) FROM alarms WHERE kind = 'renewed_late'";
    assert_eq!(count(&database, of_renewal).await, 1);
    let certificate = CertificateDer::from_pem_slice(renewed.certificate.as_bytes()).unwrap();
    let running = edge.run_with(certificate, quic.clone());
    edge.journal.settled().await;
    running.stop().await;
    // The certificate before the current one is still good, and no reason for an alarm.
    edge.journal.write(|paper| paper.photos(5));
    let mut running = edge.run(quic);
    edge.journal.settled().await;
    assert_eq!(count(&database, alarms).await, 1);

    let begun = Instant::now();
    told(&weir_hub(&["box", "revoke", &edge.of.to_string(), "--database", &postgres.url()]));
    running
        .until("refused", |status| status.problem.as_ref().is_some_and(|p| p.code == "refused"))
        .await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    running.stop().await;
    assert!(refusal(edge.renew()).contains("revoked"));
    let journal = Memory::new(Paper::new(1));
    assert!(refusal(Edge::enrol(&token(&settings), edge.key.clone(), journal)).contains("revoked"));
    assert_equal(&database, &edge).await;
    assert_verified(&postgres);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_hub_and_database_are_killed() {
    let (mut postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let mut hub = Hub::start(&settings);
    let edges: Vec<Edge> = (1..=3).map(|number| enrolled(&settings, number, 50)).collect();
    let running: Vec<_> = edges.iter().map(|edge| edge.run(edge.granted.quic.clone())).collect();
    let mut random = [0u8; 12];
    ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut random).unwrap();
    eprintln!("acks before each kill, of which box, by {random:?}");
    for (round, byte) in random.into_iter().enumerate() {
        for edge in &edges {
            edge.journal.write(|paper| {
                paper.photos(100);
                paper.photo(Lane::Critical, None);
            });
        }
        // Somewhere between reading a batch and telling of its commit.
        for _ in 0..=(byte % 4) {
            edges[usize::from(byte) % 3].journal.next_ack().await;
        }
        match round % 4 {
            3 => postgres.restart(),
            _ => {
                hub.kill();
                hub = Hub::start(&settings);
            }
        }
    }
    for edge in &edges {
        edge.journal.settled().await;
    }
    for one in running {
        one.stop().await;
    }
    let database = Database::new(&postgres.url()).unwrap();
    for edge in &edges {
        assert_eq!(edge.journal.papers()[0].lanes[1].len(), 2 * (50 + 12 * 100));
        assert_equal(&database, edge).await;
    }
    assert_eq!(count(&database, "SELECT count(*) FROM alarms WHERE kind <> 'flapping'").await, 0);
    assert_verified(&postgres);
}

#[tokio::test(flavor = "multi_thread")]
async fn boxes_move_between_two_nodes_of_one_hub() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let second = another(&settings);
    let _hubs = [Hub::start(&settings), Hub::start(&second)];
    let edges: Vec<Edge> = (1..=2).map(|number| enrolled(&settings, number, 50)).collect();
    let moved = Edge::enrol(&token(&second), device_key(), Memory::new(Paper::new(3))).unwrap();
    let places = [edges[0].granted.quic[0].clone(), moved.granted.quic[0].clone()];
    assert_ne!(places[0], places[1]);
    for round in 0..6usize {
        let mut running = Vec::new();
        for (number, edge) in edges.iter().enumerate() {
            edge.journal.write(|paper| paper.photos(60));
            running.push(edge.run(vec![places[(round + number) % 2].clone()]));
        }
        // Moved in the middle of a backlog.
        edges[round % 2].journal.next_ack().await;
        for one in running {
            one.stop().await;
        }
    }
    let running: Vec<_> = edges.iter().map(|edge| edge.run(places.to_vec())).collect();
    for edge in &edges {
        edge.journal.settled().await;
    }
    for one in running {
        one.stop().await;
    }
    let database = Database::new(&postgres.url()).unwrap();
    for edge in &edges {
        assert_equal(&database, edge).await;
    }
    assert_eq!(count(&database, "SELECT count(*) FROM alarms").await, 0);
    assert_verified(&postgres);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_box_is_told_and_the_entries_of_both_arrive() {
    let (postgres, around) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = init(around.path(), &postgres);
    let _hub = Hub::start(&settings);
    let edge = enrolled(&settings, 1, 30);
    let clone = Edge {
        journal: std::sync::Arc::new(Memory::new(edge.journal.papers().remove(0))),
        ..edge.clone()
    };
    edge.journal.write(|paper| paper.photos(10));
    clone.journal.write(|paper| {
        paper.append(
            Lane::Bulk,
            domain::journal::Subject::Submission(domain::journal::SubmissionId(
                uuid::Uuid::from_u128(99),
            )),
            common::decided(),
            None,
        );
        paper.photos(20);
    });
    let running = edge.run(edge.granted.quic.clone());
    edge.journal.settled().await;
    running.stop().await;
    let mut running = clone.run(clone.granted.quic.clone());
    running.until("told of the fork", |status| status.forks == 1).await;
    clone.journal.settled().await;
    running.stop().await;
    let database = Database::new(&postgres.url()).unwrap();
    assert_equal(&database, &edge).await;
    let papers = clone.journal.papers();
    assert_eq!(papers.len(), 2, "a new epoch");
    for lane in Lane::ALL {
        papers[1].assert_stored(&database, lane).await;
    }
    // That somebody is told, tests/tests/replication.rs shows with a real box: this journal writes no entry of its new epoch's beginning.
    assert_verified(&postgres);
}
