//! A model manifest: what a model is, where its weights come from, what goes in and what comes out.
//!
//! Manifests are TOML. Those of `models/catalogue/` are built in; an operator adds more as `*.toml` in the model
//! directory. A model of a known kind and decoder needs no code.
//!
//! ```toml
//! name = "example"            # letters, digits, - _ .
//! version = "1"
//! kind = "classifier"         # classifier | faces | age
//! licence = "MIT"
//! sha256 = "…"                # of the runnable ONNX file
//! bytes = 12345
//! convert = "nsfwjs-tfjs"     # only where the sources are not ONNX: nsfwjs-tfjs | face-api-age
//! min_confidence = 0.0        # classifier: findings below are not reported
//! precision = "fp32"          # of the weights' arithmetic: fp32 | fp16 | int8 (quantised nodes, QDQ)
//!
//! [[source]]                  # what is downloaded; exactly one where nothing is converted
//! file = "model.onnx"
//! url = "https://…/<commit>/model.onnx"
//! sha256 = "…"
//! bytes = 12345
//!
//! [[accept]]                  # other conversions of the same weights that may be run in its place
//! sha256 = "…"
//! bytes = 12345
//!
//! [input]
//! name = "input"
//! width = 224
//! height = 224
//! layout = "nchw"             # nchw | nhwc
//! channels = "rgb"            # rgb | bgr
//! fit = "stretch"             # stretch | letterbox (top left) | within (then multiple_of)
//! multiple_of = 32            # within: sides of the tensor are padded to this multiple
//! filter = "triangle"         # bilinear-align-corners | bilinear | triangle
//! scale = 1.0                 # value = (pixel × scale − mean) ÷ std
//! mean = [0.0, 0.0, 0.0]      # in channel order of the tensor
//! std = [1.0, 1.0, 1.0]
//! max_batch = 1               # where the model's batch dimension is fixed
//!
//! [output]
//! decoder = "probabilities"   # probabilities | softmax | yunet | ultraface | age
//! names = ["probs"]
//! strides = [8, 16, 32]       # yunet
//! score_threshold = 0.6       # yunet, ultraface
//! nms_iou = 0.45              # yunet, ultraface
//!
//! [[label]]                   # classifier: one for each output, in order
//! name = "porn"
//! category = "sexual"
//! unsafe = true
//! platt = [-1.5, 0.2]         # optional calibration: 1 ÷ (1 + e^(a·logit(p) + b))
//! ```

mod check;
mod raw;

use domain::Category;

use crate::{Filter, Fit, Rendition};

/// What a model is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scores for a closed set of labels.
    Classifier,
    /// Boxes of faces.
    Faces,
    /// Age of one cropped face.
    Age,
}

impl Kind {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classifier => "classifier",
            Self::Faces => "faces",
            Self::Age => "age",
        }
    }
}

/// In what numbers the layers of a model compute. An engine never chooses another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// 8-bit integers, by nodes that quantise and dequantise.
    Int8,
}

impl Precision {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

/// How sources become the runnable file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// TensorFlow.js layers model (`model.json` and its shards).
    NsfwjsTfjs,
    /// face-api.js age and gender net (weights manifest and shard).
    FaceApiAge,
}

/// A file as it is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Lower-case hex SHA-256.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A file that is downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name that the conversion knows it by.
    pub file: String,
    /// Address, pinned by commit.
    pub url: String,
    /// Size and hash.
    pub pin: Pin,
}

/// Order of the tensor's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Order of the colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a picture fills the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Stretched to width × height.
    Stretch,
    /// Shrunk to lie within width × height, at the top left of a tensor of that size.
    Letterbox,
    /// Shrunk to lie within width × height; the tensor is as large as the picture, sides padded to a multiple.
    Within {
        /// The multiple, in pixels.
        multiple: u32,
    },
}

