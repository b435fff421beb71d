//! Boxes, hub and broker as real processes: `weir`, `weir-hub` on Postgres, Mosquitto as `weir-hub init` sets it up, with TLS and its
//! access list. The oracle is the list of what boxes answered 202 to (`rig::edge`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcgen::{
    CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use rig::edge::{Edge, arrives, chains_hold, until, within, wrong};
use rig::hub::{Brokered, Hub};
use rig::mosquitto::Outsider;
use serde_json::{Value, json};

/// The longest time to the first acknowledgement where UDP is blocked.
const FIRST_ACK: Duration = Duration::from_secs(15);

/// QUIC is probed every minute or somewhat later, and between two switches there is a minute.
const BACK: Duration = Duration::from_secs(180);

/// What a box is handed while something is killed: it takes about half a second.
const ROUND: u32 = 60;

/// A box that has enrolled, and whose journal goes over MQTT.
fn edge(hub: &Hub) -> Edge {
    let edge = Edge::new();
    hub.enroll(&edge.data());
    edge.waits("connected by MQTT", |state| state["path"] == "mqtt");
    edge
}

fn boxes(hub: &Hub) -> Vec<Value> {
    serde_json::from_str(&hub.run(&["box", "list", "--json"])).unwrap()
}

/// The only box at the hub, once it is connected in this way.
fn shows(hub: &Hub, connected: &str) -> Value {
    until(connected, || boxes(hub).pop().filter(|it| it["connected"] == connected))
}

fn broker_connected(hub: &Hub) -> Option<bool> {
    let (_, metrics) = hub.get("/metrics", "");
    let line = metrics.lines().find_map(|line| line.strip_prefix("weir_hub_broker_connected "));
    line.map(|value| value == "1")
}

#[test]
fn where_udp_is_blocked_the_journal_goes_over_mqtt_and_back_when_it_returns() {
    let Brokered { hub, udp, .. } = &Hub::start_with_broker();
    let mut edge = Edge::new();
    edge.submit(5);
    hub.enroll(&edge.data());
    let begun = Instant::now();
    let acked = |state: &Value| !state["acknowledged_seconds"].is_null();
    let state = edge.waits("the first ack", acked);
    let first = begun.elapsed();
    println!("the first ack over MQTT came after {first:?}");
    assert!(first <= FIRST_ACK, "{first:?}");
    assert_eq!(state["path"], "mqtt");
    edge.submit(20);
    assert_eq!(edge.accepted.len(), 25);
    arrives(hub, &edge.accepted);
    let shown = shows(hub, "mqtt");
    assert!(shown["connected_since"].as_f64() > Some(0.0), "{shown}");
    assert!(shown.get("telemetry").is_none(), "of one box only: {shown}");

    udp.open(true);
    within(BACK, "QUIC again", || {
        edge.submit(1);
        Some(()).filter(|()| edge.replication()["path"] == "quic")
    });
    edge.submit(5);
    arrives(hub, &edge.accepted);
    shows(hub, "quic");
    // What it sends of its load comes by the broker also while QUIC carries.
    let id = shown["box"].as_str().unwrap();
    let one: Value = until("telemetry", || {
        let one: Value = serde_json::from_str(&hub.run(&["box", "show", id, "--json"])).unwrap();
        Some(one).filter(|one| one["telemetry"]["health"].is_string())
    });
    assert!(one["telemetry_at"].as_f64() > Some(0.0), "{one}");
    let token = hub.run(&["token", "create", "ops"]);
    let (status, body) = hub.get(&format!("/v1/boxes/{id}"), &token);
    let one: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &one["connected"]), (200, &json!("quic")), "{one}");
    assert!(one["telemetry"]["release"].is_string(), "{one}");
    edge.service.take().unwrap().stop();
    shows(hub, "offline");
    chains_hold(hub, &edge.data());
}

