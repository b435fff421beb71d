//! The engine: one GPU, the library, and the plans that are in use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::builder::{self, BuildProgress, Request};
use super::ffi::{Gpu, Library, MAJOR, Plan};
use super::key::Key;
use super::plans::Plans;
use super::session::TensorRtSession;
use super::unkept;
use crate::library::digest;
use crate::{Engine, Manifest, ModelError, Place, Session};

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The library, or its folder; what the loader finds where none is named.
    pub library: Option<PathBuf>,
    /// The program that builds plans.
    pub trtexec: Option<PathBuf>,
    /// Where plans are kept.
    pub plans: PathBuf,
    /// Memory that TensorRT may take while a layer runs, in MiB.
    pub workspace_mb: u32,
    /// How long one build may take.
    pub build_limit: Duration,
    /// Most pictures of one run.
    pub max_batch: usize,
}

impl Settings {
    /// Settings for the models in `dir`, with what the environment names.
    pub fn for_models(dir: &Path) -> Self {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Self {
            library: named("WEIR_TENSORRT"),
            trtexec: named("WEIR_TRTEXEC"),
            plans: dir.join("engines"),
            workspace_mb: 512,
            build_limit: Duration::from_secs(30 * 60),
            max_batch: 8,
        }
    }
}

/// Is told how far a build has come.
pub type Heard = Box<dyn FnMut(&BuildProgress) + Send>;

/// Runs models on the machine's first GPU.
pub struct TensorRtEngine {
    library: Arc<Library>,
    gpu: Gpu,
    plans: Plans,
    settings: Settings,
    heard: Mutex<Heard>,
    /// Plans in use, so that runners share them.
    ready: Mutex<HashMap<String, Weak<Plan>>>,
    lost: Arc<AtomicBool>,
    /// What builds that were cut off left is removed before the first model is loaded.
    swept: Once,
}

/// The libraries that are open. They stay so, and each once.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Arc<Library>>>> = LazyLock::new(Mutex::default);

impl TensorRtEngine {
    /// Opens library and GPU.
    ///
    /// # Errors
    /// [`ModelError::Accelerator`], with what is missing.
    pub fn open(settings: Settings, heard: Heard) -> Result<Self, ModelError> {
        let gpu = Gpu::open().map_err(ModelError::Accelerator)?;
        let library = library(settings.library.as_deref()).map_err(ModelError::Accelerator)?;
        Ok(Self {
            library,
            gpu,
            plans: Plans::new(&settings.plans),
            settings,
            heard: Mutex::new(heard),
            ready: Mutex::default(),
            lost: Arc::default(),
            swept: Once::new(),
        })
    }

    /// TensorRT's version in full.
    pub fn version(&self) -> String {
        let version = self.library.version();
        format!("{}.{}.{}", version / 10000, version / 100 % 100, version % 100)
    }

    /// The plans that are kept.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// What the plan of a model must be made for.
    ///
    /// # Errors
    /// Where the weights at `path` cannot be read.
    pub fn key(&self, manifest: &Manifest, path: &Path) -> Result<Key, ModelError> {
        let pin = digest(path).map_err(|error| ModelError::file("cannot read", path, &error))?;
        let (batch, workspace) = (self.settings.max_batch, self.settings.workspace_mb);
        let about = self.gpu.about();
        Ok(Key::of(manifest, pin.sha256, self.version(), &about, batch, workspace))
    }

    /// Builds the plan of a model where none is kept, or `anew`; whether it was built.
    ///
    /// # Errors
    /// Why it cannot be built.
    pub fn build(&self, manifest: &Manifest, path: &Path, anew: bool) -> Result<bool, ModelError> {
        let key = self.key(manifest, path)?;
        self.plans.sweep();
        let _lock = self.plans.lock(&key)?;
        if !anew && self.plans.read(&key)?.is_some() {
            return Ok(false);
        }
        let (plan, took) = self.build_now(manifest, path, &key)?;
        self.plans.write(&key, &plan, took)?;
        unkept::forget(&self.plans.path(&key));
        Ok(true)
    }

    /// A plan's bytes, and how long it took to build it.
    fn build_now(
        &self,
        manifest: &Manifest,
        path: &Path,
        key: &Key,
    ) -> Result<(Vec<u8>, Duration), ModelError> {
        let failed = |detail| ModelError::Plan { name: manifest.name.clone(), detail };
        let program = builder::find(self.settings.trtexec.as_deref()).map_err(failed)?;
        let place = self.plans.workplace(key)?;
        let onnx = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let request = Request {
            program: &program,
            onnx: &onnx,
            key,
            dir: place.path(),
            timings: place.timings(),
            limit: self.settings.build_limit,
        };
        let start = Instant::now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = builder::build(&request, &mut **heard).map_err(failed)?;
        Ok((plan, start.elapsed()))
    }

