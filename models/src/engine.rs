//! What every inference engine offers: load a model, run a batch.

use std::path::Path;

use serde::Serialize;

use crate::manifest::Input;
use crate::preprocess::pack_into;
use crate::{Manifest, ModelError, RgbImage};

/// A dense tensor of 32-bit floats in row-major order: `data.len()` is the product of `shape`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Dimensions, batch first.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Vec<f32>,
}

impl Tensor {
    /// Elements of one item of the batch; 0 for an empty batch.
    pub fn item_len(&self) -> usize {
        self.data.len().checked_div(self.shape.first().copied().unwrap_or(0)).unwrap_or(0)
    }

    /// The elements of item `index` of the batch.
    pub fn item(&self, index: usize) -> Option<&[f32]> {
        let len = self.item_len();
        self.data.get(index.checked_mul(len)?..index.checked_add(1)?.checked_mul(len)?)
    }
}

/// On what models really run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the engine.
    pub engine: &'static str,
    /// Version of its library.
    pub version: String,
    /// The processor or the GPU.
    pub device: String,
}

/// A way to run models: the CPU, or an accelerator. None gives way to another by itself: a model runs where its engine
/// says, or not at all.
pub trait Engine: Send + Sync {
    /// Short name for health and logs, for example `cpu`.
    fn name(&self) -> &'static str;

    /// On what it runs.
    fn place(&self) -> Place {
        Place { engine: self.name(), version: String::new(), device: String::new() }
    }

    /// Whether the device was lost: nothing runs on it any more until the process starts anew.
    fn lost(&self) -> bool {
        false
    }

    /// What is amiss although models run, in words.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The most pictures of one run beyond which a larger batch gains nothing here; at least 1.
    fn best_batch(&self, _manifest: &Manifest) -> usize {
        usize::MAX
    }

    /// Loads the weights at `path`. `threads` is how many threads one run may use.
    ///
    /// # Errors
    /// [`ModelError::Engine`] when the engine itself is absent, [`ModelError::Run`] when it refuses the model.
    fn load(
        &self,
        manifest: &Manifest,
        path: &Path,
        threads: usize,
    ) -> Result<Box<dyn Session>, ModelError>;
}

/// A loaded model. Not shared: each runner thread owns its own.
pub trait Session: Send {
    /// Runs one batch through the model's only input; gives the outputs that the manifest names, in its order.
    ///
    /// # Errors
    /// [`ModelError::Run`] when the engine fails or lacks an output that the manifest names.
    fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>, ModelError>;

    /// Runs pictures that have the manifest's rendition and share one canvas. `scratch` is memory that is used again.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn look(
        &mut self,
        input: &Input,
        images: &[&RgbImage],
        scratch: &mut Tensor,
    ) -> Result<Vec<Tensor>, ModelError> {
        pack_into(input, images, scratch);
        self.run(scratch)
    }
}
