//! Handing out facts and the one frame of a still.

use domain::MediaKind;
use models::RgbImage;

use super::Job;
use super::canvas::Flat;
use super::orient::Orientation;
use crate::decode::{DecodeError, Facts, Flow, Frame, Sink, Tally};

impl Job<'_> {
    /// Facts of a still of this upright size.
    pub(super) fn still_facts(&self, (width, height): (u32, u32)) -> Facts {
        let (kind, format) = (MediaKind::Image, self.format);
        Facts { kind, format, width, height, duration_ms: None, frames: Some(1) }
    }
}

/// Wraps packed RGB; an error where the decoder gave another length than its size needs.
pub(super) fn rgb(width: u32, height: u32, data: Vec<u8>) -> Result<RgbImage, DecodeError> {
    RgbImage::new(width, height, data).ok_or_else(|| {
        DecodeError::Damaged(format!("the decoder's pixels do not fill {width} × {height}"))
    })
}

/// Hands out a still whose facts are already with the sink: one frame, or two where white and black pages show it
/// differently.
pub(super) fn frame(
    sink: &mut dyn Sink,
    image: impl Into<Flat>,
    turn: Orientation,
    damaged: bool,
) -> Tally {
    let Flat { white, black } = image.into();
    let mut tally = Tally { frames: 1, damaged, ..Tally::default() };
    let flow = sink.frame(Frame { pts_ms: 0, image: turn.apply(white) });
    if let Some(image) = black.filter(|_| flow == Flow::More) {
        tally.frames += 1;
        // Nothing follows: whether the sink wants more makes no difference.
        let _: Flow = sink.frame(Frame { pts_ms: 0, image: turn.apply(image) });
    }
    tally
}
