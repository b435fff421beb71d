//! `weir models engines`: the plans that TensorRT runs models by, which hold on this device alone.

use std::process::ExitCode;

use models::Library;
use models::life::Roster;

use crate::cli::EnginesCommand;

/// Runs the command.
#[cfg(not(any(feature = "tensorrt", feature = "tensorrt-mock")))]
pub fn run(_: &Roster, _: &Library, _: &EnginesCommand) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this program was built without TensorRT and needs no plans (docs/jetson.md)")
}

#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
pub use built_in::run;

#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
mod built_in {
    use std::collections::BTreeSet;
    use std::io::Write as _;
    use std::time::Instant;

    use anyhow::{Context as _, ensure};
    use models::tensorrt::{BuildProgress, Key, Plans, Settings, TensorRtEngine};
    use models::{Engine as _, Manifest};

    use super::{EnginesCommand, ExitCode, Library, Roster};
    use crate::profile;

    /// Runs the command.
    pub fn run(
        roster: &Roster,
        library: &Library,
        command: &EnginesCommand,
    ) -> anyhow::Result<ExitCode> {
        let settings = Settings::for_models(library.dir());
        match command {
            EnginesCommand::List => list(roster, library, &Plans::new(settings.plans)),
            EnginesCommand::Build { names, profile, anew } => {
                let mut wanted: BTreeSet<String> = names.iter().cloned().collect();
                if let Some(name) = profile {
                    wanted.extend(profile::load(name)?.models().into_iter().map(str::to_owned));
                }
                build(roster, library, settings, &wanted, *anew)
            }
            EnginesCommand::Prune => prune(roster, library, settings),
        }
    }

    fn list(roster: &Roster, library: &Library, plans: &Plans) -> anyhow::Result<ExitCode> {
        let kept = plans.list()?;
        println!(
            "{:<26} {:<10} {:<9} {:<10} {:<18} {:>5} {:>9} {:>8}",
            "MODEL", "STAGE", "PRECISION", "TENSORRT", "DEVICE", "BATCH", "KB", "BUILT IN"
        );
        for plan in &kept {
            let Some((key, _, seconds)) = &plan.made else {
                let name = plan.path.file_name().unwrap_or_default().to_string_lossy();
                println!("{name}: damaged; it is built anew when its model is loaded");
                continue;
            };
            let stage = roster.running().find(|(manifest, _)| manifest.id() == key.model);
            let stage = stage.map_or("unused", |(_, stage)| stage.as_str());
            let batch = key.shapes.as_ref().and_then(|s| s.sides[2].first().copied()).unwrap_or(1);
            let kb = plan.bytes / 1000;
            println!(
                "{:<26} {stage:<10} {:<9} {:<10} {:<18} {batch:>5} {kb:>9} {seconds:>6.1} s",
                key.model, key.precision, key.tensorrt, key.device
            );
        }
        let has_plan = |id: &str| {
            let mut made = kept.iter().filter_map(|plan| plan.made.as_ref());
            made.any(|(key, ..)| key.model == id)
        };
        let here = roster.running().filter(|(manifest, _)| library.locate(manifest).is_ok());
        let without: Vec<_> =
            here.map(|(manifest, _)| manifest.id()).filter(|id| !has_plan(id)).collect();
        if !without.is_empty() {
            println!("\nWithout a plan: {}", without.join(", "));
            println!("`weir models engines build` builds them; else the next start does");
        }
        println!("\nPlans lie in {}", plans.dir().display());
        Ok(ExitCode::SUCCESS)
    }

    fn open(settings: Settings) -> anyhow::Result<TensorRtEngine> {
        let start = Instant::now();
        let mut told = 0;
        let heard = move |progress: &BuildProgress| {
            // One line that is written over; a log gets a line every ten seconds.
            let second = start.elapsed().as_secs();
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            if second > told && (terminal || second >= told + 10) {
                told = second;
                let line: String = progress.line.chars().take(60).collect();
                let (head, tail) = if terminal { ("\r\x1b[K", "") } else { ("", "\n") };
                let elapsed = progress.elapsed.as_secs();
                eprint!("{head}{}: {elapsed} s, {line}{tail}", progress.model);
                let _ = std::io::stderr().flush();
            }
        };
        TensorRtEngine::open(settings, Box::new(heard)).context("no plan can be built here")
    }

    fn build(
        roster: &Roster,
        library: &Library,
        settings: Settings,
        wanted: &BTreeSet<String>,
        anew: bool,
    ) -> anyhow::Result<ExitCode> {
        let engine = open(settings)?;
        let models = wanted_of(roster, library, wanted)?;
        let mut failed = false;
        for manifest in models {
            let start = Instant::now();
            let built =
                library.locate(manifest).and_then(|path| engine.build(manifest, &path, anew));
            match built {
                Ok(true) => {
                    println!("{}: built in {:.1} s", manifest.id(), start.elapsed().as_secs_f64());
                }
                Ok(false) => println!("{}: kept", manifest.id()),
                Err(error) => {
                    failed = true;
                    eprintln!("{error}");
                }
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The versions that these names mean, `NAME` or `NAME@VERSION`; without a name all whose weights are here.
    fn wanted_of<'a>(
        roster: &'a Roster,
        library: &Library,
        wanted: &BTreeSet<String>,
    ) -> anyhow::Result<Vec<&'a Manifest>> {
        let running = || roster.running().map(|(manifest, _)| manifest);
        if wanted.is_empty() {
            return Ok(running().filter(|manifest| library.locate(manifest).is_ok()).collect());
        }
        let mut models = Vec::new();
        for name in wanted {
            let known = models.len();
            models.extend(running().filter(|m| m.name == *name || m.id() == *name));
            ensure!(
                models.len() > known,
                "no version that runs is called `{name}`; `weir models list` shows them"
            );
        }
        Ok(models)
    }

    /// Keeps what the models that are here need on this device with this library, and what a rollback would bring back.
    fn prune(roster: &Roster, library: &Library, settings: Settings) -> anyhow::Result<ExitCode> {
        let engine = open(settings)?;
        let keys: Vec<Key> = roster
            .running()
            .filter_map(|(manifest, _)| engine.key(manifest, &library.locate(manifest).ok()?).ok())
            .collect();
        let before: Vec<_> =
            roster.active().iter().filter_map(|model| roster.before(&model.name)).collect();
        let place = engine.place();
        let comes_back = |key: &Key| {
            before.contains(&key.model)
                && (&key.tensorrt, &key.device) == (&place.version, &place.device)
        };
        let pruned = engine.plans().prune(|key| keys.contains(key) || comes_back(key))?;
        for path in &pruned.paths {
            println!("removed {}", path.display());
        }
        println!("{} plans removed, {} kB", pruned.paths.len(), pruned.bytes / 1000);
        println!("kept: those for TensorRT {} on {}", place.version, place.device);
        Ok(ExitCode::SUCCESS)
    }
}
