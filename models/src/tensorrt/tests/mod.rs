//! The engine against the fake library: everything around a plan that can go wrong without a GPU.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod building;
mod keeping;
mod running;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{BuildProgress, Settings, TensorRtEngine};
use crate::library::digest_of;
use crate::tests::tiny_manifest;
use crate::{Manifest, ModelError};

/// A model for the fake library: as the tiny one, mean of each channel, then softmax.
const TINY: &str = "weir-mock-onnx 1
input input float -1 3 4 4
output probs float -1 3
compute softmax-of-means
";

/// A folder with a model, and an engine that keeps its plans there.
struct Bench {
    dir: tempfile::TempDir,
    manifest: Manifest,
    told: Arc<Mutex<Vec<BuildProgress>>>,
}

impl Bench {
    fn new(model: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest { pin: digest_of(model.as_bytes()), ..tiny_manifest() };
        fs::write(dir.path().join("tiny.onnx"), model).unwrap();
        Self { dir, manifest, told: Arc::default() }
    }

    fn settings(&self) -> Settings {
        Settings {
            library: Some(fake("libnvinfer.so.10")),
            trtexec: Some(fake("trtexec")),
            plans: self.dir.path().join("engines"),
            workspace_mb: 64,
            build_limit: Duration::from_secs(60),
            max_batch: 8,
        }
    }

    fn engine(&self) -> TensorRtEngine {
        self.open(self.settings()).unwrap()
    }

    fn open(&self, settings: Settings) -> Result<TensorRtEngine, ModelError> {
        let told = Arc::clone(&self.told);
        TensorRtEngine::open(settings, Box::new(move |p| told.lock().unwrap().push(p.clone())))
    }

    fn weights(&self) -> PathBuf {
        self.dir.path().join("tiny.onnx")
    }

    /// Files of plans.
    fn plans(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join("engines")).into_iter().flatten().flatten();
        let plans =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "plan"));
        plans.collect()
    }
}

fn fake(name: &str) -> PathBuf {
    Path::new(env!("WEIR_MOCK_DIR")).join(name)
}

/// The model with a fault.
fn with(line: &str) -> String {
    format!("{TINY}{line}\n")
}
