//! Bytes → upright RGB frames. Runs only inside a sandboxed worker (and in unit tests).
//!
//! Decoders hand frames to a sink one at a time, so that no more than one full picture is in memory.

pub mod still;
pub mod video;

use std::collections::BTreeSet;

use domain::{Format, MediaKind};
use models::{Rendition, RgbImage};
use serde::{Deserialize, Serialize};

/// Bounds on what a decoder may spend on one item.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Most pixels of one picture before scaling (decompression bombs end here).
    pub max_pixels: u64,
    /// Longest side in pixels.
    pub max_side: u32,
    /// Most frames of an animation or video that are handed to the sink.
    pub max_frames: u32,
    /// Most decoded bytes for each encoded byte, counted over all frames, once above 64 MiB.
    pub max_ratio: u32,
}

impl Default for Limits {
    /// 50 MP, 8K a side (8192), 600 sampled frames, ratio 1000.
    fn default() -> Self {
        Self { max_pixels: 50_000_000, max_side: 8192, max_frames: 600, max_ratio: 1000 }
    }
}

/// What a decoder is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Need {
    /// Sizes at which the frames will be looked at: the decoder may scale down while decoding, but never
    /// below what these need (`Rendition::least_scale` of the upright size).
    pub renditions: Vec<Rendition>,
    /// Largest allowed gap in milliseconds between two frames handed out, on a time line.
    pub max_gap_ms: u64,
    /// Whether nothing is wanted beyond that; otherwise an animation is handed out whole where it is not too long.
    pub sparing: bool,
    /// Threads that a video decoder may use.
    pub threads: u32,
}

impl Need {
    /// The least scale in 0..=1 for an upright picture of this size.
    pub fn least_scale(&self, width: u32, height: u32) -> f64 {
        self.renditions.iter().map(|r| r.least_scale(width, height)).fold(0.0, f64::max)
    }
}

/// Facts on the medium, sent before its first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Kind by content.
    pub kind: MediaKind,
    /// Format by content.
    pub format: Format,
    /// Upright width in pixels; 0 for sound.
    pub width: u32,
    /// Upright height in pixels; 0 for sound.
    pub height: u32,
    /// Length of the time line.
    pub duration_ms: Option<u64>,
    /// Frames in the file, where it can be told without decoding.
    pub frames: Option<u64>,
}

/// One decoded frame, upright, perhaps scaled down.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Position on the time line in milliseconds; 0 for a still.
    pub pts_ms: u64,
    /// The pixels. A transparent picture comes over white, and a second time over black where that looks different.
    pub image: RgbImage,
}

/// Whether the sink wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// Stop: the matter is settled, or the frame budget is spent.
    Enough,
}

/// Where a decoder puts what it finds.
pub trait Sink {
    /// Called once, before any frame.
    fn facts(&mut self, facts: Facts) -> Flow;
    /// Called for each sampled frame, in presentation order.
    fn frame(&mut self, frame: Frame) -> Flow;
}

/// What an item has for the eye beside what was looked at. Nothing is wrong with such a file; only the verdict is not
/// on all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unseen {
    /// Further tracks of pictures, a second movie, further programs of a transport stream.
    Track,
    /// A picture among the tags or attachments, such as a cover.
    Cover,
    /// Words that a player lays over the picture and that were not read, or not all.
    Words,
    /// Footage that an edit list leaves out, which other players show.
    Edit,
    /// Further pictures of a still, or what is appended to it.
    Part,
}

/// What a decoder did, when it came to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Frames of the item handed to the sink; one that is handed over twice, over white and over black, counts once.
    pub frames: u64,
    /// Largest gap in milliseconds on the time line between looked-at instants, edges included.
    pub max_gap_ms: u64,
    /// Whether the file was cut short or damaged but some of it could be read.
    pub damaged: bool,
    /// What there is besides.
    pub unseen: BTreeSet<Unseen>,
    /// Words of text tracks, a line each.
    pub words: String,
    /// What decoded the frames of a video; `None` of stills and sound.
    pub decoder: Option<VideoDecoder>,
}

/// What decodes a video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoDecoder {
    /// The name of its GStreamer element, such as `avdec_h264`.
    pub element: String,
    /// Whether it is a decoder in hardware; otherwise the cores decode.
    pub hardware: bool,
}

/// Most letters of an element's name; GStreamer's own are shorter.
const ELEMENT: usize = 64;

impl VideoDecoder {
    /// Whether it names what could be an element: a worker that was taken over may say anything.
    pub(crate) fn is_sound(&self) -> bool {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (1..=ELEMENT).contains(&self.element.len()) && self.element.chars().all(letter)
    }
}

/// Why an item cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DecodeError {
    /// The format is not one that Weir reads.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The bytes are damaged or lie.
    #[error("undecodable: {0}")]
    Damaged(String),
    /// A limit was passed.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A library that is needed is not installed; says which package to install.
    #[error("decoder missing: {0}")]
    Missing(String),
    /// The content is encrypted.
    #[error("encrypted: {0}")]
    Encrypted(String),
    /// The process of the decoders in hardware is gone or hangs. Nothing of the item's.
    #[error("decoder in hardware lost: {0}")]
    Lost(String),
    /// The decoder in hardware cannot do this item, or not all of it; the cores may.
    #[error("unfit for the decoder in hardware: {0}")]
    Unfit(String),
}

impl DecodeError {
    /// What is wrong, without the name of the kind of error.
    pub fn detail(&self) -> &str {
        match self {
            Self::Unsupported(detail)
            | Self::Damaged(detail)
            | Self::TooLarge(detail)
            | Self::Missing(detail)
            | Self::Encrypted(detail)
            | Self::Lost(detail)
            | Self::Unfit(detail) => detail,
        }
    }
}