/// Kills something at moments of all kinds while boxes replicate, and brings it back.
fn killed(rounds: u32, mut kill: impl FnMut(&mut Brokered), mut back: impl FnMut(&mut Brokered)) {
    let mut all = Hub::start_with_broker();
    let mut edges = [edge(&all.hub), edge(&all.hub)];
    for round in 0..rounds {
        // Under way while it happens, not before and after.
        std::thread::scope(|scope| {
            edges.iter_mut().for_each(|edge| drop(scope.spawn(|| edge.submit(ROUND))));
            // The moment is the fault that is injected.
            std::thread::sleep(Duration::from_millis(u64::from(41 * (round * round % 7))));
            kill(&mut all);
            std::thread::sleep(Duration::from_millis(100));
            back(&mut all);
        });
        // In every other round there is no time to connect before it is gone again.
        if round % 2 == 0 {
            edges.iter().for_each(|edge| arrives(&all.hub, &edge.accepted));
        }
    }
    for edge in &mut edges {
        edge.submit(2);
        assert_eq!(
            edge.accepted.len(),
            (rounds * ROUND + 2) as usize,
            "boxes work whatever is away"
        );
        arrives(&all.hub, &edge.accepted);
        let state = edge.waits("everything acknowledged", |state| {
            state["bulk_lag"] == 0 && state["critical_lag"] == 0
        });
        assert_eq!((&state["path"], &state["forks"]), (&json!("mqtt"), &json!(0)), "{state}");
        edge.service.take().unwrap().stop();
        chains_hold(&all.hub, &edge.data());
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_the_broker_is_killed() {
    killed(6, |all| all.mosquitto.kill(), |all| all.mosquitto.restart());
}

#[test]
fn nothing_is_lost_or_doubled_while_the_hub_is_killed() {
    killed(4, |all| all.hub.kill(), |all| all.hub.serve());
}

#[test]
fn a_tenants_subscriber_hears_its_decisions_and_no_others() {
    let all = Hub::start_with_broker();
    let Brokered { hub, mosquitto, .. } = &all;
    let mut edge = edge(hub);
    let settings = hub.dir().join("weir-hub.toml");
    let subscriber = |tenant: &str| {
        let dir = hub.dir();
        let [config, dir] = [settings.to_str().unwrap(), dir.to_str().unwrap()];
        hub.run(&["subscriber", "--config", config, "--tenant", tenant, "--dir", dir]);
        let certified = ["pem", "key"].map(|end| hub.dir().join(format!("{tenant}.{end}")));
        let authority = hub.dir().join("authority.pem");
        Outsider { port: mosquitto.ports()[0], authority, certified: Some(certified) }
    };
    // The tenant of a box without tokens.
    let [ours, other] = ["default", "other"].map(subscriber);
    let heard = |who: &Outsider, topics: [&str; 2]| {
        let [one, other] = topics;
        let output = who.call("mosquitto_sub", &["-W", "4", "-t", one, "-t", other]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let results = "weir/v1/+/t/default/results";
    let (heard, not) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| heard(&ours, [results, "none"]));
        let others = scope.spawn(|| heard(&other, [results, "#"]));
        until("both to listen", || {
            let said = mosquitto.said();
            [" as other", " as default"].iter().all(|name| said.contains(name)).then_some(())
        });
        edge.submit(5);
        (ours.join().unwrap(), others.join().unwrap())
    });
    let submissions: Vec<_> = heard.iter().filter_map(|it| it["submission"].as_str()).collect();
    assert!(submissions.len() >= 3, "lossy, but not without need: {heard:?}");
    assert!(submissions.iter().all(|id| edge.accepted.contains(*id)), "{heard:?}");
    for told in &heard {
        assert_eq!(told["decision"], 0, "{told}");
        assert!(told["status"].is_string() && told["at"].is_number(), "{told}");
        assert!(!told.to_string().contains("caption"), "no text goes along: {told}");
    }
    assert_eq!(not, Vec::<Value>::new());
}

/// Somebody with a certificate in the name of a box, as if its key had been stolen.
fn forger(all: &Brokered, name: &str, port: usize) -> Outsider {
    let read = |file: &str| std::fs::read_to_string(all.hub.dir().join(file)).unwrap();
    let key = KeyPair::from_pem(&read("authority.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("authority.pem"), key).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let file = |suffix: &str, text: &str| -> PathBuf {
        let path = all.hub.dir().join(format!("{name}.{suffix}"));
        std::fs::write(&path, text).unwrap();
        path
    };
    Outsider {
        port: all.mosquitto.ports()[port],
        authority: all.hub.dir().join("authority.pem"),
        certified: Some([file("pem", &certificate.pem()), file("key", &key.serialize_pem())]),
    }
}

#[test]
fn a_revoked_box_is_cut_off_within_five_seconds_and_silenced_at_the_broker() {
    let all = Hub::start_with_broker();
    let Brokered { hub, mosquitto, .. } = &all;
    let mut out = edge(hub);
    out.submit(2);
    arrives(hub, &out.accepted);
    let of = hub.query("SELECT box FROM boxes")[0].clone();
    let mut stays = edge(hub);
    let entries = || hub.query(&format!("SELECT sum(seq) FROM cursors WHERE box = '{of}'"));
    out.waits("acknowledged", |state| state["bulk_lag"] == 0 && state["critical_lag"] == 0);

    let begun = Instant::now();
    hub.run(&["box", "revoke", &of]);
    out.waits("cut off", |state| state["path"].is_null() && state["problem"]["code"] == "refused");
    let took = begun.elapsed();
    println!("cut off over MQTT after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let before = (entries(), out.accepted.len());
    out.submit(3);
    assert_eq!(out.accepted.len(), before.1 + 3, "a box without a hub works");
    // The other one's come, these do not.
    stays.submit(3);
    arrives(hub, &stays.accepted);
    assert_eq!(entries(), before.0);
    assert_eq!(wrong(hub, &out.accepted).len(), 3);

    // At the broker it may do nothing any more, also by a connection that was open.
    let acl = hub.dir().join("broker/acl");
    let denied = format!("user {of}\ntopic deny #\n");
    until("the access list", || {
        std::fs::read_to_string(&acl).unwrap().contains(&denied).then_some(())
    });
    let (theirs, nodes) = (forger(&all, &of, 0), forger(&all, "weir-hub", 1));
    let topic = format!("weir/v1/{of}/telemetry");
    theirs.leave(&topic, "{}");
    assert_eq!(nodes.left(&topic).len(), 1, "a broker that has not read the list lets it");
    mosquitto.reload();
    until("the broker to have read it", || mosquitto.said().contains("Reloading").then_some(()));
    theirs.leave(&topic, "{\"forged\":1}");
    assert_eq!(nodes.left(&topic), [format!("{topic} {{}}")], "what lay there before");
    assert!(nodes.leave(&format!("weir/v1/{of}/down"), "not for its ears"));
    assert!(theirs.left(&format!("weir/v1/{of}/down")).is_empty());
    stays.submit(3);
    arrives(hub, &stays.accepted);
}

#[test]
fn a_hub_whose_broker_is_away_serves_and_comes_to_hear_it() {
    let mut all = Hub::start_with_broker();
    until("the broker", || broker_connected(&all.hub).filter(|it| *it));
    all.hub.kill();
    all.mosquitto.kill();
    all.udp.open(true);
    all.hub.serve();
    assert_eq!(broker_connected(&all.hub), Some(false));
    let mut edge = Edge::new();
    all.hub.enroll(&edge.data());
    edge.submit(3);
    arrives(&all.hub, &edge.accepted);
    assert_eq!(edge.replication()["path"], "quic");
    all.mosquitto.restart();
    until("the broker again", || broker_connected(&all.hub).filter(|it| *it));
    shows(&all.hub, "quic");
    let without = Hub::start();
    assert_eq!(broker_connected(&without), None);
}

#[test]
fn an_order_of_the_hub_reaches_a_box_over_mqtt_and_so_does_its_receipt() {
    let Brokered { hub, udp: _udp, mosquitto: _mosquitto, .. } = &Hub::start_with_broker();
    let edge = edge(hub);
    let to = format!("box/{}", hub.query("SELECT box FROM boxes")[0]);
    let order = hub.order(&to, r#"{"kind":"flag","name":"movies","on":true}"#);
    until("the receipt", || {
        let receipts = hub.receipts(&to, &order);
        receipts.values().all(|state| state == "applied").then_some(())
    });
    assert_eq!(edge.replication()["path"], "mqtt");
}
