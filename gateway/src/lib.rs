//! The edge binary: the command line, and the gateway behind `weir serve`.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod config;
mod config_command;
mod control;
mod doctor;
mod engines_command;
mod enrolment;
mod erase_command;
mod eval;
mod inference;
mod life_command;
mod logging;
mod models_command;
mod paths;
mod pin;
mod policy_command;
mod profile;
mod reload_command;
mod replay;
mod secret;
mod serve;
mod store_command;
mod token_command;
#[cfg(test)]
mod tree;
mod webhook_command;
mod weights;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

/// For programs that run the gateway in their own process, such as the benches.
pub mod embed {
    pub use crate::cli::ServeArguments;
    pub use crate::serve::{Embedding, run_with};
}

/// Exit code for a command line or a file of settings that cannot be used (`EX_USAGE`).
const USAGE: u8 = 64;

/// Runs the command line; the process's exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    logging::start(cli.verbose);
    let outcome = match cli.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Config(arguments) => config_command::run(arguments),
        Command::Reload(arguments) => reload_command::run(arguments),
        Command::Token(arguments) => token_command::token(arguments),
        Command::Flag(arguments) => token_command::flag(arguments),
        Command::Enroll(arguments) => enrolment::run(arguments),
        Command::Webhook(arguments) => webhook_command::run(arguments),
        Command::Store(arguments) => store_command::run(arguments),
        Command::Erase(arguments) => erase_command::run(arguments),
        Command::Pin(arguments) => pin::run(arguments),
        Command::Models(arguments) => models_command::run(arguments),
        Command::Policy(arguments) => policy_command::run(arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}
