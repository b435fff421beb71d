//! On what models run: what is asked for, what is there, and what came of it.
//!
//! All models of a profile run on one engine. Where the wanted one cannot be had and the settings do not insist, the CPU
//! takes its place, and the reason stands in log, health and metrics for as long as that lasts.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use clap::ValueEnum;
use models::life::LeftOut;
use models::{CpuEngine, Engine, Manifest, ModelError, Place};
use serde::Serialize;

/// Whether the GPU was lost to this process: it comes back to the next one alone.
static LOST: AtomicBool = AtomicBool::new(false);

/// Warnings of engines that are in the log: each tenant meets the same.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Wish {
    /// The GPU where this program and this machine can use one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, by TensorRT.
    Tensorrt,
}

impl Wish {
    /// All of them, as they are written.
    pub const NAMES: [(&str, Self); 3] =
        [("auto", Self::Auto), ("cpu", Self::Cpu), ("tensorrt", Self::Tensorrt)];
}

/// How models are to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// The engine.
    pub wish: Wish,
    /// Whether nothing may take its place.
    pub required: bool,
}

/// The engine of a profile.
#[derive(Clone, Serialize)]
pub struct InUse {
    /// `cpu`, `tensorrt`; `none` where the profile has no models.
    pub name: &'static str,
    /// Version of its library.
    pub version: String,
    /// The processor or the GPU.
    pub device: String,
    /// In what numbers the models compute.
    pub precisions: BTreeSet<&'static str>,
    /// Why it is not the one that was wanted.
    pub fallback: Option<String>,
    /// Versions on trial that were to run on it and cannot.
    #[serde(skip)]
    left_out: BTreeSet<LeftOut>,
    #[serde(skip)]
    engine: Option<Arc<dyn Engine>>,
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = match self.name {
            "cpu" => "ONNX Runtime",
            "tensorrt" => "TensorRT",
            other => other,
        };
        write!(f, "{} ({library} {}, {})", self.name, self.version, self.device)
    }
}

impl InUse {
    /// No models, no engine.
    pub fn none() -> Self {
        Self {
            name: "none",
            version: String::new(),
            device: String::new(),
            precisions: BTreeSet::new(),
            fallback: None,
            left_out: BTreeSet::new(),
            engine: None,
        }
    }

    fn of(engine: Arc<dyn Engine>, fallback: Option<String>) -> Self {
        let Place { engine: name, version, device } = engine.place();
        Self { name, version, device, fallback, engine: Some(engine), ..Self::none() }
    }

    /// The engine that loads models.
    pub fn engine(&self) -> Option<&dyn Engine> {
        self.engine.as_deref()
    }

    /// Notes a model that runs on it.
    pub fn runs(&mut self, manifest: &Manifest) {
        self.precisions.insert(manifest.precision.as_str());
    }

    /// Notes a version on trial that cannot be used: the active one judges alone.
    pub fn leave_out(&mut self, left: LeftOut) {
        let LeftOut { model, why } = &left;
        tracing::error!(
            model,
            why,
            "a version on trial cannot be used; the active one judges alone"
        );
        self.left_out.insert(left);
    }

    /// Versions on trial that were to run on it and cannot.
    pub fn left_out(&self) -> &BTreeSet<LeftOut> {
        &self.left_out
    }

    /// Whether the device was lost; remembered for the whole process.
    pub fn is_lost(&self) -> bool {
        let lost = self.engine.as_ref().is_some_and(|engine| engine.lost());
        if lost {
            LOST.store(true, Ordering::Relaxed);
        }
        lost
    }

    /// What is amiss although models run, in words.
    pub fn warnings(&self) -> Vec<String> {
        self.engine.as_ref().map(|engine| engine.warnings()).unwrap_or_default()
    }

    /// As verdicts cite it.
    pub fn cited(&self) -> Option<Cited> {
        self.engine.as_ref()?;
        let Self { name, version, device, precisions, .. } = self.clone();
        Some(Cited { name, version, device, precisions })
    }
}

/// On what the models of a verdict ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cited {
    /// `cpu` or `tensorrt`.
    pub name: &'static str,
    /// Version of its library.
    pub version: String,
    /// The processor or the GPU.
    pub device: String,
    /// In what numbers the models compute.
    pub precisions: BTreeSet<&'static str>,
}

