//! The gate as a CDN meets it: a real nginx that asks by `auth_request` before it shows a file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rig::media::{photo, scam};
use rig::nginx::{Nginx, Shown};
use rig::service::Service;
use rig::sha256;
use rig::weir;
use serde_json::json;

/// Settings with keys; `unknown` is what the gate does with what it does not know.
fn settings(dir: &Path, profile: &str, unknown: &str) -> String {
    let config = dir.join("weir.toml");
    let text = format!(
        "profile = \"{profile}\"\n[auth]\nrequired = true\n[tenant.default]\ngate_unknown = \"{unknown}\"\n"
    );
    std::fs::write(&config, text).unwrap();
    config.to_string_lossy().into_owned()
}

fn token(data: &Path) -> String {
    weir::bearer(data, "default", "submit,read").replace("Bearer ", "")
}

/// Hands a medium in and waits for its verdict.
fn judge(service: &Service, key: &str, medium: &[u8]) -> String {
    let headers = [("authorization", format!("Bearer {key}")), ("prefer", "wait=30".to_owned())];
    let headers = headers.each_ref().map(|(n, v)| (*n, v.as_str()));
    let answer = service.submit_with(&headers, &json!({}), &[medium]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["status"].as_str().unwrap().to_owned()
}

fn refused(gate: &str, shown: &Shown) {
    assert_eq!((shown.status, shown.gate.as_str()), (403, gate), "{shown:?}");
}

#[test]
fn a_cdn_shows_what_is_approved_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", &settings(dir.path(), "starter", "closed")]);
    let key = token(&data);
    let nginx = Nginx::start(&dir.path().join("cdn"), service.base(), &key);
    let (good, bad) = (photo(1), scam("win"));
    let media = dir.path().join("cdn/site/media");
    for bytes in [&good, &bad] {
        std::fs::write(media.join(sha256(bytes)), bytes).unwrap();
    }
    // Before anybody looked at it; and that answer does not outlive the verdict.
    refused("unknown", &nginx.show(&sha256(&good)));
    assert_eq!(judge(&service, &key, &good), "approved");
    assert_eq!(judge(&service, &key, &bad), "rejected");
    for _ in 0..3 {
        let shown = nginx.show(&sha256(&good));
        assert_eq!((shown.status, shown.gate.as_str()), (200, "approved"));
        assert_eq!(shown.body, good);
        refused("rejected", &nginx.show(&sha256(&bad)));
    }
    refused("unknown", &nginx.show("nonsense"));
    // A key that is revoked opens nothing more, from the next call on.
    let listed = weir::run(["token", "list", "--data", &data.to_string_lossy()]);
    let id = listed.stdout.split_whitespace().next().unwrap();
    let revoked = weir::run(["token", "revoke", "--data", &data.to_string_lossy(), id]);
    assert_eq!(revoked.code, Some(0), "{revoked:#?}");
    refused("unknown", &nginx.show(&sha256(&good)));
}

#[test]
fn what_the_gate_does_not_know_follows_the_tenants_fail_mode() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", &settings(dir.path(), "starter", "open")]);
    let key = token(&data);
    let nginx = Nginx::start(&dir.path().join("cdn"), service.base(), &key);
    let (unknown, bad) = (photo(2), scam("win"));
    for bytes in [&unknown, &bad] {
        std::fs::write(dir.path().join("cdn/site/media").join(sha256(bytes)), bytes).unwrap();
    }
    let shown = nginx.show(&sha256(&unknown));
    assert_eq!((shown.status, shown.gate.as_str()), (200, "unknown"));
    // Known to be bad is another matter, and a stranger's key is no question at all.
    assert_eq!(judge(&service, &key, &bad), "rejected");
    refused("rejected", &nginx.show(&sha256(&bad)));
    let stranger = Nginx::start(&dir.path().join("cdn2"), service.base(), "weir_stranger");
    refused("unknown", &stranger.show(&sha256(&unknown)));
}

#[test]
fn a_policy_change_is_in_force_for_the_next_answer() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
    let starter = std::fs::read_to_string(starter).unwrap();
    let profile = dir.path().join("own.toml");
    std::fs::write(&profile, &starter).unwrap();
    let config = settings(dir.path(), profile.to_str().unwrap(), "closed");
    let service = Service::start(&data, &["--config", &config]);
    let key = token(&data);
    let good = photo(3);
    assert_eq!(judge(&service, &key, &good), "approved");
    let ask = |service: &Service| {
        let path = format!("/v1/gate?sha256={}", sha256(&good));
        let bearer = format!("Bearer {key}");
        let answer = service.call("GET", &path, &[("authorization", &bearer)], b"");
        (answer.status, answer.header("x-weir-status").unwrap_or_default().to_owned())
    };
    assert_eq!(ask(&service), (204, "approved".into()));
    service.stop();
    // The same rules again: what was approved still is.
    let service = Service::start(&data, &["--config", &config]);
    assert_eq!(ask(&service), (204, "approved".into()));
    service.stop();
    let second = starter.replacen("version = 1\n", "version = 2\n", 1);
    assert_ne!(second, starter);
    std::fs::write(&profile, second).unwrap();
    let service = Service::start(&data, &["--config", &config]);
    assert_eq!(ask(&service), (403, "unknown".into()), "approved by rules of yesterday");
    assert_eq!(judge(&service, &key, &good), "approved");
    assert_eq!(ask(&service), (204, "approved".into()));
}

/// Two parts of a query, and headers between them.
type Question<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn whatever_is_asked_the_gate_says_yes_or_no() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", &settings(dir.path(), "starter", "closed")]);
    let bearer = format!("Bearer {}", token(&data));
    let known = format!("sha256={}", sha256(b"x"));
    let questions: [Question<'_>; 8] = [
        ("", &[], ""),
        ("", &[], "sha256=nonsense"),
        ("", &[], "sha256=%ff"),
        ("", &[], "sha256=1&sha256=2"),
        (&known, &[], "surface=%20"),
        (&known, &[("host", "evil.example")], ""),
        (&known, &[("origin", "https://evil.example")], ""),
        (&known, &[("x-weir-surface", "no such surface!")], ""),
    ];
    for (first, headers, second) in questions {
        let path = format!("/v1/gate?{first}&{second}");
        let all: Vec<_> =
            headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
        for headers in [&all[..], headers] {
            let answer = service.call("GET", &path, headers, b"");
            let status = answer.header("x-weir-status");
            assert_eq!((answer.status, status), (403, Some("unknown")), "{path} {headers:?}");
        }
    }
    let without = service.get(&format!("/v1/gate?{known}"));
    assert_eq!(without.header("x-weir-reason"), Some("credential_missing"));
}
