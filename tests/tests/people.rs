//! Reports, appeals, strikes, erasure: `weir serve` as the people behind a platform meet it. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::path::Path;

use rig::media::{photo, scam};
use rig::service::{Answer, Service};
use rig::weir;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn post(service: &Service, path: &str, body: &Value) -> Answer {
    service.call("POST", path, &[JSON], body.to_string().as_bytes())
}

fn delete(service: &Service, path: &str) -> Answer {
    service.call("DELETE", path, &[], b"")
}

fn judged(service: &Service, meta: &Value, media: &[&[u8]]) -> Value {
    let answer = service.submit(meta, media);
    assert_eq!(answer.status, 202, "{answer:?}");
    service.decided(answer.body["id"].as_str().unwrap())
}

fn erase_verify(data: &Path, author: &str, tombstone: &str) -> weir::Run {
    let words = ["erase", "verify", author, "--tombstone", tombstone, "--data"];
    weir::run(words.iter().map(OsStr::new).chain([data.as_os_str()]))
}

#[test]
fn what_many_report_waits_for_a_person_and_one_person_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[tenant.default]\nhide_reports = 3\n").unwrap();
    let service = Service::start(&dir.path().join("data"), &["--config", config.to_str().unwrap()]);
    let view = judged(&service, &json!({}), &[&photo(1)]);
    let id = view["id"].as_str().unwrap();
    assert_eq!(view["status"], "approved");
    let report = |reporter: Value| {
        let mut body = json!({ "submission": id, "reason": "spam", "text": "buy now" });
        if let Value::String(_) = reporter {
            body["reporter"] = reporter;
        }
        let answer = post(&service, "/v1/reports", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        (answer.body["reporters"].as_u64().unwrap(), answer.body["hidden"] == true)
    };
    for _ in 0..4 {
        assert_eq!(report(json!("ann")), (1, false));
    }
    assert_eq!(report(json!("ben")), (2, false));
    assert_eq!(report(Value::Null), (3, true), "anonymous reports count");
    let view = service.decided(id);
    assert_eq!((&view["status"], &view["reasons"][0]), (&json!("held"), &json!("reports")));
    assert_eq!((&view["decision"], &view["supersedes"]), (&json!(1), &json!(0)));
    let listed = service.get("/v1/reports?limit=4").body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    let next = listed["next"].as_str().unwrap();
    let rest = service.get(&format!("/v1/reports?cursor={next}")).body;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!((&rest["items"][0]["text"], &rest["next"]), (&json!("buy now"), &Value::Null));
    // Who reports is nobody's business.
    assert!(!listed.to_string().contains("ann"));
}

#[test]
fn one_stranger_is_one_however_often_and_strangers_alone_hide_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    let text = "trusted_proxies = [\"127.0.0.0/8\"]\n[tenant.default]\nhide_reports = 4\n";
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let view = judged(&service, &json!({}), &[&photo(1)]);
    let report = |from: &str, reason: &str| {
        let body = json!({ "submission": view["id"], "reason": reason }).to_string();
        let headers = [JSON, ("x-forwarded-for", from)];
        let answer = service.call("POST", "/v1/reports", &headers, body.as_bytes());
        assert_eq!(answer.status, 201, "{answer:?}");
        (answer.body["reporters"].as_u64().unwrap(), answer.body["hidden"] == true)
    };
    for _ in 0..6 {
        assert_eq!(report("203.0.113.7", "spam"), (1, false));
    }
    // One household has many addresses of IPv6.
    assert_eq!(report("2001:db8:1:1::1", "spam"), (2, false));
    assert_eq!(report("2001:db8:1:2::2", "spam"), (2, false));
    for n in 1..6 {
        assert_eq!(report(&format!("198.51.100.{n}"), "spam"), (2, false), "at most half of four");
    }
    assert_eq!(
        service.get(&format!("/v1/submissions/{}", view["id"].as_str().unwrap())).body["status"],
        "approved"
    );
    // Where somebody may come to harm one is enough, named or not.
    assert!(report("198.51.100.99", "child_safety").1);
    assert_eq!(service.stop(), Some(0));
    // No file of the data folder has an address of theirs.
    for entry in std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
        if let Ok(bytes) = std::fs::read(&entry) {
            for address in ["203.0.113.7", "2001:db8:1:", "198.51.100."] {
                let found = bytes.windows(address.len()).any(|w| w == address.as_bytes());
                assert!(!found, "{address} in {}", entry.display());
            }
        }
    }
}

