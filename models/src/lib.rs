//! What a model is and how it runs: manifest, catalogue, library on disk, engines, batcher.
#![deny(unsafe_code)]

pub mod batcher;
pub mod bench;
pub mod catalogue;
pub mod convert;
pub mod cpu;
pub mod engine;
pub mod error;
pub mod fetch;
pub mod image;
pub mod library;
pub mod manifest;
pub mod output;
pub mod preprocess;
pub mod resample;
pub mod runner;

pub use bench::{BenchReport, bench};
pub use catalogue::Catalogue;
pub use cpu::CpuEngine;
pub use engine::{Engine, Session, Tensor};
pub use error::ModelError;
pub use image::{Filter, Fit, Rendition, RgbImage};
pub use library::Library;
pub use manifest::{Kind, Label, Manifest, ManifestError};
pub use output::{Face, Output};
pub use resample::{crop_face, resample};
pub use runner::{Runner, RunnerConfig, Ticket};

#[cfg(test)]
mod tests;
