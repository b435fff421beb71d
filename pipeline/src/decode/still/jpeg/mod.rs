//! JPEG (ITU-T T.81) through libturbojpeg, scaled down in the frequency domain while decoding.

mod ffi;
mod preparse;

use models::RgbImage;

use super::orient::Orientation;
use super::{Job, bounds, emit};
use crate::decode::{DecodeError, Flow, Sink, Tally};
use preparse::Outline;

/// Eighths of the full size at which libturbojpeg has fast (SIMD) inverse transforms, from small to large. The
/// others are plain C and gain little or nothing: on x86-64 a 12 MP picture took twice as long at 3/8 as at 4/8.
const EIGHTHS: [u32; 4] = [1, 2, 4, 8];

/// Loads libturbojpeg and makes one decompressor, so that decoding opens nothing.
pub(super) fn preload() -> Result<(), DecodeError> {
    ffi::Decompressor::new().map(drop)
}

/// A side at `eighths` of its size, rounded up as the library does.
fn scaled(side: u32, eighths: u32) -> u32 {
    (u64::from(side) * u64::from(eighths)).div_ceil(8).try_into().unwrap_or(side)
}

/// The smallest scale in eighths that is enough for `least` in 0..=1.
fn eighths(least: f64) -> u32 {
    EIGHTHS.into_iter().find(|n| f64::from(*n) / 8.0 >= least).unwrap_or(8)
}

/// Where the first picture ends, if it has an end.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    Outline::read(bytes).ok()?.end
}

/// Whether there is a picture of any kind: a frame header and a scan.
pub(crate) fn is_picture(bytes: &[u8]) -> bool {
    !matches!(Outline::read(bytes), Err(DecodeError::Damaged(_)))
}

/// The segments before the first scan.
pub(crate) fn head(bytes: &[u8]) -> &[u8] {
    preparse::head(bytes)
}

/// Decodes one JPEG; pictures after the first (MPO, motion photos) are items of their own, thumbnails are left aside.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let outline = Outline::read(job.bytes)?;
    let Outline { width, height, orientation, .. } = outline;
    bounds::check_size(width, height, job.limits)?;
    let depth = u64::from(outline.components.clamp(3, 4));
    let decoded = u64::from(width) * u64::from(height) * depth;
    bounds::check_ratio(decoded, job.bytes.len(), job.limits)?;
    outline.check_scans()?;

    let mut decompressor = ffi::Decompressor::new()?;
    let header = decompressor.header(job.bytes)?;
    bounds::check_agreement((width, height), (header.width, header.height))?;
    let upright = orientation.size(width, height);
    if sink.facts(job.still_facts(upright)) == Flow::Enough {
        return Ok(Tally::default());
    }
    let scale = eighths(job.need.least_scale(upright.0, upright.1));
    let (image, warned) = pixels(&mut decompressor, job.bytes, header, scale)?;
    Ok(emit::frame(sink, image, orientation, warned || outline.end.is_none()))
}

/// The pixels as stored, and whether they are damaged.
fn pixels(
    decompressor: &mut ffi::Decompressor,
    bytes: &[u8],
    header: ffi::Header,
    scale: u32,
) -> Result<(RgbImage, bool), DecodeError> {
    let size = (scaled(header.width, scale), scaled(header.height, scale));
    let (data, warning) = decompressor.decode(bytes, size, header.cmyk)?;
    let data = if header.cmyk { from_cmyk(data) } else { data };
    // Padding before a marker is sloppy and harmless: no pixel is lost.
    let damaged = warning.is_some_and(|words| !words.contains("extraneous bytes before marker"));
    Ok((emit::rgb(size.0, size.1, data)?, damaged))
}

/// CMYK to RGB. The four values are stored inverted (255 is no ink), as all writers do since Adobe's.
fn from_cmyk(mut data: Vec<u8>) -> Vec<u8> {
    let pixels = data.len() / 4;
    for pixel in 0..pixels {
        let Some(&[c, m, y, k]) = data.get(pixel * 4..pixel * 4 + 4) else { break };
        let light = |ink: u8| ((u16::from(ink) * u16::from(k) + 127) / 255) as u8;
        if let Some(rgb) = data.get_mut(pixel * 3..pixel * 3 + 3) {
            rgb.copy_from_slice(&[light(c), light(m), light(y)]);
        }
    }
    data.truncate(pixels * 3);
    data
}
