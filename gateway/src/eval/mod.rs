//! `weir eval`: a labelled folder in, how well a profile judges it out.

mod comparison;
mod curve;
mod evaluation;
mod items;
mod label;
mod look;
mod mcnemar;
mod measure;
mod plot;
pub mod rate;
mod report;
mod table;

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use domain::profile::Profile;

use crate::check;
use crate::check::inputs::Input;
use crate::check::judge::{Judge, Setup};
use crate::cli::EvalArguments;
use crate::profile;
use comparison::Comparison;
use evaluation::Evaluation;
use items::Items;
use label::Vocabulary;
use look::{Seen, look};
use report::Report;

/// Runs the command. Exit code 2: something could not be judged.
pub fn run(arguments: &EvalArguments) -> anyhow::Result<ExitCode> {
    let this = profile::of(&arguments.judging)?;
    let other = arguments.compare.as_ref().map(|name| other(arguments, name)).transpose()?;
    let items = Items::read(&arguments.dir, &Vocabulary::of([&this].into_iter().chain(&other))?)?;
    // Before the work: a plot that cannot be written should not cost an hour.
    let svg = arguments.svg.as_ref().map(|path| {
        let file = std::fs::File::create(path);
        file.with_context(|| format!("cannot write {}", path.display()))
    });
    let svg = svg.transpose()?;
    let report = evaluate(arguments, &items, this, other)?;
    if let Some(mut file) = svg {
        file.write_all(plot::svg(&report).as_bytes()).context("cannot write the plot")?;
    }
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        table::text(&report)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever read has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        wrote => wrote.context("cannot write to standard output")?,
    }
    Ok(ExitCode::from(if report.is_whole() { 0 } else { 2 }))
}

/// Another profile, or the same one with the policy of a file.
fn other(arguments: &EvalArguments, name: &str) -> anyhow::Result<Profile> {
    let path = Path::new(name);
    let is_policy = std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .is_some_and(|table| !table.contains_key("detectors"));
    if Profile::embedded_text(name).is_none() && is_policy {
        return profile::with_policy_file(profile::load(&arguments.judging.profile)?, path);
    }
    profile::load(name)
}

/// Whether both see the same in every item, so that only what is decided on it can differ.
fn sees_alike(one: &Profile, other: &Profile) -> bool {
    one.detectors == other.detectors
        && one.limits == other.limits
        && one.policy.max_gap_ms() == other.policy.max_gap_ms()
}

fn evaluate(
    arguments: &EvalArguments,
    items: &Items,
    this: Profile,
    other: Option<Profile>,
) -> anyhow::Result<Report> {
    let max_fpr = arguments.max_fpr;
    let names = |profile: &Profile| (profile.name.clone(), profile.policy.id());
    let (name, other_name) = (names(&this), other.as_ref().map(names));
    let same_findings = other.as_ref().is_some_and(|other| sees_alike(&this, other));
    let evaluation = |name: &(String, String), seen: &[Seen], index| {
        Evaluation::new((&name.0, &name.1), items, seen, index, max_fpr)
    };
    let report =
        |this, compared| Report::new(&arguments.dir, max_fpr, items.all.len(), this, compared);
    let Some((other, other_name)) = other.zip(other_name) else {
        let seen = see(arguments, items, this, None)?;
        return Ok(report(evaluation(&name, &seen, 0), None));
    };
    // The detectors of one profile are given back before those of the other are loaded.
    let (seen, second) = if same_findings {
        (see(arguments, items, this, Some(&other))?, None)
    } else {
        let first = see(arguments, items, this, None)?;
        (first, Some(see(arguments, items, other, None)?))
    };
    let (other_seen, index) = second.as_ref().map_or((&seen, 1), |second| (second, 0));
    let pairs = seen
        .iter()
        .zip(other_seen)
        .filter_map(|(one, other)| Some((one.outcomes.first()?, other.outcomes.get(index)?)));
    let comparison = Comparison::new(items, pairs, same_findings);
    let other = evaluation(&other_name, other_seen, index);
    Ok(report(evaluation(&name, &seen, 0), Some((other, comparison))))
}

/// Looks at all items with the detectors of a profile and decides by its policy, and by that of another one as well.
fn see(
    arguments: &EvalArguments,
    items: &Items,
    profile: Profile,
    also: Option<&Profile>,
) -> anyhow::Result<Vec<Seen>> {
    let by = &arguments.judging;
    let jobs = check::jobs(by.jobs, items.all.len());
    let setup = Setup {
        profile,
        banks: &by.banks,
        surface: &by.surface,
        caption: None,
        jobs,
        inference: by.inference(),
    };
    let first = items.all.first().map(|item| Input::File(item.path.clone()));
    let judge = Judge::new(setup, first.as_ref())?;
    let policies: Vec<_> = [judge.policy()].into_iter().chain(also.map(|p| &p.policy)).collect();
    look(&judge, &policies, &items.all, jobs)
}
