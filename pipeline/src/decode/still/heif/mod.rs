//! HEIC and AVIF (ISO 23008-12) through libheif.
//!
//! libheif 1.15 shows no frames of an image sequence: the primary picture is handed out, and the tally says that the
//! rest of the time line was not looked at. Other pictures that a viewer may show are frames of the same still.

mod boxes;
mod ffi;

use domain::{Format, MediaKind};

use super::canvas::Flat;
use super::orient::Orientation;
use super::{Job, bounds, canvas, emit};
use crate::decode::{DecodeError, Facts, Flow, Sink, Tally, Unseen};
use boxes::Outline;

/// Most pictures of one file that are looked at; a burst of a phone has more, and is told.
const MAX_PICTURES: usize = 8;

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
    let (image, warned) = flat(&primary)?;
    let damaged = outline.end > job.bytes.len() as u64 || warned;
    let mut tally = emit::frame(sink, image, Orientation::UPRIGHT, damaged);
    further(&context, job, sink, &mut tally);
    if moves {
        tally.max_gap_ms = length;
    }
    Ok(tally)
}

/// Looks at the pictures beside the primary one.
fn further(context: &ffi::Context<'_>, job: Job<'_>, sink: &mut dyn Sink, tally: &mut Tally) {
    if context.pictures() > MAX_PICTURES {
        tally.unseen.insert(Unseen::Part);
    }
    for handle in context.others(MAX_PICTURES - 1) {
        let image = handle.and_then(|handle| {
            let (width, height) = handle.size();
            bounds::check_size(width, height, job.limits)?;
            flat(&handle)
        });
        match image {
            Ok((image, warned)) => {
                let more = emit::frame(sink, image, Orientation::UPRIGHT, warned);
                tally.frames += more.frames;
                tally.damaged |= more.damaged;
            }
            Err(_) => drop(tally.unseen.insert(Unseen::Part)),
        }
    }
}

/// The pixels of a picture, and whether libheif found damage.
fn flat(handle: &ffi::Handle<'_>) -> Result<(Flat, bool), DecodeError> {
    let picture = handle.decode()?;
    bounds::check_agreement(handle.size(), (picture.width, picture.height))?;
    let image = if picture.premultiplied {
        premultiplied(&picture)?
    } else {
        canvas::flatten(picture.width, picture.height, &picture.rgba)?
    };
    Ok((image, picture.warned))
}

/// Colours that are multiplied with their alpha only want the ground behind them.
fn premultiplied(picture: &ffi::Picture) -> Result<Flat, DecodeError> {
    let over = |ground: u8| {
        let pixels = picture.rgba.as_chunks::<4>().0.iter();
        let rgb = pixels.flat_map(|[r, g, b, a]| {
            [*r, *g, *b].map(|c| c.saturating_add(ground.saturating_sub(*a)))
        });
        emit::rgb(picture.width, picture.height, rgb.collect())
    };
    // Over white 255 - alpha comes on top, over black nothing.
    Ok(Flat::new(over(u8::MAX)?, over(0)?))
}
