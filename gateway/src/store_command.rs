//! `weir store`: verify, copy and restore the database of a box.

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{StoreArguments, StoreCommand};
use crate::control::data_dir;

/// Runs the command. 1 when a verification finds something.
pub fn run(arguments: StoreArguments) -> anyhow::Result<ExitCode> {
    let data = data_dir(arguments.data);
    let mut out = std::io::stdout().lock();
    match arguments.command {
        StoreCommand::Verify => {
            let found = store::verify(&data)?;
            writeln!(
                out,
                "{} epochs, {} entries, {} checkpoints, {} decisions, {} side records ({} erased)",
                found.epochs,
                found.entries,
                found.checkpoints,
                found.decisions,
                found.sides,
                found.sides_gone
            )?;
            for problem in &found.problems {
                writeln!(out, "problem: {problem}")?;
            }
            if !found.problems.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
            writeln!(out, "the chains hold")?;
        }
        StoreCommand::Snapshot { file } => {
            store::snapshot(&data, &file)?;
            writeln!(out, "{}", file.display())?;
        }
        StoreCommand::Restore { file } => {
            let restored = store::restore(&data, &file, &store::Config::default())?;
            writeln!(out, "restored; the journal goes on in epoch {}", restored.epoch)?;
            if let Some(aside) = restored.replaced {
                writeln!(out, "the database that was there is now {}", aside.display())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
