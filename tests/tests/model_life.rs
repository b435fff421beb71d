//! The life of a model in the real service: promoted under load, watched, withdrawn by itself, never half-way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rig::service::Service;
use rig::tiny::{Maker, PROFILE, Tiny, by_hand, flat};
use rig::weir::{self, Run};
use serde_json::{Value, json};

/// How long something that comes by itself may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A box with models of its own, and a place where bundles for it are made.
struct Models {
    dir: tempfile::TempDir,
    maker: Maker,
}

impl Models {
    /// With a first version that was put there by hand.
    fn new() -> Self {
        let models = Self { dir: tempfile::tempdir().unwrap(), maker: Maker::new() };
        by_hand(&models.path("models"), Tiny::Good, "1");
        std::fs::write(models.path("red.toml"), PROFILE).unwrap();
        models.settings("");
        let key = models.maker.key.clone();
        assert_eq!(models.run(&["trust", &key]).code, Some(0));
        models
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self, more: &str) {
        let profile = self.path("red.toml");
        let text = format!(
            "profile = {profile:?}\nworkers = 2\n[limits]\nanonymous_per_second = 100000\n{more}"
        );
        std::fs::write(self.path("weir.toml"), text).unwrap();
    }

    fn start(&self) -> Service {
        let (config, models) = (self.path("weir.toml"), self.path("models"));
        let arguments = ["--config", config.to_str().unwrap()];
        Service::start_in(&self.path("data"), &arguments, &[("WEIR_MODELS", &models)])
    }

    /// `weir models …` on this box.
    fn run(&self, words: &[&str]) -> Run {
        let mut command = weir::command();
        command.env("WEIR_MODELS", self.path("models")).env("WEIR_DATA", self.path("data"));
        weir::finish(command.arg("models").args(words))
    }

    fn must(&self, words: &[&str]) -> Run {
        let run = self.run(words);
        assert_eq!(run.code, Some(0), "{words:?}: {run:#?}");
        run
    }

    fn install(&self, tiny: Tiny, version: &str) {
        let bundle = self.maker.bundle(tiny, version);
        self.must(&["install", bundle.to_str().unwrap()]);
    }

    /// The row of a version in `weir models list`.
    fn row(&self, id: &str) -> String {
        let list = self.must(&["list"]).stdout;
        let row = list.lines().find(|line| line.starts_with(&format!("{id} ")));
        row.unwrap_or_else(|| panic!("{id} in\n{list}")).to_owned()
    }

