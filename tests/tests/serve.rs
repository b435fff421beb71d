//! `weir serve` as a platform's back end, a hostile client and a power cut meet it. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rig::endpoint::{endpoint, ok};
use rig::media::{photo, scam};
use rig::service::{Service, multipart};
use rig::sha256;
use rig::weir;
use serde_json::{Value, json};

fn verify(data: &Path) {
    let run = weir::run(
        [&b"store"[..], b"verify", b"--data"]
            .iter()
            .map(|a| <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(a))
            .chain([data.as_os_str()]),
    );
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stdout.contains("the chains hold"), "{run:#?}");
}

fn blobs(data: &Path) -> usize {
    std::fs::read_dir(data.join("spool/blobs")).unwrap().count()
}

#[test]
fn a_photo_is_accepted_judged_and_its_bytes_go() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let meta = json!({ "author": "u-1", "text": "on the beach", "client_tag": "abc" });
    let answer = service.submit(&meta, &[&photo(1)]);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["status"], "pending");
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.body["links"]["self"], format!("/v1/submissions/{id}"));
    assert_eq!(answer.header("location"), Some(format!("/v1/submissions/{id}").as_str()));
    let view = service.decided(id);
    assert_eq!((&view["status"], &view["complete"]), (&json!("approved"), &json!(true)), "{view}");
    assert_eq!(view["client_tag"], "abc");
    assert_eq!(view["media"][0]["sha256"], sha256(&photo(1)));
    assert!(view["scores"]["blur_variance"].is_number() && view["processing_time_ms"].is_number());
    // Neither the author nor the caption is repeated anywhere.
    assert!(!view.to_string().contains("beach") && !view.to_string().contains("u-1"));
    let listed = service.get("/v1/submissions?status=approved");
    assert_eq!(listed.body["items"][0]["id"], id);
    let metrics = service.get("/metrics").body;
    assert!(metrics.as_str().unwrap().contains("weir_decisions_total{status=\"approved\"} 1"));
    let data = service.data().to_owned();
    assert_eq!(service.stop(), Some(0));
    assert_eq!(blobs(&data), 0);
    verify(&data);
}

#[test]
fn a_client_that_waits_is_answered_with_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let answer = service.submit_with(&[("prefer", "wait=30")], &json!({}), &[&scam("win")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["status"], "rejected");
    let text = service.call(
        "POST",
        "/v1/text",
        &[("content-type", "application/json")],
        br#"{"text":"hello there"}"#,
    );
    assert_eq!((text.status, &text.body["status"]), (200, &json!("approved")), "{text:?}");
}

#[test]
fn the_gate_answers_for_bytes_and_a_rejected_caption_does_not_poison_its_picture() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let wait = [("prefer", "wait=30")];
    let (good, bad) = (photo(2), scam("win"));
    let both = json!({ "text": "https://login.scam.example/win" });
    let answer = service.submit_with(&wait, &both, &[&good]);
    assert_eq!(answer.body["status"], "rejected", "{answer:?}");
    let gate = |bytes: &[u8]| {
        let answer = service.get(&format!("/v1/gate?sha256={}", sha256(bytes)));
        (answer.status, answer.header("x-weir-status").unwrap_or_default().to_owned())
    };
    assert_eq!(
        gate(&good),
        (403, "unknown".into()),
        "it was not looked at: its caption settled the matter"
    );
    assert_eq!(service.submit_with(&wait, &json!({}), &[&good]).body["status"], "approved");
    assert_eq!(gate(&good), (204, "approved".into()));
    assert_eq!(service.submit_with(&wait, &json!({}), &[&bad]).body["status"], "rejected");
    assert_eq!(gate(&bad), (403, "rejected".into()));
    assert_eq!(gate(b"never seen"), (403, "unknown".into()));
    // Whatever is asked: allowed or not, and nothing else.
    for question in ["", "?sha256=nonsense", "?sha256=%ff", "?surface=%20"] {
        assert_eq!(service.get(&format!("/v1/gate{question}")).status, 403, "{question}");
    }
    let verdict = service.get(&format!("/v1/verdicts/{}", sha256(&good)));
    assert_eq!((verdict.status, &verdict.body["status"]), (200, &json!("approved")));
    assert_eq!(service.get(&format!("/v1/verdicts/{}", sha256(b"x"))).status, 404);
}

#[test]
fn two_submissions_share_a_picture_and_one_goes_without_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let wait = [("prefer", "wait=30")];
    let picture = photo(3);
    let rejected = json!({ "text": "https://login.scam.example/win" });
    assert_eq!(service.submit_with(&wait, &rejected, &[&picture]).body["status"], "rejected");
    assert_eq!(service.submit_with(&wait, &json!({}), &[&picture]).body["status"], "approved");
    // The caption was rejected and nobody looked at its picture, so that there is nothing to keep.
    let data = service.data().to_owned();
    service.stop();
    assert_eq!(blobs(&data), 0);
}

