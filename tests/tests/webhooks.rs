//! Endpoints of webhooks that are gone: not called any more, whatever happens to the process. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rig::endpoint::{endpoint, ok};
use rig::service::Service;
use rig::weir;
use serde_json::{Value, json};

const GONE: &[u8] = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Settings with one endpoint, called `main`.
fn settings(dir: &Path, port: u16) -> PathBuf {
    let secret = dir.join("hook.secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = dir.join("weir.toml");
    let text = format!(
        "[fetch]\nallow = [\"127.0.0.0/8\"]\n[[tenant.default.webhook]]\nname = \"main\"\n\
         url = \"http://127.0.0.1:{port}/hook\"\nsecret_file = \"{}\"\n",
        secret.display()
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn judged(service: &Service) -> String {
    let text = json!({ "text": "good morning" });
    let answer = service.submit(&text, &[]);
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.body["id"].as_str().unwrap().to_owned();
    service.decided(&id);
    id
}

/// The message about a submission once its state is this one.
fn message(service: &Service, id: &str, state: &str) -> Value {
    let start = Instant::now();
    loop {
        let all = service.get("/v1/messages").body;
        let found = all["items"].as_array().unwrap().iter().find(|m| m["submission"] == id);
        if let Some(message) = found.filter(|m| m["state"] == state) {
            return message.clone();
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{all:#}");
        std::thread::yield_now();
    }
}

fn is_told_gone(service: &Service) -> bool {
    let status = service.get("/v1/status").body;
    let notices = status["health"]["notices"].as_array().unwrap();
    notices.iter().any(|n| {
        n["code"] == "webhook_gone" && n["what"].as_str().unwrap().contains("default/main")
    })
}

fn webhook(data: &Path, words: &[&str]) -> weir::Run {
    let words = ["webhook"].iter().chain(words).chain(&["--data"]).map(OsStr::new);
    weir::run(words.chain([data.as_os_str()]))
}

fn of(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<Value>(body).unwrap()["data"]["id"].clone()
}

#[test]
fn an_endpoint_that_is_gone_stays_so_over_a_restart_until_a_person_enables_it() {
    let dir = tempfile::tempdir().unwrap();
    let (port, asked) = endpoint(vec![GONE.to_vec(), ok(b"")]);
    let config = settings(dir.path(), port);
    let data = dir.path().join("data");
    let arguments = ["--config", config.to_str().unwrap()];
    let service = Service::start(&data, &arguments);
    assert!(!is_told_gone(&service));
    let first = judged(&service);
    message(&service, &first, "failed");
    assert!(is_told_gone(&service));
    service.kill();
    let service = Service::start(&data, &arguments);
    // Known before anything is sent.
    assert!(is_told_gone(&service));
    let second = judged(&service);
    let refused = message(&service, &second, "failed");
    assert_eq!(refused["failures"][0]["reason"], "endpoint_gone", "{refused}");
    let listed = webhook(&data, &["list"]);
    assert!(listed.stdout.starts_with("default  main  gone since "), "{listed:#?}");
    assert!(!listed.stdout.contains("127.0.0.1"), "the address may hold a secret: {listed:#?}");
    let stranger = webhook(&data, &["enable", "main", "--tenant", "other"]);
    assert_eq!(stranger.code, Some(64), "{stranger:#?}");
    let enabled = webhook(&data, &["enable", "main"]);
    assert_eq!((enabled.code, enabled.stdout.trim()), (Some(0), "enabled"), "{enabled:#?}");
    assert_eq!(webhook(&data, &["enable", "main"]).code, Some(64), "it is in use");
    assert!(!is_told_gone(&service));
    let third = judged(&service);
    message(&service, &third, "done");
    let asked = asked.join().unwrap();
    assert_eq!([of(&asked[0]), of(&asked[1])], [json!(first), json!(third)]);
    assert_eq!(service.stop(), Some(0));
    let verified =
        weir::run(["store", "verify", "--data"].iter().map(OsStr::new).chain([data.as_os_str()]));
    assert_eq!(verified.code, Some(0), "{verified:#?}");
}

#[test]
fn an_endpoint_that_is_gone_is_called_at_its_new_address() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (old, _) = endpoint(vec![GONE.to_vec()]);
    let config = settings(dir.path(), old);
    let arguments = ["--config", config.to_str().unwrap()];
    let service = Service::start(&data, &arguments);
    message(&service, &judged(&service), "failed");
    // While the service runs.
    let (new, asked) = endpoint(vec![ok(b""), GONE.to_vec()]);
    settings(dir.path(), new);
    let reloaded = weir::run([OsStr::new("reload"), OsStr::new("--data"), data.as_os_str()]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:#?}");
    assert!(!is_told_gone(&service));
    let second = judged(&service);
    message(&service, &second, "done");
    message(&service, &judged(&service), "failed");
    assert_eq!(of(&asked.join().unwrap()[0]), json!(second));
    assert!(is_told_gone(&service));
    assert_eq!(service.stop(), Some(0));
    // At the next start.
    let (newest, asked) = endpoint(vec![ok(b"")]);
    settings(dir.path(), newest);
    let service = Service::start(&data, &arguments);
    assert!(!is_told_gone(&service));
    let last = judged(&service);
    message(&service, &last, "done");
    assert_eq!(of(&asked.join().unwrap()[0]), json!(last));
    assert_eq!(webhook(&data, &["list"]).stdout, "");
}
