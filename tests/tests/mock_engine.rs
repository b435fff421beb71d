//! The gateway over a fake TensorRT: engines that are chosen, told, lost and replaced. `make test` builds it and names it in
//! `MOCK_WEIR` and `MOCK_TENSORRT`; without them these tests are left out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use rig::service::Service;
use rig::tiny::{self, Maker, Tiny};
use rig::weir;
use serde_json::{Value, json};

/// The program and the folder of the fake library.
fn mock() -> Option<(PathBuf, PathBuf)> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let found = named("MOCK_WEIR").zip(named("MOCK_TENSORRT"));
    if found.is_none() {
        eprintln!(
            "SKIPPED: MOCK_WEIR names no program with the fake TensorRT (`make test` builds it)"
        );
    }
    found
}

/// A box with the tiny model, which both engines can run.
struct Case {
    dir: tempfile::TempDir,
    program: PathBuf,
    fake: PathBuf,
}

impl Case {
    fn new(fault: &str) -> Option<Self> {
        let (program, fake) = mock()?;
        let case = Self { dir: tempfile::tempdir().unwrap(), program, fake };
        tiny::by_hand(&case.path("models"), Tiny::Good, "1");
        let text = "weir-mock-onnx 1\ninput input float -1 3 4 4\noutput probs float -1 3\n\
                    compute softmax-of-means\n";
        std::fs::write(case.path("models/tiny-1.onnx.mock"), format!("{text}{fault}\n")).unwrap();
        std::fs::write(case.path("tiny.toml"), tiny::PROFILE).unwrap();
        Some(case)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let sandbox = weir::binary().with_file_name("weir-sandbox");
        command
            .env("WEIR_MODELS", self.path("models"))
            .env("WEIR_TENSORRT", self.fake.join("libnvinfer.so.10"))
            .env("WEIR_TRTEXEC", self.fake.join("trtexec"))
            .env("WEIR_SANDBOX", sandbox);
        command
    }

    fn serve(&self, settings: &str) -> Service {
        let (config, profile) = (self.path("weir.toml"), self.path("tiny.toml"));
        std::fs::write(&config, format!("profile = {profile:?}\n{settings}")).unwrap();
        let arguments = ["--config", config.to_str().unwrap()];
        Service::start_of(self.command(), &self.path("data"), &arguments)
    }

    fn run(&self, arguments: &[&str]) -> weir::Run {
        weir::finish(self.command().args(arguments))
    }

    /// The same, to its good end.
    fn must(&self, arguments: &[&str]) -> weir::Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:#?}");
        run
    }

    /// Asks the service that runs over the data folder, or changes the state without one.
    fn promote(&self, arguments: &[&str]) -> weir::Run {
        let data = self.path("data");
        let mut command = self.command();
        command.args(["models", "promote", "tiny", "--data"]).arg(data).args(arguments);
        weir::finish(&mut command)
    }

    /// Installs version 2 as a candidate, which the fake TensorRT can run as well.
    fn install(&self) {
        let maker = Maker::new();
        self.must(&["models", "trust", &maker.key]);
        self.must(&["models", "install", maker.bundle(Tiny::Good, "2").to_str().unwrap()]);
        self.fault("");
    }

    /// Gives version 2 a fault on the fake TensorRT, for the next build of its plan.
    fn fault(&self, fault: &str) {
        let text = std::fs::read_to_string(self.path("models/tiny-1.onnx.mock")).unwrap();
        let mock = self.path("models/installed/tiny@2/model.onnx.mock");
        std::fs::write(mock, format!("{text}{fault}\n")).unwrap();
    }

    /// Files of plans of a version.
    fn plans(&self, version: &str) -> usize {
        let all = std::fs::read_dir(self.path("models/engines")).into_iter().flatten().flatten();
        let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let start = format!("tiny-{version}-");
        names.filter(|name| name.starts_with(&start) && name.ends_with(".plan")).count()
    }
}

/// Submits pictures, red ones first and last; ids, and whether each is red.
fn submit(service: &Service, count: u32) -> Vec<(String, bool)> {
    let one = |n: u32| {
        let red = n.is_multiple_of(2);
        let colour = if red { [120, 10, 10] } else { [10, 120, 10] };
        let sent = service.submit(&json!({}), &[&tiny::flat(colour, n)]);
        assert_eq!(sent.status, 202, "{sent:?}");
        (sent.body["id"].as_str().unwrap().to_owned(), red)
    };
    (0..count).map(one).collect()
}

