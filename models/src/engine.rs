//! What every inference engine offers: load a model, run a batch.

use std::path::Path;

use crate::{Manifest, ModelError};

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

/// A way to run models: the CPU, or an accelerator.
pub trait Engine: Send + Sync {
    /// Short name for health and logs, for example `cpu`.
    fn name(&self) -> &'static str;

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
}
