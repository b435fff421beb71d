//! What was looked at and what was not: the honest part of a verdict.

use serde::{Deserialize, Serialize};

/// How much of a submission the detectors saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Frames in the media, as far as their containers tell.
    pub frames_total: u64,
    /// Frames that the detectors analysed.
    pub frames_seen: u64,
    /// Frames decoded but passed over because they were near-duplicates of an analysed one.
    pub frames_skipped: u64,
    /// Largest stretch of a time line in milliseconds between two looked-at frames (start and end
    /// count as edges); 0 for still pictures and text.
    pub max_gap_ms: u64,
    /// Whether the machine was hot, so that less was looked at than on other days.
    #[serde(default)]
    pub throttled: bool,
    /// The stretch in milliseconds that was to be the largest: the policy's `max_gap_ms`, or when hot what it permits for
    /// that; 0 where nothing had a time line.
    #[serde(default)]
    pub gap_in_force_ms: u64,
    /// Whether a settled rejection ended the scan before its end.
    pub ended_early: bool,
    /// Detectors that ran on all that they had to see, sorted.
    pub detectors_run: Vec<String>,
    /// Detectors that the policy requires and that did not run, or not on all they had to see, sorted.
    pub detectors_missing: Vec<String>,
    /// Pictures on which OCR was passed over because the text-likelihood test saw no text.
    pub ocr_gated: u64,
}
