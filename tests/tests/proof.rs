//! From a picture to a proof in somebody else's hands: a real box, a real hub, and a verifier that can reach neither.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use rig::edge::{Edge, arrives, until};
use rig::hub::{Hub, binary};
use rig::media::scene;
use serde_json::{Value, json};

/// In an empty folder, with nothing in the environment.
fn verify(folder: &Path, text: &str, more: &[&str]) -> (Option<i32>, String) {
    std::fs::write(folder.join("proof.json"), text).unwrap();
    let mut command = Command::new(binary());
    command.env_clear().current_dir(folder).args(["proof", "verify", "proof.json"]).args(more);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_decision_is_proved_to_somebody_who_has_the_file_and_the_hubs_key() {
    let hub = Hub::start();
    let token = hub.run(&["token", "create", "ops"]);
    let mut edge = Edge::new();
    hub.enroll(&edge.data());
    edge.waits("connected", |state| state["path"] == "quic");
    let picture = scene(640, 480, 3).jpeg(85).unwrap();
    let meta = json!({ "text": "what I saw today" });
    let answer = edge.service().submit_with(&[("prefer", "wait=30")], &meta, &[&picture]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.body["id"].as_str().unwrap().to_owned();
    arrives(&hub, &[id.clone()].into());
    let of = hub.query("SELECT box FROM boxes")[0].clone();
    let path = format!("/v1/verdicts/{of}/{id}/proof");
    let sealed = "SELECT count(*) FROM checkpoints WHERE receipt IS NOT NULL";
    let (status, body) = hub.get(&path, &token);
    if hub.query(sealed) == ["0"] {
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &problem["code"]), (409, &json!("not_yet")), "{problem}");
    }
    // At its orderly end a box signs where it stands.
    assert_eq!(edge.service.take().unwrap().stop(), Some(0));
    edge.start();
    let text = until("a proof", || match hub.get(&path, &token) {
        (200, text) => Some(text),
        (status, body) => {
            assert_eq!(status, 409, "{body}");
            None
        }
    });
    assert_eq!(hub.get(&path, "").0, 401);
    assert_eq!(hub.get(&format!("{path}?number=7"), &token).0, 404);
    let here = hub.dir().with_file_name("made.json");
    let out = here.to_str().unwrap();
    hub.run(&["proof", "make", "--box", &of, "--submission", &id, "--number", "0", "--out", out]);
    assert_eq!(std::fs::read_to_string(&here).unwrap(), text, "the command makes the same");
    assert!(!text.contains("what I saw"));
    // The box has the hub's key from its enrolment, not from the document.
    let key = hub.run(&["key", "list"]);
    let enrolled = std::fs::read_to_string(edge.data().join("hub/enrolment.json")).unwrap();
    let enrolled: Value = serde_json::from_str(&enrolled).unwrap();
    drop((hub, edge));

    let folder = tempfile::tempdir().unwrap();
    let (code, told) = verify(folder.path(), &text, &["--hub-key", &key]);
    assert_eq!(code, Some(0), "{told}");
    let status = answer.body["status"].as_str().unwrap();
    for word in [&format!("{id} of tenant default"), &format!("{status}, severity"), &of] {
        assert!(told.contains(word.as_str()), "{word}: {told}");
    }
    assert!(told.ends_with("HOLDS\n"), "{told}");
    let (code, told) = verify(folder.path(), &text, &["--json"]);
    let verified: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &verified["decision"]["submission"]), (Some(0), &json!(id)));
    assert_eq!(verified["hub_key"], json!(key));
    let bytes: Vec<u8> =
        (0..64).step_by(2).map(|n| u8::from_str_radix(&key[n..n + 2], 16).unwrap()).collect();
    assert_eq!(enrolled["hub_key"], json!(base64(&bytes)));

    // The same document with another's submission, receipt or key.
    let document: Value = serde_json::from_str(&text).unwrap();
    for (field, other) in [
        ("record", document["following"].get(0).cloned().unwrap_or(json!("AQ=="))),
        ("previous", json!("00".repeat(32))),
        ("device_key", json!(key)),
        ("seq", json!(document["seq"].as_u64().unwrap() + 1)),
    ] {
        let mut edited = document.clone();
        edited[field] = other;
        let (code, told) = verify(folder.path(), &edited.to_string(), &["--hub-key", &key]);
        assert!(code == Some(1) && told.starts_with("DOES NOT HOLD: "), "{field}: {told}");
    }
    let (code, told) = verify(folder.path(), &text, &["--hub-key", &"ab".repeat(32)]);
    assert!(code == Some(1) && told.contains("none of those that were given"), "{told}");
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.encode(bytes)
}