/// Loads with the wanted engine, or with the CPU in its place where that may be.
///
/// # Errors
/// Those of `load`; why the wanted engine cannot be used, where nothing may take its place.
pub fn with_engine<T>(
    inference: Inference,
    mut load: impl FnMut(&mut InUse) -> anyhow::Result<T>,
) -> anyhow::Result<(T, InUse)> {
    let mut fallback = None;
    if inference.wish != Wish::Cpu {
        match on_gpu(inference.wish, &mut load) {
            Ok(Some(loaded)) => return Ok(loaded),
            // Nobody asked for more than this program or machine has.
            Ok(None) => {}
            Err(error) if inference.required => {
                bail!("the engine `tensorrt` is required and cannot be used: {error:#}");
            }
            Err(error) => {
                let reason = format!("{error:#}");
                tracing::warn!(reason, "models run on the CPU, not on the GPU");
                fallback = Some(reason);
            }
        }
    }
    let mut in_use = InUse::of(Arc::new(CpuEngine::new()?), fallback);
    let loaded = load(&mut in_use)?;
    Ok((loaded, in_use))
}

/// The engine that models would run on.
///
/// # Errors
/// Where there is none at all.
pub fn chosen(wish: Wish) -> anyhow::Result<InUse> {
    with_engine(Inference { wish, required: false }, |_| Ok(())).map(|((), in_use)| in_use)
}

/// `None` where this program, or with `auto` this machine, has no use for a GPU.
fn on_gpu<T>(
    wish: Wish,
    load: &mut impl FnMut(&mut InUse) -> anyhow::Result<T>,
) -> anyhow::Result<Option<(T, InUse)>> {
    if LOST.load(Ordering::Relaxed) {
        bail!("the GPU was lost; it comes back when the service starts anew");
    }
    let engine = match gpu() {
        Ok(Some(engine)) => engine,
        Ok(None) if wish == Wish::Auto => return Ok(None),
        Ok(None) => bail!("this program was built without TensorRT"),
        Err(error) => return Err(error.into()),
    };
    let mut in_use = InUse::of(engine, None);
    let loaded = load(&mut in_use)?;
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in in_use.warnings() {
        if told.insert(warning.clone()) {
            tracing::warn!("{warning}");
        }
    }
    Ok(Some((loaded, in_use)))
}

/// The GPU's engine; `None` in a program that was built without it.
///
/// # Errors
/// Why it cannot be used.
#[cfg(not(any(feature = "tensorrt", feature = "tensorrt-mock")))]
fn gpu() -> Result<Option<Arc<dyn Engine>>, ModelError> {
    Ok(None)
}

/// The GPU's engine.
///
/// # Errors
/// Why it cannot be used.
#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
fn gpu() -> Result<Option<Arc<dyn Engine>>, ModelError> {
    tensorrt().map(|engine| Some(Arc::new(engine) as Arc<dyn Engine>))
}

/// TensorRT, with the plans of the model folder; builds are told in the log.
///
/// # Errors
/// Why it cannot be used.
#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
pub fn tensorrt() -> Result<models::tensorrt::TensorRtEngine, ModelError> {
    use models::tensorrt::{BuildProgress, Settings, TensorRtEngine};

    /// Builds take minutes: this often is enough to see that one goes on.
    const BEAT: std::time::Duration = std::time::Duration::from_secs(10);
    let mut told: Option<(String, std::time::Duration)> = None;
    let heard = move |progress: &BuildProgress| {
        let due = told.as_ref().is_none_or(|(model, at)| {
            *model != progress.model || progress.elapsed.saturating_sub(*at) >= BEAT
        });
        if due {
            let seconds = progress.elapsed.as_secs();
            tracing::info!(
                model = progress.model,
                seconds,
                line = progress.line,
                "building a plan"
            );
            // A start that builds is no start that hangs. Without a manager this does nothing.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::ExtendTimeoutUsec(120_000_000)]);
            told = Some((progress.model.clone(), progress.elapsed));
        }
    };
    TensorRtEngine::open(Settings::for_models(&crate::paths::models_dir()), Box::new(heard))
}
