//! `weir check`: files in, verdicts out.

pub mod crew;
pub mod inputs;
pub mod judge;
pub mod progress;
mod slots;
pub mod table;
mod turns;
pub mod verdict;

use std::io::{BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::CheckArguments;
use crate::profile;
use inputs::Input;
use judge::{Judge, Setup};
use progress::Progress;
use table::Table;
use verdict::Verdict;

/// Runs the command.
pub fn run(arguments: CheckArguments) -> anyhow::Result<ExitCode> {
    let inputs = inputs(&arguments)?;
    let by = &arguments.judging;
    let jobs = jobs(by.jobs, inputs.len());
    let setup = Setup {
        profile: profile::of(by)?,
        banks: &by.banks,
        surface: &by.surface,
        caption: arguments.text.as_deref(),
        jobs,
        inference: by.inference(),
    };
    let judge = Judge::new(setup, inputs.first())?;
    let printed = judge_all(&judge, &inputs, jobs, arguments.json)?;
    Ok(printed.code())
}

fn inputs(arguments: &CheckArguments) -> anyhow::Result<Vec<Input>> {
    let mut inputs = inputs::expand(&arguments.paths, std::io::stdin().lock())
        .context("cannot read the list on standard input")?;
    if arguments.paths.is_empty() && arguments.text.is_some() {
        inputs.push(Input::Caption);
    }
    if arguments.paths.is_empty() && arguments.text.is_none() {
        bail!(
            "nothing to judge: give files, folders, `-` for a list on standard input, or --text CAPTION"
        );
    }
    if inputs.is_empty() {
        bail!("nothing to judge: the folder or the list on standard input is empty");
    }
    Ok(inputs)
}

/// Items that are decoded at once: as many as wanted, else as there are cores, and never more than there are.
pub fn jobs(wanted: Option<u16>, inputs: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or(cores, usize::from).min(inputs).max(1)
}

/// Judges all inputs and prints each verdict once all before it are printed.
fn judge_all(judge: &Judge, inputs: &[Input], jobs: usize, json: bool) -> anyhow::Result<Printed> {
    let progress = Progress::new(inputs.len());
    let table = Table::new();
    let mut out = BufWriter::new(std::io::stdout());
    let mut printed = Printed::default();
    if !json {
        out.write_all(table.head().as_bytes())?;
    }
    crew::in_order(
        inputs,
        jobs,
        |input| judge.judge(input),
        |verdict: Verdict| {
            printed.count(&verdict);
            let line =
                if json { serde_json::to_string(&verdict)? + "\n" } else { table.row(&verdict) };
            let wrote =
                progress.suspend(|| out.write_all(line.as_bytes()).and_then(|()| out.flush()));
            match wrote {
                Ok(()) => {
                    progress.step();
                    Ok(ControlFlow::Continue(()))
                }
                // Whoever read has seen enough, as `head` does.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
                // What could not be told counts as not judged.
                Err(error) => {
                    eprintln!("weir: cannot write to standard output: {error}");
                    printed.unjudged = true;
                    Ok(ControlFlow::Break(()))
                }
            }
        },
    )?;
    progress.finish();
    Ok(printed)
}

/// What the exit code is made of.
#[derive(Default)]
struct Printed {
    refused: bool,
    unjudged: bool,
}

impl Printed {
    fn count(&mut self, verdict: &Verdict) {
        self.refused |= verdict.is_refused();
        self.unjudged |= verdict.is_unjudged();
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self { unjudged: true, .. } => 2,
            Self { refused: true, .. } => 1,
            _ => 0,
        })
    }
}
