//! `weir policy`: list the built-in profiles, check and test policies.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use domain::Policy;
use domain::policy::cases::Cases;
use domain::profile::{Profile, policy_of};

use crate::cli::{PolicyArguments, PolicyCommand};
use crate::replay;

/// Runs the command. Exit code 1: the file has errors, or a case failed.
pub fn run(arguments: PolicyArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        PolicyCommand::List => list(),
        PolicyCommand::Check { file } => check(&file),
        PolicyCommand::Test { file, cases } => test(&file, &cases),
        PolicyCommand::Replay(arguments) => replay::run(&arguments),
    }
}

fn list() -> anyhow::Result<ExitCode> {
    for name in Profile::names() {
        let profile = Profile::embedded(name)?;
        let models = profile.models();
        let needs = if models.is_empty() { "no weights".to_owned() } else { models.join(", ") };
        println!("{name:<14} {:<14} {}", profile.policy.id(), profile.title);
        println!("{:<14} needs {needs}", "");
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let text = read(file)?;
    // A file with detectors is a whole profile, whose rules may name only what it configures.
    let problems = if text.lines().any(|line| line.trim_start().starts_with("[detectors")) {
        Profile::parse(&text).map(|p| {
            println!("{}: profile {} is sound, policy {}", file.display(), p.name, p.policy.id())
        })
    } else {
        Policy::parse(&text).map(|p| println!("{}: policy {} is sound", file.display(), p.id()))
    };
    match problems {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problems) => {
            for problem in &problems.0 {
                eprintln!("{}: {problem}", file.display());
            }
            let many = problems.0.len();
            eprintln!("{many} {}", if many == 1 { "error" } else { "errors" });
            Ok(ExitCode::FAILURE)
        }
    }
}

fn test(file: &Path, cases: &Path) -> anyhow::Result<ExitCode> {
    let policy = named(file)?;
    let verdicts = Cases::parse(&read(cases)?)
        .map_err(|problems| {
            anyhow!("{} is not a usable file of cases:\n{problems}", cases.display())
        })?
        .run(&policy);
    for verdict in &verdicts {
        println!("{verdict}");
    }
    let failed = verdicts.iter().filter(|v| !v.passed()).count();
    println!("{} passed, {failed} failed", verdicts.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The policy of a built-in profile, or of a file.
pub fn named(file: &Path) -> anyhow::Result<Policy> {
    match file.to_str().filter(|name| Profile::embedded_text(name).is_some()) {
        Some(name) => Ok(Profile::embedded(name)?.policy),
        None => policy_of(&read(file)?)
            .map_err(|problems| anyhow!("{} is not a usable policy:\n{problems}", file.display())),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