    fn stage(&self, version: &str) -> String {
        let text = std::fs::read_to_string(self.path("models/state.json")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        state["models"]["tiny"][version]["stage"].as_str().unwrap().to_owned()
    }
}

const RED: [u8; 3] = [180, 10, 10];
const GREEN: [u8; 3] = [10, 180, 10];
/// Brighter than the fragile version bears.
const BRIGHT: [u8; 3] = [10, 240, 10];

fn submit(service: &Service, colour: [u8; 3], seed: u32) -> String {
    let answer = service.submit(&json!({}), &[&flat(colour, seed)]);
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body["id"].as_str().unwrap().to_owned()
}

/// Hands in pictures of a colour and waits for their verdicts.
fn judged(service: &Service, colour: [u8; 3], seeds: std::ops::Range<u32>) -> Vec<Value> {
    let ids: Vec<_> = seeds.map(|seed| submit(service, colour, seed)).collect();
    ids.iter().map(|id| service.decided(id)).collect()
}

fn models(view: &Value) -> BTreeSet<&str> {
    view["models"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect()
}

/// The value of a metric with these labels as they are written; 0 where it is not there.
fn metric(service: &Service, sample: &str) -> f64 {
    let page = service.get("/metrics").body;
    let line = page.as_str().unwrap().lines().find_map(|line| line.strip_prefix(sample));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Keeps handing in until something holds.
fn until(service: &Service, colour: [u8; 3], what: &dyn Fn() -> bool) -> Vec<String> {
    let (start, mut ids) = (Instant::now(), Vec::new());
    while !what() {
        assert!(start.elapsed() < PATIENCE, "{} submissions later nothing has happened", ids.len());
        let id = submit(service, colour, 1000 + ids.len() as u32);
        service.decided(&id);
        ids.push(id);
    }
    ids
}

#[test]
fn a_version_is_promoted_stage_by_stage_under_load_and_every_job_is_decided_once() {
    let models = Models::new();
    models.install(Tiny::Good, "2");
    let service = models.start();
    let over = AtomicBool::new(false);
    let ids = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut ids = Vec::new();
            for seed in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let colour = if seed % 2 == 0 { RED } else { GREEN };
                ids.push((submit(&service, colour, seed), colour));
            }
            ids
        });
        for (words, stage) in [
            (&["promote", "tiny"][..], "shadow"),
            (&["promote", "tiny"][..], "canary"),
            (&["promote", "tiny", "--to", "canary", "--share", "0.5"][..], "canary"),
            (&["promote", "tiny"][..], "active"),
            (&["rollback", "tiny"][..], "retired"),
            (&["promote", "tiny@2", "--to", "active"][..], "active"),
        ] {
            let run = models.must(words);
            assert!(run.stderr.contains(&format!("→ {stage}")), "{run:#?}");
            assert_eq!(models.stage("2"), stage);
            let tested = run.stderr.contains("answers on cpu to 3 pictures as it must");
            assert_eq!(tested, words[0] == "promote", "{run:#?}");
        }
        over.store(true, Ordering::Relaxed);
        sending.join().unwrap()
    });
    assert!(ids.len() > 10, "{}", ids.len());
    for (id, colour) in &ids {
        let view = service.decided(id);
        assert_eq!(view["decision"], 0, "{view}");
        let status = if *colour == RED { "rejected" } else { "approved" };
        assert_eq!(view["status"], status, "{view}");
        let named = models_of(&view);
        assert!(named == ["tiny@1"] || named == ["tiny@2"], "{view}");
        // What is found names the version that the verdict names.
        for finding in view["findings"].as_array().unwrap() {
            assert_eq!(finding["model"], named[0], "{view}");
        }
    }
    assert_eq!(models_of(&service.decided(&submit(&service, GREEN, 99))), ["tiny@2"]);
    assert!(models.row("tiny@2").contains("active"), "{}", models.row("tiny@2"));
    assert_eq!(service.stop(), Some(0));
    let data = models.path("data");
    let verified = weir::run(["store", "verify", "--data", data.to_str().unwrap()]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    // Without a service `weir check` runs the same version.
    let picture = models.path("red.png");
    std::fs::write(&picture, flat(RED, 7)).unwrap();
    let profile = models.path("red.toml");
    let mut command = weir::command();
    command.env("WEIR_MODELS", models.path("models")).args(["check", "--json", "--profile"]);
    let line = weir::finish(command.arg(profile).arg(picture)).line();
    assert_eq!((models_of(&line), &line["status"]), (vec!["tiny@2"], &json!("rejected")));
}

fn models_of(view: &Value) -> Vec<&str> {
    models(view).into_iter().collect()
}

#[test]
fn a_shadow_is_seen_and_counted_and_decides_nothing() {
    let models = Models::new();
    models.install(Tiny::Strict, "2");
    let service = models.start();
    models.must(&["promote", "tiny"]);
    let skipped = "weir_model_shadow_total{model=\"tiny@2\",outcome=\"skipped\"}";
    let stricter = "weir_model_shadow_total{model=\"tiny@2\",outcome=\"stricter\"}";
    let same = "weir_model_shadow_total{model=\"tiny@2\",outcome=\"same\"}";
    let (start, mut seen, mut sent) = (Instant::now(), 0, 0);
    // On a machine that is busy a shadow gives way, perhaps to each of the first ones.
    while sent < 6 || seen == 0 {
        assert!(start.elapsed() < PATIENCE, "{sent} submissions later the shadow was shown none");
        let view = service.decided(&submit(&service, GREEN, sent));
        sent += 1;
        assert_eq!((&view["status"], models_of(&view)), (&json!("approved"), vec!["tiny@1"]));
        assert_eq!(view["findings"], json!([]), "{view}");
        for finding in view["shadow"].as_array().into_iter().flatten() {
            assert_eq!((&finding["model"], &finding["label"]), (&json!("tiny@2"), &json!("red")));
            seen += 1;
        }
    }
    let counted = metric(&service, stricter);
    assert_eq!(counted, f64::from(seen));
    assert_eq!(metric(&service, skipped) + counted, f64::from(sent));
    until(&service, RED, &|| metric(&service, same) > 0.0);
    assert_eq!(
        metric(&service, "weir_model_verdicts_total{model=\"tiny@2\",status=\"rejected\"}"),
        0.0
    );
    assert_eq!(models.stage("2"), "shadow", "nobody withdraws a shadow for what it says");
}