    /// A plan in the place of what is kept and cannot be used. One that cannot be written stays in memory.
    fn made(&self, manifest: &Manifest, path: &Path, key: &Key) -> Result<Plan, ModelError> {
        // What is of no use only takes room.
        let _ = self.plans.remove(key);
        let (bytes, took) = self.build_now(manifest, path, key)?;
        // What cannot be used is not kept: it would fail the next time as well.
        let plan = Plan::new(&self.library, &bytes).map_err(|why| {
            let detail = format!(
                "a plan that was just built cannot be used ({why}); is trtexec of another version than the library, {}?",
                self.version()
            );
            ModelError::Plan { name: manifest.name.clone(), detail }
        })?;
        if let Err(why) = self.plans.write(key, &bytes, took) {
            unkept::put(self.plans.path(key), &key.model, &why, bytes.into(), took);
        }
        Ok(plan)
    }

    /// A plan that could not be written when it was built, and is tried again.
    fn unkept(&self, key: &Key) -> Option<Plan> {
        let file = self.plans.path(key);
        let (bytes, took) = unkept::get(&file)?;
        let plan = Plan::new(&self.library, &bytes).ok();
        if plan.is_none() || self.plans.write(key, &bytes, took).is_ok() {
            unkept::forget(&file);
        }
        plan
    }

    /// The plan of a model, from memory, from disk, or built now. One that is kept and cannot be used is built anew, once.
    fn plan(&self, manifest: &Manifest, path: &Path) -> Result<Arc<Plan>, ModelError> {
        self.swept.call_once(|| self.plans.sweep());
        let key = self.key(manifest, path)?;
        let name = key.file_name();
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = ready.get(&name).and_then(Weak::upgrade) {
            return Ok(plan);
        }
        // A file that cannot be read is as good as none: whether another can be written shows when it is.
        let kept = || {
            let bytes = self.plans.read(&key).ok().flatten();
            bytes.and_then(|bytes| Plan::new(&self.library, &bytes).ok())
        };
        // What is kept needs no lock, nor a folder that may be written to.
        let plan = match kept().or_else(|| self.unkept(&key)) {
            Some(plan) => plan,
            None => {
                // Without a lock two may build the same plan: better twice than never.
                let lock = self.plans.lock(&key).ok();
                // Somebody else may have built it meanwhile.
                match lock.as_ref().and_then(|_| kept()) {
                    Some(plan) => plan,
                    None => self.made(manifest, path, &key)?,
                }
            }
        };
        let plan = Arc::new(plan);
        ready.insert(name, Arc::downgrade(&plan));
        Ok(plan)
    }
}

impl Engine for TensorRtEngine {
    fn name(&self) -> &'static str {
        "tensorrt"
    }

    fn place(&self) -> Place {
        Place { engine: self.name(), version: self.version(), device: self.gpu.about().name }
    }

    fn best_batch(&self, _manifest: &Manifest) -> usize {
        self.settings.max_batch
    }

    fn load(
        &self,
        manifest: &Manifest,
        path: &Path,
        _threads: usize,
    ) -> Result<Box<dyn Session>, ModelError> {
        let plan = self.plan(manifest, path)?;
        Ok(Box::new(TensorRtSession::new(&self.gpu, &plan, manifest, Arc::clone(&self.lost))?))
    }

    fn lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn warnings(&self) -> Vec<String> {
        unkept::warnings(self.plans.dir())
    }
}

/// The library that is named, or what the loader finds.
fn library(named: Option<&Path>) -> Result<Arc<Library>, String> {
    let soname = format!("libnvinfer.so.{}", *MAJOR);
    let path = match named {
        Some(path) if path.is_dir() => path.join(&soname),
        Some(path) => path.to_owned(),
        None => PathBuf::from(&soname),
    };
    if named.is_some() && !path.is_file() {
        return Err(format!("WEIR_TENSORRT names {}, which is no file", path.display()));
    }
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = open.get(&path) {
        return Ok(Arc::clone(library));
    }
    let library = Arc::new(Library::open(&path)?);
    open.insert(path, Arc::clone(&library));
    Ok(library)
}