fn is_right(view: &Value, red: bool) {
    let want = if red { "rejected" } else { "approved" };
    assert_eq!((&view["status"], &view["complete"]), (&json!(want), &json!(true)), "{view}");
    assert_eq!(view["decision"], json!(0), "{view}");
}

#[test]
fn a_gpu_that_is_lost_gives_way_to_the_cpu_and_no_submission_suffers() {
    let Some(case) = Case::new("fault lost-after 5") else { return };
    let service = case.serve("engine = \"auto\"\n");
    let status = service.get("/v1/status").body;
    assert_eq!(status["versions"]["profiles"][0]["engine"], "tensorrt", "{status}");
    let ids = submit(&service, 16);
    let mut engines = Vec::new();
    for (id, red) in &ids {
        let view = service.decided(id);
        is_right(&view, *red);
        engines.push(view["engine"]["name"].as_str().unwrap().to_owned());
    }
    for name in ["tensorrt", "cpu"] {
        assert!(engines.iter().any(|engine| engine == name), "{engines:?}");
    }
    let status = service.get("/v1/status").body;
    assert_eq!(status["versions"]["profiles"][0]["engine"], "cpu", "{status}");
    assert!(notice(&status["health"], "engine").is_some(), "{status}");
    assert!(status.to_string().contains("GPU was lost"), "{status}");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_service_whose_engine_is_required_ends_in_order_and_goes_on_at_the_next_start() {
    let Some(case) = Case::new("fault lost-after 5") else { return };
    let settings = "engine = \"tensorrt\"\nrequire_engine = true\nworkers = 1\n";
    let service = case.serve(settings);
    let ids = submit(&service, 4);
    ids.iter().for_each(|(id, red)| is_right(&service.decided(id), *red));
    // The fifth run is the last.
    let more = submit(&service, 2);
    assert_eq!(service.ended(), Some(0));
    let service = case.serve(settings);
    for (id, red) in &more {
        let view = service.decided(id);
        is_right(&view, *red);
        assert_eq!(view["engine"]["name"], "tensorrt");
    }
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn plans_are_built_ahead_listed_and_pruned() {
    let Some(case) = Case::new("") else { return };
    let built = case.run(&["models", "engines", "build", "tiny"]);
    assert!(built.stdout.contains("tiny@1: built in"), "{built:#?}");
    assert!(case.run(&["models", "engines", "build", "tiny"]).stdout.contains("tiny@1: kept"));
    let listed = case.run(&["models", "engines", "list"]);
    assert!(listed.stdout.contains("10.3.0") && listed.stdout.contains("Mock"), "{listed:#?}");
    let models = case.run(&["models", "list"]);
    assert!(models.stdout.contains("tensorrt (TensorRT 10.3.0, Mock)"), "{models:#?}");
    assert!(case.run(&["models", "engines", "prune"]).stdout.starts_with("0 plans removed"));
    // Other weights under the same name: the old plan serves nobody any more.
    let weights = Tiny::Good.weights(7);
    std::fs::write(case.path("models/tiny.toml"), Tiny::manifest("1", &weights)).unwrap();
    std::fs::write(case.path("models/tiny-1.onnx"), weights).unwrap();
    let pruned = case.run(&["models", "engines", "prune"]);
    assert!(pruned.stdout.contains("1 plans removed"), "{pruned:#?}");
}

#[test]
fn a_library_that_is_not_there_is_told_and_the_cpu_judges() {
    let Some(case) = Case::new("") else { return };
    let picture = case.path("red.png");
    std::fs::write(&picture, tiny::flat([120, 10, 10], 1)).unwrap();
    let check = |library: &Path| {
        weir::finish(
            case.command()
                .env("WEIR_TENSORRT", library)
                .args(["check", "--json", "--profile"])
                .args([&case.path("tiny.toml"), &picture]),
        )
    };
    let there = check(&case.fake.join("libnvinfer.so.10")).line();
    assert_eq!(
        (&there["engine"]["name"], &there["status"]),
        (&json!("tensorrt"), &json!("rejected"))
    );
    let absent = check(Path::new("/nowhere/libnvinfer.so.10"));
    assert!(absent.stderr.contains("/nowhere/libnvinfer.so.10"), "{absent:#?}");
    let absent = absent.line();
    assert_eq!((&absent["engine"]["name"], &absent["status"]), (&json!("cpu"), &json!("rejected")));
    let wrong = check(&case.fake.join("libnvinfer-wrong.so"));
    assert!(wrong.stderr.contains("TensorRT 11"), "{wrong:#?}");
    assert_eq!(wrong.line()["engine"]["name"], "cpu");
}

/// What the notice of that code says; the machine of the test may have notices of its own.
fn notice<'a>(health: &'a Value, code: &str) -> Option<&'a str> {
    health["notices"].as_array()?.iter().find(|notice| notice["code"] == code)?["what"].as_str()
}

