//! Many threads at the inputs, and what they make of them in input order.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::Context as _;

use super::turns::Turns;

/// Threads for each job: while the models look at one item, the next is decoded.
const THREADS_PER_JOB: usize = 2;

/// Results, for each job, that may wait for an earlier one before the jobs pause.
const AHEAD: usize = 64;

/// Does `work` on `jobs` inputs at once, with as many more at the models, and hands each result to `take` once all
/// before it are taken; that may end it.
///
/// # Errors
/// Where a thread cannot be started, and those of `take`.
pub fn in_order<I: Sync, T: Send>(
    inputs: &[I],
    jobs: usize,
    work: impl Fn(&I) -> T + Sync,
    take: impl FnMut(T) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let turns = Turns::new(inputs.len(), jobs * AHEAD);
    let (send, receive) = crossbeam_channel::bounded::<(usize, Box<T>)>(jobs);
    std::thread::scope(|scope| {
        for _ in 0..(jobs * THREADS_PER_JOB).min(inputs.len()) {
            let send = send.clone();
            let (turns, work) = (&turns, &work);
            let started = std::thread::Builder::new().spawn_scoped(scope, move || {
                while let Some((index, input)) =
                    turns.next().and_then(|i| Some((i, inputs.get(i)?)))
                {
                    if send.send((index, Box::new(work(input)))).is_err() {
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
        let taken = take_in_order(receive, &turns, take);
        // Whatever ended it (a closed pipe, say), nobody waits for a turn any more.
        turns.close();
        taken
    })
}

fn take_in_order<T>(
    receive: crossbeam_channel::Receiver<(usize, Box<T>)>,
    turns: &Turns,
    mut take: impl FnMut(T) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (index, result) in receive {
        early.insert(index, result);
        while let Some(result) = early.remove(&due) {
            due += 1;
            if take(*result)?.is_break() {
                return Ok(());
            }
            turns.printed(due);
        }
    }
    Ok(())
}
