//! The OpenAPI document is true: schemathesis calls the real service by it, with good data and bad.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rig::service::Service;
use rig::weir;

/// `scripts/test.sh` puts it there.
fn schemathesis() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.weir/test-venv/bin/schemathesis");
    assert!(path.is_file(), "{} is missing: run `make test`, which installs it", path.display());
    path
}

#[test]
fn the_service_does_what_its_document_says() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    // A thousand calls of one client are what this is about, not whether they are too many.
    std::fs::write(
        &config,
        "[auth]\nrequired = true\n[limits]\nanonymous_per_second = 100000\n[tenant.shop]\n",
    )
    .unwrap();
    let data = dir.path().join("data");
    let service = Service::start(&data, &["--config", config.to_str().unwrap()]);
    let words = ["token", "create", "--tenant", "shop", "--scope", "admin", "--data"];
    let made = weir::run(words.iter().map(OsStr::new).chain([data.as_os_str()]));
    assert_eq!(made.code, Some(0), "{made:#?}");
    let run = Command::new(schemathesis())
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", service.base()))
        .args(["--header", &format!("Authorization: Bearer {}", made.stdout.trim())])
        // Events end with a verdict: a name that nobody hands in is listened to for ever. tests/tests/serve.rs follows them.
        .args(["--exclude-operation-id", "events"])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", "30", "--seed", "1", "--request-timeout", "20", "--no-color"])
        .args(["--continue-on-failure", "--warnings", "off"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    // It must have called something.
    assert!(said.contains("operations") || said.contains("Operations"), "{said}");
    assert_eq!(service.get("/healthz").status, 200);
    assert_eq!(service.stop(), Some(0));
}
