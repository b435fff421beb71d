//! The codecs and measurements of the program, behind the few names that the worker uses.

use std::io::Read;

use domain::{Format, MediaKind};
use models::{Fit, Rendition, RgbImage};

use super::{Codecs, Input};
use crate::decode::{DecodeError, Facts, Flow, Frame, Limits, Need, Sink, Tally};
use crate::measure::{Measures, Plan};
use crate::sandbox::config::Settings;

/// What `weir-sandbox` decodes with.
#[derive(Debug, Default)]
pub struct Builtin;

impl Codecs for Builtin {
    fn preload(&mut self, _: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn decode(
        &self,
        input: &Input,
        format: Format,
        _: &Need,
        limits: &Limits,
        sink: &mut dyn Sink,
    ) -> Result<Tally, DecodeError> {
        match format {
            Format::Pnm => ppm(input.bytes(), limits, sink),
            other => Err(DecodeError::Unsupported(format!("{other:?}"))),
        }
    }
}

/// Binary PPM with 8 bits a channel and no comments.
fn ppm(bytes: &[u8], limits: &Limits, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let damaged = |what: &str| DecodeError::Damaged(format!("PPM: {what}"));
    let mut head = bytes.splitn(4, |b| b.is_ascii_whitespace());
    let mut word = || head.next().and_then(|w| std::str::from_utf8(w).ok());
    if word() != Some("P6") {
        return Err(damaged("no magic"));
    }
    let mut number = || word().and_then(|w| w.parse::<u32>().ok()).ok_or(damaged("no size"));
    let (width, height) = (number()?, number()?);
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(DecodeError::TooLarge(format!("{width} × {height}")));
    }
    let mut rest = head.next().and_then(|r| r.strip_prefix(b"255\n")).ok_or(damaged("no depth"))?;
    let mut data = Vec::new();
    rest.read_to_end(&mut data).map_err(|e| damaged(&e.to_string()))?;
    let image = RgbImage::new(width, height, data).ok_or(damaged("cut short"))?;
    let kind = MediaKind::Image;
    let facts =
        Facts { kind, format: Format::Pnm, width, height, duration_ms: None, frames: Some(1) };
    if sink.facts(facts) == Flow::More {
        sink.frame(Frame { pts_ms: 0, image });
    }
    Ok(Tally { frames: 1, ..Tally::default() })
}

/// Measures frames.
#[derive(Debug)]
pub(super) struct Analyser;

impl Analyser {
    pub(super) fn new(_: Plan) -> Self {
        Self
    }

    pub(super) fn analyse(
        &mut self,
        _: &RgbImage,
        _: (u32, u32),
        _: &mut dyn FnMut(u32) -> Option<RgbImage>,
    ) -> Measures {
        Measures::default()
    }
}

/// A whole picture of at most this long side.
pub(super) fn within(long_side: u32) -> Rendition {
    Rendition { width: long_side, height: long_side, fit: Fit::Within }
}

/// What near-duplicates are told by.
#[derive(Debug)]
pub(super) struct Signature(RgbImage);

impl Signature {
    pub(super) fn of(image: &RgbImage) -> Self {
        Self(resample(image, Rendition { width: 16, height: 16, fit: Fit::Stretch }))
    }

    pub(super) fn differs(&self, other: &Self) -> bool {
        self.0.data().iter().zip(other.0.data()).any(|(a, b)| a.abs_diff(*b) > 16)
    }
}

/// Brings a picture to a rendition by its nearest pixels.
pub(super) fn resample(image: &RgbImage, rendition: Rendition) -> RgbImage {
    let (width, height) = rendition.size(image.width(), image.height());
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    let near =
        |at: u32, of: u32, from: u32| (u64::from(at) * u64::from(from) / u64::from(of)) as usize;
    for y in 0..height {
        let row = near(y, height, image.height()) * image.width() as usize;
        for x in 0..width {
            let at = (row + near(x, width, image.width())) * 3;
            data.extend_from_slice(image.data().get(at..at + 3).unwrap_or(&[0; 3]));
        }
    }
    RgbImage::new(width, height, data).unwrap_or_else(|| image.clone())
}
