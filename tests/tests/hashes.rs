//! A tenant's own hash lists over the API. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::media::scene;
use rig::service::{Answer, Service};
use rig::sha256;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn picture(seed: u32) -> rig::media::Picture {
    scene(640, 480, seed)
}

fn add(service: &Service, body: &Value) -> Answer {
    service.call("POST", "/v1/hashes", &[JSON], body.to_string().as_bytes())
}

fn judged(service: &Service, media: &[u8]) -> Value {
    let answer = service.submit(&json!({}), &[media]);
    assert_eq!(answer.status, 202, "{answer:?}");
    service.decided(answer.body["id"].as_str().unwrap())
}

#[test]
fn a_hash_is_in_force_for_the_next_item_and_matched_with_what_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let listed = picture(1).jpeg(90).unwrap();
    let before = judged(&service, &listed);
    assert_eq!(before["status"], "approved");
    let hash = json!({ "kind": "sha256", "hash": sha256(&listed), "category": "violence" });
    let added = add(&service, &hash);
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!((&added.body["matched"], &added.body["changed"]), (&json!(1), &json!(1)));
    let id = before["id"].as_str().unwrap();
    let after = service.get(&format!("/v1/submissions/{id}")).body;
    assert_eq!((&after["status"], &after["decision"]), (&json!("rejected"), &json!(1)), "{after}");
    assert_eq!((&after["supersedes"], &after["automated"]), (&json!(0), &json!(true)));
    let labels = after["findings"].as_array().unwrap().iter().map(|f| &f["label"]);
    assert!(labels.clone().any(|label| label == "bank:violence:own"), "{after}");
    assert_eq!(judged(&service, &listed)["status"], "rejected");
    assert_eq!(judged(&service, &picture(2).jpeg(90).unwrap())["status"], "approved");
    // The same entry again is the same entry.
    let again = add(&service, &hash);
    assert_eq!((&again.body["id"], &again.body["changed"]), (&added.body["id"], &json!(0)));
    let items = service.get("/v1/hashes").body["items"].clone();
    assert_eq!((items.as_array().unwrap().len(), &items[0]["category"]), (1, &json!("violence")));
    let path = format!("/v1/hashes/{}", added.body["id"].as_str().unwrap());
    let removed = service.call("DELETE", &path, &[], b"");
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(service.call("DELETE", &path, &[], b"").status, 404);
    assert_eq!(judged(&service, &listed)["status"], "approved");
}

#[test]
fn a_picture_is_matched_by_its_look_and_a_nearer_negative_entry_clears_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let seen = judged(&service, &picture(3).jpeg(90).unwrap());
    let pdq = seen["media"][0]["pdq"].as_str().unwrap().to_owned();
    // Some bits off, as an edited copy is.
    let mut off: Vec<u8> = pdq.clone().into_bytes();
    off[..4].iter_mut().for_each(|digit| *digit = if *digit == b'0' { b'f' } else { b'0' });
    let off = String::from_utf8(off).unwrap();
    let added = add(&service, &json!({ "kind": "pdq", "hash": off, "category": "hate" }));
    assert_eq!((added.status, &added.body["changed"]), (201, &json!(1)), "{added:?}");
    let copy = picture(3).jpeg(60).unwrap();
    assert_eq!(judged(&service, &copy)["status"], "rejected");
    let clear = add(&service, &json!({ "kind": "pdq", "hash": pdq, "negative": true }));
    assert_eq!(clear.status, 201, "{clear:?}");
    assert_eq!(clear.body["matched"], 2);
    // Nobody can look at the first one again: its bytes went when it was approved, and a person decides.
    assert_eq!(clear.body["changed"], 2);
    let view = service.get(&format!("/v1/submissions/{}", seen["id"].as_str().unwrap())).body;
    assert_eq!((&view["status"], &view["reasons"][0]), (&json!("held"), &json!("list_changed")));
    assert_eq!((&view["complete"], &view["automated"]), (&json!(false), &json!(true)));
    assert_eq!(judged(&service, &copy)["status"], "approved");
}

#[test]
fn evidence_is_kept_for_an_appeal_but_not_of_abused_children() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    for (seed, category) in [(4, "sexual/minors"), (5, "violence")] {
        let bytes = picture(seed).jpeg(90).unwrap();
        let hash = json!({ "kind": "sha256", "hash": sha256(&bytes), "category": category });
        assert_eq!(add(&service, &hash).status, 201);
        let view = judged(&service, &bytes);
        assert_eq!(view["status"], "rejected");
        let kept = service.evidence(view["id"].as_str().unwrap()).len();
        assert_eq!(kept, usize::from(category == "violence"), "{category}");
    }
    assert_eq!(service.stop(), Some(0));
    let count = |folder: &str| std::fs::read_dir(dir.path().join(folder)).unwrap().count();
    assert_eq!((count("spool/blobs"), count("evidence")), (0, 1));
}

#[test]
fn entries_that_could_do_nothing_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let hash = "ab".repeat(32);
    for body in [
        json!({ "kind": "sha256", "hash": "ab", "category": "hate" }),
        json!({ "kind": "md5", "hash": hash, "category": "hate" }),
        json!({ "kind": "sha256", "hash": hash }),
        json!({ "kind": "sha256", "hash": hash, "category": "ugly" }),
        json!({ "kind": "sha256", "hash": hash, "category": "hate", "distance": 3 }),
        json!({ "kind": "sha256", "hash": hash, "negative": true }),
        json!({ "kind": "pdq", "hash": hash, "negative": true, "category": "hate" }),
        json!({ "kind": "pdq", "hash": hash, "category": "hate", "distance": 129 }),
        json!({ "kind": "pdq", "hash": hash, "category": "hate", "colour": "red" }),
    ] {
        let answer = add(&service, &body);
        assert_eq!(answer.status, 422, "{body} {answer:?}");
    }
    assert_eq!(service.get("/v1/hashes").body["items"], json!([]));
}
