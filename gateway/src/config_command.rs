//! `weir config`: what the settings are and whether they can be used.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use domain::Problems;

use crate::cli::{ConfigArguments, ConfigCommand};
use crate::{config, serve};

/// Runs the command.
pub fn run(arguments: ConfigArguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match arguments.command {
        ConfigCommand::Check(arguments) => {
            let (config, _) = config::load(&arguments)?;
            let unusable = serve::unusable_files(&config);
            if !unusable.is_empty() {
                bail!("the settings cannot be used:\n{}", Problems(unusable));
            }
            writeln!(out, "the settings can be used")?;
        }
        ConfigCommand::Show(arguments) => {
            let (_, shown) = config::load(&arguments)?;
            let width = shown.iter().map(|s| s.key.len()).max().unwrap_or_default();
            for setting in shown {
                writeln!(out, "{:width$}  {}  # {}", setting.key, setting.value, setting.origin)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