#[test]
fn a_repeated_request_is_one_submission_and_another_under_its_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let key = [("idempotency-key", "k-1")];
    let first = service.submit_with(&key, &json!({ "text": "one" }), &[&photo(4)]);
    let again = service.submit_with(&key, &json!({ "text": "one" }), &[&photo(4)]);
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body["id"], again.body["id"]);
    let other = service.submit_with(&key, &json!({ "text": "two" }), &[&photo(4)]);
    assert_eq!((other.status, &other.body["reason"]), (409, &json!("conflict")), "{other:?}");
    // A name of the client's choice, listened to before it is known.
    let id = uuid::Uuid::now_v7().to_string();
    let (kind, body) = multipart(&json!({}), &[&photo(5)]);
    let put =
        service.call("PUT", &format!("/v1/submissions/{id}"), &[("content-type", &kind)], &body);
    assert_eq!((put.status, &put.body["id"]), (202, &json!(id)));
    service.decided(&id);
    let bad = service.call("PUT", "/v1/submissions/not-a-uuid", &[("content-type", &kind)], &body);
    assert_eq!(bad.status, 422);
    assert_eq!(service.get("/v1/submissions").body["items"].as_array().unwrap().len(), 2);
    let data = service.data().to_owned();
    service.stop();
    assert_eq!(blobs(&data), 0);
}

/// Reason, status, headers and body of a call that is refused.
type Case<'a> = (&'a str, u16, &'a [(&'a str, &'a str)], &'a [u8]);

