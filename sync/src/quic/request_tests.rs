#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use domain::journal::{Code, SubmissionId};
use quinn::ClientConfig;
use tokio::task::JoinHandle;

use super::tests::{Bench, bench, certified, hello, of};
use super::*;
use crate::frame::Up;
use crate::identity::HUB_NAME;
use crate::request::{
    Answer, Ask, Described, Head, MOST_BODY_BYTES, MOST_REQUESTS, Preview, Requests, Unanswered,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with as many bytes as the preview's moment says, and keeps what it was asked.
#[derive(Default)]
struct Obliging(Mutex<Vec<Ask>>);

impl Requests for Obliging {
    fn answer(&self, ask: &Ask) -> Result<Answer, Code> {
        self.0.lock().unwrap().push(ask.clone());
        match ask {
            Ask::Preview(preview) => {
                let bytes = vec![5; usize::try_from(preview.at_ms.unwrap()).unwrap()];
                Ok(Answer { content_type: "image/jpeg".into(), bytes })
            }
            _ => Err("gone".parse().unwrap()),
        }
    }
}

fn preview(bytes: usize) -> Ask {
    let submission = SubmissionId(uuid::Uuid::from_u128(1));
    Ask::Preview(Preview { submission, index: 0, at_ms: Some(bytes as u64) })
}

fn client(bench: &Bench) -> Client {
    Client::new(bench.authority.certificate(), certified(of(5), &bench.authority, 9)).unwrap()
}

/// A connection over which nobody but the test says anything.
async fn bare(bench: &Bench, client: &Client) -> (quinn::Connection, quinn::SendStream) {
    let mut config = ClientConfig::new(Arc::clone(&client.tls) as _);
    config.transport_config(transport(Congestion::Cubic, 2 * MOST_REQUESTS as u32));
    let address = bench.address.parse().unwrap();
    let connecting = client.endpoint.connect_with(config, address, HUB_NAME).unwrap();
    let connection = connecting.await.unwrap();
    let (mut control, _) = connection.open_bi().await.unwrap();
    write(&mut control, &hello().encode().unwrap()).await.unwrap();
    (connection, control)
}

#[tokio::test]
async fn a_box_answers_what_the_hub_asks_or_says_why_not() {
    let mut bench = bench();
    let obliging = Arc::new(Obliging::default());
    let client = client(&bench).answering(Arc::clone(&obliging) as _);
    let connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let asker = bench.peers.recv().await.unwrap();
    let asker = asker.asker.as_ref().unwrap();
    for bytes in [0, 1, MOST_BODY_BYTES] {
        let answer = asker.ask(&preview(bytes), PATIENCE).await.unwrap();
        assert_eq!(answer, Answer { content_type: "image/jpeg".into(), bytes: vec![5; bytes] });
    }
    let refused = |code: &str| Err(Unanswered::Refused(code.parse().unwrap()));
    assert_eq!(asker.ask(&Ask::Support, PATIENCE).await, refused("gone"));
    assert_eq!(asker.ask(&preview(MOST_BODY_BYTES + 1), PATIENCE).await, refused("too_large"));
    assert_eq!(obliging.0.lock().unwrap().len(), 5, "each was asked once");
    // A panic of its own is the box's business, and the connection goes on.
    let id = SubmissionId(uuid::Uuid::from_u128(1));
    let broken = Ask::Preview(Preview { submission: id, index: 0, at_ms: None });
    assert_eq!(asker.ask(&broken, PATIENCE).await, refused("internal"));
    assert!(asker.ask(&preview(7), PATIENCE).await.is_ok());
}

#[tokio::test]
async fn a_request_of_a_later_release_is_refused_and_the_connection_goes_on() {
    let mut bench = bench();
    let client = client(&bench);
    let connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    // Nobody answers at this box: every request is one that it does not know.
    let refused = Err(Unanswered::Refused("unknown_request".parse().unwrap()));
    assert_eq!(peer.asker.as_ref().unwrap().ask(&Ask::Support, PATIENCE).await, refused);
    assert_eq!(peer.up.recv().await, Some(hello()));
    connection.send(&Up::Batch(vec![1])).await.unwrap();
    assert_eq!(peer.up.recv().await, Some(Up::Batch(vec![1])));
}

/// Answers each request with these bytes, as they are; without end where told so.
fn hostile(connection: quinn::Connection, bytes: Vec<u8>, endless: bool) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut send, receive)) = connection.accept_bi().await {
            let bytes = bytes.clone();
            held.push(receive);
            tokio::spawn(async move {
                if send.write_all(&bytes).await.is_err() {
                    return;
                }
                let more = vec![0; 64 << 10];
                while endless && send.write_all(&more).await.is_ok() {}
                let _ = send.finish();
                let _ = send.stopped().await;
            });
        }
    })
}

