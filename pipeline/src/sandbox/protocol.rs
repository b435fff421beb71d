//! What host and worker say to each other.

use domain::Format;
use models::{Rendition, RgbImage};
use serde::{Deserialize, Serialize};

use crate::decode::{DecodeError, Facts, Flow, Limits, Tally};
use crate::measure::{Measures, Plan};

/// What the host asks a worker to do with one item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Format by `sniff`.
    pub format: Format,
    /// Length of the item in bytes.
    pub bytes: u64,
    /// Pixels that the detectors in the host want of every frame, in this order.
    pub renditions: Vec<Rendition>,
    /// What the worker itself measures on every frame.
    pub measure: Plan,
    /// Bounds of the decoder.
    pub limits: Limits,
    /// Largest gap between two looked-at frames on a time line, in milliseconds.
    pub max_gap_ms: u64,
    /// Whether nothing is wanted beyond that.
    pub sparing: bool,
    /// Threads of a video decoder.
    pub threads: u32,
    /// Whether a decoder in hardware may be used, where the sandbox has one.
    pub hardware: bool,
    /// The most wall-clock time for this item in milliseconds; the sandbox's own limit stands besides.
    pub wall_ms: u64,
}

/// One frame as the host gets it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Position on the time line in milliseconds; 0 for a still.
    pub pts_ms: u64,
    /// What the worker measured.
    pub measures: Measures,
    /// One picture for each `Request::renditions`, in that order.
    pub renditions: Vec<RgbImage>,
}

/// What a worker did, when it came to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The decoder's own count.
    pub tally: Tally,
    /// Frames measured and handed over.
    pub seen: u64,
    /// Frames passed over as near-duplicates of the last one handed over.
    pub skipped: u64,
    /// Microseconds spent decoding.
    pub decode_us: u64,
    /// Microseconds spent measuring (OCR included).
    pub measure_us: u64,
}

/// Who listens to a worker, on the host's side.
pub trait Observer {
    /// Called once, before any frame.
    fn facts(&mut self, facts: &Facts) -> Flow;
    /// Called for each frame in presentation order.
    fn frame(&mut self, seen: Seen) -> Flow;
}

/// Why an item came back without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// The decoder says no.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The worker died.
    #[error("the decoding worker died ({0})")]
    Crashed(String),
    /// The worker was killed at its time limit.
    #[error("the decoding worker was stopped after {0} ms")]
    TimedOut(u64),
    /// The worker said something that cannot be true.
    #[error("the decoding worker broke the protocol ({0})")]
    Lied(String),
    /// No worker could be started.
    #[error("no decoding worker could be started: {0}")]
    Unavailable(String),
}
