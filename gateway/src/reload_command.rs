//! `weir reload`: takes up changed files while the service runs.

use std::process::ExitCode;

use crate::cli::ReloadArguments;
use crate::control::{Request, ask, data_dir};

/// Runs the command.
pub fn run(arguments: ReloadArguments) -> anyhow::Result<ExitCode> {
    let done = ask(&data_dir(arguments.data), Request::Reload)?;
    for line in done["changed"].as_array().into_iter().flatten() {
        eprintln!("weir: {}", line.as_str().unwrap_or_default());
    }
    for key in done["restart"].as_array().into_iter().flatten() {
        let key = key.as_str().unwrap_or_default();
        eprintln!("weir: `{key}` has changed too; it is in force after a restart");
    }
    Ok(ExitCode::SUCCESS)
}
