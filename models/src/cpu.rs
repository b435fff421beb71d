//! The CPU engine: ONNX Runtime, loaded at run time.
//!
//! The library is taken from `$WEIR_ONNXRUNTIME` (file or folder), else from beside the executable, from
//! `../lib/weir/` next to it, `/usr/lib/weir/` or `/usr/local/lib/weir/`. A path that the operator names must
//! work: nothing else is tried after it.

mod ffi;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;

use crate::{Engine, Manifest, ModelError, Place, Session, Tensor};

/// Name of the shared library.
pub const LIBRARY: &str = "libonnxruntime.so";

/// Most pixels of one batch. Measured with the built-in models on one thread: a larger batch is no faster (the face
/// detector is even slower, for what passes between its layers leaves the cache), and its memory grows with its pictures.
const BATCH_PIXELS: u64 = 224 * 224;

/// Runs models on the CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuEngine;

impl CpuEngine {
    /// Loads the library, once per process.
    ///
    /// # Errors
    /// [`ModelError::Engine`], naming the places that were looked at.
    pub fn new() -> Result<Self, ModelError> {
        environment().map(|_| Self)
    }
}

impl Engine for CpuEngine {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn place(&self) -> Place {
        static PLACE: OnceLock<Place> = OnceLock::new();
        let place = || Place { engine: "cpu", version: version(), device: processor() };
        PLACE.get_or_init(place).clone()
    }

    fn best_batch(&self, manifest: &Manifest) -> usize {
        let picture = u64::from(manifest.input.width) * u64::from(manifest.input.height);
        usize::try_from(BATCH_PIXELS / picture.max(1)).unwrap_or(usize::MAX).max(1)
    }

    fn load(
        &self,
        manifest: &Manifest,
        path: &Path,
        threads: usize,
    ) -> Result<Box<dyn Session>, ModelError> {
        let environment = environment()?;
        let failed = |error: ort::Error| ModelError::Run {
            name: manifest.name.clone(),
            detail: format!("ONNX Runtime refuses {}: {error}", path.display()),
        };
        let inner = configure(environment, threads)
            .and_then(|mut builder| builder.commit_from_file(path))
            .map_err(failed)?;
        Ok(Box::new(CpuSession {
            inner,
            model: manifest.name.clone(),
            input: manifest.input.name.clone(),
            outputs: manifest.output.names.clone(),
        }))
    }
}

/// Session options. Spinning is off: a box has few cores and the decoders want them. So is the memory pattern, one block
/// planned for a whole run: it takes up to 12 MiB more a session and saves no time.
fn configure(environment: &Environment, threads: usize) -> Result<SessionBuilder, ort::Error> {
    let builder = ort::session::Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads.max(1))?
        .with_inter_threads(1)?
        .with_memory_pattern(false)?
        .with_log_level(LogLevel::Error)?
        .with_config_entry("session.intra_op.allow_spinning", "0")?
        .with_config_entry("session.inter_op.allow_spinning", "0")?;
    Ok(builder)
}

struct CpuSession {
    inner: ort::session::Session,
    model: String,
    input: String,
    outputs: Vec<String>,
}

impl Session for CpuSession {
    fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        let failed = |detail: String| ModelError::Run { name: self.model.clone(), detail };
        let view = TensorRef::from_array_view((input.shape.clone(), input.data.as_slice()))
            .map_err(|error| failed(error.to_string()))?;
        let results = self
            .inner
            .run(ort::inputs![self.input.as_str() => view])
            .map_err(|error| failed(error.to_string()))?;
        self.outputs
            .iter()
            .map(|name| {
                let value = results
                    .get(name)
                    .ok_or_else(|| failed(format!("the model has no output `{name}`")))?;
                let (shape, data) = value
                    .try_extract_tensor::<f32>()
                    .map_err(|error| failed(format!("output `{name}`: {error}")))?;
                let shape = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
                Ok(Tensor { shape, data: data.to_vec() })
            })
            .collect()
    }
}

/// The process-wide environment; ONNX Runtime allows one.
fn environment() -> Result<&'static Environment, ModelError> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    ENVIRONMENT
        .get_or_init(|| {
            let path = find(env::var_os("WEIR_ONNXRUNTIME").map(PathBuf::from), &places())?;
            let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
            builder.with_telemetry(false).build().map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|detail| ModelError::Engine(detail.clone()))
}

/// The version of the library that is loaded.
fn version() -> String {
    let path = find(env::var_os("WEIR_ONNXRUNTIME").map(PathBuf::from), &places());
    path.ok().and_then(|path| ffi::version(&path)).unwrap_or_else(|| "unknown".into())
}

/// What the kernel calls the processor.
fn processor() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        matches!(key.trim(), "model name" | "Model").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| env::consts::ARCH.to_owned())
}

/// Folders that are searched when the operator names none.
fn places() -> Vec<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let mut places: Vec<PathBuf> =
        beside.into_iter().flat_map(|dir| [dir.clone(), dir.join("../lib/weir")]).collect();
    places.extend(["/usr/lib/weir", "/usr/local/lib/weir"].map(PathBuf::from));
    places
}

fn find(named: Option<PathBuf>, places: &[PathBuf]) -> Result<PathBuf, String> {
    if let Some(path) = named {
        let path = if path.is_dir() { path.join(LIBRARY) } else { path };
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("WEIR_ONNXRUNTIME names {}, which is no file", path.display()))
        };
    }
    places.iter().map(|dir| dir.join(LIBRARY)).find(|path| path.is_file()).ok_or_else(|| {
        let tried: Vec<_> = places.iter().map(|dir| dir.display().to_string()).collect();
        format!("no {LIBRARY} in {}", tried.join(", "))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn a_named_library_that_is_absent_is_an_error_even_where_another_exists() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LIBRARY), "").unwrap();
        let places = [dir.path().to_owned()];
        assert_eq!(find(None, &places).unwrap(), dir.path().join(LIBRARY));
        assert_eq!(find(Some(dir.path().to_owned()), &[]).unwrap(), dir.path().join(LIBRARY));
        let error = find(Some("/nowhere/at/all".into()), &places).unwrap_err();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn an_absent_library_names_the_places_and_the_remedy() {
        let detail = find(None, &["/nowhere/a".into(), "/nowhere/b".into()]).unwrap_err();
        let text = ModelError::Engine(detail).to_string();
        assert!(text.contains("/nowhere/a, /nowhere/b") && text.contains("make setup"), "{text}");
    }
}
