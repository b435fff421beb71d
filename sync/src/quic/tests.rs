#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;

use domain::journal::{BoxId, Head, Lane, Seq};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::frame::{Cursor, Down, Hello, Up, nothing};
use crate::identity::{Authority, BoxRequest, Certified, Own, request};
use crate::peer::Peer;

pub(super) struct Bench {
    pub authority: Authority,
    pub own: Own,
    pub address: String,
    pub peers: mpsc::Receiver<Peer>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

pub(super) fn bench() -> Bench {
    let (certificate, key) = Authority::create("test").unwrap();
    let authority = Authority::open(&certificate, &key).unwrap();
    let own = Own::new(authority.server(&["127.0.0.1".into()]).unwrap()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::renewing(socket, authority.certificate(), &own).unwrap();
    let address = server.address().unwrap().to_string();
    let (sender, peers) = mpsc::channel(4);
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(sender, stopped));
    Bench { authority, own, address, peers, stop, serving }
}

/// A certificate by an authority, for a new device key.
pub(super) fn certified(of: BoxId, authority: &Authority, days: i64) -> Certified {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let der = request(of, key.as_ref()).unwrap();
    let request = BoxRequest::read(&der).unwrap();
    assert_eq!(request.of, of);
    let issued = authority.issue(request, days).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
    Certified { chain: vec![issued.certificate], key }
}

pub(super) fn of(n: u128) -> BoxId {
    BoxId(uuid::Uuid::from_u128(n))
}

pub(super) fn hello() -> Up {
    Up::Hello(Hello { release: "1".into(), schema: 1, lanes: vec![] })
}

pub(super) fn ack(seq: u64) -> Down {
    let mut cursor = nothing(domain::journal::Epoch(1), Lane::Bulk);
    cursor.head = Head { seq: Seq(seq), ..cursor.head };
    Down::Ack(Cursor { ..cursor })
}

#[tokio::test]
async fn a_box_is_known_by_its_certificate_and_both_hear_each_other() {
    let mut bench = bench();
    let client =
        Client::new(bench.authority.certificate(), certified(of(5), &bench.authority, 9)).unwrap();
    let mut connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    assert_eq!((peer.of, peer.serial.len()), (of(5), 16));
    assert_eq!(peer.up.recv().await, Some(hello()));
    let batch = Up::Batch(vec![7; 90_000]);
    connection.send(&batch).await.unwrap();
    assert_eq!(peer.up.recv().await, Some(batch));
    peer.down.send(ack(3)).await.unwrap();
    assert_eq!(connection.next(false).await, Event::Heard(ack(3)));
    // The last word arrives before the end.
    peer.down.send(Down::Refused("revoked".parse().unwrap())).await.unwrap();
    drop(peer);
    let refused = Down::Refused("revoked".parse().unwrap());
    assert_eq!(connection.next(true).await, Event::Room);
    assert_eq!(connection.next(false).await, Event::Heard(refused));
    assert_eq!(connection.next(false).await, Event::Ended);
    bench.stop.send(true).unwrap();
    bench.serving.await.unwrap();
}

#[tokio::test]
async fn strangers_and_certificates_that_ran_out_are_refused_and_the_latter_told() {
    let mut bench = bench();
    let (certificate, key) = Authority::create("other").unwrap();
    let other = Authority::open(&certificate, &key).unwrap();
    let stranger = Client::new(bench.authority.certificate(), certified(of(5), &other, 9)).unwrap();
    let refused = refusal(&stranger, &bench.address).await;
    assert!(matches!(refused, Failure::Refused(_)), "{refused:?}");
    let expired =
        Client::new(bench.authority.certificate(), certified(of(5), &bench.authority, -1)).unwrap();
    let refused = refusal(&expired, &bench.address).await;
    assert!(matches!(refused, Failure::Expired), "{refused:?}");
    // And the box speaks to nobody but its hub.
    let elsewhere = Client::new(other.certificate(), certified(of(5), &other, 9)).unwrap();
    let refused = elsewhere.connect(&bench.address, Congestion::Cubic).await.unwrap_err();
    assert!(matches!(refused, Failure::Refused(_)), "{refused:?}");
    assert!(bench.peers.try_recv().is_err(), "none of them became a peer");
}

/// With TLS 1.3 a client is done before the server has looked at its certificate: the refusal comes right behind.
async fn refusal(client: &Client, address: &str) -> Failure {
    match client.connect(address, Congestion::Cubic).await {
        Err(failure) => failure,
        Ok(mut connection) => {
            assert_eq!(connection.next(false).await, Event::Ended);
            connection.failure()
        }
    }
}

#[tokio::test]
async fn nobody_answers_where_no_hub_is() {
    let (certificate, key) = Authority::create("test").unwrap();
    let authority = Authority::open(&certificate, &key).unwrap();
    let client = Client::new(authority.certificate(), certified(of(5), &authority, 9)).unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let refused = client.connect(&address, Congestion::Bbr).await.unwrap_err();
    assert!(matches!(refused, Failure::Silent), "{refused:?}");
    let refused = client.connect("nowhere.invalid:1", Congestion::Bbr).await.unwrap_err();
    assert!(matches!(refused, Failure::Address(..)), "{refused:?}");
}

#[tokio::test]
async fn a_box_that_says_what_is_no_frame_is_not_listened_to() {
    let mut bench = bench();
    let client =
        Client::new(bench.authority.certificate(), certified(of(5), &bench.authority, 9)).unwrap();
    let connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    assert_eq!(peer.up.recv().await, Some(hello()));
    // A hello that is cut.
    connection.control.send(vec![1, 200]).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let batch = Up::Batch(vec![1]);
    connection.send(&batch).await.unwrap();
    assert_eq!(peer.up.recv().await, Some(batch), "the other stream goes on, this one is closed");
}

#[tokio::test]
async fn the_hub_shows_a_new_certificate_and_what_is_connected_stays_so() {
    let mut bench = bench();
    // Clients of their own: one that is known is not shown the certificate again.
    let clients = [5, 6].map(|n| {
        let certified = certified(of(n), &bench.authority, 9);
        Client::new(bench.authority.certificate(), certified).unwrap()
    });
    let mut first = clients[0].connect(&bench.address, Congestion::Cubic).await.unwrap();
    first.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    assert_eq!(peer.up.recv().await, Some(hello()));
    bench.own.replace(bench.authority.server(&[]).unwrap()).unwrap();
    let second = clients[1].connect(&bench.address, Congestion::Cubic).await.unwrap();
    assert_ne!(first.shown(), second.shown());
    first.send(&hello()).await.unwrap();
    assert_eq!(peer.up.recv().await, Some(hello()), "it is still open");
    peer.down.send(ack(1)).await.unwrap();
    assert_eq!(first.next(false).await, Event::Heard(ack(1)));
}
