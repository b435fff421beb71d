//! What a model is and how it runs: manifest, catalogue, library on disk, engines, batcher.
#![deny(unsafe_code)]

pub mod image;

pub use image::{Fit, Rendition, RgbImage};
