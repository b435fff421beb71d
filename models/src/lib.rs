//! What a model is and how it runs: manifest, catalogue, library on disk, engines, batcher, and the life of its versions.
#![deny(unsafe_code)]

#[cfg(all(feature = "tensorrt", feature = "tensorrt-mock"))]
compile_error!("`tensorrt` needs a GPU and `tensorrt-mock` replaces it: choose one");
#[cfg(all(feature = "tensorrt-mock", not(debug_assertions)))]
compile_error!(
    "`tensorrt-mock` is for tests: a release never has it (build with `--profile mock`)"
);

pub mod batcher;
pub mod bench;
pub mod catalogue;
pub mod convert;
pub mod cpu;
pub mod engine;
pub mod error;
pub mod fetch;
mod file;
pub mod image;
pub mod library;
pub mod life;
pub mod manifest;
pub mod output;
pub mod preprocess;
pub mod resample;
pub mod runner;
#[cfg(any(feature = "tensorrt", feature = "tensorrt-mock"))]
pub mod tensorrt;

pub use bench::{BenchReport, bench};
pub use catalogue::Catalogue;
pub use cpu::CpuEngine;
pub use engine::{Engine, Place, Session, Tensor};
pub use error::ModelError;
pub use image::{Filter, Fit, Rendition, RgbImage};
pub use library::Library;
pub use manifest::{Kind, Label, Manifest, ManifestError, Precision};
pub use output::{Face, Output};
pub use resample::{crop_face, resample};
pub use runner::{Runner, RunnerConfig, Ticket};

#[cfg(test)]
pub(crate) mod tests;
