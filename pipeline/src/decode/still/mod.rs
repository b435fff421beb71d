//! Still pictures and animations → upright RGB frames.
//!
//! Every format is first walked by a memory-safe pre-parse for its size, frame count and orientation, and held
//! against the limits; only then is a decoder called. JPEG goes through libturbojpeg and HEIC/AVIF through
//! libheif, both loaded at run time by [`preload`]; all others through memory-safe crates. After [`preload`]
//! nothing here opens a file, so that it can run in a locked-down process.

mod bounds;
mod bytes;
mod canvas;
mod emit;
mod exif;
mod extent;
mod gif;
mod heif;
mod jpeg;
mod orient;
mod png;
mod raster;
mod tiff;
mod timeline;
mod webp;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::Format;

use super::{DecodeError, Limits, Need, Sink, Tally};
use crate::sniff;
pub(crate) use extent::length;
pub(crate) use jpeg::{head as jpeg_head, is_picture as is_jpeg};

/// One item with what is asked of its decoder.
#[derive(Clone, Copy)]
struct Job<'a> {
    bytes: &'a [u8],
    format: Format,
    need: &'a Need,
    limits: &'a Limits,
}

/// Loads the C libraries, so that decoding opens no file afterwards; call it before lock-down.
///
/// Gives one [`DecodeError::Missing`] for each library that is not installed; the formats that need it then
/// end with the same error, all others work.
pub fn preload() -> Vec<DecodeError> {
    [jpeg::preload(), heif::preload()].into_iter().filter_map(Result::err).collect()
}

/// Decodes one still or animation and hands its facts and frames to `sink`.
///
/// # Errors
/// [`DecodeError::TooLarge`] where a limit would be passed, before anything of that size is allocated;
/// [`DecodeError::Damaged`] where not even a part can be shown (a part is handed out with `Tally::damaged`);
/// [`DecodeError::Missing`] where a library is not installed; [`DecodeError::Unsupported`] for all else.
pub fn decode(
    bytes: &[u8],
    format: Format,
    need: &Need,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Tally, DecodeError> {
    let job = Job { bytes, format, need, limits };
    // The crates check what they assume of a file with assertions here and there: that is damage, not a fault of
    // ours. Nothing that a panic may leave half done is used again but the sink, which is not in their hands.
    catch_unwind(AssertUnwindSafe(|| by_format(job, sink))).unwrap_or_else(|_| {
        Err(DecodeError::Damaged(format!("the {format:?} decoder gave up on it")))
    })
}

fn by_format(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    match job.format {
        Format::Jpeg => jpeg::decode(job, sink),
        Format::Png => png::decode(job, sink),
        Format::Gif => gif::decode(job, sink),
        Format::Webp => webp::decode(job, sink),
        Format::Tiff => tiff::decode(job, sink),
        Format::Bmp | Format::Ico | Format::Pnm | Format::Qoi => raster::decode(job, sink),
        Format::Heic | Format::Avif => heif::decode(job, sink),
        _ => Err(DecodeError::Unsupported(match sniff::unsupported(job.bytes) {
            Some(what) => format!("this is {what}"),
            None if job.bytes.is_empty() => "the file is empty".to_owned(),
            None => "the bytes are of no picture format that Weir reads".to_owned(),
        })),
    }
}
