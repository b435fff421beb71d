//! The weights that a profile needs, loaded on the engine that can be had.

use std::collections::BTreeMap;

use anyhow::bail;
use domain::profile::{Detector, Profile};
use models::life::{LeftOut, Roster, Stage, Trial};
use models::{Engine, Library, ModelError, Runner, RunnerConfig};
use pipeline::inspect::Neural;

use crate::inference::{InUse, Inference, with_engine};
use crate::paths;
use crate::profile::{Effort, roster};

/// How far a model that runs beside another gives way to all else (nice value): as far as there is.
const BESIDE: u8 = 19;

/// The weights that a profile needs; all missing ones are named at once.
pub struct Weights {
    roster: Roster,
    library: Library,
    config: RunnerConfig,
    inference: Inference,
    trials: bool,
}

impl Weights {
    /// Finds them; all missing ones are named at once.
    ///
    /// # Errors
    /// Those that are missing, with the command that brings them.
    pub fn new(profile: &Profile, effort: Effort) -> anyhow::Result<Self> {
        let roster = roster(&paths::models_dir())?;
        let library = Library::new(paths::models_dir());
        let names = profile.models();
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        let mut fetched = false;
        for name in &names {
            match roster.active().find(name).map(|manifest| library.locate(manifest)) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    fetched |= !error.is_bundled();
                    missing.push(format!("  {error}"));
                }
                Err(error) => unknown.push(format!("  {error}")),
            }
        }
        if !unknown.is_empty() {
            unknown.append(&mut missing);
            bail!(
                "the profile `{}` names models that cannot be had:\n{}",
                profile.name,
                unknown.join("\n")
            );
        }
        if !missing.is_empty() {
            let name = &profile.name;
            // What came in a bundle nobody can fetch.
            let bring = match fetched {
                true => format!("\nBring them with\n  weir models fetch --profile {name}"),
                false => String::new(),
            };
            bail!(
                "the profile `{name}` needs weights that are not here:\n{}{bring}",
                missing.join("\n")
            );
        }
        // Every runner has weights and memory of its own. A picture goes through several models and its decoding takes
        // cores as well, so one runner of each model for two cores is enough.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runners = effort.jobs.min(cores).div_ceil(2);
        let config = RunnerConfig { runners, nice: effort.nice, ..RunnerConfig::default() };
        let Effort { inference, trials, .. } = effort;
        Ok(Self { roster, library, config, inference, trials })
    }

    /// Loads the model of every detector that has one, by the detector's name; all on one engine.
    ///
    /// # Errors
    /// Why one cannot be loaded.
    pub fn load(&self, profile: &Profile) -> anyhow::Result<(BTreeMap<String, Neural>, InUse)> {
        if profile.models().is_empty() {
            return Ok((BTreeMap::new(), InUse::none()));
        }
        with_engine(self.inference, |in_use| {
            let mut loaded = BTreeMap::new();
            for (name, detector) in &profile.detectors {
                let (model, min_score) = match detector {
                    Detector::Classifier(c) => (&c.model, c.min_score),
                    Detector::Faces(f) => (&f.model, f.min_score),
                    Detector::Age(a) => (&a.model, 0.0),
                    _ => continue,
                };
                loaded.insert(name.clone(), self.neural(in_use, name, model, min_score)?);
            }
            let names = profile.models();
            for left in self.roster.left_out().iter().filter(|_| self.trials) {
                let used = left.model.split('@').next().is_some_and(|name| names.contains(&name));
                if used {
                    in_use.leave_out(left.clone());
                }
            }
            Ok(loaded)
        })
    }

    fn neural(
        &self,
        in_use: &mut InUse,
        name: &str,
        model: &str,
        min_score: f32,
    ) -> anyhow::Result<Neural> {
        let manifest = self.roster.active().find(model)?;
        let weights = self.library.locate(manifest)?;
        let Some(engine) = in_use.engine() else { bail!("there is no engine") };
        let runner = Runner::load(engine, manifest, &weights, self.config)?;
        let trial = self.roster.trial(model).filter(|_| self.trials);
        let (trial, precise) = match trial.map(|trial| (trial, self.trial(engine, trial))) {
            Some((trial, Ok(runner))) => (Some(runner), Some(&trial.manifest)),
            Some((trial, Err(error))) => {
                in_use.leave_out(LeftOut { model: trial.manifest.id(), why: error.to_string() });
                (None, None)
            }
            None => (None, None),
        };
        in_use.runs(manifest);
        precise.into_iter().for_each(|manifest| in_use.runs(manifest));
        Ok(Neural { name: name.to_owned(), runner, trial, min_score })
    }

    /// A version on trial. One that runs beside has a single thread, which takes what the others leave.
    fn trial(&self, engine: &dyn Engine, trial: &Trial) -> Result<Runner, ModelError> {
        let config = match trial.stage {
            Stage::Shadow => RunnerConfig { runners: 1, nice: BESIDE, queue: 4, ..self.config },
            _ => self.config,
        };
        let weights = self.library.locate(&trial.manifest)?;
        Runner::load(engine, &trial.manifest, &weights, config)
    }
}
