//! `weir policy replay`: what it foretells is what the other policy then does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rig::media::{photo, scam};
use rig::service::Service;
use rig::weir;
use serde_json::{Value, json};

/// The shipped profile with one rule changed: what profanity was told before is rejected.
fn stricter(dir: &Path) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/starter.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let rule = text.find("reason = \"scam_link\"").unwrap();
    let begin = text[..rule].rfind("[[policy.rule]]").unwrap();
    let (before, after) = text.split_at(begin);
    let own = "[[policy.rule]]\nid = \"own\"\nwhen = 'context.surface == \"avatar\"'\n\
               category = \"spam\"\nseverity = \"low\"\naction = \"reject\"\nreason = \"odd_link\"\n\n";
    let path = dir.join("stricter.toml");
    std::fs::write(&path, format!("{before}{own}{after}")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Ids of what a box was given, in order.
fn submit(service: &Service) -> Vec<String> {
    let picture = photo(1);
    let sent = [
        service.submit(&json!({"surface": "avatar", "author": "amina"}), &[&picture]),
        service.submit(&json!({"surface": "post", "author": "amina"}), &[&picture]),
        service.submit(
            &json!({"surface": "post", "text": "good morning", "author": "zuri"}),
            &[&picture],
        ),
        service.submit(&json!({"surface": "avatar", "author": "zuri"}), &[&scam("1")]),
        service.submit(&json!({"surface": "avatar", "text": "hello", "author": "zuri"}), &[]),
    ];
    let ids: Vec<String> =
        sent.iter().map(|answer| answer.body["id"].as_str().unwrap().to_owned()).collect();
    ids.iter().for_each(|id| drop(service.decided(id)));
    ids
}

fn statuses(service: &Service, ids: &[String]) -> Vec<String> {
    let status = |id: &String| service.decided(id)["status"].as_str().unwrap().to_owned();
    ids.iter().map(status).collect()
}

fn replay(data: &Path, policy: &str, more: &[&str]) -> Value {
    let run = weir::finish(
        weir::command().args(["policy", "replay", policy, "--json", "--data"]).arg(data).args(more),
    );
    assert_eq!(run.code, Some(0), "{run:#?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn the_same_policy_changes_nothing_and_another_what_it_then_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &[]);
    let ids = submit(&service);
    let before = statuses(&service, &ids);
    // While it runs.
    let same = replay(&data, "starter", &[]);
    assert_eq!((&same["decisions"], &same["without_evidence"]), (&json!(5), &json!(0)), "{same}");
    assert_eq!((&same["changed"], &same["other_reasons"]), (&json!(0), &json!(0)), "{same}");

    let stricter = stricter(dir.path());
    let told = replay(&data, &stricter, &["--samples", "10"]);
    let other = Service::start(&dir.path().join("other"), &["--profile", &stricter]);
    let others = submit(&other);
    let after = statuses(&other, &others);
    let moved: Vec<&String> =
        ids.iter().enumerate().filter(|(i, _)| before[*i] != after[*i]).map(|(_, id)| id).collect();
    assert_eq!(moved.len(), 2, "{before:?} {after:?}");
    assert_eq!(told["changed"], json!(moved.len()), "{told}");
    let named = told["moves"]["approved → rejected"]["samples"].as_array().unwrap();
    let mut named: Vec<&str> = named.iter().map(|s| s["submission"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, moved);
    assert_eq!(told["reasons"]["odd_link"], json!({"before": 0, "after": 3}), "{told}");
    // Nothing was changed by asking.
    assert_eq!(statuses(&service, &ids), before);
}

#[test]
fn what_was_erased_or_is_another_tenants_is_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &[]);
    submit(&service);
    let erased = service.call("DELETE", "/v1/authors/zuri", &[], b"");
    assert_eq!(erased.status, 200, "{erased:?}");
    let told = replay(&data, "starter", &[]);
    assert_eq!((&told["decisions"], &told["without_evidence"]), (&json!(5), &json!(3)), "{told}");
    assert_eq!(replay(&data, "starter", &["--tenant", "nobody"])["decisions"], json!(0));
    let text =
        weir::finish(weir::command().args(["policy", "replay", "starter", "--data"]).arg(&data));
    assert!(text.stdout.contains("3 more cannot be decided anew"), "{text:#?}");
}

#[test]
fn a_policy_that_asks_for_what_did_not_run_holds() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &[]);
    submit(&service);
    let policy = dir.path().join("policy.toml");
    let text = "name = \"faces\"\nversion = 1\nmax_gap_ms = 1000\nrequired = [\"hash\", \"faces\"]\n\
                undecodable = \"hold\"\naudio_only = \"hold\"\n[fail]\ndefault = \"hold\"\n\
                [[rule]]\nid = \"many\"\nwhen = 'scores.face_count > 3'\ncategory = \"quality\"\nseverity = \"low\"\nreason = \"many\"\n";
    std::fs::write(&policy, text).unwrap();
    let told = replay(&data, policy.to_str().unwrap(), &[]);
    assert_eq!(told["moves"]["approved → held"]["count"], json!(4), "{told}");
}

#[test]
fn a_folder_without_a_database_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = weir::finish(
        weir::command()
            .args(["policy", "replay", "starter", "--data"])
            .arg(dir.path().join("none")),
    );
    assert_ne!(run.code, Some(0));
    assert!(run.stderr.contains("none"), "{run:#?}");
}