#[test]
fn who_may_hurt_themselves_is_helped_in_their_language_and_goes_to_people_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let view = judged(&service, &json!({}), &[&photo(1)]);
    let body = json!({ "submission": view["id"], "reason": "self_harm", "language": "fr-CA" });
    let answer = post(&service, "/v1/reports", &body);
    assert_eq!((answer.status, &answer.body["hidden"]), (201, &json!(true)), "{answer:?}");
    assert!(answer.body["help"]["text"].as_str().unwrap().starts_with("Si vous"));
    assert!(answer.body["help"]["url"].as_str().unwrap().starts_with("https://"));
    let text = json!({ "text": "i want to kill myself", "language": "sw" });
    let answer = post(&service, "/v1/text", &text);
    assert!(answer.body["categories"]["self-harm"].is_string(), "{answer:?}");
    assert!(answer.body["help"]["text"].as_str().unwrap().starts_with("Ikiwa"), "{answer:?}");
    let answer = post(&service, "/v1/text", &json!({ "text": "good morning" }));
    assert_eq!(answer.body["help"], Value::Null);
}

#[test]
fn reports_and_appeals_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let unknown = "01900000-0000-7000-8000-000000000000";
    for (path, body, status) in [
        ("/v1/reports", json!({ "reason": "spam" }), 422),
        ("/v1/reports", json!({ "reason": "spam", "target": "u", "submission": unknown }), 422),
        ("/v1/reports", json!({ "reason": "dislike", "target": "u" }), 422),
        ("/v1/reports", json!({ "reason": "spam", "target": "" }), 422),
        ("/v1/reports", json!({ "reason": "spam", "target": "u", "text": "x".repeat(9000) }), 422),
        ("/v1/reports", json!({ "reason": "spam", "submission": unknown }), 404),
        ("/v1/reports", json!({ "reason": "spam", "target": "user:1" }), 201),
        ("/v1/appeals", json!({ "submission": unknown, "text": "why?" }), 404),
        ("/v1/appeals", json!({ "submission": unknown }), 422),
    ] {
        let answer = post(&service, path, &body);
        assert_eq!(answer.status, status, "{path} {body} {answer:?}");
    }
    let plain = service.call("POST", "/v1/reports", &[("content-type", "text/plain")], b"{}");
    assert_eq!(plain.status, 415, "a form of another site sends no JSON: {plain:?}");
}

#[test]
fn an_author_appeals_once_against_the_decision_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let view = judged(&service, &json!({}), &[&scam("1")]);
    assert_eq!(view["status"], "rejected");
    let appeal = |number: u32| {
        let body = json!({ "submission": view["id"], "text": "it is mine", "decision": number });
        post(&service, "/v1/appeals", &body)
    };
    assert_eq!(appeal(1).status, 409, "there is no decision 1");
    let first = appeal(0);
    assert_eq!((first.status, &first.body["decision"]), (201, &json!(0)), "{first:?}");
    assert_eq!(appeal(0).status, 409, "once is enough");
    let listed = service.get("/v1/appeals").body;
    assert_eq!(listed["items"][0]["text"], "it is mine");
    let fine = judged(&service, &json!({}), &[&photo(2)]);
    let body = json!({ "submission": fine["id"], "text": "?" });
    assert_eq!(post(&service, "/v1/appeals", &body).status, 409);
}

#[test]
fn strikes_hide_then_bar_an_author_and_a_lifted_one_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let by = |tag: &str| json!({ "author": "u/1 é", "client_tag": tag });
    assert_eq!(service.get("/v1/authors/u%2F1%20%C3%A9/strikes").status, 404);
    for n in 0..2 {
        assert_eq!(judged(&service, &by("scam"), &[&scam(&n.to_string())])["status"], "rejected");
    }
    let path = "/v1/authors/u%2F1%20%C3%A9/strikes";
    let strikes = service.get(path).body;
    assert_eq!(
        (strikes["items"].as_array().unwrap().len(), &strikes["level"]),
        (2, &json!("hidden"))
    );
    let held = judged(&service, &by("fine"), &[&photo(1)]);
    assert_eq!((&held["status"], &held["reasons"]), (&json!("held"), &json!(["standing"])));
    assert_eq!(post(&service, path, &json!({ "severity": "high", "days": 0 })).status, 422);
    let third = post(&service, path, &json!({ "severity": "high", "days": 7 }));
    assert_eq!((third.status, &third.body["level"]), (201, &json!("rejected")), "{third:?}");
    let refused = service.submit(&by("barred"), &[&photo(3)]);
    assert_eq!((refused.status, &refused.body["reason"]), (403, &json!("author_barred")));
    assert!(refused.header("retry-after").is_some(), "a penalty that ends says when");
    assert_eq!(service.submit(&json!({ "author": "u-2" }), &[&photo(3)]).status, 202);
    let id = service.get(path).body["items"][2]["id"].as_i64().unwrap();
    assert_eq!(delete(&service, &format!("{path}/{id}")).body["level"], "hidden");
    assert_eq!(delete(&service, &format!("{path}/{id}")).status, 404);
    assert_eq!(service.submit(&by("again"), &[&photo(4)]).status, 202);
}