fn announced(bytes: u64) -> Vec<u8> {
    let described = Described { content_type: "image/jpeg".into(), bytes };
    let head = Head::Body(described).encode().unwrap();
    [&(head.len() as u32).to_le_bytes()[..], &head].concat()
}

#[tokio::test]
async fn what_is_no_answer_is_told_at_once_and_never_taken_in_whole() {
    let mut bench = bench();
    let client = client(&bench);
    let misbehaves = [
        (Vec::new(), false, "nothing"),
        (vec![9, 0, 0, 0, 1], false, "cut"),
        (vec![1, 0, 0, 0, 77], false, "a head that is none"),
        (announced(1 << 30), true, "a gigabyte"),
        (announced(10), true, "a gigabyte where ten bytes were announced"),
        (announced(10), false, "less than announced"),
    ];
    for (bytes, endless, what) in misbehaves {
        let (connection, _control) = bare(&bench, &client).await;
        let box_side = hostile(connection.clone(), bytes, endless);
        let mut peer = bench.peers.recv().await.unwrap();
        let begun = Instant::now();
        let told = peer.asker.as_ref().unwrap().ask(&Ask::Support, PATIENCE).await;
        assert!(matches!(told, Err(Unanswered::Misbehaved(_))), "{what}: {told:?}");
        assert!(begun.elapsed() < PATIENCE / 2, "{what}: told at once");
        assert!(connection.stats().udp_tx.bytes < 16 << 20, "{what}: the hub stops it");
        assert_eq!(peer.up.recv().await, Some(hello()), "{what}: the connection goes on");
        box_side.abort();
    }
}

#[tokio::test]
async fn a_box_that_never_answers_is_given_up_and_takes_few_places() {
    let mut bench = bench();
    let client = client(&bench);
    let (connection, _control) = bare(&bench, &client).await;
    let peer = bench.peers.recv().await.unwrap();
    let asker = peer.asker.clone().unwrap();
    let patience = Duration::from_millis(500);
    let asking = || {
        let asker = asker.clone();
        tokio::spawn(async move { asker.ask(&Ask::Support, patience).await })
    };
    let asked: Vec<_> = (0..MOST_REQUESTS).map(|_| asking()).collect();
    let mut streams = Vec::new();
    for _ in 0..MOST_REQUESTS {
        streams.push(connection.accept_bi().await.unwrap());
    }
    assert_eq!(asker.ask(&Ask::Support, patience).await, Err(Unanswered::Busy));
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Err(Unanswered::Silent));
    }
    for (send, _) in &mut streams {
        let stopped = tokio::time::timeout(PATIENCE, send.stopped()).await;
        assert!(stopped.is_ok(), "the box is told that nobody waits");
    }
    // The places are free again, and whoever waits hears at once that the box went.
    let asked = asking();
    connection.accept_bi().await.unwrap();
    connection.close(CLOSED, b"");
    assert_eq!(asked.await.unwrap(), Err(Unanswered::Gone));
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_up_no_lane() {
    let mut bench = bench();
    let client = client(&bench).answering(Arc::new(Obliging::default()));
    let connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    let hub = peer.asker.as_ref().unwrap().connection();
    let (told, mut begun) = tokio::sync::mpsc::channel(MOST_REQUESTS);
    for _ in 0..MOST_REQUESTS {
        let (mut send, mut receive) = hub.open_bi().await.unwrap();
        write(&mut send, &preview(MOST_BODY_BYTES).encode().unwrap()).await.unwrap();
        let told = told.clone();
        tokio::spawn(async move {
            let head = read(&mut receive).await;
            told.send(head.is_ok_and(|head| head.is_some())).await.unwrap();
            std::future::pending::<()>().await;
            drop((send, receive));
        });
    }
    // One of them is under way, up to what the hub takes in without reading; which one is chance.
    assert_eq!(begun.recv().await, Some(true));
    assert_eq!(peer.up.recv().await, Some(hello()));
    for n in 0..30u8 {
        let batch = Up::Batch(vec![n; 90_000]);
        let sent = tokio::time::timeout(PATIENCE, connection.send(&batch)).await;
        assert!(matches!(sent, Ok(Ok(()))), "a lane has room");
        let heard = tokio::time::timeout(PATIENCE, peer.up.recv()).await;
        assert!(heard == Ok(Some(batch)), "a batch gets through");
    }
}
