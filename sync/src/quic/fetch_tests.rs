#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use domain::journal::Sha256;

use super::tests::{ack, bench, certified, hello, of};
use super::*;
use crate::blob::Unfetched;
use crate::frame::Up;

const SHA: Sha256 = Sha256([7; 32]);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_box_fetches_from_where_it_stands_and_goes_on_over_the_next_connection() {
    let mut bench = bench();
    let certified = certified(of(5), &bench.authority, 9);
    let client = Client::new(bench.authority.certificate(), certified).unwrap();
    let mut fetcher = client.fetcher();
    // Asked before there is a connection: it waits for one.
    let fetching = tokio::spawn(async move {
        let mut coming = fetcher.fetch(SHA, 3).await.unwrap();
        assert_eq!(coming.bytes, 2_000_000);
        let mut came = 0;
        let broken = loop {
            match coming.next().await {
                Ok(Some(bytes)) => came += bytes.len(),
                Ok(None) => panic!("it does not end"),
                Err(error) => break error,
            }
        };
        assert!(matches!(broken, Unfetched::Broken(_)), "{broken}");
        assert!(came > 0, "some came before the break");
        let mut rest = fetcher.fetch(SHA, 3 + came as u64).await.unwrap();
        while let Some(bytes) = rest.next().await.unwrap() {
            came += bytes.len();
        }
        (came, fetcher)
    });
    let connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    let mut wanted = peer.fetches.as_mut().unwrap().recv().await.unwrap();
    assert_eq!((wanted.fetch.sha256, wanted.fetch.offset), (SHA, 3));
    wanted.begin(2_000_000).await.unwrap();
    wanted.send(&vec![1; 700_000]).await.unwrap();
    // It is read as it comes: then the connection breaks.
    let sent = || connection.bytes().1 > 700_000;
    let arrived = tokio::time::timeout(PATIENCE, async {
        while !sent() {
            tokio::task::yield_now().await;
        }
    });
    arrived.await.unwrap();
    connection.close();
    drop((wanted, peer));
    let connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    let mut wanted = peer.fetches.as_mut().unwrap().recv().await.unwrap();
    let offset = usize::try_from(wanted.fetch.offset).unwrap();
    assert!(offset > 3 && offset <= 700_003, "{offset}");
    wanted.begin(2_000_000).await.unwrap();
    wanted.send(&vec![1; 2_000_000 - offset]).await.unwrap();
    wanted.finish().await;
    let (came, mut fetcher) = fetching.await.unwrap();
    assert_eq!(came, 2_000_000 - 3);

    // What the hub has not it says.
    let asked = tokio::spawn(async move { fetcher.fetch(SHA, 0).await.err() });
    let wanted = peer.fetches.as_mut().unwrap().recv().await.unwrap();
    wanted.refuse("unknown_blob".parse().unwrap()).await;
    let refused = Unfetched::Refused("unknown_blob".parse().unwrap());
    assert_eq!(asked.await.unwrap(), Some(refused));
}

#[tokio::test]
async fn what_is_fetched_and_not_read_holds_up_nothing_that_the_hub_says() {
    let mut bench = bench();
    let certified = certified(of(5), &bench.authority, 9);
    let client = Client::new(bench.authority.certificate(), certified).unwrap();
    let mut connection = client.connect(&bench.address, Congestion::Cubic).await.unwrap();
    connection.send(&hello()).await.unwrap();
    let mut peer = bench.peers.recv().await.unwrap();
    let mut fetcher = client.fetcher();
    let asked = tokio::spawn(async move { fetcher.fetch(SHA, 0).await });
    let mut wanted = peer.fetches.as_mut().unwrap().recv().await.unwrap();
    wanted.begin(64 << 20).await.unwrap();
    let held = asked.await.unwrap().unwrap();
    let pouring = tokio::spawn(async move { wanted.send(&vec![0; 64 << 20]).await });
    assert_eq!(peer.up.recv().await, Some(hello()));
    for n in 0..200u64 {
        peer.down.send(ack(n)).await.unwrap();
        let heard = tokio::time::timeout(PATIENCE, connection.next(false)).await;
        assert_eq!(heard.unwrap(), Event::Heard(ack(n)));
        connection.send(&Up::Batch(vec![1; 20_000])).await.unwrap();
        assert!(peer.up.recv().await.is_some());
    }
    drop(held);
    assert!(pouring.await.unwrap().is_err(), "the hub is told that nobody wants it any more");
}
