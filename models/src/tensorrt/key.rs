//! What a plan was made for. A plan holds on one kind of device with one version of the library alone, so all of that is
//! part of its name.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::ffi::About;
use crate::Manifest;
use crate::manifest::{Layout, Shape};

/// Raised whenever plans are built in another way.
const SCHEMA: u32 = 1;

/// Sides of the input that a plan takes: least, best and largest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shapes {
    /// The input's name.
    pub input: String,
    /// Least, best, largest.
    pub sides: [Vec<u32>; 3],
}

/// What a plan was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// How plans are built.
    pub schema: u32,
    /// `name@version` of the model.
    pub model: String,
    /// SHA-256 of its weights, in hexadecimal.
    pub weights: String,
    /// TensorRT's full version.
    pub tensorrt: String,
    /// The device's name.
    pub device: String,
    /// Its compute capability.
    pub capability: String,
    /// Major version of CUDA.
    pub cuda: i32,
    /// `fp32`, `fp16` or `int8`: that of the weights, for plans are built strongly typed.
    pub precision: String,
    /// `None` where the model settles its input by itself.
    pub shapes: Option<Shapes>,
    /// Memory that TensorRT may take while a layer runs, in MiB.
    pub workspace_mb: u32,
}

impl Key {
    /// The key of a model on a device.
    pub(super) fn of(
        manifest: &Manifest,
        weights: String,
        version: String,
        about: &About,
        max_batch: usize,
        workspace_mb: u32,
    ) -> Self {
        Self {
            schema: SCHEMA,
            model: manifest.id(),
            weights,
            tensorrt: version,
            device: about.name.clone(),
            capability: format!("{}.{}", about.capability.0, about.capability.1),
            cuda: about.cuda_major,
            precision: manifest.precision.as_str().to_owned(),
            shapes: shapes(manifest, max_batch),
            workspace_mb,
        }
    }

    /// Its file name: readable, and another one for every difference.
    pub fn file_name(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let hash = digest(&SHA256, text.as_bytes());
        let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{hash}.plan", self.model.replace('@', "-"))
    }
}

/// The sides between which a plan must run. A model whose batch is fixed settles them itself, unless its canvas varies.
fn shapes(manifest: &Manifest, max_batch: usize) -> Option<Shapes> {
    let input = &manifest.input;
    let most = u32::try_from(input.max_batch.unwrap_or(max_batch)).unwrap_or(1).max(1);
    let (least_canvas, canvas) = match input.shape {
        Shape::Stretch | Shape::Letterbox => {
            ((input.width, input.height), (input.width, input.height))
        }
        Shape::Within { multiple } => (
            (multiple, multiple),
            (input.width.next_multiple_of(multiple), input.height.next_multiple_of(multiple)),
        ),
    };
    if input.max_batch.is_some() && least_canvas == canvas {
        return None;
    }
    let sides = |batch: u32, (width, height): (u32, u32)| match input.layout {
        Layout::Nchw => vec![batch, 3, height, width],
        Layout::Nhwc => vec![batch, height, width, 3],
    };
    let least = if input.max_batch.is_some() { most } else { 1 };
    Some(Shapes {
        input: input.name.clone(),
        sides: [sides(least, least_canvas), sides(most, canvas), sides(most, canvas)],
    })
}
