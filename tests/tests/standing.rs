//! Strikes and what follows from them, by the profile's own rules. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use rig::media::{photo, scam};
use rig::service::Service;
use rig::weir;
use serde_json::{Value, json};

/// The profile `starter` with a table `[enforcement]`, in a file.
fn profile(dir: &Path, enforcement: &str) -> PathBuf {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
    let text = std::fs::read_to_string(starter).unwrap();
    let path = dir.join("strict.toml");
    let table = format!("[enforcement]\n{enforcement}\n[messages.en]");
    std::fs::write(&path, text.replacen("[messages.en]", &table, 1)).unwrap();
    path
}

/// Days since 1970 (Howard Hinnant's `days_from_civil`) of a time such as `2026-03-01T12:00:00Z`.
fn day(at: &Value) -> i64 {
    let date = at.as_str().unwrap().get(..10).unwrap();
    let [year, month, day] = [0..4, 5..7, 8..10].map(|r| date[r].parse::<i64>().unwrap());
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

fn standing(service: &Service) -> Value {
    let answer = service.get("/v1/authors/u-1/strikes");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[test]
fn a_profile_s_own_steps_give_the_penalties_that_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let steps = "strike_days = 10\nsteps = [{ strikes = 1, penalty = \"hide\" }, { strikes = 2, penalty = \"ban\" }]";
    let file = profile(dir.path(), steps);
    let service = Service::start(&dir.path().join("data"), &["--profile", file.to_str().unwrap()]);
    let by = json!({ "author": "u-1" });
    let judged = |bytes: &[u8]| {
        let answer = service.submit(&by, &[bytes]);
        assert_eq!(answer.status, 202, "{answer:?}");
        service.decided(answer.body["id"].as_str().unwrap())["status"].clone()
    };
    assert_eq!(judged(&photo(1)), "approved");
    // The first strike, by machine, hides; the built-in rules would only warn.
    assert_eq!(judged(&scam("1")), "rejected");
    let now = standing(&service);
    assert_eq!(now["level"], "hidden", "{now}");
    let strike = &now["items"][0];
    assert_eq!(day(&strike["expires"]) - day(&strike["at"]), 10, "{strike}");
    assert_eq!(judged(&photo(2)), "held", "what a hidden author posts waits for a person");
    // The second, by a person, bans; it counts as long as the profile says.
    let kind = [("content-type", "application/json")];
    let body = br#"{"severity":"high"}"#;
    let struck = service.call("POST", "/v1/authors/u-1/strikes", &kind, body);
    assert_eq!((struck.status, &struck.body["level"]), (201, &json!("banned")), "{struck:?}");
    let refused = service.submit(&by, &[&photo(3)]);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(standing(&service)["level"], "banned");
    // A lifted one is counted by the same rules.
    let id = standing(&service)["items"][0]["id"].clone();
    let lifted = service.call("DELETE", &format!("/v1/authors/u-1/strikes/{id}"), &[], b"");
    assert_eq!((lifted.status, &lifted.body["level"]), (200, &json!("hidden")), "{lifted:?}");
}

#[test]
fn without_an_appeal_window_nothing_is_kept_for_one() {
    let dir = tempfile::tempdir().unwrap();
    for (appeal_days, kept) in [(0, 0), (3, 1)] {
        let file = profile(dir.path(), &format!("appeal_days = {appeal_days}"));
        let data = dir.path().join(format!("data-{appeal_days}"));
        let service = Service::start(&data, &["--profile", file.to_str().unwrap()]);
        let answer = service.submit(&json!({}), &[&scam("2")]);
        let view = service.decided(answer.body["id"].as_str().unwrap());
        assert_eq!(view["status"], "rejected");
        assert_eq!(service.evidence(view["id"].as_str().unwrap()).len(), kept);
        assert_eq!(service.stop(), Some(0));
        let count = |folder: &str| std::fs::read_dir(data.join(folder)).unwrap().count();
        assert_eq!((count("spool/blobs"), count("evidence")), (0, kept));
    }
}

#[test]
fn wrong_rules_are_told_all_at_once_before_anything_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let file = profile(
        dir.path(),
        "strike_days = \"long\"\nsteps = [{ strikes = 2, penalty = \"hide\" }, { strikes = 1, penalty = \"shame\" }]\nappeal = 3",
    );
    let data = dir.path().join("data");
    let run = weir::run([
        "serve".as_ref(),
        "--listen".as_ref(),
        "127.0.0.1:0".as_ref(),
        "--profile".as_ref(),
        file.as_os_str(),
        "--data".as_ref(),
        data.as_os_str(),
    ]);
    assert_eq!(run.code, Some(64), "{run:#?}");
    for told in ["enforcement.strike_days", "enforcement.steps[2].penalty", "enforcement.appeal:"] {
        assert!(run.stderr.contains(told), "{told}: {run:#?}");
    }
}
