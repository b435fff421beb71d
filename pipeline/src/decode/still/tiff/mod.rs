//! TIFF and BigTIFF (TIFF 6.0): the pages are frames of an animation without time.
//!
//! The `tiff` crate unpacks strips and tiles; what the samples mean is told here, because the crate reads no
//! palettes. For that it is given a copy of the file in which every page claims to be grey.

mod colour;
mod directory;

use std::io::Cursor;

use super::canvas::Flat;
use super::{Job, bounds};
use crate::decode::{DecodeError, Facts, Flow, Frame, Sink, Tally};
use ::tiff::decoder::{Decoder, Limits};
use ::tiff::{TiffError, TiffResult};
use directory::Page;
use domain::MediaKind;

/// Most pages that are looked for; more end in an error, for each costs work before it is seen.
const MAX_PAGES: usize = 10_000;

fn refused(e: &TiffError) -> DecodeError {
    match e {
        TiffError::UnsupportedError(e) => {
            DecodeError::Unsupported(format!("TIFF: {e}; save it as PNG"))
        }
        TiffError::LimitsExceeded => {
            DecodeError::TooLarge("TIFF: its strips or tags are".to_owned())
        }
        e => DecodeError::Damaged(format!("TIFF: {e}")),
    }
}

/// Decodes all pages.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let mut pages = directory::pages(job.bytes, MAX_PAGES)?;
    let grey = directory::as_grey(job.bytes, &pages);
    // Reduced versions of other pages and masks are shown by no viewer.
    let mut first = true;
    pages.retain(|page| std::mem::take(&mut first) || !page.is_auxiliary());
    let mut decoded = 0u64;
    for page in &pages {
        bounds::check_size(page.width, page.height, job.limits)?;
        decoded = decoded.saturating_add(page.decoded_bytes());
    }
    bounds::check_ratio(decoded, job.bytes.len(), job.limits)?;
    let Some(cover) = pages.first() else {
        return Err(DecodeError::Damaged("TIFF: it has no page".to_owned()));
    };
    let (width, height) = cover.orientation.size(cover.width, cover.height);
    let kind = if pages.len() > 1 { MediaKind::Animation } else { MediaKind::Image };
    let frames = Some(pages.len() as u64);
    let facts = Facts { kind, format: job.format, width, height, duration_ms: None, frames };
    if sink.facts(facts) == Flow::Enough {
        return Ok(Tally::default());
    }
    play(job, &grey, &pages, sink)
}

/// Hands out the pages. Without time there is no gap in milliseconds: pages beyond the budget are `damaged`.
fn play(
    job: Job<'_>,
    grey: &[u8],
    pages: &[Page],
    sink: &mut dyn Sink,
) -> Result<Tally, DecodeError> {
    let mut tally = Tally::default();
    for page in pages {
        if tally.frames >= u64::from(job.limits.max_frames) {
            tally.damaged = true;
            break;
        }
        match picture(grey, page, job) {
            Ok((Flat { white, black }, whole)) => {
                tally.damaged |= !whole;
                let mut grounds = std::iter::once(white).chain(black);
                let enough = grounds.any(|image| {
                    tally.frames += 1;
                    let image = page.orientation.apply(image);
                    sink.frame(Frame { pts_ms: 0, image }) == Flow::Enough
                });
                if enough {
                    break;
                }
            }
            Err(e) if tally.frames == 0 => return Err(e),
            Err(_) => tally.damaged = true,
        }
    }
    Ok(tally)
}

/// One page, and whether all of it could be read.
fn picture(grey: &[u8], page: &Page, job: Job<'_>) -> Result<(Flat, bool), DecodeError> {
    let mut decoder = open(grey, page, job).map_err(|e| refused(&e))?;
    let layout = decoder.image_buffer_layout().map_err(|e| refused(&e))?;
    let bound = job.limits.max_pixels.saturating_mul(8);
    if layout.complete_len as u64 > bound {
        return Err(DecodeError::TooLarge(format!(
            "TIFF: a page of {} MiB",
            layout.complete_len >> 20
        )));
    }
    let blank = 0xff;
    let mut samples = vec![blank; layout.complete_len];
    let error = decoder.read_image_bytes(&mut samples).err();
    if let Some(e) = &error
        && (samples.iter().all(|b| *b == blank) || matches!(e, TiffError::UnsupportedError(_)))
    {
        return Err(refused(e));
    }
    let row = layout.row_stride.map_or(samples.len(), std::num::NonZero::get);
    let plane = layout.plane_stride.map_or(samples.len(), std::num::NonZero::get);
    Ok((colour::to_rgb(page, &samples, row, plane)?, error.is_none()))
}

fn open<'a>(grey: &'a [u8], page: &Page, job: Job<'_>) -> TiffResult<Decoder<Cursor<&'a [u8]>>> {
    let mut limits = Limits::default();
    let most = usize::try_from(job.limits.max_pixels.saturating_mul(8)).unwrap_or(usize::MAX);
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    let mut decoder = Decoder::new(Cursor::new(grey))?.with_limits(limits);
    decoder.seek_to_image(page.index)?;
    Ok(decoder)
}
