//! WebP, still and animated (RFC 9649), through the `image-webp` crate.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::bytes::Order;
use super::orient::Orientation;
use super::timeline::{Timeline, shown_ms};
use super::{Job, bounds, canvas, emit, exif};
use crate::decode::{DecodeError, Flow, Sink, Tally};

fn damaged(why: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Damaged(format!("WebP: {why}"))
}

/// What the chunks say.
struct Outline {
    width: u32,
    height: u32,
    orientation: Orientation,
    /// Time in milliseconds that each frame is shown; empty for a still.
    shown: Vec<u64>,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let le = Order::Little;
        let (mut size, mut turn, mut shown) = (None, Orientation::UPRIGHT, Vec::new());
        let mut at = 12usize;
        while let (Some(kind), Some(length)) = (bytes.get(at..at + 4), le.u32(bytes, at + 4)) {
            let body = bytes.get(at + 8..).unwrap_or_default();
            match kind {
                b"VP8X" => size = size.or(extended_size(body)),
                b"VP8 " => size = size.or(lossy_size(body)),
                b"VP8L" => size = size.or(lossless_size(body)),
                b"EXIF" => turn = exif::orientation(body.get(..length as usize).unwrap_or(body)),
                b"ANMF" => shown.push(shown_ms(u64::from(le.u24(body, 12).unwrap_or(0)))),
                _ => {}
            }
            // Chunks are padded to an even length.
            at = at.saturating_add(8 + length as usize).saturating_add(length as usize & 1);
        }
        let (width, height) = size.ok_or_else(|| damaged(&"no header of a picture"))?;
        Ok(Self { width, height, orientation: turn, shown })
    }
}

fn extended_size(body: &[u8]) -> Option<(u32, u32)> {
    Some((Order::Little.u24(body, 4)? + 1, Order::Little.u24(body, 7)? + 1))
}

fn lossy_size(body: &[u8]) -> Option<(u32, u32)> {
    // Three bytes of frame tag, three of start code, then 14 bits for each side.
    let side = |at| Order::Little.u16(body, at).map(|n| u32::from(n & 0x3fff));
    Some((side(6)?, side(8)?))
}

fn lossless_size(body: &[u8]) -> Option<(u32, u32)> {
    let bits = Order::Little.u32(body, 1)?;
    Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
}

/// Decodes a WebP, all frames of it.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let outline = Outline::read(job.bytes)?;
    let (width, height) = (outline.width, outline.height);
    bounds::check_size(width, height, job.limits)?;
    let frame = u64::from(width) * u64::from(height) * 4;
    bounds::check_ratio(frame, job.bytes.len(), job.limits)?;
    bounds::check_work(frame.saturating_mul(outline.shown.len() as u64))?;

    let mut decoder = WebPDecoder::new(Cursor::new(job.bytes)).map_err(|e| damaged(&e))?;
    decoder.set_memory_limit(
        usize::try_from(frame.saturating_mul(4)).unwrap_or(usize::MAX).max(64 << 20),
    );
    bounds::check_agreement((width, height), decoder.dimensions())?;
    let length = decoder.output_buffer_size().ok_or_else(|| damaged(&"its size overflows"))?;
    let alpha = decoder.has_alpha();
    let upright = outline.orientation.size(width, height);
    if !decoder.is_animated() {
        if sink.facts(job.still_facts(upright)) == Flow::Enough {
            return Ok(Tally::default());
        }
        let mut pixels = vec![0; length];
        decoder.read_image(&mut pixels).map_err(|e| damaged(&e))?;
        return Ok(emit::frame(
            sink,
            flat(width, height, alpha, &pixels)?,
            outline.orientation,
            false,
        ));
    }
    let timeline = Timeline::new(outline.shown.iter().copied(), upright, &job);
    if timeline.len() == 0 {
        return Err(damaged(&"an animation without a frame"));
    }
    if sink.facts(timeline.facts(&job, upright)) == Flow::Enough {
        return Ok(Tally::default());
    }
    let mut player = timeline.play(sink, outline.orientation);
    let mut pixels = vec![0; length];
    for index in 0..timeline.len() {
        match decoder.read_frame(&mut pixels) {
            Ok(_) => {}
            Err(e) if index == 0 => return Err(damaged(&e)),
            Err(_) => return Ok(player.end(true)),
        }
        if player.frame(|| flat(width, height, alpha, &pixels))? == Flow::Enough {
            break;
        }
    }
    Ok(player.end(false))
}

fn flat(width: u32, height: u32, alpha: bool, pixels: &[u8]) -> Result<canvas::Flat, DecodeError> {
    if alpha {
        canvas::flatten(width, height, pixels)
    } else {
        emit::rgb(width, height, pixels.to_vec()).map(Into::into)
    }
}
