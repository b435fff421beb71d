//! Runs the real `weir` binary as a user would, and reads what it says.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What one run of `weir` came to.
#[derive(Debug)]
pub struct Run {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Standard output as one JSON object a line.
    ///
    /// # Panics
    /// When a line is not JSON: then the whole run is shown.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{self:#?}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The only line of JSON.
    ///
    /// # Panics
    /// When there is another number of lines.
    pub fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines.remove(0)
    }
}

/// The binary under test: `weir` of the same build as the running test.
///
/// # Panics
/// When it was not built: `make test` builds it first.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let build = test.ancestors().nth(2).expect("tests lie in deps/ below the build folder");
    let binary = build.join("weir");
    assert!(binary.is_file(), "{} is missing: run `make build` first", binary.display());
    binary
}

/// An API key for a data folder, as `Authorization` carries it; `scopes` with commas between.
///
/// # Panics
/// When it is not made.
pub fn bearer(data: &Path, tenant: &str, scopes: &str) -> String {
    let words = ["token", "create", "--tenant", tenant, "--scope", scopes, "--data"];
    let run = run(words.iter().map(OsStr::new).chain([data.as_os_str()]));
    assert_eq!(run.code, Some(0), "{run:#?}");
    format!("Bearer {}", run.stdout.trim())
}

/// A command that runs `weir` with nothing of the user's own settings.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    let empty = std::env::temp_dir().join("weir-test-data");
    for name in ["WEIR_MODEL_MIRROR", "WEIR_LOG", "WEIR_MODELS", "WEIR_SANDBOX"] {
        command.env_remove(name);
    }
    command.env("WEIR_DATA", empty).stdin(Stdio::null());
    command
}

/// Runs `weir` with these arguments to its end.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    finish(command().args(arguments))
}

/// Runs a prepared command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn finish(command: &mut Command) -> Run {
    let output = command.output().expect("weir can be started");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
