//! All that a decision may look at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Coverage, Finding, Media};

/// Where a submission comes from, as far as a policy may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Kind of place it would appear: `post`, `avatar`, `message`…; empty when not told.
    pub surface: String,
    /// BCP 47 language of the caption, empty when not told.
    pub language: String,
}

/// The numbers a policy compares. `None` means that it was not measured, which is never the same as zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Variance of the Laplacian (see the quality detector for the working size); lowest over pictures,
    /// highest over the frames of a video.
    pub blur_variance: Option<f32>,
    /// 0 (sharp) ..= 1 (blurred), a monotone map of `blur_variance`.
    pub blur_score: Option<f32>,
    /// Whether every picture shows at least one face, and for a video whether any frame does.
    pub has_face: Option<bool>,
    /// Most faces found in one picture or frame.
    pub face_count: Option<u32>,
    /// Youngest estimated age in years.
    pub estimated_age: Option<f32>,
    /// Highest of the classifier's unsafe labels.
    pub nsfw_score: Option<f32>,
    /// Highest score for each label of the classifier, lower-case.
    pub nsfw_categories: BTreeMap<String, f32>,
    /// Words read from pictures.
    pub ocr_text: Option<String>,
    /// Share of the picture that looks like rendered text, 0..=1, the test that gates OCR.
    pub text_likelihood: Option<f32>,
    /// Number of words that OCR read with confidence.
    pub ocr_words: Option<u32>,
    /// Scores of further classifiers: detector → label → highest score.
    pub labels: BTreeMap<String, BTreeMap<String, f32>>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Machine-readable reason, for example `undecodable`, `too_large`, `worker_timeout`.
    pub reason: String,
    /// One sentence for people.
    pub detail: String,
    /// Index of the medium.
    pub media: Option<usize>,
    /// Whether the bytes can never be judged (unsupported, damaged) rather than perhaps on another day.
    pub permanent: bool,
}

/// All that is known of a submission when it is judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where it comes from.
    pub context: Context,
    /// What the detectors saw.
    pub findings: Vec<Finding>,
    /// The numbers.
    pub scores: Scores,
    /// The media.
    pub media: Vec<Media>,
    /// Whether there was a caption.
    pub has_text: bool,
    /// What was looked at.
    pub coverage: Coverage,
    /// What could not be looked at.
    pub failures: Vec<Failure>,
}