#[test]
fn a_canary_that_rejects_everything_is_withdrawn_by_itself() {
    let models = Models::new();
    models.install(Tiny::Strict, "2");
    let service = models.start();
    models.must(&["promote", "tiny", "--to", "canary", "--share", "0.3"]);
    let ids = until(&service, GREEN, &|| models.stage("2") == "retired");
    // It came to that by verdicts of its own, and those name it.
    let views: Vec<_> = ids.iter().map(|id| service.decided(id)).collect();
    let (bad, good): (Vec<_>, Vec<_>) = views.iter().partition(|v| models_of(v) == ["tiny@2"]);
    assert!(bad.len() >= 20 && good.len() >= 20, "{} {}", bad.len(), good.len());
    assert!(bad.iter().all(|view| view["status"] == "rejected"));
    assert!(good.iter().all(|v| v["status"] == "approved" && models_of(v) == ["tiny@1"]));
    // What it said of a picture is void with it, at the gate too.
    for view in &bad {
        let sha256 = view["media"][0]["sha256"].as_str().unwrap();
        let answer = service.get(&format!("/v1/gate?sha256={sha256}"));
        assert_eq!(answer.header("x-weir-status"), Some("unknown"), "{view}");
    }
    for view in judged(&service, GREEN, 0..20) {
        assert_eq!((&view["status"], models_of(&view)), (&json!("approved"), vec!["tiny@1"]));
    }
    let count = "weir_model_withdrawals_total{model=\"tiny@2\",cause=\"drift\"}";
    assert_eq!(metric(&service, count), 1.0);
    let health = service.get("/v1/status").body["health"].clone();
    assert!(health.to_string().contains("tiny@2 (drift)"), "{health}");
    assert!(models.row("tiny@2").contains("retired (drift)"), "{}", models.row("tiny@2"));
}

#[test]
fn a_canary_that_fails_is_withdrawn_and_no_submission_suffers() {
    let models = Models::new();
    models.settings("[models]\nmax_errors = 2\n");
    models.install(Tiny::Fragile, "2");
    let service = models.start();
    // On its golden pictures, and on dark ones, it answers as it should.
    models.must(&["promote", "tiny", "--to", "canary", "--share", "1"]);
    let view = service.decided(&submit(&service, GREEN, 0));
    assert_eq!((&view["status"], models_of(&view)), (&json!("approved"), vec!["tiny@2"]));
    let ids = until(&service, BRIGHT, &|| models.stage("2") == "retired");
    for view in ids.iter().map(|id| service.decided(id)) {
        assert_eq!((&view["status"], models_of(&view)), (&json!("approved"), vec!["tiny@1"]));
        assert_eq!(view["complete"], true, "{view}");
    }
    assert!(metric(&service, "weir_model_errors_total{model=\"tiny@2\"}") >= 3.0);
    let count = "weir_model_withdrawals_total{model=\"tiny@2\",cause=\"errors\"}";
    assert_eq!(metric(&service, count), 1.0);
}

#[test]
fn a_fresh_active_version_that_drifts_gives_way_to_the_one_before() {
    let models = Models::new();
    models.install(Tiny::Strict, "2");
    let service = models.start();
    judged(&service, GREEN, 0..40);
    models.must(&["promote", "tiny", "--to", "active"]);
    until(&service, GREEN, &|| models.stage("2") == "retired");
    let view = service.decided(&submit(&service, GREEN, 5000));
    assert_eq!((&view["status"], models_of(&view)), (&json!("approved"), vec!["tiny@1"]));
}

#[test]
fn what_does_not_answer_as_it_must_is_not_promoted() {
    let models = Models::new();
    models.install(Tiny::Good, "2");
    let service = models.start();
    // Somebody's disk, or somebody's hands.
    let weights = models.path("models/installed/tiny@2/model.onnx");
    std::fs::write(&weights, Tiny::Strict.weights(0)).unwrap();
    let run = models.run(&["promote", "tiny"]);
    assert_ne!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("is not what the manifest of tiny pins"), "{}", run.stderr);
    assert_eq!(models.stage("2"), "candidate");
    let view = service.decided(&submit(&service, GREEN, 1));
    assert_eq!((&view["status"], models_of(&view)), (&json!("approved"), vec!["tiny@1"]));
    // A foreign key is nobody's here.
    let other = Maker::new();
    let bundle = other.bundle(Tiny::Good, "3");
    let run = models.run(&["install", bundle.to_str().unwrap()]);
    assert_ne!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains(&format!("weir models trust {}", other.key)), "{}", run.stderr);
    // A command that does not find the service must not change what it reads.
    let elsewhere = models.path("elsewhere");
    let run = models.run(&["promote", "tiny", "--data", elsewhere.to_str().unwrap()]);
    assert_ne!(run.code, Some(0), "{run:#?}");
    assert!(run.stderr.contains("a service runs with the models"), "{}", run.stderr);
}