/// What goes in.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name of the tensor.
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Order of dimensions.
    pub layout: Layout,
    /// Order of channels.
    pub channels: Channels,
    /// How a picture fills it.
    pub shape: Shape,
    /// How pixels are computed.
    pub filter: Filter,
    /// Factor on 8-bit values, before mean and deviation.
    pub scale: f32,
    /// Subtracted from each channel of the tensor.
    pub mean: [f32; 3],
    /// Divides each channel of the tensor.
    pub std: [f32; 3],
    /// Largest batch that the model takes, where it is fixed.
    pub max_batch: Option<usize>,
}

impl Input {
    /// Whether the tensor's size depends on the picture.
    pub fn dynamic(&self) -> bool {
        matches!(self.shape, Shape::Within { .. })
    }

    /// The size in which pictures must be handed over.
    pub fn rendition(&self) -> Rendition {
        let fit = match self.shape {
            Shape::Stretch => Fit::Stretch,
            Shape::Letterbox | Shape::Within { .. } => Fit::Within,
        };
        Rendition { width: self.width, height: self.height, fit, filter: self.filter }
    }
}

/// How tensors become an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// One probability per label.
    Probabilities,
    /// One logit per label.
    Softmax,
    /// YuNet: per stride `cls`, `obj`, `bbox`.
    Yunet {
        /// Cell sizes in pixels, in the order of the outputs.
        strides: Vec<u32>,
    },
    /// Ultra-Light: scores and corner boxes in 0..=1.
    Ultraface,
    /// Age in years.
    Age,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSpec {
    /// How it is read.
    pub decoder: Decoder,
    /// Tensors that are read, in the decoder's order.
    pub names: Vec<String>,
    /// Faces below this score are dropped.
    pub score_threshold: f32,
    /// Of two boxes that overlap by more than this (intersection over union), the weaker is dropped.
    pub nms_iou: f32,
}

/// One label of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Lower-case name.
    pub name: String,
    /// Category of a finding with this label.
    pub category: Option<Category>,
    /// Whether it counts towards `nsfw_score`.
    pub is_unsafe: bool,
    /// Platt calibration (a, b): p' = 1 ÷ (1 + e^(a·logit(p) + b)); (−1, 0) changes nothing.
    pub platt: Option<[f32; 2]>,
}

/// A checked manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Unique name, also of the file: `<name>-<version>.onnx`.
    pub name: String,
    /// Version of the weights.
    pub version: String,
    /// What it is good for.
    pub kind: Kind,
    /// Licence of the weights.
    pub licence: String,
    /// In what numbers its layers compute.
    pub precision: Precision,
    /// The runnable ONNX file.
    pub pin: Pin,
    /// Conversion from the sources, where they are not ONNX.
    pub convert: Option<Conversion>,
    /// What is downloaded.
    pub sources: Vec<Source>,
    /// Other conversions that may be run in its place.
    pub accept: Vec<Pin>,
    /// What goes in.
    pub input: Input,
    /// What comes out.
    pub output: OutputSpec,
    /// Labels of a classifier, in the order of its outputs.
    pub labels: Vec<Label>,
    /// Scores below this are not worth a finding.
    pub min_confidence: f32,
}

/// A manifest that does not hold: every problem, one a line, with the key and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin} is no valid model manifest:\n  {}", problems.join("\n  "))]
pub struct ManifestError {
    /// File or built-in name.
    pub origin: String,
    /// One sentence each.
    pub problems: Vec<String>,
}

impl Manifest {
    /// Reads and checks a manifest. `origin` names it in errors.
    ///
    /// # Errors
    /// All problems at once; where it is not even TOML, or a value has the wrong type, that one.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ManifestError> {
        let failed = |problems| ManifestError { origin: origin.to_owned(), problems };
        let raw: raw::Manifest =
            toml::from_str(text).map_err(|error| failed(vec![error.to_string()]))?;
        check::check(raw).map_err(failed)
    }

    /// `name@version`, as findings cite it.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Name of the runnable file in the model directory.
    pub fn file_name(&self) -> String {
        format!("{}-{}.onnx", self.name, self.version)
    }

    /// The label called `name`.
    pub fn label(&self, name: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.name == name)
    }

    /// The runnable files that may be used: the conversion of our own first.
    pub fn runnable(&self) -> impl Iterator<Item = &Pin> {
        std::iter::once(&self.pin).chain(&self.accept)
    }
}