#[test]
fn a_plan_that_cannot_be_written_is_used_from_memory_and_told() {
    let Some(case) = Case::new("") else { return };
    // In the place of the folder, so that not even root can write there.
    std::fs::write(case.path("models/engines"), "").unwrap();
    let service = case.serve("engine = \"tensorrt\"\n");
    let ids = submit(&service, 2);
    for (id, red) in &ids {
        let view = service.decided(id);
        is_right(&view, *red);
        assert_eq!(view["engine"]["name"], "tensorrt", "{view}");
    }
    let health = service.get("/v1/status").body["health"].clone();
    assert!(notice(&health, "plans").is_some_and(|what| what.contains("tiny@1")), "{health}");
    assert_eq!(service.stop(), Some(0));
    let doctor = case.run(&["doctor"]);
    assert!(doctor.stdout.contains("plans for the GPU cannot be kept"), "{doctor:#?}");
    // Who builds ahead wants them kept.
    let built = case.run(&["models", "engines", "build", "tiny"]);
    assert_eq!(built.code, Some(1), "{built:#?}");
    assert!(built.stderr.contains("models/engines"), "{built:#?}");
    std::fs::remove_file(case.path("models/engines")).unwrap();
    let doctor = case.run(&["doctor"]);
    assert!(doctor.stdout.contains("TensorRT 10.3.0 on Mock"), "{doctor:#?}");
    assert!(!doctor.stdout.contains("cannot be kept"), "{doctor:#?}");
}

#[test]
fn a_program_that_is_killed_takes_its_build_along_and_the_next_one_tidies_up() {
    let Some(case) = Case::new("") else { return };
    // All that the build starts holds this pipe open: it begins with the build, and ends with the last of them. None of
    // them writes, for that alone would end it.
    let (pipe, wrapper) = (case.path("pipe"), case.path("trtexec"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let script = format!("#!/bin/sh\nexec 9>{}\nsleep 60 &\nwait\n", pipe.display());
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut command = case.command();
    command.args(["models", "engines", "build", "tiny"]).env("WEIR_TRTEXEC", &wrapper);
    let mut weir = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let (events, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut open = std::fs::File::open(pipe).unwrap();
        events.send("begun").unwrap();
        std::io::copy(&mut open, &mut std::io::sink()).unwrap();
        events.send("ended").unwrap();
    });
    let patience = std::time::Duration::from_secs(30);
    assert_eq!(heard.recv_timeout(patience), Ok("begun"));
    weir.kill().unwrap();
    weir.wait().unwrap();
    assert_eq!(heard.recv_timeout(patience), Ok("ended"), "the build has no parent and goes on");
    let left = || {
        let all = std::fs::read_dir(case.path("models/engines")).unwrap().flatten();
        let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".build-")).collect::<Vec<_>>()
    };
    assert_eq!(left().len(), 1, "nobody was there to remove it");
    let built = case.run(&["models", "engines", "build", "tiny"]);
    assert!(built.stdout.contains("tiny@1: built in"), "{built:#?}");
    assert_eq!(left(), Vec::<String>::new());
}

