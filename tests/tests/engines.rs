//! On what models run: told in every verdict, never another than was asked for without a word.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use rig::service::Service;
use rig::weir;
use serde_json::{Value, json};

/// The model folder with what `photo-dating` needs, from the reference data.
fn models(data: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fetched = weir::finish(
        weir::command()
            .env("WEIR_MODELS", dir.path())
            .args(["models", "fetch", "--profile", "photo-dating", "--mirror"])
            .arg(data.join("models")),
    );
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    dir
}

fn face(data: &Path) -> PathBuf {
    data.join("faces/astronaut.png")
}

/// The version of ONNX Runtime that `make setup` pins.
fn pinned() -> String {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/setup.sh");
    let text = std::fs::read_to_string(setup).unwrap();
    let rest = text.split("local version=").nth(1).unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_build_without_the_feature_has_no_trace_of_cuda() {
    let binary = std::fs::read(weir::binary()).unwrap();
    let has = |word: &str| binary.windows(word.len()).any(|bytes| bytes == word.as_bytes());
    // That the search finds what is there.
    assert!(has("ONNX Runtime"));
    for word in [
        "libcuda.so",
        "libnvinfer.so.",
        "libnvrtc",
        "libnvidia-ml",
        "cuInit",
        "weir_trt_",
        "cudarc",
    ] {
        assert!(!has(word), "the binary mentions {word}");
    }
}

#[test]
fn shared_a_verdict_names_engine_version_device_and_precision() {
    let data = rig::shared!();
    let models = models(&data);
    let line = weir::finish(
        weir::command()
            .env("WEIR_MODELS", models.path())
            .args(["check", "--json", "--profile", "photo-dating"])
            .arg(face(&data)),
    )
    .line();
    let engine = &line["engine"];
    assert_eq!(engine["name"], "cpu", "{line}");
    assert_eq!(engine["version"], Value::from(pinned()));
    assert_eq!(engine["precisions"], json!(["fp32"]));
    assert!(engine["device"].as_str().is_some_and(|device| !device.is_empty()));
    let listed =
        weir::finish(weir::command().env("WEIR_MODELS", models.path()).args(["models", "list"]));
    assert!(listed.stdout.contains(&format!("cpu (ONNX Runtime {}", pinned())), "{listed:#?}");
}

#[test]
fn a_profile_without_models_names_no_engine() {
    let run = weir::run(["check", "--json", "--text", "good morning"]);
    assert_eq!(run.line()["engine"], Value::Null);
}

#[test]
fn shared_an_engine_that_cannot_be_had_gives_way_loudly_or_not_at_all() {
    let data = rig::shared!();
    let models = models(&data);
    let check = |more: &[&str]| {
        weir::finish(
            weir::command()
                .env("WEIR_MODELS", models.path())
                .args(["check", "--json", "--profile", "photo-dating", "--engine", "tensorrt"])
                .args(more)
                .arg(face(&data)),
        )
    };
    let loud = check(&[]);
    assert_eq!(loud.line()["engine"]["name"], "cpu");
    assert!(loud.stderr.contains("models run on the CPU"), "{}", loud.stderr);
    assert!(loud.stderr.contains("built without TensorRT"), "{}", loud.stderr);
    let required = check(&["--require-engine"]);
    assert_eq!((required.code, required.stdout.as_str()), (Some(64), ""), "{required:#?}");
    assert!(required.stderr.contains("`tensorrt` is required"), "{}", required.stderr);
}

#[test]
fn shared_the_service_tells_of_an_engine_that_gave_way() {
    let data = rig::shared!();
    let models = models(&data);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    let text = "profile = \"photo-dating\"\nengine = \"tensorrt\"\n";
    std::fs::write(&config, text).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let environment = [("WEIR_MODELS", models.path())];
    let service = Service::start_in(&dir.path().join("data"), &arguments, &environment);
    let status = service.get("/v1/status").body;
    let notices = status["health"]["notices"].as_array().unwrap();
    assert!(notices.iter().any(|n| n["code"] == "engine"), "{status}");
    let profile = &status["versions"]["profiles"][0];
    assert_eq!((&profile["engine"], &profile["engine_version"]), (&json!("cpu"), &json!(pinned())));
    let (_, metrics) = service.bytes("/metrics", &[]);
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("weir_engine_fallback{profile=\"photo-dating\"} 1"), "{metrics}");
    let picture = std::fs::read(face(&data)).unwrap();
    let answer = service.submit(&json!({}), &[&picture]).body;
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!(service.decided(&id)["engine"]["name"], "cpu");
    assert_eq!(service.stop(), Some(0));
    std::fs::write(&config, format!("{text}require_engine = true\n")).unwrap();
    let refused = weir::finish(
        weir::command().env("WEIR_MODELS", models.path()).arg("serve").args(arguments),
    );
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("`tensorrt` is required"), "{refused:#?}");
}

#[test]
fn settings_that_name_no_engine_are_refused_with_the_names() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    let check = |text: &str| {
        std::fs::write(&config, text).unwrap();
        weir::run(["config", "check", "--config", config.to_str().unwrap()])
    };
    let wrong = check("engine = \"gpu\"\n");
    assert_eq!(wrong.code, Some(64), "{wrong:#?}");
    assert!(wrong.stderr.contains("auto, cpu or tensorrt"), "{}", wrong.stderr);
    let open = check("require_engine = true\n");
    assert!(open.stderr.contains("leaves the choice open"), "{}", open.stderr);
    assert_eq!(check("engine = \"cpu\"\nrequire_engine = true\n").code, Some(0));
}
