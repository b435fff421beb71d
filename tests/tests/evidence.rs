//! What a box keeps of media that were not approved, as reviewers, authors and thieves meet it. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rig::media::{Clip, crop, encode_mp4, jpeg_size, photo, qr_code, scam, scene};
use rig::service::Service;
use rig::sha256;
use rig::weir;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn judged(service: &Service, meta: &Value, media: &[&[u8]]) -> Value {
    let answer = service.submit(meta, media);
    assert_eq!(answer.status, 202, "{answer:?}");
    service.decided(answer.body["id"].as_str().unwrap())
}

fn id(view: &Value) -> &str {
    view["id"].as_str().unwrap()
}

/// Lists the bytes, so that they are rejected when they come.
fn list(service: &Service, bytes: &[u8], category: &str) {
    let hash = json!({ "kind": "sha256", "hash": sha256(bytes), "category": category });
    let answer = service.call("POST", "/v1/hashes", &[JSON], hash.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn files(data: &Path, folder: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(data.join(folder)).unwrap();
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Waits until the spool is empty: what nobody needs is deleted beside the calls.
fn wait_for_empty_spool(service: &Service) {
    let start = std::time::Instant::now();
    while !files(service.data(), "spool/blobs").is_empty() {
        assert!(start.elapsed().as_secs() < 30, "bytes stay in the spool");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Bits in which two PDQ hashes differ.
fn distance(a: &Value, b: &Value) -> u32 {
    let bits = |v: &Value| -> Vec<u32> {
        v.as_str().unwrap().chars().map(|c| c.to_digit(16).unwrap()).collect()
    };
    bits(a).iter().zip(bits(b)).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[test]
fn a_rejected_photo_leaves_no_bytes_but_a_small_encrypted_picture_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let original = scene(1600, 1200, 11).jpeg(92).unwrap();
    list(&service, &original, "violence");
    let view = judged(&service, &json!({}), &[&original]);
    assert_eq!(view["status"], "rejected", "{view}");
    let rows = service.evidence(id(&view));
    assert_eq!((rows.len(), &rows[0]["state"]), (1, &json!("here")), "{rows:?}");
    assert_eq!((&rows[0]["width"], &rows[0]["height"]), (&json!(1024), &json!(768)));
    assert!(rows[0]["until"].as_str().is_some_and(|until| until.ends_with('Z')), "{rows:?}");
    wait_for_empty_spool(&service);
    // What a thief of the disk finds.
    let kept = files(service.data(), "evidence");
    assert_eq!(kept.len(), 1);
    assert!(kept[0].len() > 20_000 && kept[0].len() < original.len(), "{}", kept[0].len());
    for mark in [&b"\xff\xd8\xff"[..], b"JFIF", b"\x89PNG"] {
        assert!(!contains(&kept[0], mark), "{mark:02x?} stands in the file");
    }
    let mode = |path: &str| dir.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("secrets/evidence"), mode("evidence")), (0o600, 0o700));
    // What a reviewer sees, and only when they ask.
    let link = rows[0]["link"].as_str().unwrap();
    let (answer, clear) = service.bytes(&format!("{link}?clear=true"), &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let place = answer.header("content-disposition").unwrap();
    assert!(place.contains(id(&view)), "{place}");
    let (answer, veiled) = service.bytes(link, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!([jpeg_size(&clear), jpeg_size(&veiled)], [(1024, 768); 2]);
    assert!(veiled.len() * 4 < clear.len(), "{} of {}", veiled.len(), clear.len());
    let metrics = service.get("/metrics").body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("weir_evidence_total{outcome=\"made\",reason=\"\"} 1"), "{metrics}");
    let line = format!("weir_evidence_bytes {}", kept[0].len());
    assert!(metrics.contains(&line), "{line} is not in {metrics}");
    // The box's own eye: the clear one is the original, the veiled one is not.
    let [was, clear, veiled] = [&scene(1600, 1200, 11).jpeg(91).unwrap(), &clear, &veiled]
        .map(|bytes| judged(&service, &json!({}), &[bytes]));
    let pdq = |view: &Value| view["media"][0]["pdq"].clone();
    assert!(distance(&pdq(&was), &pdq(&clear)) <= 10, "{}", distance(&pdq(&was), &pdq(&clear)));
    let sharp = |view: &Value| view["scores"]["blur_variance"].as_f64().unwrap();
    assert!(sharp(&veiled) * 50.0 < sharp(&clear), "{} {}", sharp(&veiled), sharp(&clear));
}

#[test]
fn nothing_is_kept_of_what_is_approved_or_shows_abused_children_or_was_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let abuse = scene(640, 480, 5).jpeg(90).unwrap();
    list(&service, &abuse, "sexual/minors");
    let wrong_words = json!({ "text": "https://login.scam.example/win" });
    for (meta, media, status) in [
        (json!({}), photo(1), "approved"),
        (json!({}), abuse, "rejected"),
        (wrong_words, photo(2), "rejected"),
    ] {
        let view = judged(&service, &meta, &[&media]);
        assert_eq!(view["status"], status, "{view}");
        assert_eq!(service.evidence(id(&view)), [Value::Null; 0]);
        let path = format!("/v1/submissions/{}/evidence/0", id(&view));
        let answer = service.get(&path);
        let told = (answer.status, &answer.body["reason"]);
        assert_eq!(told, (404, &json!("evidence_none")), "{answer:?}");
        for absent in ["1", "x", "-1"] {
            let path = format!("/v1/submissions/{}/evidence/{absent}", id(&view));
            assert_eq!(service.get(&path).body["reason"], "not_found", "{path}");
        }
    }
    wait_for_empty_spool(&service);
    assert_eq!(files(service.data(), "evidence").len(), 0);
    let unknown = "/v1/submissions/01900000-0000-7000-8000-000000000000/evidence/0";
    assert_eq!(service.get(unknown).status, 404);
    assert_eq!(service.get(&format!("{unknown}?colour=red")).status, 400);
}

#[test]
fn a_policy_that_names_it_keeps_evidence_of_abused_children_too() {
    let dir = tempfile::tempdir().unwrap();
    let profile = dir.path().join("lawful.toml");
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
    let text = std::fs::read_to_string(starter).unwrap();
    let named = format!("{text}\n[policy.evidence]\nsexual_minors = true\n");
    std::fs::write(&profile, named).unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--profile", profile.to_str().unwrap()]);
    let abuse = scene(640, 480, 5).jpeg(90).unwrap();
    list(&service, &abuse, "sexual/minors");
    let view = judged(&service, &json!({}), &[&abuse]);
    assert_eq!(view["status"], "rejected", "{view}");
    assert_eq!(service.evidence(id(&view))[0]["state"], "here");
}

#[test]
fn of_a_video_a_few_frames_are_kept_and_of_damaged_bytes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let clip = Clip { fps: 4, frames: 32, key_frames: 4 };
    let code = qr_code("https://login.scam.example/clip", 6).unwrap();
    let clip = encode_mp4(clip, |n| {
        if (16..24).contains(&n) {
            let (left, top) = (i64::from(code.width) / 2 - 160, i64::from(code.height) / 2 - 120);
            return crop(&code, left, top, 320, 240);
        }
        scene(320, 240, n)
    });
    let view = judged(&service, &json!({}), &[&clip.unwrap()]);
    assert_eq!(view["status"], "rejected", "{view}");
    let rows = service.evidence(id(&view));
    assert_eq!((&rows[0]["state"], &rows[0]["frames"]), (&json!("here"), &json!(4)), "{rows:?}");
    let (_, sheet) =
        service.bytes(&format!("{}?clear=true", rows[0]["link"].as_str().unwrap()), &[]);
    assert_eq!(jpeg_size(&sheet), (640, 480), "two by two");
    // The frame with the code is on it: the box itself reads it there.
    assert_eq!(judged(&service, &json!({}), &[&sheet])["status"], "rejected");
    let damaged = &photo(3)[..300];
    let view = judged(&service, &json!({}), &[damaged]);
    assert_ne!(view["status"], "approved", "{view}");
    let rows = service.evidence(id(&view));
    assert_eq!((&rows[0]["state"], &rows[0]["link"]), (&json!("none"), &Value::Null), "{rows:?}");
    assert_eq!(rows[0]["reason"], "undecodable");
    let answer = service.get(&format!("/v1/submissions/{}/evidence/0", id(&view)));
    assert_eq!((answer.status, &answer.body["reason"]), (404, &json!("evidence_none")));
    wait_for_empty_spool(&service);
}

#[test]
fn a_death_between_verdict_and_evidence_costs_a_repetition_and_leaves_no_stray_file() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    // Nothing can be written where the folder was.
    let (folder, away) = (dir.path().join("evidence"), dir.path().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    let view = judged(&service, &json!({}), &[&scam("1")]);
    let path = format!("/v1/submissions/{}/evidence/0", id(&view));
    let answer = service.get(&path);
    assert_eq!((answer.status, &answer.body["reason"]), (404, &json!("evidence_due")));
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(files(dir.path(), "spool/blobs").len(), 1, "the bytes are still needed");
    service.kill();
    std::fs::rename(&away, &folder).unwrap();
    for stray in ["0190000000007000800000000000abcd", "half.new"] {
        std::fs::write(folder.join(stray), "what a death left").unwrap();
    }
    let service = Service::start(dir.path(), &[]);
    assert_eq!(service.evidence(id(&view))[0]["state"], "here");
    assert_eq!(service.bytes(&path, &[]).0.status, 200);
    assert_eq!(files(dir.path(), "evidence").len(), 1);
    wait_for_empty_spool(&service);
    assert_eq!(service.stop(), Some(0));
    let verified = weir::run([
        OsStr::new("store"),
        "verify".as_ref(),
        "--data".as_ref(),
        dir.path().as_os_str(),
    ]);
    assert!(verified.stdout.contains("the chains hold"), "{verified:#?}");
    // Without its key it is noise, and the box says so.
    std::fs::remove_file(dir.path().join("secrets/evidence")).unwrap();
    let service = Service::start(dir.path(), &[]);
    let answer = service.get(&path);
    assert_eq!((answer.status, &answer.body["reason"]), (410, &json!("evidence_unreadable")));
}

#[test]
fn an_erased_authors_evidence_is_gone_when_the_answer_comes_and_nobody_elses_is() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    // Two people send the same bytes.
    let [one, two] = ["ann", "ben"]
        .map(|author| judged(&service, &json!({ "author": author }), &[&scam("same")]));
    for view in [&one, &two] {
        assert_eq!(service.evidence(id(view))[0]["state"], "here");
    }
    let before = weir_erase(dir.path(), "ann", "0");
    assert!(before.stdout.contains("1 rows in evidence"), "{before:#?}");
    let erased = service.call("DELETE", "/v1/authors/ann", &[], b"");
    assert_eq!(erased.status, 200, "{erased:?}");
    assert_eq!(files(dir.path(), "evidence").len(), 1);
    let after = weir_erase(dir.path(), "ann", erased.body["tombstone"].as_str().unwrap());
    assert_eq!(after.code, Some(0), "{after:#?}");
    let look =
        |view: &Value| service.bytes(&format!("/v1/submissions/{}/evidence/0", id(view)), &[]);
    assert_eq!((look(&one).0.status, look(&two).0.status), (404, 200));
}

fn weir_erase(data: &Path, author: &str, tombstone: &str) -> weir::Run {
    let words = ["erase", "verify", author, "--tombstone", tombstone, "--data"];
    weir::run(words.iter().map(OsStr::new).chain([data.as_os_str()]))
}

#[test]
fn only_reviewers_of_the_tenant_look() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[auth]\nrequired = true\n[tenant.one]\n[tenant.two]\n").unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let key = |tenant: &str, scopes: &str| weir::bearer(&data, tenant, scopes);
    let (sender, reviewer) = (key("one", "submit,read"), key("one", "review"));
    let other = key("two", "admin");
    let wait = ("prefer", "wait=30");
    let made = service.submit_with(&[("authorization", &sender), wait], &json!({}), &[&scam("1")]);
    assert_eq!(made.body["status"], "rejected", "{made:?}");
    let path = format!("/v1/submissions/{}/evidence/0", made.body["id"].as_str().unwrap());
    let start = std::time::Instant::now();
    let look = |key: &str| service.bytes(&path, &[("authorization", key)]).0;
    while look(&reviewer).body["reason"] == "evidence_due" {
        assert!(start.elapsed().as_secs() < 30);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(look(&reviewer).status, 200);
    let refused = look(&sender);
    assert_eq!((refused.status, &refused.body["reason"]), (403, &json!("scope_missing")));
    assert_eq!(look(&other).status, 404);
    assert_eq!(service.bytes(&path, &[]).0.status, 401);
}
