//! What the tests of the still decoders share.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod agreement;
mod animation;
mod grounds;
mod hostile;
mod manifest;
mod twins;

use domain::Format;
use models::{Filter, Fit, Rendition, RgbImage};

use crate::decode::{DecodeError, Facts, Flow, Frame, Limits, Need, Sink, Tally};
use crate::sniff;

/// Keeps the facts and all frames.
#[derive(Default)]
pub(super) struct Album {
    pub(super) facts: Option<Facts>,
    pub(super) frames: Vec<Frame>,
}

impl Sink for Album {
    fn facts(&mut self, facts: Facts) -> Flow {
        self.facts = Some(facts);
        Flow::More
    }

    fn frame(&mut self, frame: Frame) -> Flow {
        self.frames.push(frame);
        Flow::More
    }
}

/// A need for the full size.
pub(super) fn full() -> Need {
    within(100_000)
}

/// A need for a square of this side.
pub(super) fn within(side: u32) -> Need {
    let rendition =
        Rendition { width: side, height: side, fit: Fit::Within, filter: Filter::Triangle };
    Need { renditions: vec![rendition], max_gap_ms: 1000, sparing: false, threads: 1 }
}

/// Sniffs and decodes at full size.
pub(super) fn open(bytes: &[u8]) -> Result<(Album, Tally), DecodeError> {
    open_as(bytes, sniff::sniff(bytes), &full(), &Limits::default())
}

/// Decodes as told.
pub(super) fn open_as(
    bytes: &[u8],
    format: Format,
    need: &Need,
    limits: &Limits,
) -> Result<(Album, Tally), DecodeError> {
    let mut album = Album::default();
    let tally = super::decode(bytes, format, need, limits, &mut album)?;
    Ok((album, tally))
}

/// The pixel at a place.
pub(super) fn pixel(image: &RgbImage, x: u32, y: u32) -> [u8; 3] {
    let at = ((y * image.width() + x) * 3) as usize;
    image.data()[at..at + 3].try_into().unwrap()
}

/// Mean absolute difference over all samples of two pictures of one size.
pub(super) fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let sum: u64 = a.data().iter().zip(b.data()).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
    sum as f64 / a.data().len() as f64
}
