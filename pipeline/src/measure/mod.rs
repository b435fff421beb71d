//! What is measured on pixels inside the worker: PDQ, sharpness, text-likelihood, QR, OCR.

pub mod analyser;
pub mod blocks;
pub mod grey;
pub mod ocr;
pub mod pdq;
pub mod qr;
pub mod quality;
mod tesseract_ffi;
#[cfg(test)]
pub(crate) mod testing;
pub mod textness;
mod words;

pub use analyser::{Analyser, preload};
use serde::{Deserialize, Serialize};

/// What to measure on each frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// PDQ hash and that of the mirror image.
    pub pdq: bool,
    /// Variance of the Laplacian.
    pub blur: bool,
    /// QR codes.
    pub qr: bool,
    /// Words in the picture.
    pub ocr: Ocr,
}

/// When words are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ocr {
    /// Never.
    #[default]
    Off,
    /// Where the text-likelihood, in percent, is at least this.
    Gated(u8),
    /// On every frame.
    Always,
}

/// What was measured on one frame. `None` = not asked for, or not measurable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Perceptual hash.
    pub pdq: Option<pdq::Pdq>,
    /// Variance of the Laplacian at the fixed working size.
    pub blur_variance: Option<f32>,
    /// How much looks like rendered text, 0..=1: the test that gates OCR.
    pub text_likelihood: Option<f32>,
    /// Contents of QR codes.
    pub qr: Vec<String>,
    /// QR codes were there and not all were read; says why.
    pub qr_failed: Option<String>,
    /// What OCR read; `None` where it did not run.
    pub words: Option<Words>,
    /// OCR was asked for, and the text-likelihood test saw no need.
    pub ocr_gated: bool,
    /// OCR should have run and did not, or not to its end; says why.
    pub ocr_failed: Option<String>,
}

/// What OCR read in one frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// The text, lines separated by `\n`.
    pub text: String,
    /// Words read with a confidence of at least 60 of 100.
    pub confident: u32,
}
