//! What the hub asks of real boxes: `weir` and `weir-hub` on Postgres, two nodes of it. The oracle is what the box was given, and what lies
//! in the hub's database and on its disk.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use rig::edge::{Edge, arrives, until};
use rig::hub::{Answered, Hub};
use rig::media::{jpeg_size, photo, scene};
use rig::service::Service;
use rig::sha256;
use serde_json::{Value, json};

fn edge(hub: &Hub, name: &str) -> Edge {
    let edge = Edge::new();
    hub.enroll_as(name, &edge.data(), &["default"]);
    edge.waits("connected", |state| state["path"] == "quic");
    edge
}

/// A hub with a tenant, and a token that may ask.
fn start() -> (Hub, String) {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "default"]);
    let token = hub.run(&["token", "create", "moderators", "--requests"]);
    (hub, token)
}

fn only_box(hub: &Hub) -> String {
    hub.query("SELECT box FROM boxes")[0].clone()
}

fn judged(service: &Service, meta: &Value, medium: &[u8]) -> Value {
    let answer = service.submit_with(&[("prefer", "wait=30")], meta, &[medium]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// A large photo with a block of Exif that names somebody, which the box rejects.
fn rejected(service: &Service) -> (String, Vec<u8>) {
    let jpeg = scene(1600, 1200, 5).jpeg(90).unwrap();
    let block = [&b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"[..], b"taken by Zuri"].concat();
    let length = u16::try_from(block.len() + 2).unwrap().to_be_bytes();
    let original = [&jpeg[..2], &[0xff, 0xe1], &length, &block, &jpeg[2..]].concat();
    let hash = json!({ "kind": "sha256", "hash": sha256(&original), "category": "violence" });
    let kind = ("content-type", "application/json");
    let listed = service.call("POST", "/v1/hashes", &[kind], hash.to_string().as_bytes());
    assert_eq!(listed.status, 201, "{listed:?}");
    let view = judged(service, &json!({ "text": "look what I have" }), &original);
    assert_eq!(view["status"], "rejected", "{view}");
    let id = view["id"].as_str().unwrap().to_owned();
    assert_eq!(service.evidence(&id)[0]["state"], "here");
    (id, original)
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn shows(answered: &Answered, original: &[u8]) {
    let told = String::from_utf8_lossy(&answered.bytes);
    assert_eq!((answered.status, answered.content_type.as_str()), (200, "image/jpeg"), "{told}");
    assert!(answered.no_store);
    assert_eq!(jpeg_size(&answered.bytes), (512, 384));
    for mark in [&b"Exif"[..], b"Zuri"] {
        assert!(contains(original, mark) && !contains(&answered.bytes, mark), "{mark:?}");
    }
}

#[test]
fn findings_and_a_small_preview_come_from_the_box_by_whichever_node_is_asked() {
    let (hub, token) = start();
    let edge = edge(&hub, "one");
    let of = only_box(&hub);
    let (id, original) = rejected(edge.service());
    let preview = json!({ "kind": "preview", "submission": id, "by": "eve" });
    let findings = json!({ "kind": "findings", "submission": id });
    shows(&hub.ask(&token, &of, &preview), &original);
    let found = hub.ask(&token, &of, &findings);
    assert_eq!((found.status, found.content_type.as_str()), (200, "application/json"));
    let found = found.json();
    let own = edge.service().get(&format!("/v1/submissions/{id}")).body;
    assert_eq!((&found["findings"], &found["status"]), (&own["findings"], &json!("rejected")));
    assert!(found["parts"].as_array().is_some_and(|parts| !parts.is_empty()), "{found}");
    let text = hub.ask(&token, &of, &json!({ "kind": "text", "submission": id }));
    assert_eq!((text.status, &*text.bytes), (200, &b"look what I have"[..]));
    let support = hub.ask(&token, &of, &json!({ "kind": "support" }));
    assert_eq!(support.json()["format"], "weir-support/1");

    // The box is not connected to this one.
    let node = hub.another_node();
    shows(&node.ask(&token, &of, &preview), &original);
    assert_eq!(node.ask(&token, &of, &findings).json(), found);
    let unknown = uuid::Uuid::from_u128(7).to_string();
    let unknown = json!({ "kind": "findings", "submission": unknown });
    let missing = (404, "unknown".to_owned());
    assert_eq!(node.ask(&token, &of, &unknown).problem(), missing);
    assert_eq!(hub.ask(&token, &of, &unknown).problem(), missing);

    // Nothing of it stays, and none of it was ever on its way to a standby or a backup.
    assert_eq!(
        hub.query(
            "SELECT (SELECT count(*) FROM box_requests) + (SELECT count(*) FROM box_answers)"
        ),
        ["0"]
    );
    let kept = "SELECT relname FROM pg_class WHERE relname IN ('box_requests', 'box_answers') AND relpersistence <> 'u'";
    assert_eq!(hub.query(kept), Vec::<String>::new());
    // Who asked what is written down, here and in the box's own journal.
    let log = hub.query("SELECT kind, submission, medium, token, asked_by, outcome, bytes > 0 FROM request_log ORDER BY asked_at");
    let line = |kind: &str, medium: &str, by: &str| {
        format!("{kind}|{id}|{medium}|moderators|{by}|answered|t")
    };
    assert_eq!(log[..2], [line("preview", "0", "eve"), line("findings", "", "moderators")]);
    assert_eq!(log.len(), 8);
    assert!(log[7].ends_with("|moderators|unknown|"), "{log:?}");
    edge.waits("all acknowledged", |state| state["bulk_lag"] == 0);
    until("the box's word of it", || {
        let entries = hub
            .query("SELECT seq FROM entries WHERE position('hub.preview:0'::bytea IN record) > 0");
        (entries.len() == 2).then_some(())
    });
}

#[test]
fn who_may_not_ask_is_refused_and_a_box_that_is_away_is_said_to_be() {
    let (hub, token) = start();
    let mut edge = edge(&hub, "one");
    let of = only_box(&hub);
    let support = json!({ "kind": "support" });
    for rights in [&[][..], &["--orders"]] {
        let name = format!("other{}", rights.len());
        let other = hub.run(&[&["token", "create", &name], rights].concat());
        assert_eq!(hub.ask(&other, &of, &support).status, 403);
    }
    assert_eq!(hub.ask("weirhub_nobody", &of, &support).status, 401);
    assert_eq!(hub.query("SELECT count(*) FROM request_log"), ["0"]);
    for (request, status) in [
        (json!({ "kind": "preview" }), 400),
        (json!({ "kind": "shell" }), 400),
        (json!({ "kind": "findings", "submission": of, "index": 1 }), 400),
    ] {
        assert_eq!(hub.ask(&token, &of, &request).status, status, "{request}");
    }
    let stranger = uuid::Uuid::from_u128(9).to_string();
    assert_eq!(hub.ask(&token, &stranger, &support).status, 404);
    edge.kill();
    // QUIC itself learns of it only later: until then the box is silent, then away.
    let away = (503, "box_away".to_owned());
    let gone = until("away", || {
        let told = hub.ask(&token, &of, &json!({ "kind": "text", "submission": of })).problem();
        assert!(told == away || told == (504, "box_silent".to_owned()), "{told:?}");
        (told == away).then_some(told)
    });
    assert_eq!(gone, away);
    hub.run(&["box", "revoke", &of]);
    assert_eq!(hub.ask(&token, &of, &support).problem(), (409, "box_barred".to_owned()));
    let outcomes = hub.query("SELECT DISTINCT outcome FROM request_log WHERE outcome IS NULL");
    assert_eq!(outcomes, Vec::<String>::new(), "each came to something");
}

#[test]
fn a_box_that_is_killed_while_it_is_asked_is_told_in_time_at_both_nodes() {
    let (hub, token) = start();
    let mut edge = edge(&hub, "one");
    let of = only_box(&hub);
    let node = hub.another_node();
    // Stopped, not ended: the connection is there, and nobody answers.
    let pid = edge.service().id().to_string();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &pid]).status();
    assert!(signal("-STOP").unwrap().success());
    let findings = json!({ "kind": "findings", "submission": of });
    let begun = Instant::now();
    let asked: Vec<(u16, String)> = std::thread::scope(|scope| {
        let here = scope.spawn(|| hub.ask(&token, &of, &findings).problem());
        let there = scope.spawn(|| node.ask(&token, &of, &findings).problem());
        // Both are under way: then it dies.
        until("both asked", || {
            (hub.query("SELECT count(*) FROM request_log") == ["2"]).then_some(())
        });
        edge.kill();
        [here, there].map(|asked| asked.join().unwrap()).into()
    });
    for told in asked {
        let silent = told == (504, "box_silent".to_owned());
        assert!(silent || told == (503, "box_away".to_owned()), "{told:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(hub.query("SELECT count(*) FROM box_requests"), ["0"]);
}

#[test]
fn what_another_policy_would_have_decided_comes_back_in_counts() {
    let (hub, token) = start();
    let edge = edge(&hub, "one");
    let of = only_box(&hub);
    let given = ["avatar", "post", "avatar"].map(|surface| {
        let view = judged(edge.service(), &json!({ "surface": surface }), &photo(1));
        assert_eq!(view["status"], "approved", "{view}");
        view["id"].clone()
    });
    let policy = "name = \"strict\"\nversion = 2\nrequired = []\n[[rule]]\nid = \"own\"\nwhen = 'context.surface == \"avatar\"'\n\
                  category = \"spam\"\nseverity = \"low\"\naction = \"reject\"\nreason = \"odd\"\n";
    let replay = |tenant: &str, policy: &str| json!({ "kind": "replay", "tenant": tenant, "policy": policy, "by": "eve" });
    let told = hub.ask(&token, &of, &replay("default", policy));
    assert_eq!((told.status, told.no_store), (200, true), "{told:?}");
    let mut counts = told.json();
    // The newest first.
    let moved = json!([{ "from": "approved", "to": "rejected", "count": 2, "samples": [given[2], given[0]] }]);
    assert_eq!(counts["moves"].take(), moved);
    let numbers = json!({ "policy": "strict@2", "seen": 3, "whole": true, "without_evidence": 0, "same": 1, "other_reasons": 0,
        "changed": 2, "ended_early": 0, "moves": null });
    assert_eq!(counts, numbers);
    // By the node that the box is not connected to, of what was decided since; nothing has changed by it.
    let node = hub.another_node();
    let mut later = replay("default", policy);
    later["since"] = json!(4_000_000_000u32);
    assert_eq!(node.ask(&token, &of, &later).json()["seen"], 0);
    for id in &given {
        let id = id.as_str().unwrap();
        assert_eq!(edge.service().get(&format!("/v1/submissions/{id}")).body["decision"], 0);
    }
    let large = format!("{policy}# {}\n", "x".repeat(200 << 10));
    assert_eq!(node.ask(&token, &of, &replay("default", &large)).json()["seen"], 3);
    let problem = |request: &Value| hub.ask(&token, &of, request).problem();
    assert_eq!(problem(&replay("default", "nonsense")), (422, "unusable".to_owned()));
    assert_eq!(problem(&replay("bank", policy)), (404, "unknown_tenant".to_owned()));
    let huge = format!("{policy}# {}\n", "x".repeat(256 << 10));
    for request in [
        replay("default", &huge),
        json!({ "kind": "replay", "policy": policy }),
        json!({ "kind": "replay", "tenant": "default" }),
        json!({ "kind": "support", "tenant": "default" }),
        json!({ "kind": "replay", "tenant": "default", "policy": policy, "submission": of }),
    ] {
        assert_eq!(hub.ask(&token, &of, &request).status, 400);
    }
    let log = hub.query("SELECT DISTINCT kind, asked_by, outcome FROM request_log ORDER BY 3");
    assert_eq!(log, ["replay|eve|answered", "replay|eve|unknown_tenant", "replay|eve|unusable"]);
}

#[test]
fn requests_and_a_backlog_do_not_stop_each_other() {
    let (hub, token) = start();
    // All of it from before the box was the hub's.
    let mut edge = Edge::new();
    let (id, original) = rejected(edge.service());
    edge.submit(600);
    assert_eq!(edge.accepted.len(), 600);
    hub.enroll_as("one", &edge.data(), &["default"]);
    let of = only_box(&hub);
    let preview = json!({ "kind": "preview", "submission": id });
    let mut answered = 0;
    let begun = Instant::now();
    while answered < 10 {
        let told = hub.ask(&token, &of, &preview);
        match told.status {
            200 => {
                shows(&told, &original);
                answered += 1;
            }
            // It has not connected yet.
            _ => assert_eq!(told.problem(), (503, "box_away".to_owned())),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{answered} answers");
    }
    arrives(&hub, &edge.accepted);
}
