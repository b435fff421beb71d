//! PDQ, the perceptual hash of 256 bits.

use serde::{Deserialize, Serialize};

/// PDQ of a picture and of its mirror image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pdq {
    /// The hash, most significant byte first (as its hex form is written).
    pub hash: [u8; 32],
    /// The hash of the picture mirrored left to right.
    pub mirror: [u8; 32],
    /// 0..=100; below 50 the picture has too few features to match.
    pub quality: u8,
}
