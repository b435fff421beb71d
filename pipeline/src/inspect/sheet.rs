//! What is kept of a medium for a person's eye: one picture of at most [`LONG_SIDE`] pixels, the medium's own where it is a
//! picture, tiles of a few frames where it moves.
//!
//! Decoded in the sandbox like everything else; put together and written as JPEG here, in safe code.

use domain::{Failure, Format, MediaKind};
use jpeg_encoder::{ColorType, Encoder};
use models::{Filter, Fit, Rendition, RgbImage, resample};

use super::Inspector;
use super::outcome::failure_of;
use crate::decode::{Facts, Flow};
use crate::measure::Plan;
use crate::sandbox::Item;
use crate::sandbox::protocol::{Observer, Request, Seen};
use crate::sniff::sniff;

/// The longest side of what is kept, in pixels (DESIGN, Blobs).
pub const LONG_SIDE: u32 = 1024;

/// Frames on one sheet: each is still half as large as the sheet.
pub const MOST_FRAMES: usize = 4;

/// Quality of the JPEG, 1 to 100: small, and words in it can still be read.
const QUALITY: u8 = 80;

/// The longest side to which a picture is shrunk before it is shown veiled: what it is cannot be told, only whether
/// there is something.
const VEILED_SIDE: u32 = 24;

/// Moments of which the frames are looked for, when the medium does not say how long it is: so far apart, in milliseconds.
const BLIND_STEP_MS: u64 = 1_000;

/// A picture of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The picture.
    pub image: RgbImage,
    /// Frames in it.
    pub frames: u32,
}

impl Inspector {
    /// A sheet of a medium, with the frames nearest to `moments_ms` first and others spread over the time line; `None` of
    /// what has nothing for the eye. What is appended to a picture is not on it.
    ///
    /// # Errors
    /// Why it cannot be decoded; permanent, where another day would not help.
    pub fn sheet(
        &self,
        item: &Item,
        moments_ms: &[u64],
        max_gap_ms: u64,
        threads: u32,
    ) -> Result<Option<Sheet>, Failure> {
        let format = sniff(item.bytes());
        if !format.is_still() && !format.is_stream() {
            return Ok(None);
        }
        let request = self.for_the_eye(format, item, within(LONG_SIDE), max_gap_ms, threads);
        let mut picks = Picks::new(moments_ms);
        match self.sandbox.decode(item, &request, &mut picks) {
            // What could be seen of a medium that breaks off is shown.
            Err(error) if picks.is_empty() => Err(failure_of(&error, 0)),
            _ => Ok(lay_out(picks.frames())),
        }
    }

    /// Pictures of a medium and nothing else: nobody measures them.
    pub(super) fn for_the_eye(
        &self,
        format: Format,
        item: &Item,
        rendition: Rendition,
        max_gap_ms: u64,
        threads: u32,
    ) -> Request {
        Request {
            format,
            bytes: item.len(),
            renditions: vec![rendition],
            measure: Plan::default(),
            limits: self.limits,
            max_gap_ms,
            sparing: false,
            hardware: false,
            threads,
            wall_ms: super::ITEM_BUDGET.as_millis() as u64,
        }
    }

    /// The pixels of a picture of our own, such as an earlier sheet.
    ///
    /// # Errors
    /// Why it cannot be decoded.
    pub fn picture(&self, item: &Item) -> Result<Option<RgbImage>, Failure> {
        Ok(self.sheet(item, &[], BLIND_STEP_MS, 1)?.map(|sheet| sheet.image))
    }
}

/// The bytes of a JPEG file.
///
/// # Errors
/// What the encoder says; nothing of a picture of at most 65,535 pixels a side.
pub fn jpeg(image: &RgbImage) -> Result<Vec<u8>, String> {
    let side = |n: u32| u16::try_from(n).map_err(|_| format!("a side of {n} pixels"));
    let (width, height) = (side(image.width())?, side(image.height())?);
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, QUALITY)
        .encode(image.data(), width, height, ColorType::Rgb)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The picture grey and so blurred that nobody need see what is in it.