#[test]
fn a_kill_in_the_middle_of_a_promotion_leaves_one_of_the_two_states() {
    let models = Models::new();
    models.install(Tiny::Good, "2");
    let (mut before, mut after) = (0, 0);
    for round in 0..12u64 {
        let service = models.start();
        let from = models.stage("2");
        let (words, to): (&[&str], _) = match from.as_str() {
            "active" => (&["rollback", "tiny"], "retired"),
            _ => (&["promote", "tiny@2", "--to", "active"], "active"),
        };
        std::thread::scope(|scope| {
            let command = scope.spawn(|| models.run(words));
            // A moment that differs from round to round, and is no event that anybody tells.
            std::thread::sleep(Duration::from_millis(round * 6));
            service.kill();
            command.join().unwrap();
        });
        let now = models.stage("2");
        assert!(now == from || now == to, "round {round}: {from}, {now}, {to}");
        if now == from {
            before += 1
        } else {
            after += 1
        }
        let service = models.start();
        let named = service.decided(&submit(&service, GREEN, round as u32));
        let version = if now == "active" { "tiny@2" } else { "tiny@1" };
        assert_eq!(models_of(&named), [version], "round {round}: {now}");
        assert_eq!(models.stage("2"), now);
        assert_eq!(service.stop(), Some(0));
    }
    eprintln!("{before} before, {after} after");
}

/// Descriptors, threads, children and resident KiB of a process.
fn footprint(id: u32) -> [u64; 4] {
    let proc = Path::new("/proc").join(id.to_string());
    let count = |name: &str| std::fs::read_dir(proc.join(name)).unwrap().count() as u64;
    let status = std::fs::read_to_string(proc.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    let parent = format!("PPid:\t{id}\n");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("status")).ok();
    let children = processes.filter_map(of).filter(|status| status.contains(&parent)).count();
    [count("fd"), count("task"), children as u64, kib]
}

#[test]
fn a_hundred_loads_that_fail_leave_nothing_behind() {
    let models = Models::new();
    models.install(Tiny::Good, "2");
    // Another tenant, whose profile breaks later: by then the new version is loaded and all of the first tenant is ready.
    let other = models.path("other.toml");
    std::fs::write(&other, PROFILE).unwrap();
    models.settings(&format!("[tenant.default]\n[tenant.zoo]\nprofile = {other:?}\n"));
    let service = models.start();
    std::fs::write(&other, "nothing").unwrap();
    let fail = || {
        let run = models.run(&["promote", "tiny", "--to", "active"]);
        assert_ne!(run.code, Some(0), "{run:#?}");
        assert!(run.stderr.contains("other.toml"), "{}", run.stderr);
        assert_eq!(models.stage("2"), "candidate", "the state is as it was");
    };
    // The first ones fill what allocators and pools keep.
    (0..10).for_each(|_| fail());
    judged(&service, GREEN, 0..4);
    let before = footprint(service.id());
    (0..100).for_each(|_| fail());
    let named = judged(&service, GREEN, 4..8);
    assert!(named.iter().all(|view| models_of(view) == ["tiny@1"]));
    let after = footprint(service.id());
    for (n, what) in ["descriptors", "threads", "children"].iter().enumerate() {
        assert!(after[n].abs_diff(before[n]) <= 4, "{what}: {before:?} {after:?}");
    }
    assert!(after[3] < before[3] + 16 * 1024, "resident KiB: {before:?} {after:?}");
    // Mended, the same promotion succeeds.
    std::fs::write(&other, PROFILE).unwrap();
    models.must(&["promote", "tiny", "--to", "active"]);
    assert_eq!(models_of(&service.decided(&submit(&service, GREEN, 9))), ["tiny@2"]);
}