#[test]
fn an_erased_author_leaves_nothing_and_the_chains_hold() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let secret_words = "only Zuri knows this sentence";
    let meta = json!({ "author": "zuri@example.org", "text": secret_words, "client_tag": "zt-1" });
    let id = judged(&service, &meta, &[&scam("1")])["id"].as_str().unwrap().to_owned();
    let data = service.data().to_owned();
    let before = erase_verify(&data, "zuri@example.org", "0");
    assert_eq!(before.code, Some(1), "{before:#?}");
    assert!(before.stdout.contains("rows in submissions"), "{before:#?}");
    let erased = delete(&service, "/v1/authors/zuri%40example.org");
    assert_eq!((erased.status, &erased.body["submissions"]), (200, &json!(1)), "{erased:?}");
    assert_eq!(delete(&service, "/v1/authors/zuri%40example.org").status, 404);
    let tombstone = erased.body["tombstone"].as_str().unwrap();
    let after = erase_verify(&data, "zuri@example.org", tombstone);
    assert_eq!(after.code, Some(0), "{after:#?}");
    assert!(after.stdout.contains("the chains hold"), "{after:#?}");
    let view = service.get(&format!("/v1/submissions/{id}")).body;
    assert_eq!((&view["status"], &view["client_tag"]), (&json!("rejected"), &Value::Null));
    assert_eq!(service.stop(), Some(0));
    for file in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(data.join(file)).unwrap_or_default();
        for words in [secret_words, "zuri@example.org", "zt-1"] {
            let found = bytes.windows(words.len()).any(|w| w == words.as_bytes());
            assert!(!found, "{words} in {file}");
        }
    }
}

#[test]
fn who_may_do_what_is_the_credentials_to_say() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[auth]\nrequired = true\n[tenant.one]\n[tenant.two]\n").unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let key = |tenant: &str, scopes: &str| weir::bearer(&data, tenant, scopes);
    let (submit, review) = (key("one", "submit"), key("one", "review"));
    let (admin, other) = (key("one", "admin"), key("two", "admin"));
    let call = |key: &str, method: &str, path: &str, body: Value| {
        let headers = [JSON, ("authorization", key)];
        service.call(method, path, &headers, body.to_string().as_bytes()).status
    };
    let hash = json!({ "kind": "sha256", "hash": "0".repeat(64), "category": "spam" });
    let strike = json!({ "severity": "high" });
    let report = json!({ "reason": "spam", "target": "page:1", "reporter": "ann" });
    for (method, path, body, allowed, refused) in [
        ("POST", "/v1/hashes", hash, &review, Some(&submit)),
        ("GET", "/v1/hashes", json!({}), &review, Some(&submit)),
        ("POST", "/v1/reports", report, &submit, None),
        ("GET", "/v1/reports", json!({}), &review, Some(&submit)),
        ("GET", "/v1/appeals", json!({}), &review, Some(&submit)),
        ("POST", "/v1/authors/ann/strikes", strike, &review, Some(&submit)),
        ("GET", "/v1/messages", json!({}), &admin, Some(&review)),
        ("DELETE", "/v1/authors/ann", json!({}), &admin, Some(&review)),
    ] {
        if let Some(refused) = refused {
            assert_eq!(call(refused, method, path, body.clone()), 403, "{method} {path}");
        }
        if path.contains("ann") || method == "GET" {
            let foreign = call(&other, method, path, body.clone());
            assert!(foreign == 404 || method == "GET", "{method} {path} {foreign}");
        }
        let status = call(allowed, method, path, body);
        assert!((200..300).contains(&status), "{method} {path} {status}");
    }
    let headers = [("authorization", other.as_str())];
    for path in ["/v1/reports", "/v1/hashes"] {
        let listed = service.call("GET", path, &headers, b"").body;
        assert_eq!(listed["items"], json!([]), "{path} of another tenant");
    }
}
