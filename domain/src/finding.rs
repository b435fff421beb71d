//! What one detector saw.

use serde::{Deserialize, Serialize};

/// A stretch of time within a video or animation, in milliseconds from its start; both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant at which it was seen.
    pub start_ms: u64,
    /// Last instant at which it was seen.
    pub end_ms: u64,
}

/// A rectangle in pixels of the upright picture at its full size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

/// One observation of one detector: evidence, not yet a judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The detector's name in the profile, for example `nsfw`.
    pub detector: String,
    /// `name@version` of the model, bank or list that spoke.
    pub model: String,
    /// Label from the detector's closed set, for example `porn`, `bank:<name>`, `term:<category>`.
    pub label: String,
    /// Confidence in 0..=1.
    pub score: f32,
    /// When it was seen, for media with a time line.
    pub span: Option<Span>,
    /// Where it was seen.
    pub bbox: Option<BBox>,
    /// Index of the medium in the submission; `None` for the caption.
    pub media: Option<usize>,
    /// What was matched, in the author's words. Free text: for the command's view and the side record,
    /// never for the journal.
    pub text: Option<String>,
}