#[test]
fn plans_of_versions_on_trial_are_built_listed_and_kept_and_they_run_by_them() {
    let Some(case) = Case::new("") else { return };
    case.install();
    assert_eq!(case.promote(&[]).code, Some(0));
    std::fs::remove_dir_all(case.path("models/engines")).unwrap();
    let listed = case.must(&["models", "engines", "list"]).stdout;
    assert!(listed.contains("Without a plan: tiny@1, tiny@2"), "{listed}");
    let built = case.must(&["models", "engines", "build"]).stdout;
    assert!(built.contains("tiny@1: built") && built.contains("tiny@2: built"), "{built}");
    let named = case.must(&["models", "engines", "build", "tiny@2"]).stdout;
    assert_eq!(named, "tiny@2: kept\n");
    assert!(case.must(&["models", "engines", "prune"]).stdout.starts_with("0 plans removed"));
    let listed = case.must(&["models", "engines", "list"]).stdout;
    let row = |id: &str, stage: &str| {
        listed.lines().any(|line| line.starts_with(id) && line.contains(stage))
    };
    assert!(row("tiny@1", "active") && row("tiny@2", "shadow"), "{listed}");
    // A start builds what is missing, of the version on trial too.
    std::fs::remove_dir_all(case.path("models/engines")).unwrap();
    let service = case.serve("engine = \"tensorrt\"\nrequire_engine = true\n");
    assert_eq!((case.plans("1"), case.plans("2")), (1, 1));
    let canary = case.promote(&["--to", "canary", "--share", "1"]);
    assert!(canary.stderr.contains("answers on tensorrt"), "{canary:#?}");
    for (id, red) in &submit(&service, 4) {
        let view = service.decided(id);
        is_right(&view, *red);
        assert_eq!(view["models"], json!(["tiny@2"]), "{view}");
        assert_eq!(view["engine"]["name"], "tensorrt", "{view}");
    }
    // What a rollback would bring back has its plan kept, or it would not be back at once.
    assert_eq!(case.promote(&[]).code, Some(0));
    assert!(case.must(&["models", "engines", "prune"]).stdout.starts_with("0 plans removed"));
    assert_eq!((case.plans("1"), case.plans("2")), (1, 1));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_version_on_trial_that_cannot_be_loaded_is_told_and_not_promoted() {
    let Some(case) = Case::new("") else { return };
    case.install();
    assert_eq!(case.promote(&[]).code, Some(0));
    // As on another device: the plan is built anew, and this time it does not fit into its memory.
    std::fs::remove_dir_all(case.path("models/engines")).unwrap();
    case.fault("fault no-memory");
    let service = case.serve("engine = \"tensorrt\"\nrequire_engine = true\n");
    let told = || {
        let health = service.get("/v1/status").body["health"].clone();
        let notices = health["notices"].as_array().unwrap().clone();
        let trial = notices.into_iter().find(|notice| notice["code"] == "model_trial");
        let (_, metrics) = service.bytes("/metrics", &[]);
        let sample = "weir_model_trial_unusable{model=\"tiny@2\"} 1";
        let counted = String::from_utf8(metrics).unwrap().contains(sample);
        (trial.map(|notice| notice["what"].as_str().unwrap().to_owned()), counted)
    };
    let (notice, counted) = told();
    let notice = notice.unwrap_or_default();
    assert!(notice.contains("tiny@2") && notice.contains("out of memory"), "{notice}");
    assert!(counted);
    for (id, red) in &submit(&service, 2) {
        let view = service.decided(id);
        is_right(&view, *red);
        assert_eq!(view["models"], json!(["tiny@1"]), "{view}");
    }
    let stage = || {
        let text = std::fs::read_to_string(case.path("models/state.json")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        state["models"]["tiny"]["2"]["stage"].as_str().unwrap().to_owned()
    };
    for to in ["canary", "active"] {
        let refused = case.promote(&["--to", to]);
        assert_ne!(refused.code, Some(0), "{refused:#?}");
        assert!(refused.stderr.contains("out of memory"), "{refused:#?}");
        assert_eq!(stage(), "shadow");
    }
    case.fault("");
    std::fs::remove_dir_all(case.path("models/engines")).unwrap();
    let promoted = case.promote(&["--to", "canary"]);
    assert_eq!(promoted.code, Some(0), "{promoted:#?}");
    assert_eq!(told(), (None, false));
    // It answers by the plan that is in memory, and cannot be loaded anew: it must not count as promoted.
    case.fault("fault no-memory");
    std::fs::remove_dir_all(case.path("models/engines")).unwrap();
    let before = std::fs::read_to_string(case.path("models/state.json")).unwrap();
    let refused = case.promote(&["--to", "canary", "--share", "0.5"]);
    assert!(refused.stderr.contains("tiny@2 cannot be loaded here"), "{refused:#?}");
    let after = std::fs::read_to_string(case.path("models/state.json")).unwrap();
    let models = |text: &str| serde_json::from_str::<Value>(text).unwrap()["models"].clone();
    assert_eq!(models(&after), models(&before));
    assert_eq!(service.stop(), Some(0));
}