#[test]
fn what_makes_no_sense_is_refused_with_a_reason_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let json_type = ("content-type", "application/json");
    let (kind, whole) = multipart(&json!({}), &[b"x"]);
    let form = ("content-type", kind.as_str());
    let big = multipart(&json!({}), &[&[0u8; 64][..]; 10]).1;
    let media_first =
        String::from_utf8(whole.clone()).unwrap().replace("name=\"meta\"", "name=\"media\"");
    let cases: [Case<'_>; 12] = [
        ("json", 400, &[json_type], b"{"),
        ("json", 400, &[json_type], b"{\"text\":\"\xff\"}"),
        ("meta", 422, &[json_type], br#"{"text":"a","text":"b"}"#),
        ("meta", 422, &[json_type], br#"{"txet":"a"}"#),
        ("media", 422, &[json_type], b"{}"),
        ("media_type", 415, &[("content-type", "text/plain")], b"hello"),
        ("media_type", 415, &[], b"hello"),
        ("multipart", 400, &[("content-type", "multipart/form-data")], b"hello"),
        ("multipart", 400, &[form], &whole[..whole.len() / 2]),
        ("multipart", 400, &[form], media_first.as_bytes()),
        ("media", 422, &[form], &big),
        ("content_encoding", 415, &[form, ("content-encoding", "gzip")], &whole),
    ];
    for (reason, status, headers, body) in cases {
        let answer = service.call("POST", "/v1/submissions", headers, body);
        let told = (answer.status, answer.body["reason"].as_str().unwrap_or_default());
        assert_eq!(told, (status, reason), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        for key in ["type", "title", "status", "detail", "instance", "request_id"] {
            assert!(!answer.body[key].is_null(), "{key} is missing: {answer:?}");
        }
    }
    for (path, status) in [
        ("/v1/submissions/../../etc/passwd", 404),
        ("/v1/submissions/00000000-0000-7000-8000-000000000000", 404),
        ("/v1/submissions?limit=0", 400),
        ("/v1/submissions?status=nice", 400),
        ("/v1/submissions?cursor=x", 400),
        ("/v1/verdicts/abc", 422),
        ("/nothing", 404),
    ] {
        assert_eq!(service.get(path).status, status, "{path}");
    }
    assert_eq!(service.call("DELETE", "/v1/submissions", &[], b"").status, 405);
    // An id of the client's is echoed, one that is too long replaced.
    let echoed = service.call("GET", "/healthz", &[("x-request-id", "abc-1")], b"");
    assert_eq!(echoed.header("x-request-id"), Some("abc-1"));
    let long = "x".repeat(300);
    let replaced = service.call("GET", "/healthz", &[("x-request-id", &long)], b"");
    assert_ne!(replaced.header("x-request-id"), Some(long.as_str()));
    let data = service.data().to_owned();
    service.stop();
    assert_eq!(blobs(&data), 0);
    assert_eq!(std::fs::read_dir(data.join("spool/new")).unwrap().count(), 0);
}

#[test]
fn pages_of_other_sites_cannot_call_the_box() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let host = service.call("GET", "/v1/submissions", &[("host", "evil.example")], b"");
    assert_eq!((host.status, &host.body["reason"]), (421, &json!("host_foreign")), "{host:?}");
    let origin = service.call("GET", "/v1/submissions", &[("origin", "https://evil.example")], b"");
    assert_eq!((origin.status, &origin.body["reason"]), (403, &json!("origin_foreign")));
}

/// Settings with two tenants whose calls need keys.
fn two_tenants(dir: &Path) -> String {
    let config = dir.join("weir.toml");
    std::fs::write(&config, "[auth]\nrequired = true\n[tenant.shop]\n[tenant.club]\n").unwrap();
    config.to_string_lossy().into_owned()
}

#[test]
fn a_key_decides_the_tenant_and_nobody_sees_anothers() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", &two_tenants(dir.path())]);
    // Made while the service runs.
    let (shop, club) =
        (weir::bearer(&data, "shop", "submit,read"), weir::bearer(&data, "club", "submit,read"));
    let reader = weir::bearer(&data, "shop", "read");
    let missing = service.get("/v1/submissions");
    assert_eq!((missing.status, missing.header("www-authenticate").is_some()), (401, true));
    for wrong in ["Bearer weir_0000", "Basic abc", "Bearer "] {
        let answer = service.call("GET", "/v1/submissions", &[("authorization", wrong)], b"");
        assert_eq!(answer.status, 401, "{wrong}");
    }
    let wait = ("prefer", "wait=30");
    let made = service.submit_with(&[("authorization", &shop), wait], &json!({}), &[&photo(7)]);
    assert_eq!(made.status, 200, "{made:?}");
    let path = format!("/v1/submissions/{}", made.body["id"].as_str().unwrap());
    let get = |key: &str, path: &str| service.call("GET", path, &[("authorization", key)], b"");
    assert_eq!(get(&shop, &path).status, 200);
    assert_eq!(get(&club, &path).status, 404);
    assert_eq!(get(&club, "/v1/submissions").body["items"], json!([]));
    let gate = format!("/v1/gate?sha256={}", sha256(&photo(7)));
    assert_eq!((get(&shop, &gate).status, get(&club, &gate).status), (204, 403));
    let refused = service.submit_with(&[("authorization", &reader)], &json!({ "text": "x" }), &[]);
    assert_eq!((refused.status, &refused.body["reason"]), (403, &json!("scope_missing")));
    let listed = weir::run(["token", "list", "--data", &data.to_string_lossy()]);
    let id = listed
        .stdout
        .lines()
        .find(|l| l.contains("club"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let revoked =
        weir::run(["token", "revoke", "--data", &data.to_string_lossy(), "--tenant", "club", &id]);
    assert_eq!(revoked.code, Some(0), "{revoked:#?}");
    assert_eq!(get(&club, "/v1/submissions").status, 401);
    service.stop();
    verify(&data);
}

#[test]
fn guessed_keys_are_limited_as_calls_without_one_are() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[auth]\nrequired = true\n[limits]\nanonymous_per_second = 1\n")
        .unwrap();
    let service = Service::start(&dir.path().join("data"), &["--config", config.to_str().unwrap()]);
    for headers in [&[][..], &[("authorization", "Bearer weir_guess")]] {
        let calls = (0..50).map(|_| service.call("GET", "/v1/submissions", headers, b"").status);
        let statuses: Vec<u16> = calls.collect();
        assert!(statuses.contains(&429) && !statuses.contains(&200), "{statuses:?}");
    }
}

#[test]
fn an_author_has_a_share_of_the_hour_that_a_restart_does_not_renew() {
    let dir = tempfile::tempdir().unwrap();
    let profile = dir.path().join("small.toml");
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
    let text = std::fs::read_to_string(starter).unwrap();
    let limited = text.replacen("[messages.en]", "[limits]\nper_author_hour = 2\n[messages.en]", 1);
    std::fs::write(&profile, limited).unwrap();
    let data = dir.path().join("data");
    let arguments = ["--profile", profile.to_str().unwrap()];
    let meta = json!({ "author": "u-9" });
    let service = Service::start(&data, &arguments);
    assert_eq!(service.submit(&meta, &[&photo(8)]).status, 202);
    assert_eq!(service.submit(&meta, &[&photo(9)]).status, 202);
    service.kill();
    let service = Service::start(&data, &arguments);
    let third = service.submit(&meta, &[&photo(10)]);
    assert_eq!((third.status, &third.body["reason"]), (429, &json!("author_limit")), "{third:?}");
    assert!(third.header("retry-after").unwrap().parse::<u64>().unwrap() > 3000);
    assert_eq!(service.submit(&json!({ "author": "u-10" }), &[&photo(10)]).status, 202);
}

#[test]
fn media_are_fetched_by_address_but_not_from_inside() {
    let dir = tempfile::tempdir().unwrap();
    let (port, asked) = endpoint(vec![ok(&photo(11))]);
    let url = format!("http://127.0.0.1:{port}/bucket/photo.jpg?X-Signature=top-secret");
    let meta = json!({ "media": [{ "url": url }] });
    let kind = [("content-type", "application/json")];
    // Loopback is no public address: nothing is asked there.
    let closed = Service::start(&dir.path().join("closed"), &[]);
    let answer = closed.call("POST", "/v1/submissions", &kind, meta.to_string().as_bytes());
    assert_eq!(answer.status, 202, "{answer:?}");
    drop(closed);
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "[fetch]\nallow = [\"127.0.0.0/8\"]\n").unwrap();
    let data = dir.path().join("open");
    let open = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let answer = open.call("POST", "/v1/submissions", &kind, meta.to_string().as_bytes());
    let view = open.decided(answer.body["id"].as_str().unwrap());
    assert_eq!(view["status"], "approved", "{view}");
    assert_eq!(view["media"][0]["sha256"], sha256(&photo(11)));
    assert!(!view.to_string().contains("top-secret"));
    let asked = asked.join().unwrap();
    assert!(asked[0].starts_with("GET /bucket/photo.jpg?X-Signature=top-secret "), "{asked:?}");
    open.stop();
    // The signature is a secret: no file of the data folder has it once the bytes are here.
    for entry in std::fs::read_dir(&data).unwrap().filter_map(Result::ok) {
        if entry.file_type().unwrap().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let found = bytes.windows(10).any(|w| w == b"top-secret");
            assert!(!found, "{} has it", entry.path().display());
        }
    }
}

