//! `weir models`: list, fetch, verify, bench. The rest is in `life_command`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::journal::Millis;
use models::life::{Entry, Recipe, Roster, Stage};
use models::{Library, Manifest, bench};

use crate::cli::{ModelsArguments, ModelsCommand};
use crate::inference::{Wish, chosen};
use crate::{engines_command, life_command, paths, profile};

/// How long each batch size is measured.
const BENCH_BUDGET: Duration = Duration::from_millis(600);

/// Runs the command.
pub fn run(arguments: ModelsArguments) -> anyhow::Result<ExitCode> {
    let dir = arguments.dir.unwrap_or_else(paths::models_dir);
    let shelf =
        || anyhow::Ok(Shelf { roster: profile::roster(&dir)?, library: Library::new(&dir) });
    match arguments.command {
        ModelsCommand::List => shelf()?.list(arguments.engine),
        ModelsCommand::Fetch { names, mirror, profile } => shelf()?.fetch(&names, mirror, profile),
        ModelsCommand::Verify { names } => shelf()?.verify(&names),
        ModelsCommand::Bench { names } => shelf()?.bench(&names, arguments.engine),
        ModelsCommand::Engines { command } => {
            let shelf = shelf()?;
            engines_command::run(&shelf.roster, &shelf.library, &command)
        }
        ModelsCommand::Keygen { file } => life_command::keygen(&file),
        ModelsCommand::Trust { key } => life_command::trust(&dir, key.as_deref()),
        ModelsCommand::Bundle { key, manifest, weights, golden, out } => {
            life_command::bundle(&Recipe { manifest, weights, golden }, &key, &out)
        }
        ModelsCommand::Install { file, older } => life_command::install_bundle(&dir, &file, older),
        ModelsCommand::Promote { model, to, share, data } => {
            life_command::promote(&dir, data, &model, to, share, arguments.engine)
        }
        ModelsCommand::Rollback { model, data } => life_command::rollback(&dir, data, &model),
    }
}

/// The catalogue and the folder of weights.
struct Shelf {
    roster: Roster,
    library: Library,
}

