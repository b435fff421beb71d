//! `weir models`: list, fetch, verify, bench.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use models::{Catalogue, Library, Manifest, bench};

use crate::cli::{ModelsArguments, ModelsCommand};
use crate::inference::{Wish, chosen};
use crate::{engines_command, paths, profile};

/// How long each batch size is measured.
const BENCH_BUDGET: Duration = Duration::from_millis(600);

/// Runs the command.
pub fn run(arguments: ModelsArguments) -> anyhow::Result<ExitCode> {
    let dir = arguments.dir.unwrap_or_else(paths::models_dir);
    let shelf = Shelf { catalogue: profile::catalogue(&dir)?, library: Library::new(dir) };
    match arguments.command {
        ModelsCommand::List => shelf.list(arguments.engine),
        ModelsCommand::Fetch { names, mirror, profile } => shelf.fetch(&names, mirror, profile),
        ModelsCommand::Verify { names } => shelf.verify(&names),
        ModelsCommand::Bench { names } => shelf.bench(&names, arguments.engine),
        ModelsCommand::Engines { command } => {
            engines_command::run(&shelf.catalogue, &shelf.library, &command)
        }
    }
}

/// The catalogue and the folder of weights.
struct Shelf {
    catalogue: Catalogue,
    library: Library,
}

impl Shelf {
    fn list(&self, wish: Wish) -> anyhow::Result<ExitCode> {
        println!("{:<26} {:<10} {:<10} {:>9}  LICENCE", "MODEL", "KIND", "WEIGHTS", "KB");
        for manifest in self.catalogue.iter() {
            let here = match self.library.locate(manifest) {
                Ok(_) => "here",
                Err(models::ModelError::Missing { .. }) => "missing",
                Err(_) => "corrupt",
            };
            println!(
                "{:<26} {:<10} {here:<10} {:>9}  {}",
                manifest.id(),
                manifest.kind.as_str(),
                manifest.pin.bytes / 1000,
                manifest.licence
            );
        }
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
            return Ok(self.catalogue.iter().collect());
        }
        names.iter().map(|n| self.catalogue.find(n).context("see `weir models list`")).collect()
    }
}

fn code(failed: usize) -> ExitCode {
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
