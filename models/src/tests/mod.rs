//! Tests across modules, and what they share.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod conversion;
mod golden;
mod library;
mod life;
mod manifest;
mod pixels;
mod repair;
mod runner;

use std::path::{Path, PathBuf};

use crate::convert::onnx::{Attribute, Dimension, Graph};
use crate::library::digest_of;
use crate::{CpuEngine, Manifest, RgbImage};

/// The CPU engine, found as the product finds it.
pub(crate) fn engine() -> CpuEngine {
    CpuEngine::new().unwrap()
}

/// A model of our own: mean of each channel, then softmax. Three labels, batch of any size.
fn tiny_model() -> Vec<u8> {
    let mut graph = Graph::default();
    let side = Dimension::Fixed(4);
    graph.input("input", &[Dimension::Batch, Dimension::Fixed(3), side, side]);
    graph.node("GlobalAveragePool", &["input"], "mean", &[]);
    graph.node("Flatten", &["mean"], "flat", &[("axis", Attribute::Int(1))]);
    graph.node("Softmax", &["flat"], "probs", &[("axis", Attribute::Int(1))]);
    graph.output("probs", &[Dimension::Batch, Dimension::Fixed(3)]);
    graph.into_model("tiny")
}

/// Its manifest.
pub(crate) fn tiny_manifest_text() -> String {
    let pin = digest_of(&tiny_model());
    format!(
        r#"
name = "tiny"
version = "1"
kind = "classifier"
licence = "Apache-2.0"
sha256 = "{sha256}"
bytes = {bytes}

[[source]]
file = "tiny.onnx"
url = "https://models.invalid/tiny.onnx"
sha256 = "{sha256}"
bytes = {bytes}

[input]
name = "input"
width = 4
height = 4
layout = "nchw"
channels = "rgb"
fit = "stretch"
filter = "triangle"
scale = 0.01

[output]
decoder = "probabilities"
names = ["probs"]

[[label]]
name = "red"
category = "sexual"
unsafe = true

[[label]]
name = "green"

[[label]]
name = "blue"
"#,
        sha256 = pin.sha256,
        bytes = pin.bytes
    )
}

pub(crate) fn tiny_manifest() -> Manifest {
    Manifest::parse("tiny", &tiny_manifest_text()).unwrap()
}

/// Writes the tiny model into `dir`.
pub(crate) fn tiny_file(dir: &Path) -> PathBuf {
    let path = dir.join("anything");
    std::fs::write(&path, tiny_model()).unwrap();
    path
}

/// A picture of one colour.
pub(crate) fn flat(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    let data = colour.repeat(width as usize * height as usize);
    RgbImage::new(width, height, data).unwrap()
}
