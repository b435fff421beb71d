//! `weir reload`: changed files are taken up while the service runs, all of them or none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rig::media::{photo, scam};
use rig::service::{Answer, Service};
use rig::sha256;
use rig::weir::{self, Run};
use serde_json::json;

/// A box with a profile and settings of its own that a test may change.
struct Files {
    dir: tempfile::TempDir,
    profile: String,
}

impl Files {
    fn new() -> Self {
        let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
            profile: std::fs::read_to_string(starter).unwrap(),
        };
        files.write_profile(&files.profile);
        files.write_settings("");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_profile(&self, text: &str) {
        std::fs::write(self.path("own.toml"), text).unwrap();
    }

    /// The profile with these words in the place of those.
    fn change_profile(&self, from: &str, to: &str) {
        let text = self.profile.replacen(from, to, 1);
        assert_ne!(text, self.profile);
        self.write_profile(&text);
    }

    fn write_settings(&self, more: &str) {
        let profile = self.path("own.toml");
        let text = format!("profile = {profile:?}\ndrain_seconds = 5\n{more}");
        std::fs::write(self.path("weir.toml"), text).unwrap();
    }

    fn start(&self) -> Service {
        let config = self.path("weir.toml");
        Service::start(&self.path("data"), &["--config", config.to_str().unwrap()])
    }

    fn reload(&self) -> Run {
        weir::run(["reload", "--data", self.path("data").to_str().unwrap()])
    }
}

fn judge(service: &Service, medium: &[u8]) -> Answer {
    let answer = service.submit_with(&[("prefer", "wait=30")], &json!({}), &[medium]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn status(answer: &Answer) -> &str {
    answer.body["status"].as_str().unwrap()
}

fn gate(service: &Service, medium: &[u8]) -> String {
    let answer = service.get(&format!("/v1/gate?sha256={}", sha256(medium)));
    answer.header("x-weir-status").unwrap_or_default().to_owned()
}

/// The list of blocked hosts, as the profile has it and without the one that test pictures name.
const BLOCKED: (&str, &str) = ("scam.example", "other-scam.example");

#[test]
fn a_changed_profile_is_in_force_for_the_next_submission_and_the_next_answer_of_the_gate() {
    let files = Files::new();
    let service = files.start();
    let bad = scam("win");
    assert_eq!(status(&judge(&service, &bad)), "rejected");
    assert_eq!(gate(&service, &bad), "rejected");
    // The version stays as it is: people forget to raise it.
    files.change_profile(BLOCKED.0, BLOCKED.1);
    assert_eq!(gate(&service, &bad), "rejected", "nobody has asked for a reload yet");
    let run = files.reload();
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("tenant default: starter@1:"), "{}", run.stderr);
    assert_eq!(gate(&service, &bad), "unknown", "an answer by rules of yesterday");
    assert_eq!(status(&judge(&service, &bad)), "approved");
    assert_eq!(gate(&service, &bad), "approved");
    // A second one finds nothing new, and takes nothing away.
    let run = files.reload();
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(0), "weir: nothing has changed; all was read anew\n")
    );
    assert_eq!(gate(&service, &bad), "approved");
    // The journal knows what was in force, and since when.
    assert_eq!(service.stop(), Some(0));
    let verified = weir::run(["store", "verify", "--data", files.path("data").to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told_all_at_once() {
    let files = Files::new();
    let service = files.start();
    let bad = scam("win");
    assert_eq!(status(&judge(&service, &bad)), "rejected");
    files.change_profile("version = 1\n", "version = 2\nversoin = 3\nclosed_at = 1\n");
    let run = files.reload();
    assert_ne!(run.code, Some(0), "{run:#?}");
    for word in ["versoin", "closed_at", "own.toml"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert_eq!(gate(&service, &bad), "rejected");
    assert_eq!(status(&judge(&service, &bad)), "rejected");
    files.write_profile(&files.profile);
    files.write_settings("surprise = 1\n[tenant.shop]\ngate_unknown = \"ajar\"\n");
    let run = files.reload();
    assert_ne!(run.code, Some(0), "{run:#?}");
    for word in ["surprise", "ajar"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert_eq!(gate(&service, &bad), "rejected");
}

#[test]
fn tenants_come_and_go_and_what_needs_a_restart_is_named() {
    let files = Files::new();
    let service = {
        files.write_settings("[auth]\nrequired = true\n[tenant.default]\n");
        files.start()
    };
    let data = files.path("data");
    let key = |tenant: &str| weir::bearer(&data, tenant, "submit,read");
    let (first, second) = (key("default"), key("shop"));
    let list = |bearer: &str| {
        let answer = service.call("GET", "/v1/submissions", &[("authorization", bearer)], b"");
        (answer.status, answer.body["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(list(&second), (403, "tenant_gone".to_owned()));
    files.write_settings(
        "workers = 1\n[limits]\nqueue = 7\n[auth]\nrequired = true\n[tenant.shop]\n",
    );
    let run = files.reload();
    assert_eq!(run.code, Some(0), "{run:#?}");
    for word in
        ["tenant shop: new", "tenant default: not served any more", "`workers`", "`limits.queue`"]
    {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("`listen`"), "{}", run.stderr);
    assert_eq!(list(&second).0, 200);
    assert_eq!(list(&first), (403, "tenant_gone".to_owned()));
}

#[test]
fn sighup_reloads_too_and_ends_nothing() {
    let files = Files::new();
    let service = files.start();
    let bad = scam("win");
    assert_eq!(status(&judge(&service, &bad)), "rejected");
    files.change_profile(BLOCKED.0, BLOCKED.1);
    service.signal("HUP");
    let start = Instant::now();
    // There is nobody to answer a signal; the gate is what shows it.
    while gate(&service, &bad) != "unknown" {
        assert!(start.elapsed() < Duration::from_secs(30), "SIGHUP changed nothing");
    }
    assert_eq!(status(&judge(&service, &bad)), "approved");
}

#[test]
fn submissions_that_come_during_reloads_are_all_decided_once() {
    let files = Files::new();
    let service = files.start();
    let over = AtomicBool::new(false);
    let ids = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut ids = Vec::new();
            for seed in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let answer = service.submit(&json!({}), &[&photo(seed)]);
                assert_eq!(answer.status, 202, "{answer:?}");
                ids.push(answer.body["id"].as_str().unwrap().to_owned());
            }
            ids
        });
        for (from, to) in [BLOCKED, ("version = 1\n", "version = 2\n"), BLOCKED] {
            files.change_profile(from, to);
            let run = files.reload();
            assert_eq!(run.code, Some(0), "{run:#?}");
        }
        over.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    });
    assert!(ids.len() > 3, "{ids:?}");
    for id in &ids {
        let view = service.decided(id);
        assert_eq!(view["status"], "approved", "{view}");
        assert_eq!(view["decision"], 0, "{view}");
    }
}

#[test]
fn without_a_service_there_is_nothing_to_reload() {
    let files = Files::new();
    assert_eq!(files.start().stop(), Some(0));
    let run = files.reload();
    assert_ne!(run.code, Some(0));
    assert!(run.stderr.contains("no service runs"), "{}", run.stderr);
}