pub fn veiled(image: &RgbImage) -> RgbImage {
    let mut small = resample(image, within(VEILED_SIDE));
    for pixel in small.data_mut().chunks_exact_mut(3) {
        // BT.601, in thousandths.
        let light = pixel.iter().zip([299, 587, 114]).map(|(c, w)| u32::from(*c) * w).sum::<u32>();
        pixel.fill((light / 1000) as u8);
    }
    let (width, height) = (image.width(), image.height());
    resample(&small, Rendition { width, height, fit: Fit::Stretch, filter: Filter::Bilinear })
}

fn within(side: u32) -> Rendition {
    Rendition { width: side, height: side, fit: Fit::Within, filter: Filter::Triangle }
}

/// The frames nearest to some moments, as they come by.
struct Picks {
    moments: Vec<u64>,
    /// For each moment the nearest frame so far.
    nearest: Vec<Option<(u64, RgbImage)>>,
    moving: bool,
}

impl Picks {
    fn new(moments_ms: &[u64]) -> Self {
        let mut moments: Vec<u64> = Vec::new();
        for moment in moments_ms {
            if moments.len() < MOST_FRAMES && !moments.contains(moment) {
                moments.push(*moment);
            }
        }
        Self { moments, nearest: Vec::new(), moving: false }
    }

    fn is_empty(&self) -> bool {
        self.nearest.iter().all(Option::is_none)
    }

    /// Each once, the first moments' before the last ones', in the order of the time line.
    fn frames(self) -> Vec<RgbImage> {
        let mut frames: Vec<(u64, RgbImage)> = Vec::new();
        for (at, image) in self.nearest.into_iter().flatten() {
            let known = self.moving && frames.iter().any(|(known, _)| *known == at);
            if frames.len() < MOST_FRAMES && !known {
                frames.push((at, image));
            }
        }
        frames.sort_by_key(|(at, _)| *at);
        frames.into_iter().map(|(_, image)| image).collect()
    }
}

impl Observer for Picks {
    fn facts(&mut self, facts: &Facts) -> Flow {
        self.moving = facts.kind != MediaKind::Image;
        let parts = MOST_FRAMES as u64;
        for part in 0..parts {
            let spread = match facts.duration_ms {
                Some(duration) => duration.saturating_mul(2 * part + 1) / (2 * parts),
                None => part * BLIND_STEP_MS,
            };
            self.moments.push(spread);
        }
        self.nearest = vec![None; if self.moving { self.moments.len() } else { MOST_FRAMES }];
        Flow::More
    }

    fn frame(&mut self, seen: Seen) -> Flow {
        let Some(image) = seen.renditions.into_iter().next() else { return Flow::More };
        if !self.moving {
            // Pages, and the second look at a transparent picture, over black: all as they come.
            let Some(free) = self.nearest.iter_mut().find(|slot| slot.is_none()) else {
                return Flow::Enough;
            };
            *free = Some((seen.pts_ms, image));
            return Flow::More;
        }
        for (moment, slot) in self.moments.iter().zip(&mut self.nearest) {
            let nearer =
                |(at, _): &(u64, RgbImage)| at.abs_diff(*moment) > seen.pts_ms.abs_diff(*moment);
            if slot.as_ref().is_none_or(nearer) {
                *slot = Some((seen.pts_ms, image.clone()));
            }
        }
        Flow::More
    }
}

