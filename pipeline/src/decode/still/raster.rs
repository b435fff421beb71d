//! BMP, ICO, PNM and QOI through the `image` crate: rare, simple formats.

use std::io::Cursor;

use domain::Format;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader};

use super::orient::Orientation;
use super::{Job, bounds, canvas, emit};
use crate::decode::{DecodeError, Flow, Sink, Tally};

/// What a part of a picture that was not read looks like.
const BLANK: u8 = 0xff;

/// Decodes one picture; of an icon the best of its pictures.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let kind = match job.format {
        Format::Bmp => ImageFormat::Bmp,
        Format::Ico => ImageFormat::Ico,
        Format::Pnm => ImageFormat::Pnm,
        _ => ImageFormat::Qoi,
    };
    let failed = |e: image::ImageError| match e {
        image::ImageError::Limits(e) => DecodeError::TooLarge(format!("{:?}: {e}", job.format)),
        image::ImageError::Unsupported(e) => {
            DecodeError::Unsupported(format!("{:?}: {e}", job.format))
        }
        e => DecodeError::Damaged(format!("{:?}: {e}", job.format)),
    };
    let mut reader = ImageReader::with_format(Cursor::new(job.bytes), kind);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(job.limits.max_pixels.saturating_mul(8));
    reader.limits(limits);
    // The header is read by memory-safe code; no pixel is allocated yet.
    let decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    bounds::check_size(width, height, job.limits)?;
    let length = decoder.total_bytes();
    bounds::check_ratio(length, job.bytes.len(), job.limits)?;
    if sink.facts(job.still_facts((width, height))) == Flow::Enough {
        return Ok(Tally::default());
    }
    let colour = decoder.color_type();
    let length = usize::try_from(length)
        .map_err(|_| DecodeError::TooLarge(format!("{width} × {height}")))?;
    let mut pixels = vec![BLANK; length];
    let error = decoder.read_image(&mut pixels).err();
    if let Some(e) = error.as_ref().map(ToString::to_string)
        && pixels.iter().all(|b| *b == BLANK)
    {
        return Err(DecodeError::Damaged(format!("{:?}: {e}", job.format)));
    }
    let image = canvas::flatten(width, height, &widen(&pixels, colour))?;
    Ok(emit::frame(sink, image, Orientation::UPRIGHT, error.is_some()))
}

/// Samples of any type to RGBA of 8 bits.
fn widen(pixels: &[u8], colour: ColorType) -> Vec<u8> {
    let channels = usize::from(colour.channel_count());
    let wide = colour.bytes_per_pixel() as usize / channels.max(1) == 2;
    let eight = |sample: &[u8]| -> u8 {
        match *sample {
            [a, b] => (u16::from_ne_bytes([a, b]) >> 8) as u8,
            [a] => a,
            _ => 0,
        }
    };
    let sample = if wide { 2 } else { 1 };
    let mut rgba = Vec::with_capacity(pixels.len() / (sample * channels).max(1) * 4);
    for pixel in pixels.chunks_exact((sample * channels).max(1)) {
        let mut values = pixel.chunks_exact(sample).map(eight);
        let mut next = || values.next().unwrap_or(u8::MAX);
        match channels {
            1 | 2 => {
                let grey = next();
                rgba.extend([grey, grey, grey, next()]);
            }
            _ => rgba.extend([next(), next(), next(), next()]),
        }
    }
    rgba
}
