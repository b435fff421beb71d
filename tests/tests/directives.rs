//! What the hub orders, done by real boxes: `weir` and `weir-hub` on Postgres. The oracle is what the boxes' own APIs answer, and what the
//! hub's database has of their journals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Instant;

use rig::edge::{Edge, chains_hold, until};
use rig::hub::Hub;
use rig::media::{photo, scene};
use rig::sha256;
use rig::weir;
use serde_json::{Value, json};

/// A box that is the hub's, and connected.
fn edge(hub: &Hub, name: &str) -> Edge {
    let edge = Edge::new();
    hub.enroll_as(name, &edge.data(), &["default"]);
    edge.waits("connected", |state| state["path"] == "quic");
    edge
}

fn start() -> Hub {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "default"]);
    hub
}

fn judged(edge: &Edge, meta: &Value, medium: &[u8]) -> Value {
    let headers = [("prefer", "wait=30")];
    let answer = edge.service().submit_with(&headers, meta, &[medium]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Waits until every box has said that it did as it was told.
fn applied(hub: &Hub, to: &str, order: &(String, u64), boxes: usize) {
    until("all receipts", || {
        let receipts = hub.receipts(to, order);
        let done = receipts.values().filter(|state| *state == "applied").count();
        assert!(receipts.values().all(|it| it == "applied" || it == "pending"), "{receipts:?}");
        (done == boxes).then_some(())
    });
}

#[test]
fn what_a_tenant_lists_is_refused_on_all_its_boxes() {
    let hub = start();
    let boxes = [edge(&hub, "one"), edge(&hub, "two")];
    for edge in &boxes {
        assert_eq!(judged(edge, &json!({}), &photo(1))["status"], "approved");
    }
    let hash = sha256(&photo(1));
    let entry = |add: bool| json!({ "kind": "list", "add": add, "of": "sha256", "hash": hash, "category": "sexual" });
    let begun = Instant::now();
    let order = hub.order("tenant/default", &entry(true).to_string());
    for edge in &boxes {
        until("refused", || {
            let status = judged(edge, &json!({}), &photo(1))["status"].clone();
            (status == "rejected").then_some(())
        });
    }
    println!("refused on both boxes {:?} after the command began", begun.elapsed());
    applied(&hub, "tenant/default", &order, 2);
    for edge in &boxes {
        assert_eq!(
            judged(edge, &json!({}), &photo(2))["status"],
            "approved",
            "only what is listed"
        );
    }
    let back = hub.order("tenant/default", &entry(false).to_string());
    applied(&hub, "tenant/default", &back, 2);
    assert_eq!(judged(&boxes[0], &json!({}), &photo(1))["status"], "approved");
}

#[test]
fn a_moderators_word_at_the_hub_takes_the_place_of_the_machines() {
    let hub = start();
    let edge = edge(&hub, "one");
    let id = judged(&edge, &json!({}), &photo(1))["id"].as_str().unwrap().to_owned();
    let to = format!("box/{}", hub.query("SELECT box FROM boxes")[0]);
    let rule = |approve: bool| {
        json!({ "kind": "rule", "tenant": "default", "submission": id, "seen": 0,
            "approve": approve, "categories": [["violence", "high"]], "remember": true })
        .to_string()
    };
    let order = hub.order(&to, &rule(false));
    applied(&hub, &to, &order, 1);
    let view = edge.service().get(&format!("/v1/submissions/{id}")).body;
    assert_eq!((&view["status"], &view["reasons"]), (&json!("rejected"), &json!(["moderator"])));
    assert_eq!(judged(&edge, &json!({}), &photo(1))["status"], "rejected", "it is recognised");
    until("the hub has it", || {
        let query = format!(
            "SELECT count(*) FROM verdicts WHERE submission = '{id}' AND status = 'rejected' AND reasons @> '[\"moderator\"]'"
        );
        (hub.query(&query) == ["1"]).then_some(())
    });
    // Somebody else was faster: the order is refused, and says why.
    let late = hub.order(&to, &rule(true));
    until("refused", || (hub.receipts(&to, &late)["one"] == "superseded").then_some(()));
}

#[test]
fn what_a_moderator_takes_back_is_as_it_was_before() {
    let hub = start();
    let edge = edge(&hub, "one");
    let meta = json!({ "author": "zuri" });
    let strikes = || edge.service().get("/v1/authors/zuri/strikes").body.clone();
    let first = judged(&edge, &meta, &photo(1));
    let (id, before) = (first["id"].as_str().unwrap().to_owned(), strikes());
    let to = format!("box/{}", hub.query("SELECT box FROM boxes")[0]);
    let about = |order: Value| {
        let mut order = order;
        (order["tenant"], order["submission"]) = (json!("default"), json!(id));
        order.to_string()
    };
    let entries = || {
        let items = edge.service().get("/v1/hashes").body["items"].clone();
        items.as_array().unwrap().len()
    };
    // The hub may know its hashes by now, and list them for all boxes of the tenant; that may come before the word, or after.
    let rule = json!({ "kind": "rule", "seen": 0, "approve": false, "categories": [["violence", "high"]], "remember": true });
    let order = hub.order(&to, &about(rule));
    applied(&hub, &to, &order, 1);
    until("all receipts", || {
        let open = "SELECT count(*) FROM directives FULL JOIN directive_receipts USING (epoch, lane, seq) WHERE box IS NULL";
        (hub.query(open) == ["0"]).then_some(())
    });
    assert_eq!(judged(&edge, &json!({}), &photo(1))["status"], "rejected");
    assert_ne!(strikes(), before);
    assert!(entries() > 0);
    let view = || edge.service().get(&format!("/v1/submissions/{id}")).body;
    let seen = view()["decision"].clone();
    let back = hub.order(&to, &about(json!({ "kind": "reopen", "seen": seen })));
    applied(&hub, &to, &back, 1);
    let now = view();
    for field in ["status", "complete", "severity", "action", "categories", "policy", "findings"] {
        assert_eq!(now[field], first[field], "{field}");
    }
    assert_eq!((&now["supersedes"], &now["reasons"]), (&seen, &json!(["reopened"])));
    assert_eq!((strikes(), entries()), (before, 0));
    assert_eq!(judged(&edge, &json!({}), &photo(1))["status"], "approved");
    until("the hub has it", || {
        let query = format!(
            "SELECT count(*) FROM verdicts WHERE submission = '{id}' AND status = 'approved' AND reasons @> '[\"reopened\"]'"
        );
        (hub.query(&query) == ["1"]).then_some(())
    });
    let twice = hub.order(&to, &about(json!({ "kind": "reopen", "seen": now["decision"] })));
    until("refused", || (hub.receipts(&to, &twice)["one"] == "superseded").then_some(()));
    assert_eq!(view()["decision"], now["decision"], "what the matching behind it left as it is");
}

#[test]
fn what_a_moderator_rejects_at_one_box_is_refused_at_all_of_the_tenant_also_saved_anew() {
    let hub = start();
    let (seen, other) = (edge(&hub, "one"), edge(&hub, "two"));
    let picture = scene(640, 480, 5);
    let (first, again) = (picture.jpeg(92).unwrap(), picture.jpeg(40).unwrap());
    let id = judged(&seen, &json!({}), &first)["id"].as_str().unwrap().to_owned();
    assert_eq!(judged(&other, &json!({}), &again)["status"], "approved");
    until("its hashes at the hub", || {
        let query = format!(
            "SELECT count(DISTINCT sha256) + count(DISTINCT pdq) > 1 FROM media JOIN pdqs USING (submission) WHERE submission = '{id}'"
        );
        (hub.query(&query) == ["t"]).then_some(())
    });
    let of = hub.query("SELECT box FROM boxes WHERE name = 'one'").remove(0);
    let rule = json!({ "kind": "rule", "tenant": "default", "submission": id, "seen": 0,
        "approve": false, "categories": [["violence", "high"]], "remember": true });
    hub.order(&format!("box/{of}"), &rule.to_string());
    until("refused where it was never judged so", || {
        let status = judged(&other, &json!({}), &again)["status"].clone();
        (status == "rejected").then_some(())
    });
    assert_eq!(judged(&other, &json!({}), &first)["status"], "rejected", "the same bytes, too");
    let unlike = scene(640, 480, 6).jpeg(92).unwrap();
    assert_eq!(judged(&other, &json!({}), &unlike)["status"], "approved", "nothing else is");
    // Where it was seen, by what it looks like.
    let token = hub.run(&["token", "create", "searcher"]);
    let pdq = hub.query(&format!(
        "SELECT string_agg(lpad(to_hex(substring(pdq FROM 1 + 4 * i FOR 4)::int), 1, '0'), '' ORDER BY i) FROM
         (SELECT pdq FROM pdqs WHERE submission = '{id}' AND n = 0) p, generate_series(0, 63) i"
    ));
    let (status, body) = hub.get(&format!("/v1/media?pdq={}&distance=31", pdq[0]), token.trim());
    assert_eq!(status, 200, "{body}");
    let found: Value = serde_json::from_str(&body).unwrap();
    let found = found["media"].as_array().unwrap();
    let boxes: BTreeSet<_> = found.iter().map(|medium| medium["box"].as_str().unwrap()).collect();
    assert_eq!(boxes.len(), 2, "as it was handed in at both: {body}");
    let exact = found.iter().find(|medium| medium["submission"] == *id).unwrap();
    assert_eq!(exact["distance"], 0);
    assert_eq!(hub.get("/v1/media?pdq=00", token.trim()).0, 400);
    assert_eq!(hub.get("/v1/media", token.trim()).0, 400);
    let (_, body) = hub.get(&format!("/v1/media?sha256={}", sha256(&first)), token.trim());
    let same: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(same["media"].as_array().unwrap().len(), 2, "handed in twice: {body}");
}

#[test]
fn an_erasure_reaches_every_box_also_one_that_was_away_and_breaks_no_chain() {
    let mut hub = start();
    let mut boxes = [edge(&hub, "one"), edge(&hub, "two")];
    let meta = json!({ "author": "zuri@example.org", "text": "only Zuri knows this sentence" });
    for edge in &boxes {
        judged(edge, &meta, &photo(1));
        edge.waits("all acknowledged", |state| state["bulk_lag"] == 0);
    }
    until("side records", || (hub.query("SELECT count(*) > 1 FROM sides") == ["t"]).then_some(()));
    boxes[1].kill();
    let erase =
        json!({ "kind": "erase", "tenant": "default", "author": { "id": "zuri@example.org" } });
    let order = hub.order("tenant/default", &erase.to_string());
    applied(&hub, "tenant/default", &order, 1);
    assert_eq!(hub.receipts("tenant/default", &order)["two"], "pending");
    boxes[1].start();
    applied(&hub, "tenant/default", &order, 2);
    assert_eq!(hub.query("SELECT count(*) FROM erased"), ["2"]);
    assert_eq!(hub.query("SELECT count(*) FROM sides"), ["0"]);
    let told = hub.query("SELECT encode(bytes, 'escape') FROM directives");
    assert!(told.iter().all(|bytes| !bytes.contains("zuri")), "a directive names nobody");
    for mut edge in boxes {
        edge.waits("all acknowledged", |state| {
            state["critical_lag"] == 0 && state["bulk_lag"] == 0
        });
        edge.kill();
        let data = edge.data();
        let words = ["erase", "verify", "zuri@example.org", "--tombstone", "0", "--data"];
        let run = weir::run(words.into_iter().chain([data.to_str().unwrap()]));
        assert!(!run.stdout.contains("rows in submissions"), "{run:#?}");
        chains_hold(&hub, &data);
    }
    hub.kill();
}

#[test]
fn boxes_that_are_killed_take_each_directive_once() {
    let hub = start();
    let mut edge = edge(&hub, "one");
    let mut last = None;
    for n in 0..40u32 {
        let flag = json!({ "kind": "flag", "name": format!("f{n}"), "on": true }).to_string();
        last = Some(hub.order("tenant/default", &flag));
        if n % 10 == 9 {
            edge.kill();
            edge.start();
        }
    }
    applied(&hub, "tenant/default", &last.unwrap(), 1);
    let query =
        "SELECT count(*), count(DISTINCT seq), max(seq), count(refused) FROM directive_receipts";
    assert_eq!(hub.query(query), ["40|40|40|0"]);
    edge.kill();
    let flags = weir::run(["flag", "list", "--data", edge.data().to_str().unwrap()]);
    assert_eq!(flags.stdout.matches("tenant/default:f").count(), 40, "{flags:#?}");
}

#[test]
fn a_released_policy_comes_into_force_and_an_older_or_forged_one_does_not() {
    let mut hub = Hub::start();
    hub.run(&["tenant", "add", "default"]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let public = hub.run(&["key", "generate", &path("release.key")]);
    hub.run(&["key", "generate", &path("forged.key")]);
    hub.kill();
    hub.edit("[boxes]\n", &format!("[boxes]\nrelease_key = \"{public}\"\n"));
    hub.serve();
    let edge = edge(&hub, "one");
    assert_eq!(judged(&edge, &json!({}), &photo(1))["status"], "approved");
    let policy = "name = \"strict\"\nversion = 2\nrequired = []\n\n[[rule]]\nid = \"all\"\nwhen = 'true'\ncategory = \"spam\"\nseverity = \"high\"\nreason = \"closed\"\n";
    std::fs::write(path("policy.toml"), policy).unwrap();
    let release = |key: &str, version: &str| {
        let (key, file) = (path(key), path("policy.toml"));
        let to = "tenant/default";
        hub.run(&[
            "release",
            "--key",
            &key,
            "--name",
            "starter",
            "--version",
            version,
            "--to",
            to,
            &file,
        ])
    };
    let to = "tenant/default";
    let state = |order: &(String, u64)| hub.receipts(to, order)["one"].clone();
    let forged = hub.order(to, &release("forged.key", "9"));
    until("refused", || (state(&forged) == "bad_signature").then_some(()));
    assert_eq!(judged(&edge, &json!({}), &photo(2))["status"], "approved");
    let good = hub.order(to, &release("release.key", "2"));
    until("an answer", || (state(&good) != "pending").then_some(()));
    assert_eq!(state(&good), "applied");
    assert_eq!(judged(&edge, &json!({}), &photo(3))["status"], "rejected");
    let older = hub.order(to, &release("release.key", "1"));
    until("refused", || (state(&older) == "older_version").then_some(()));
}
