//! Tensors → answers.

mod age;
mod classes;
mod nms;
mod ultraface;
mod yunet;

use domain::BBox;

use crate::manifest::{Decoder, Manifest};
use crate::{ModelError, Tensor};

/// A face in one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Where, in pixels of the submitted picture; it may reach beyond the picture's edge.
    pub bbox: BBox,
    /// Confidence in 0..=1.
    pub score: f32,
}

/// What a model says of one picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Label and calibrated score, in the manifest's order.
    Classes(Vec<(String, f32)>),
    /// Faces, strongest first.
    Faces(Vec<Face>),
    /// Estimated age.
    Age {
        /// In years.
        years: f32,
    },
}

/// One picture on its way through a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Size of the picture within the tensor, in pixels.
    pub picture: (u32, u32),
    /// Size of the tensor, in pixels.
    pub canvas: (u32, u32),
}

/// Reads the answer for item `index` of a batch from the outputs that the manifest names, in its order.
///
/// # Errors
/// [`ModelError::Shape`] when the tensors are not those that the manifest describes, or hold no numbers.
pub fn decode(
    manifest: &Manifest,
    tensors: &[Tensor],
    index: usize,
    extent: Extent,
) -> Result<Output, ModelError> {
    let items: Option<Vec<&[f32]>> = tensors.iter().map(|tensor| tensor.item(index)).collect();
    let answer = items.ok_or_else(|| format!("no item {index} in the batch")).and_then(|items| {
        match &manifest.output.decoder {
            Decoder::Probabilities => classes::decode(manifest, &items, false),
            Decoder::Softmax => classes::decode(manifest, &items, true),
            Decoder::Yunet { strides } => {
                yunet::decode(&manifest.output, strides, &items, extent.canvas)
            }
            Decoder::Ultraface => ultraface::decode(&manifest.output, &items, extent.picture),
            Decoder::Age => age::decode(&items),
        }
    });
    answer.map_err(|detail| ModelError::Shape { name: manifest.name.clone(), detail })
}
