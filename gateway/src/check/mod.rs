//! `weir check`: files in, verdicts out.

mod inputs;
mod judge;
mod progress;
mod slots;
mod table;
mod turns;
pub mod verdict;

use std::collections::BTreeMap;
use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::CheckArguments;
use inputs::Input;
use judge::Judge;
use progress::Progress;
use table::Table;
use turns::Turns;
use verdict::Verdict;

/// Threads for each job: while the models look at one item, the next is decoded.
const THREADS_PER_JOB: usize = 2;

/// Verdicts, for each job, that may wait for an earlier one before the jobs pause.
const AHEAD: usize = 64;

/// Runs the command.
pub fn run(arguments: CheckArguments) -> anyhow::Result<ExitCode> {
    let inputs = inputs(&arguments)?;
    let jobs = jobs(&arguments, inputs.len());
    let judge = Judge::new(&arguments, jobs, inputs.first())?;
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

fn jobs(arguments: &CheckArguments, inputs: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.jobs.map_or(cores, usize::from).min(inputs).max(1)
}

/// Judges `jobs` items at once, with as many more at the models, and prints in input order.
fn judge_all(judge: &Judge, inputs: &[Input], jobs: usize, json: bool) -> anyhow::Result<Printed> {
    let turns = Turns::new(inputs.len(), jobs * AHEAD);
    let (send, receive) = crossbeam_channel::bounded::<(usize, Box<Verdict>)>(jobs);
    std::thread::scope(|scope| {
        for _ in 0..(jobs * THREADS_PER_JOB).min(inputs.len()) {
            let send = send.clone();
            let turns = &turns;
            let started = std::thread::Builder::new().spawn_scoped(scope, move || {
                while let Some(input) = turns.next().and_then(|i| Some((i, inputs.get(i)?))) {
                    let (index, input) = input;
                    if send.send((index, Box::new(judge.judge(input)))).is_err() {
                        break;
                    }
                }
            });
            if let Err(error) = started {
                turns.close();
                return Err(error)
                    .context("cannot start a thread; raise the limit on processes (ulimit -u)");
            }
        }
        drop(send);
        let printed = print_in_order(receive, &turns, inputs.len(), json);
        // Whatever ended the printing (a closed pipe, say), nobody waits for a turn any more.
        turns.close();
        printed
    })
}

/// Prints each verdict once all before it are printed.
fn print_in_order(
    receive: crossbeam_channel::Receiver<(usize, Box<Verdict>)>,
    turns: &Turns,
    total: usize,
    json: bool,
) -> anyhow::Result<Printed> {
    let progress = Progress::new(total);
    let table = Table::new();
    let mut out = BufWriter::new(std::io::stdout());
    let mut printed = Printed::default();
    let mut early = BTreeMap::new();
    if !json {
        out.write_all(table.head().as_bytes())?;
    }
    let mut due = 0;
    for (index, verdict) in receive {
        early.insert(index, verdict);
        while let Some(verdict) = early.remove(&due) {
            due += 1;
            printed.count(&verdict);
            let line =
                if json { serde_json::to_string(&verdict)? + "\n" } else { table.row(&verdict) };
            let wrote =
                progress.suspend(|| out.write_all(line.as_bytes()).and_then(|()| out.flush()));
            match wrote {
                Ok(()) => progress.step(),
                // Whoever read has seen enough, as `head` does.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(printed),
                // What could not be told counts as not judged.
                Err(error) => {
                    eprintln!("weir: cannot write to standard output: {error}");
                    printed.unjudged = true;
                    return Ok(printed);
                }
            }
            turns.printed(due);
        }
    }
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
