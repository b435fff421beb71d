//! The manifest as it is written; every key is optional so that all that lack are reported together.

use domain::Category;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub name: Option<String>,
    pub version: Option<String>,
    pub kind: Option<String>,
    pub licence: Option<String>,
    pub precision: Option<String>,
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
    pub convert: Option<String>,
    pub min_confidence: Option<f32>,
    #[serde(default)]
    pub source: Vec<Source>,
    #[serde(default)]
    pub accept: Vec<Accept>,
    pub input: Option<Input>,
    pub output: Option<Output>,
    #[serde(default)]
    pub label: Vec<Label>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub file: Option<String>,
    pub url: Option<String>,
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accept {
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub name: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub layout: Option<String>,
    pub channels: Option<String>,
    pub fit: Option<String>,
    pub multiple_of: Option<u32>,
    pub filter: Option<String>,
    pub scale: Option<f32>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    pub max_batch: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    pub decoder: Option<String>,
    #[serde(default)]
    pub names: Vec<String>,
    #[serde(default)]
    pub strides: Vec<u32>,
    pub score_threshold: Option<f32>,
    pub nms_iou: Option<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub name: Option<String>,
    pub category: Option<Category>,
    #[serde(default, rename = "unsafe")]
    pub is_unsafe: bool,
    pub platt: Option<[f32; 2]>,
}