/// One picture alone as it is; several as tiles of a square, on grey.
fn lay_out(frames: Vec<RgbImage>) -> Option<Sheet> {
    let count = u32::try_from(frames.len()).ok()?;
    if count <= 1 {
        return frames.into_iter().next().map(|image| Sheet { image, frames: 1 });
    }
    let columns = 2;
    let side = LONG_SIDE / columns;
    let tiles: Vec<RgbImage> = frames.iter().map(|frame| resample(frame, within(side))).collect();
    let width = tiles.iter().map(RgbImage::width).max()?;
    let height = tiles.iter().map(RgbImage::height).max()?;
    let rows = count.div_ceil(columns);
    let stride = (width * columns) as usize * 3;
    let mut data = vec![GROUND; stride * (height * rows) as usize];
    for (n, tile) in tiles.iter().enumerate() {
        let (column, row) = (n as u32 % columns, n as u32 / columns);
        let line = tile.width() as usize * 3;
        for (y, pixels) in tile.data().chunks_exact(line).enumerate() {
            let start = ((row * height) as usize + y) * stride + (column * width) as usize * 3;
            data[start..start + line].copy_from_slice(pixels);
        }
    }
    let image = RgbImage::new(width * columns, height * rows, data)?;
    Some(Sheet { image, frames: count })
}

/// Between and beside tiles.
const GROUND: u8 = 128;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn flat(width: u32, height: u32, grey: u8) -> RgbImage {
        RgbImage::new(width, height, vec![grey; (width * height * 3) as usize]).unwrap()
    }

    fn facts(kind: MediaKind, duration_ms: Option<u64>) -> Facts {
        let format = Format::Mp4;
        Facts { kind, format, width: 640, height: 480, duration_ms, frames: None }
    }

    fn seen(pts_ms: u64, grey: u8) -> Seen {
        Seen { pts_ms, measures: Default::default(), renditions: vec![flat(640, 480, grey)] }
    }

    fn picked(moments: &[u64], facts: &Facts, times: &[u64]) -> Vec<u8> {
        let mut picks = Picks::new(moments);
        picks.facts(facts);
        for (n, time) in times.iter().enumerate() {
            picks.frame(seen(*time, n as u8));
        }
        picks.frames().iter().map(|frame| frame.data()[0]).collect()
    }

    #[test]
    fn the_frames_of_what_was_found_come_before_those_that_are_spread() {
        let video = facts(MediaKind::Video, Some(8_000));
        let times: Vec<u64> = (0..9).map(|n| n * 1_000).collect();
        assert_eq!(picked(&[], &video, &times), [1, 3, 5, 7], "spread");
        assert_eq!(picked(&[8_000, 6_100], &video, &times), [1, 3, 6, 8]);
        assert_eq!(picked(&[4_000, 4_001], &video, &times), [1, 3, 4, 5], "each frame once");
        assert_eq!(picked(&[0], &video, &[0]), [0], "there is no other");
        assert_eq!(picked(&[], &facts(MediaKind::Video, None), &times), [0, 1, 2, 3]);
        let still = facts(MediaKind::Image, None);
        assert_eq!(picked(&[5], &still, &[0, 0]), [0, 1], "over white, and over black");
    }

    #[test]
    fn tiles_fill_a_sheet_that_is_never_larger_than_it_may_be() {
        for (count, size) in [(1, (640, 480)), (2, (1024, 384)), (3, (1024, 768)), (4, (1024, 768))]
        {
            let frames = (0..count).map(|n| flat(640, 480, 10 + n)).collect();
            let sheet = lay_out(frames).unwrap();
            assert_eq!((sheet.image.width(), sheet.image.height()), size, "{count}");
            assert_eq!(sheet.frames, u32::from(count));
            assert_eq!(sheet.image.data()[0], 10);
            let last = *sheet.image.data().last().unwrap();
            assert_eq!(last, if count == 3 { GROUND } else { 9 + count }, "{count}");
        }
        assert!(lay_out(Vec::new()).is_none());
    }

    #[test]
    fn what_is_veiled_has_no_colour_and_no_edges() {
        let pixels = (0..64 * 64).flat_map(|n| if n % 2 == 0 { [255, 0, 0] } else { [0, 0, 255] });
        let veiled = veiled(&RgbImage::new(64, 64, pixels.collect()).unwrap());
        assert_eq!((veiled.width(), veiled.height()), (64, 64));
        for pixel in veiled.data().chunks_exact(3) {
            // Half red, half blue: (76 + 29) / 2.
            assert!(pixel.iter().all(|c| c == &pixel[0] && c.abs_diff(52) <= 6), "{pixel:?}");
        }
    }
}
