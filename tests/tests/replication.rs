//! Boxes and their hub, as real processes over a real Postgres. The oracle is a list outside: whatever a box answered 202 to has exactly
//! one machine decision at the hub in the end, and every chain holds on both sides.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rig::edge::{Edge, arrives, chains_hold, wrong};
use rig::hub::Hub;
use rig::weir;
use serde_json::{Value, json};

#[test]
fn a_box_without_a_hub_works_and_one_that_enrols_is_replicated_from_its_first_entry_on() {
    let mut edge = Edge::new();
    assert_eq!(edge.replication(), Value::Null);
    edge.submit(5);
    let hub = Hub::start();
    hub.enroll(&edge.data());
    edge.submit(5);
    assert_eq!(edge.accepted.len(), 10);
    arrives(&hub, &edge.accepted);
    let state = edge.waits("everything acknowledged", |state| {
        state["bulk_lag"] == 0 && state["critical_lag"] == 0
    });
    assert_eq!(state["path"], "quic");
    assert_eq!((&state["forks"], &state["problem"]), (&json!(0), &Value::Null));
    let metrics = edge.service().bytes("/metrics", &[]).1;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("weir_replication_path{path=\"quic\"} 1"), "{metrics}");
    assert!(hub.run(&["box", "list"]).contains("enrolled"));
    // Its captions went along, beside the chain.
    let sides = hub.query("SELECT count(*) FROM sides");
    assert!(sides[0].parse::<u64>().unwrap() >= 10, "{sides:?}");
    assert_eq!(edge.service.take().unwrap().stop(), Some(0));
    // At its end the box seals its journal; the hub sees the seal at the next start, and gives its receipt.
    edge.start();
    edge.waits("a receipt", |state| state["receipts"].as_u64() > Some(0));
    edge.service.take().unwrap().stop();
    chains_hold(&hub, &edge.data());
}

#[test]
fn a_token_is_good_once_and_a_wrong_one_changes_nothing() {
    let (hub, edge, other) = (Hub::start(), Edge::new(), Edge::new());
    let token = hub.token();
    let enroll =
        |data: &Path, token: &str| weir::run(["enroll", token, "--data", data.to_str().unwrap()]);
    let run = enroll(&edge.data(), &token[..token.len() - 3]);
    assert!(run.code != Some(0) && run.stderr.contains("copy the whole line"), "{run:#?}");
    assert_eq!(edge.replication(), Value::Null);
    assert_eq!(enroll(&edge.data(), &token).code, Some(0));
    let run = enroll(&other.data(), &token);
    assert!(run.code != Some(0) && run.stderr.contains("refused"), "{run:#?}");
    assert_eq!(other.replication(), Value::Null);
    // The token of another hub's authority.
    let stranger = Hub::start();
    edge.waits("connected", |state| state["path"] == "quic");
    drop(stranger);
}

#[test]
fn nothing_is_lost_or_doubled_while_box_hub_and_database_are_killed() {
    let mut hub = Hub::start();
    let mut edges = [Edge::new(), Edge::new()];
    edges.iter().for_each(|edge| hub.enroll(&edge.data()));
    for round in 0..6u64 {
        edges.iter_mut().for_each(|edge| edge.submit(8));
        // The moment is the fault that is injected.
        std::thread::sleep(Duration::from_millis(37 * (round * round % 7)));
        match round % 3 {
            0 => hub.kill(),
            1 => edges[0].kill(),
            _ => hub.postgres.kill(),
        }
        edges.iter_mut().filter(|edge| edge.service.is_some()).for_each(|edge| edge.submit(4));
        match round % 3 {
            0 => hub.serve(),
            1 => edges[0].start(),
            _ => hub.postgres.restart(),
        }
    }
    for edge in &mut edges {
        edge.submit(2);
        assert!(edge.accepted.len() > 40, "too little was accepted to say anything");
        arrives(&hub, &edge.accepted);
        edge.service.take().unwrap().stop();
        chains_hold(&hub, &edge.data());
    }
}

/// The negative control: a box that loses what it acknowledged is found out by the same list.
#[test]
fn a_disk_that_only_says_it_synced_is_found_out_at_the_hub() {
    let mut hub = Hub::start();
    let mut edge = Edge::new();
    hub.enroll(&edge.data());
    edge.submit(3);
    arrives(&hub, &edge.accepted);
    hub.kill();
    edge.power.lie();
    edge.submit(20);
    edge.kill();
    edge.power.cut();
    edge.start();
    hub.serve();
    edge.submit(3);
    let last: BTreeSet<String> = edge.accepted.iter().rev().take(3).cloned().collect();
    arrives(&hub, &last);
    assert!(!wrong(&hub, &edge.accepted).is_empty(), "acknowledged, never synced, and not missed");
}

#[test]
fn a_copied_box_goes_on_in_an_epoch_of_its_own_and_both_are_told() {
    let hub = Hub::start();
    let mut edge = Edge::new();
    hub.enroll(&edge.data());
    edge.submit(6);
    arrives(&hub, &edge.accepted);
    edge.service.take().unwrap().stop();
    // The disk is copied, and both run.
    let mut copy = Edge::new();
    copy.kill();
    std::fs::remove_dir_all(copy.data()).unwrap();
    let from = edge.data();
    let status = std::process::Command::new("cp").arg("-a").arg(&from).arg(copy.data()).status();
    assert!(status.unwrap().success());
    edge.start();
    edge.submit(5);
    arrives(&hub, &edge.accepted);
    edge.service.take().unwrap().stop();
    copy.start();
    copy.submit(7);
    arrives(&hub, &copy.accepted);
    let state = copy.waits("the fork", |state| state["forks"] == 1);
    assert_eq!(state["path"], "quic");
    let health = copy.service().get("/v1/status").body["health"].clone();
    assert!(health["notices"].as_array().unwrap().iter().any(|n| n["code"] == "fork"), "{health}");
    assert_eq!(hub.query("SELECT count(*) > 0 FROM alarms WHERE kind = 'fork'"), ["t"]);
    assert_eq!(wrong(&hub, &edge.accepted), Vec::<String>::new());
    copy.service.take().unwrap().stop();
    chains_hold(&hub, &copy.data());
}

#[test]
fn a_revoked_box_is_cut_off_within_five_seconds_and_works_on() {
    let hub = Hub::start();
    let mut edge = Edge::new();
    hub.enroll(&edge.data());
    edge.submit(2);
    arrives(&hub, &edge.accepted);
    let list = hub.query("SELECT box FROM boxes");
    let begun = Instant::now();
    hub.run(&["box", "revoke", &list[0]]);
    edge.waits("cut off", |state| state["path"].is_null() && state["problem"]["code"] == "refused");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let before = edge.accepted.len();
    edge.submit(3);
    assert_eq!(edge.accepted.len(), before + 3, "a box without a hub works");
}
