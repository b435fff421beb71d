//! GIF (87a and 89a) through the `gif` crate.

use std::borrow::Cow;
use std::io::Cursor;
use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, Decoder, DisposalMethod, MemoryLimit};

use super::canvas::{Canvas, Rect};
use super::orient::Orientation;
use super::timeline::{Timeline, shown_ms};
use super::{Job, bounds};
use crate::decode::{DecodeError, Flow, Sink, Tally};

fn damaged(why: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Damaged(format!("GIF: {why}"))
}

/// Opens the file; `skip` walks over the frames without inflating them.
fn open<'a>(job: Job<'a>, skip: bool) -> Result<Decoder<Cursor<&'a [u8]>>, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.skip_frame_decoding(skip);
    let most = NonZeroU64::new(job.limits.max_pixels).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(most));
    options.read_info(Cursor::new(job.bytes)).map_err(|e| damaged(&e))
}

/// The file, with a table of greys put in where it has no global table of colours: the standard lets a decoder take
/// one of its own for frames without a local one, and the crate knows none.
fn with_palette(bytes: &[u8]) -> Cow<'_, [u8]> {
    const HEADER: usize = 13;
    match (bytes.get(10), bytes.split_at_checked(HEADER)) {
        (Some(flags), Some((head, rest))) if flags & 0x80 == 0 => {
            let mut copy = head.to_vec();
            if let Some(flags) = copy.get_mut(10) {
                *flags |= 0x87;
            }
            copy.extend((0..=u8::MAX).flat_map(|grey| [grey; 3]));
            copy.extend_from_slice(rest);
            Cow::Owned(copy)
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// What a first walk finds.
struct Outline {
    /// Time in milliseconds that each frame is shown.
    shown: Vec<u64>,
    /// Bytes that all frames inflate to: one for a pixel.
    indices: u64,
    /// Right and lower edge of the first frame.
    extent: (u32, u32),
    /// The walk ended before the trailer.
    broken: bool,
}

fn walk(job: Job<'_>) -> Result<Outline, DecodeError> {
    let mut decoder = open(job, true)?;
    let (mut shown, mut indices, mut extent) = (Vec::new(), 0u64, (0, 0));
    let broken = loop {
        let frame = match decoder.next_frame_info() {
            Ok(Some(frame)) => frame,
            Ok(None) => break false,
            Err(_) => break true,
        };
        if shown.is_empty() {
            extent = (
                u32::from(frame.left) + u32::from(frame.width),
                u32::from(frame.top) + u32::from(frame.height),
            );
        }
        shown.push(shown_ms(u64::from(frame.delay) * 10));
        indices += u64::from(frame.width) * u64::from(frame.height);
    };
    Ok(Outline { shown, indices, extent, broken })
}

/// Decodes all frames of a GIF.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let bytes = with_palette(job.bytes);
    let job = Job { bytes: &bytes, ..job };
    let Outline { shown, indices, extent, broken } = walk(job)?;
    if shown.is_empty() {
        return Err(damaged(&"it has no frame"));
    }
    let mut decoder = open(job, false)?;
    let screen = (u32::from(decoder.width()), u32::from(decoder.height()));
    // A first frame that is larger than the screen widens it, as in browsers.
    let size = (screen.0.max(extent.0), screen.1.max(extent.1));
    bounds::check_size(size.0, size.1, job.limits)?;
    bounds::check_ratio(indices, job.bytes.len(), job.limits)?;

    let timeline = Timeline::new(shown, size, &job);
    if sink.facts(timeline.facts(&job, size)) == Flow::Enough {
        return Ok(Tally::default());
    }
    let mut canvas = Canvas::new(size.0, size.1);
    let mut player = timeline.play(sink, Orientation::UPRIGHT);
    let mut handed = 0usize;
    for _ in 0..timeline.len() {
        let after = match compose(&mut decoder, &mut canvas) {
            Ok(Some(after)) => after,
            Ok(None) => break,
            Err(Broken { drawn, error }) => {
                if drawn {
                    player.frame(|| canvas.flatten())?;
                } else if handed == 0 {
                    return Err(error);
                }
                return Ok(player.end(true));
            }
        };
        handed += 1;
        if player.frame(|| canvas.flatten())? == Flow::Enough {
            return Ok(player.end(false));
        }
        match after {
            (DisposalMethod::Background, rect, _) => canvas.clear(rect),
            (DisposalMethod::Previous, rect, saved) => canvas.restore(rect, &saved),
            _ => {}
        }
    }
    Ok(player.end(broken || handed < timeline.len()))
}

/// A frame that could not be read to its end, and whether a part of it is on the canvas.
struct Broken {
    drawn: bool,
    error: DecodeError,
}

type Disposal = (DisposalMethod, Rect, Vec<u8>);

/// Composes the next frame onto the canvas and says how it is to be taken off.
fn compose(
    decoder: &mut Decoder<Cursor<&[u8]>>,
    canvas: &mut Canvas,
) -> Result<Option<Disposal>, Broken> {
    let failed = |e: ::gif::DecodingError| Broken { drawn: false, error: damaged(&e) };
    let Some(frame) = decoder.next_frame_info().map_err(failed)? else { return Ok(None) };
    let rect = Rect {
        x: u32::from(frame.left),
        y: u32::from(frame.top),
        width: u32::from(frame.width),
        height: u32::from(frame.height),
    };
    let (dispose, clear_index, local) = (frame.dispose, frame.transparent, frame.palette.clone());
    let palette =
        local.or_else(|| decoder.global_palette().map(<[u8]>::to_vec)).unwrap_or_default();
    let mut indices = vec![0u8; decoder.buffer_size()];
    let error = decoder.read_into_buffer(&mut indices).err();
    let drawn = error.is_none() || indices.iter().any(|i| *i != 0);
    let saved = if dispose == DisposalMethod::Previous { canvas.save(rect) } else { Vec::new() };
    if drawn {
        draw(canvas, rect, &indices, &lookup(&palette, clear_index));
    }
    match error {
        Some(e) => Err(Broken { drawn, error: damaged(&e) }),
        None => Ok(Some((dispose, rect, saved))),
    }
}

/// RGBA of each of the 256 indices; those outside of the palette are black, as browsers have it.
fn lookup(palette: &[u8], clear_index: Option<u8>) -> [[u8; 4]; 256] {
    let mut table = [[0, 0, 0, 255]; 256];
    for (entry, [r, g, b]) in table.iter_mut().zip(palette.as_chunks::<3>().0) {
        *entry = [*r, *g, *b, 255];
    }
    if let Some(entry) = clear_index.and_then(|i| table.get_mut(usize::from(i))) {
        *entry = [0; 4];
    }
    table
}

fn draw(canvas: &mut Canvas, rect: Rect, indices: &[u8], table: &[[u8; 4]; 256]) {
    let width = rect.width as usize;
    let mut rgba = vec![0u8; width * 4];
    for (y, row) in (rect.y..).zip(indices.chunks_exact(width.max(1))) {
        for (pixel, index) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(row) {
            *pixel = table.get(usize::from(*index)).copied().unwrap_or_default();
        }
        canvas.draw(Rect { y, height: 1, ..rect }, true, std::iter::once(&rgba[..]));
    }
}
