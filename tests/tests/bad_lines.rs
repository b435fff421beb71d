//! Boxes and their hub over lines that lose much, come and go, and with a database that is full. The oracle is the list of what the boxes answered
//! 202 to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use rig::edge::{Edge, arrives, chains_hold, within};
use rig::hub::Hub;
use rig::mount::Mount;

/// A way that stays open or closed for so long.
const FLAP: Duration = Duration::from_secs(7);

/// At most one change of the way within it.
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn nothing_is_lost_or_doubled_where_one_packet_in_twenty_is_or_one_in_five() {
    let (mut hub, udp) = Hub::start_relayed();
    let mut edge = Edge::new();
    hub.enroll(&edge.data());
    for per_mille in [50, 200] {
        udp.lose(per_mille);
        let before = edge.accepted.len();
        edge.submit(120);
        hub.kill();
        edge.submit(30);
        hub.serve();
        edge.kill();
        edge.start();
        edge.submit(10);
        assert!(edge.accepted.len() > before + 140, "too little was accepted to say anything");
        arrives(&hub, &edge.accepted);
        edge.waits("everything acknowledged", |state| {
            state["bulk_lag"] == 0 && state["critical_lag"] == 0
        });
    }
    assert!(udp.lost() > 30, "the line was good: {} datagrams lost", udp.lost());
    edge.service.take().unwrap().stop();
    chains_hold(&hub, &edge.data());
}

#[test]
fn a_way_that_comes_and_goes_every_seven_seconds_loses_nothing_and_is_not_followed_each_time() {
    let brokered = Hub::start_with_broker();
    let mut edge = Edge::new();
    brokered.udp.open(true);
    brokered.hub.enroll(&edge.data());
    edge.waits("connected", |state| state["path"] == "quic");
    let begun = Instant::now();
    // When the way changed from one to the other.
    let (mut last, mut changes) = ("quic".to_owned(), vec![]);
    for round in 0u32.. {
        brokered.udp.open(round % 2 == 1);
        edge.submit(3);
        let end = begun + FLAP * (round + 1);
        while Instant::now() < end {
            if let Some(path) = edge.replication()["path"].as_str()
                && path != last
            {
                last = path.to_owned();
                changes.push(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // Long enough for a second change, which the first puts off.
        if begun.elapsed() > MINUTE + FLAP * 3 {
            break;
        }
    }
    brokered.udp.open(true);
    arrives(&brokered.hub, &edge.accepted);
    println!("changed at {changes:?}");
    // What is seen lies up to a few tenths behind what happened.
    let early = changes.windows(2).find(|two| two[1] - two[0] < MINUTE - Duration::from_secs(1));
    assert_eq!(early, None, "{changes:?}");
    assert!(!changes.is_empty(), "the box never left a way that was closed half of the time");
    edge.service.take().unwrap().stop();
    chains_hold(&brokered.hub, &edge.data());
}

#[test]
fn a_full_disk_of_the_database_holds_boxes_up_and_loses_nothing() {
    let Some(disk) = Mount::new("320m") else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let mut hub = Hub::start_on(disk.path());
    let mut edge = Edge::new();
    hub.enroll(&edge.data());
    edge.submit(10);
    arrives(&hub, &edge.accepted);
    let filled = disk.fill("ballast");
    assert!(filled > 1 << 20, "it was full before: {filled} bytes");
    edge.submit(40);
    assert_eq!(edge.accepted.len(), 50, "a box works whatever its hub does");
    // Rows need room on that disk, which there is not: not for long, if at all.
    let waits = within(Duration::from_secs(60), "the hub says that it cannot", || {
        edge.submit(20);
        let state = edge.replication();
        (state["bulk_lag"].as_u64() > Some(20) && hub.postgres.said().contains("No space left"))
            .then_some(state)
    });
    println!("while it is full: {waits}");
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    // Where its log had no room it ended; somebody starts it again.
    hub.postgres.restart();
    arrives(&hub, &edge.accepted);
    edge.service.take().unwrap().stop();
    chains_hold(&hub, &edge.data());
}