impl Shelf {
    fn list(&self, wish: Wish) -> anyhow::Result<ExitCode> {
        println!(
            "{:<26} {:<10} {:<10} {:>9}  {:<14} {:<20} LICENCE",
            "MODEL", "KIND", "WEIGHTS", "KB", "STAGE", "SINCE"
        );
        for manifest in self.roster.active().iter() {
            let entry = self.roster.state().entry(&manifest.name, &manifest.version);
            self.row(manifest, "active", entry);
            if let Some(trial) = self.roster.trial(&manifest.name) {
                let entry = self.roster.state().entry(&manifest.name, &trial.manifest.version);
                let stage = match trial.stage {
                    Stage::Canary => format!("canary {:.1} %", trial.share * 100.0),
                    other => other.to_string(),
                };
                self.row(&trial.manifest, &stage, entry);
            }
        }
        let state = self.roster.state();
        for name in state.names() {
            for (version, entry) in state.versions(name) {
                let runs = self.roster.trial(name).is_some_and(|t| t.manifest.version == version);
                if entry.stage == Stage::Active || runs {
                    continue;
                }
                let broken = if entry.stage.is_trial() { ", not usable" } else { "" };
                let why = entry.cause.map(|c| format!(" ({})", c.as_str())).unwrap_or_default();
                println!(
                    "{:<26} {:<10} {:<10} {:>9}  {:<14} {}",
                    format!("{name}@{version}"),
                    "",
                    "",
                    "",
                    format!("{}{why}{broken}", entry.stage),
                    since(entry)
                );
            }
        }
        self.unusable().iter().for_each(|line| println!("{line}"));
        println!("\nWeights lie in {}", self.library.dir().display());
        match chosen(wish) {
            Ok(engine) => {
                println!("Models run on: {engine:?}");
                if let Some(reason) = engine.fallback {
                    println!("not on the GPU: {reason}");
                }
            }
            Err(error) => println!("Models cannot run: {error:#}"),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Why versions on trial cannot be used, a line each. What only shows when they are loaded, the service tells.
    fn unusable(&self) -> Vec<String> {
        let left = self.roster.left_out().iter().map(|left| (left.model.clone(), left.why.clone()));
        let trials = self.roster.running().filter(|(_, stage)| stage.is_trial());
        let without = trials.filter_map(|(manifest, _)| {
            Some((manifest.id(), self.library.locate(manifest).err()?.to_string()))
        });
        let line = |(id, why)| format!("{id} is on trial and cannot be used: {why}");
        left.chain(without).map(line).collect()
    }

    fn row(&self, manifest: &Manifest, stage: &str, entry: Option<&Entry>) {
        let here = match self.library.locate(manifest) {
            Ok(_) => "here",
            Err(models::ModelError::Missing { .. }) => "missing",
            Err(_) => "corrupt",
        };
        println!(
            "{:<26} {:<10} {here:<10} {:>9}  {stage:<14} {:<20} {}",
            manifest.id(),
            manifest.kind.as_str(),
            manifest.pin.bytes / 1000,
            entry.map_or_else(|| "built in".to_owned(), since),
            manifest.licence
        );
    }

    fn fetch(
        &self,
        names: &[String],
        mirror: Option<PathBuf>,
        profile: Option<String>,
    ) -> anyhow::Result<ExitCode> {
        let mut wanted = names.to_vec();
        if let Some(profile) = profile {
            wanted.extend(profile::load(&profile)?.models().into_iter().map(str::to_owned));
        }
        let mut failed = 0;
        for manifest in self.pick(&wanted)? {
            match self.library.fetch(manifest, mirror.as_deref(), &mut |_| ()) {
                Ok(path) => println!("{}: {}", manifest.id(), path.display()),
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: {error}", manifest.id());
                }
            }
        }
        Ok(code(failed))
    }

    fn verify(&self, names: &[String]) -> anyhow::Result<ExitCode> {
        let mut failed = 0;
        for manifest in self.pick(names)? {
            match self.library.verify(manifest) {
                Ok(sha256) => println!("{}: intact, sha256 {sha256}", manifest.id()),
                Err(models::ModelError::Missing { .. }) if names.is_empty() => {
                    println!("{}: not here", manifest.id());
                }
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: {error}", manifest.id());
                }
            }
        }
        Ok(code(failed))
    }

    fn bench(&self, names: &[String], wish: Wish) -> anyhow::Result<ExitCode> {
        let chosen = chosen(wish)?;
        let Some(engine) = chosen.engine() else { bail!("there is no engine") };
        for manifest in self.pick(names)? {
            let weights = match self.library.locate(manifest) {
                Ok(weights) => weights,
                Err(error) if names.is_empty() => {
                    println!("{}: {error}", manifest.id());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let report = bench(engine, manifest, &weights, 1, BENCH_BUDGET)?;
            println!("{} on {} with {} thread", report.model, report.engine, report.threads);
            println!("  {:>5} {:>10} {:>9} {:>9}", "batch", "images/s", "p50 ms", "p95 ms");
            for row in report.rows {
                println!(
                    "  {:>5} {:>10.1} {:>9.2} {:>9.2}",
                    row.batch, row.images_per_s, row.p50_ms, row.p95_ms
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The named models, or all.
    fn pick(&self, names: &[String]) -> anyhow::Result<Vec<&Manifest>> {
        if names.is_empty() {
            return Ok(self.roster.active().iter().collect());
        }
        names
            .iter()
            .map(|n| self.roster.active().find(n).context("see `weir models list`"))
            .collect()
    }
}

/// Since when a version is at its stage.
fn since(entry: &Entry) -> String {
    let time = crate::serve::time(Millis(entry.since_ms));
    time.as_str().unwrap_or_default().to_owned()
}

fn code(failed: usize) -> ExitCode {
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
