//! `weir-hub`: the hub of many boxes.
#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use hub::cli::{Cli, run};
use tracing_subscriber::EnvFilter;

/// Exit code for a command line or a file of settings that cannot be used (`EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let level = ["warn", "info", "debug", "trace"][usize::from(cli.verbose.min(3))];
    let filter = EnvFilter::try_from_env("WEIR_HUB_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome =
        runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli.command)));
    outcome.unwrap_or_else(|error: anyhow::Error| {
        eprintln!("weir-hub: {error:#}");
        ExitCode::from(USAGE)
    })
}
