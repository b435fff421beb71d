//! HEIC and AVIF (ISO 23008-12) through libheif.
//!
//! libheif 1.15 shows the primary picture only: of an image sequence one frame is handed out, and the tally
//! says that the rest of the time line was not looked at.

mod boxes;
mod ffi;

use domain::{Format, MediaKind};

use super::orient::Orientation;
use super::{Job, bounds, canvas, emit};
use crate::decode::{DecodeError, Facts, Flow, Sink, Tally};
use boxes::Outline;

/// Loads libheif with its decoders.
pub(super) fn preload() -> Result<(), DecodeError> {
    ffi::preload()
}

/// Decodes the primary picture; rotation and mirroring of the container are applied by libheif, that of Exif,
/// which repeats them, by nobody.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let outline = Outline::read(job.bytes)?;
    for (width, height) in &outline.sizes {
        bounds::check_size(*width, *height, job.limits)?;
    }
    let codec = if job.format == Format::Avif { ffi::Codec::Av1 } else { ffi::Codec::Hevc };
    let context = ffi::Context::read(job.bytes, job.limits.max_pixels, codec)?;
    let primary = context.primary()?;
    let (width, height) = primary.size();
    bounds::check_size(width, height, job.limits)?;
    let decoded = u64::from(width) * u64::from(height) * 4;
    bounds::check_ratio(decoded, job.bytes.len(), job.limits)?;

    let (frames, length) = outline.sequence.unwrap_or((1, 0));
    let moves = frames > 1;
    let facts = Facts {
        kind: if moves { MediaKind::Animation } else { MediaKind::Image },
        format: job.format,
        width,
        height,
        duration_ms: moves.then_some(length),
        frames: Some(frames.max(1)),
    };
    if sink.facts(facts) == Flow::Enough {
        return Ok(Tally::default());
    }
    let picture = primary.decode()?;
    bounds::check_agreement((width, height), (picture.width, picture.height))?;
    let image = if picture.premultiplied {
        premultiplied(&picture)?
    } else {
        canvas::flatten(width, height, &picture.rgba)?
    };
    let cut_short = outline.end > job.bytes.len() as u64;
    let mut tally = emit::frame(sink, image, Orientation::UPRIGHT, cut_short || picture.warned);
    if moves {
        tally.max_gap_ms = length;
    }
    Ok(tally)
}

/// Colours that are multiplied with their alpha only want the white behind them.
fn premultiplied(picture: &ffi::Picture) -> Result<models::RgbImage, DecodeError> {
    let pixels = picture.rgba.as_chunks::<4>().0.iter();
    let rgb = pixels.flat_map(|[r, g, b, a]| [*r, *g, *b].map(|c| c.saturating_add(255 - a)));
    emit::rgb(picture.width, picture.height, rgb.collect())
}