#[test]
fn a_platform_is_told_under_one_id_until_it_has_understood() {
    let dir = tempfile::tempdir().unwrap();
    let busy = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (port, told) = endpoint(vec![busy.to_vec(), ok(b"")]);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let file = dir.path().join("hook.secret");
    std::fs::write(&file, secret).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = dir.path().join("weir.toml");
    let text = format!(
        "[fetch]\nallow = [\"127.0.0.0/8\"]\n[[tenant.default.webhook]]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret_file = \"{}\"\n",
        file.display()
    );
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let answer = service.submit(&json!({ "language": "fr" }), &[&scam("win")]);
    let id = answer.body["id"].as_str().unwrap().to_owned();
    let told = told.join().unwrap();
    let header = |request: &str, name: &str| {
        let line =
            request.lines().find(|l| l.to_lowercase().starts_with(&format!("{name}: "))).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(header(&told[0], "webhook-id"), header(&told[1], "webhook-id"));
    let (_, body) = told[1].split_once("\r\n\r\n").unwrap();
    // The standard's own library checks the signature.
    let verifier = standardwebhooks::Webhook::new(secret).unwrap();
    let mut headers = ureq::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, header(&told[1], name).parse().unwrap());
    }
    verifier.verify(body.as_bytes(), &headers).unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["type"], &body["data"]["id"]), (&json!("submission.decided"), &json!(id)));
    assert_eq!(body["data"]["status"], "rejected");
    assert!(body["data"]["message"].as_str().unwrap().contains("site"), "{body}");
}

#[test]
fn a_second_service_over_the_same_folder_says_why_it_will_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let data = dir.path().to_string_lossy().into_owned();
    let second = weir::run(["serve", "--listen", "127.0.0.1:0", "--data", &data]);
    assert_eq!(second.code, Some(64), "{second:#?}");
    assert!(second.stderr.contains("is in use by process"), "{second:#?}");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn settings_tell_every_mistake_at_once_and_where_each_value_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    std::fs::write(&config, "listen = \"here\"\nworkers = 0\n").unwrap();
    let path = config.to_str().unwrap();
    let run = weir::run(["config", "check", "--config", path]);
    assert_eq!(run.code, Some(64), "{run:#?}");
    assert!(run.stderr.contains("listen") && run.stderr.contains("workers"), "{run:#?}");
    std::fs::write(&config, "workers = 3\n").unwrap();
    let shown = weir::run(["config", "show", "--config", path]);
    let line = shown.stdout.lines().find(|l| l.starts_with("workers")).unwrap();
    assert!(line.contains('3') && line.contains("weir.toml"), "{line}");
    assert!(shown.stdout.lines().any(|l| l.starts_with("listen") && l.ends_with("# default")));
}
