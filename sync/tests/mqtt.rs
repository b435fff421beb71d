//! Box and hub with a real broker between them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bench;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::journal::Lane;
use rig::relay::Relay;
use sync::driver::Switching;
use sync::link::Path;
use sync::mqtt::{Config, News};

use bench::journal::Paper;
use bench::{Bench, PATIENCE, of, quick};

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes to pass in time")
}

fn paper(n: u128, bulk: u64) -> Arc<Paper> {
    let paper = Arc::new(Paper::new(of(n)));
    paper.write(Lane::Bulk, bulk);
    paper
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_arrives_over_mqtt_alone_each_entry_once() {
    let mut bench = Bench::new();
    let _node = bench.node();
    // Several hundred messages: more than the broker hands over unacknowledged.
    let papers = [paper(1, 120_000), paper(2, 5000)];
    let mut boxes = papers.each_ref().map(|paper| bench.start(paper, &[], quick()));
    in_time(bench.hub.until(|seen| seen.rows >= 1000)).await;
    papers[0].write(Lane::Critical, 30);
    in_time(bench.hub.until(|seen| seen.rows == 125_030)).await;
    in_time(boxes[0].until(|status| status.lag == [0; 2])).await;
    papers.iter().for_each(|paper| bench.hub.check(paper));
    assert_eq!(boxes[0].status.borrow().path, Some(Path::Mqtt));
    let seen = bench.hub.seen();
    assert_eq!((seen.mqtt, seen.again), (125_030, 0), "{seen:?}");
    for one in boxes {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hub_nodes_share_the_boxes_and_none_sees_half_a_lane() {
    let mut bench = Bench::new();
    let nodes = [bench.node(), bench.node()];
    let papers: Vec<_> = (1..=6).map(|n| paper(n, 8000)).collect();
    let _boxes: Vec<_> = papers.iter().map(|paper| bench.start(paper, &[], quick())).collect();
    let seen = in_time(bench.hub.until(|seen| seen.rows == 48_000)).await;
    papers.iter().for_each(|paper| bench.hub.check(paper));
    assert_eq!((seen.gaps, seen.again), (0, 0), "{seen:?}");
    // The boxes of a node that goes say hello to the other.
    nodes[0].send(true).unwrap();
    papers.iter().for_each(|paper| paper.write(Lane::Bulk, 100));
    in_time(bench.hub.until(|seen| seen.rows == 48_600)).await;
    papers.iter().for_each(|paper| bench.hub.check(paper));
}

/// Kills the broker in the middle of a backlog of which it has taken more than the hub has heard.
async fn broker_killed(forgets: bool) {
    let mut bench = Bench::new();
    let _node = bench.node();
    bench.hub.limit(3000);
    let paper = paper(1, 30_000);
    let running = bench.start(&paper, &[], quick());
    in_time(bench.hub.until(|seen| seen.rows >= 3000)).await;
    paper.write(Lane::Critical, 5);
    bench.mosquitto.kill();
    if forgets {
        bench.mosquitto.forget();
    }
    paper.write(Lane::Bulk, 500);
    assert!(bench.hub.seen().rows < 10_000, "it was in the middle");
    bench.hub.limit(usize::MAX);
    bench.mosquitto.restart();
    in_time(bench.hub.until(|seen| seen.rows == 30_505)).await;
    bench.hub.check(&paper);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_mid_stream_loses_and_doubles_nothing() {
    broker_killed(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_forgets_what_it_acknowledged_loses_nothing() {
    broker_killed(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_is_blocked_entries_go_over_mqtt_and_back_when_it_returns() {
    let mut bench = Bench::new();
    let _node = bench.node();
    let relay = Relay::new(bench.udp, false);
    let paper = paper(1, 3000);
    let begun = Instant::now();
    // The time to the first ack is that of the usual settings; the way back is only made shorter.
    let short = Duration::from_secs(3);
    let switching = Switching { probe: short, settle: short, ..Switching::default() };
    let mut running = bench.start(&paper, &[relay.address()], switching);
    in_time(running.until(|status| status.acked.is_some())).await;
    let first = begun.elapsed();
    println!("the first ack over MQTT came after {first:?}");
    assert!(first <= Duration::from_secs(15), "{first:?}");
    assert_eq!(running.status.borrow().path, Some(Path::Mqtt));
    in_time(bench.hub.until(|seen| seen.mqtt == 3000)).await;
    relay.open(true);
    in_time(running.until(|status| status.path == Some(Path::Quic))).await;
    paper.write(Lane::Bulk, 2000);
    let seen = in_time(bench.hub.until(|seen| seen.rows == 5000)).await;
    assert_eq!((seen.mqtt, seen.quic), (3000, 2000));
    bench.hub.check(&paper);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_black_holed_in_mid_batch_doubles_nothing() {
    let mut bench = Bench::new();
    let _node = bench.node();
    let relay = Relay::new(bench.udp, true);
    bench.hub.limit(3000);
    let paper = paper(1, 30_000);
    let patience = Duration::from_secs(4);
    let switching = Switching { patience, ..quick() };
    let mut running = bench.start(&paper, &[relay.address()], switching);
    in_time(bench.hub.until(|seen| seen.held > 0)).await;
    assert_eq!(bench.hub.seen().mqtt, 0);
    let hellos = bench.hub.seen().hellos;
    relay.open(false);
    in_time(running.until(|status| status.path == Some(Path::Mqtt))).await;
    // The hub still has batches of the old way before it, and the box begins again behind the last that was acknowledged.
    in_time(bench.hub.until(|seen| seen.hellos > hellos)).await;
    bench.hub.limit(usize::MAX);
    in_time(bench.hub.until(|seen| seen.rows >= 30_000 && seen.again > 0)).await;
    in_time(running.until(|status| status.lag == [0; 2])).await;
    bench.hub.check(&paper);
    let seen = bench.hub.seen();
    assert!(seen.quic > 3000 && seen.mqtt > 0, "{seen:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_the_hub_has_put_aside_is_asked_for_a_hello() {
    let mut bench = Bench::new();
    // Only that can bring the box to say hello again.
    bench.retry = Duration::from_secs(600);
    let _node = bench.node_with(Config { most: 1, ..Config::default() });
    let papers = [paper(1, 100), paper(2, 100)];
    let mut first = bench.start(&papers[0], &[], quick());
    in_time(first.until(|status| status.acked.is_some() && status.lag == [0; 2])).await;
    let _second = bench.start(&papers[1], &[], quick());
    in_time(bench.hub.until(|seen| seen.rows == 200)).await;
    papers[0].write(Lane::Bulk, 50);
    let seen = in_time(bench.hub.until(|seen| seen.rows == 250)).await;
    assert_eq!(seen.peers, 3, "{seen:?}");
    papers.iter().for_each(|paper| bench.hub.check(paper));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_does_not_touch_quic() {
    let mut bench = Bench::new();
    let _node = bench.node();
    let paper = paper(1, 100);
    let switching = Switching { patience: PATIENCE, ..quick() };
    let mut running = bench.start(&paper, &[bench.udp.to_string()], switching);
    let there = |status: &sync::driver::Status| {
        status.broker && status.acked.is_some() && status.lag == [0; 2]
    };
    in_time(running.until(there)).await;
    bench.mosquitto.kill();
    in_time(running.until(|status| !status.broker)).await;
    paper.write(Lane::Bulk, 900);
    in_time(bench.hub.until(|seen| seen.rows == 1000)).await;
    bench.mosquitto.restart();
    let status = in_time(running.until(|status| status.broker)).await;
    assert_eq!((status.path, status.connections), (Some(Path::Quic), 1));
    bench.hub.check(&paper);
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_shows_the_way_and_the_last_will_that_a_box_was_killed() {
    let mut bench = Bench::new();
    let _node = bench.node();
    let paper = paper(1, 10);
    let mut running = bench.start(&paper, &[bench.udp.to_string()], quick());
    in_time(running.until(|status| status.path == Some(Path::Quic))).await;
    // The broker is connected to also while QUIC carries.
    let path = Some("quic".to_owned());
    let online = |news: &News| match news {
        News::Presence(who, said) => *who == of(1) && said.online && said.path == path,
        News::Telemetry(..) => false,
    };
    while !online(&in_time(bench.news.recv()).await.unwrap()) {}
    running.telemetry.publish(b"{\"load\":1}".to_vec());
    let telemetry = in_time(bench.news.recv()).await.unwrap();
    assert_eq!(telemetry, News::Telemetry(of(1), b"{\"load\":1}".to_vec()));
    // As by kill -9: the sockets close, and nobody says why.
    drop(running.task);
    loop {
        match in_time(bench.news.recv()).await.unwrap() {
            News::Presence(who, said) if !said.online => break assert_eq!(who, of(1)),
            _ => {}
        }
    }
}
