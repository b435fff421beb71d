//! Bytes on the wire for each verdict: UDP payload both ways over real QUIC, beside what cannot be compressed and beside JSON.
//!
//! `cargo bench --workspace --bench wire`
#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

mod verdicts;

use std::net::UdpSocket;

use domain::journal::{Actor, BoxId, Epoch, GENESIS, Lane, Millis, Record, Seq, Subject, link};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sync::batch::{self, Entry};
use sync::frame::{Down, Up};
use sync::identity::{Authority, BoxRequest, Certified, request};
use sync::link::{Act, Config, Link, Path, judge};
use sync::quic::{Client, Congestion, Event, Server};
use tokio::sync::{mpsc, watch};
use verdicts::verdict;

const VERDICTS: usize = 10_000;
const OF: BoxId = BoxId(uuid::Uuid::from_u128(7));
const EPOCH: Epoch = Epoch(0x5eed_5eed_5eed_5eed);

/// Random bytes that a verdict holds and no code can make shorter: 74 bits of the submission's UUIDv7, the author's number, SHA-256 and
/// PDQ of the picture.
const INCOMPRESSIBLE: f64 = 74.0 / 8.0 + 8.0 + 32.0 + 32.0;

fn journal() -> (Vec<Entry>, usize) {
    let (mut entries, mut chain, mut json) = (Vec::new(), GENESIS, 0);
    for n in 0..VERDICTS {
        let (id, bodies, told) = verdict(n);
        json += told.to_string().len();
        for (k, body) in bodies.into_iter().enumerate() {
            let seq = Seq(entries.len() as u64 + 1);
            let record = Record {
                of: OF,
                epoch: EPOCH,
                lane: Lane::Bulk,
                seq,
                at: Millis(1_790_000_000_000 + n as i64 * 110 + if k == 0 { 0 } else { 130 }),
                actor: if k == 0 {
                    Actor::Key(domain::journal::ItemId(uuid::Uuid::from_u128(9)))
                } else {
                    Actor::Machine
                },
                subject: Subject::Submission(id),
                side: None,
                body,
            };
            let record = record.encode().unwrap();
            chain = link(chain, &record);
            entries.push(Entry { seq, record, chain, side: None });
        }
    }
    (entries, json)
}

fn certified(authority: &Authority) -> Certified {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let der = request(OF, key.as_ref()).unwrap();
    let issued = authority.issue(BoxRequest::read(&der).unwrap(), 9).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
    Certified { chain: vec![issued.certificate], key }
}

/// A hub that acknowledges what holds, and keeps nothing.
async fn hub(mut peers: mpsc::Receiver<sync::Peer>) {
    let mut peer = peers.recv().await.unwrap();
    let mut cursor = sync::frame::nothing(EPOCH, Lane::Bulk);
    while let Some(up) = peer.up.recv().await {
        let answer = match up {
            Up::Hello(hello) => {
                let cursors = hello.lanes.iter().map(|_| cursor).collect();
                let release = String::new();
                Down::Welcome(sync::frame::Welcome { release, cursors, credit: 1 << 20 })
            }
            Up::Batch(bytes) => {
                let batch = batch::Batch::open(OF, &bytes).unwrap();
                assert!(matches!(judge(&cursor, &batch), sync::link::Judged::Next { skip: 0 }));
                (cursor.head.seq, cursor.head.chain) = (batch.last(), batch.chain());
                Down::Ack(cursor)
            }
            _ => continue,
        };
        if peer.down.send(answer).await.is_err() {
            return;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (entries, json) = journal();
    let raw: usize = entries.iter().map(|entry| entry.record.len()).sum();
    let (certificate, key) = Authority::create("bench").unwrap();
    let authority = Authority::open(&certificate, &key).unwrap();
    let own = authority.server(&["127.0.0.1".into()]).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::new(socket, authority.certificate(), own).unwrap();
    let address = server.address().unwrap().to_string();
    let (sender, peers) = mpsc::channel(1);
    let (_stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(sender, stopped));
    let taking = tokio::spawn(hub(peers));
    let client = Client::new(authority.certificate(), certified(&authority)).unwrap();
    let mut connection = client.connect(&address, Congestion::Cubic).await.unwrap();

    let now = std::time::Instant::now;
    let begun = now();
    let mut link = Link::new(Config::default());
    let base = sync::frame::nothing(EPOCH, Lane::Bulk).head;
    let last = entries.last().unwrap();
    let head = domain::journal::Head { lane: Lane::Bulk, seq: last.seq, chain: last.chain };
    link.lanes(&[sync::frame::LaneState { epoch: EPOCH, base, head }], now());
    link.connected(Path::Quic, now());
    let (mut batches, mut bytes) = (0usize, 0usize);
    while link.lag() > 0 {
        while let Some(act) = link.next(now()) {
            match act {
                Act::Send(up) => {
                    if let Up::Batch(batch) = &up {
                        batches += 1;
                        bytes += batch.len();
                    }
                    connection.send(&up).await.unwrap();
                }
                Act::Read { ticket, epoch, after } => {
                    let rest = &entries[after.seq.0 as usize..];
                    let rest = &rest[..rest.len().min(batch::MOST_ROWS)];
                    let packed = batch::pack(OF, epoch, after.lane, after.chain, rest).ok();
                    link.packed(ticket, packed, now());
                }
                Act::Check(cursor) => link.fits(cursor, sync::journal::Fit::Same, now()),
                other => panic!("{other:?}"),
            }
        }
        if link.lag() > 0 {
            match connection.next(false).await {
                Event::Heard(down) => link.heard(down, now()),
                other => panic!("{other:?}: {}", connection.failure()),
            }
        }
    }
    let each = |bytes: usize| bytes as f64 / VERDICTS as f64;
    let (sent, received) = connection.bytes();
    let up = each(sent as usize);
    println!(
        "{VERDICTS} verdicts, {} entries, {batches} batches, {:.2} s",
        entries.len(),
        begun.elapsed().as_secs_f64()
    );
    println!(
        "bytes a verdict: incompressible {INCOMPRESSIBLE:.1}, records {:.1}, batches {:.1}",
        each(raw),
        each(bytes)
    );
    println!(
        "UDP payload to the hub {up:.1}, back {:.1}; JSON as the API tells it {:.1}",
        each(received as usize),
        each(json)
    );
    println!("above incompressible: {:.1} (asked: at most 25)", up - INCOMPRESSIBLE);
    connection.close();
    taking.abort();
    serving.abort();
}
