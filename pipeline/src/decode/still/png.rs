//! PNG and APNG (W3C PNG, third edition) through the `png` crate.

use std::io::Cursor;

use png::{BlendOp, ColorType, Decoder, DecodingError, DisposeOp, Reader, Transformations};

use super::bytes::Order;
use super::canvas::{Canvas, Rect};
use super::orient::Orientation;
use super::timeline::{Timeline, shown_ms};
use super::{Job, bounds, exif};
use crate::decode::{DecodeError, Flow, Sink, Tally};

/// What the chunks say, read without inflating anything.
struct Outline {
    width: u32,
    height: u32,
    bytes_per_pixel: u64,
    interlaced: bool,
    orientation: Orientation,
    /// Time in milliseconds that each frame is shown; one for a still.
    shown: Vec<u64>,
    /// Decoded bytes of all frames.
    decoded: u64,
}

fn damaged(why: &str) -> DecodeError {
    DecodeError::Damaged(format!("PNG: {why}"))
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let be = Order::Big;
        let header = bytes.get(16..29).filter(|_| bytes.get(12..16) == Some(b"IHDR"));
        let header = header.ok_or_else(|| damaged("it does not start with its header"))?;
        let &[.., depth, colour, _, _, interlace] = header else {
            return Err(damaged("short header"));
        };
        let (width, height) = (be.u32(header, 0).unwrap_or(0), be.u32(header, 4).unwrap_or(0));
        let channels = match colour {
            0 | 3 => 1,
            4 => 2,
            2 => 3,
            _ => 4,
        };
        // Palettes and 1 to 4 bits are widened to a byte a channel, palettes to RGBA.
        let bytes_per_pixel =
            if colour == 3 { 4 } else { channels * u64::from(depth.div_ceil(8).max(1)) };
        let mut outline = Self {
            width,
            height,
            bytes_per_pixel,
            interlaced: interlace != 0,
            orientation: Orientation::UPRIGHT,
            shown: Vec::new(),
            decoded: 0,
        };
        outline.walk(bytes);
        Ok(outline)
    }

    fn walk(&mut self, bytes: &[u8]) {
        let be = Order::Big;
        let (mut at, mut animated, mut default_is_frame, mut data_seen) =
            (8usize, false, false, false);
        let mut frames = Vec::new();
        while let (Some(length), Some(kind)) = (be.u32(bytes, at), bytes.get(at + 4..at + 8)) {
            let body = bytes.get(at + 8..).unwrap_or_default();
            let body = body.get(..(length as usize).min(body.len())).unwrap_or_default();
            match kind {
                b"acTL" if !data_seen => animated = true,
                b"eXIf" => self.orientation = exif::orientation(body),
                b"fcTL" => {
                    default_is_frame |= !data_seen;
                    let pixels = u64::from(be.u32(body, 4).unwrap_or(0))
                        * u64::from(be.u32(body, 8).unwrap_or(0));
                    let number = u64::from(be.u16(body, 20).unwrap_or(0));
                    let parts = u64::from(be.u16(body, 22).unwrap_or(0));
                    let parts = if parts == 0 { 100 } else { parts };
                    frames.push((shown_ms(number * 1000 / parts), pixels));
                }
                b"IDAT" => data_seen = true,
                b"IEND" => break,
                _ => {}
            }
            at = at.saturating_add(12).saturating_add(length as usize);
        }
        let still = u64::from(self.width) * u64::from(self.height);
        if !animated || frames.is_empty() {
            frames = vec![(shown_ms(0), still)];
        } else if !default_is_frame {
            // A default picture beside the animation: what a viewer shows that knows no APNG.
            frames.insert(0, (shown_ms(0), still));
        }
        let pixels = frames.iter().fold(0u64, |sum, (_, pixels)| sum.saturating_add(*pixels));
        self.decoded = pixels.saturating_mul(self.bytes_per_pixel);
        self.shown = frames.into_iter().map(|(ms, _)| ms).collect();
    }
}

/// Decodes a PNG, or all frames of an APNG, its hidden default picture first.
pub(super) fn decode(job: Job<'_>, sink: &mut dyn Sink) -> Result<Tally, DecodeError> {
    let outline = Outline::read(job.bytes)?;
    let (width, height) = (outline.width, outline.height);
    bounds::check_size(width, height, job.limits)?;
    bounds::check_ratio(outline.decoded, job.bytes.len(), job.limits)?;

    let still = usize::try_from(u64::from(width) * u64::from(height) * 8).unwrap_or(usize::MAX);
    let limits = png::Limits { bytes: still.saturating_add(16 << 20) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(job.bytes), limits);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    // Compressed text and colour profiles are never inflated.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(|e| damaged(&e.to_string()))?;
    bounds::check_agreement((width, height), (reader.info().width, reader.info().height))?;

    let upright = outline.orientation.size(width, height);
    let timeline = Timeline::new(outline.shown.iter().copied(), upright, &job);
    if sink.facts(timeline.facts(&job, upright)) == Flow::Enough {
        return Ok(Tally::default());
    }
    let mut player = timeline.play(sink, outline.orientation);
    let mut film = Film::new(reader, &outline)?;
    for index in 0..timeline.len() {
        let whole = film.next(index)?;
        let flow = player.frame(|| film.canvas.flatten())?;
        if flow == Flow::Enough || !whole {
            return Ok(player.end(!whole));
        }
        film.dispose();
    }
    Ok(player.end(false))
}

/// The frames of a file, composed one after the other.
struct Film<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    canvas: Canvas,
    raw: Vec<u8>,
    interlaced: bool,
    /// How the frame on the canvas is to be taken off.
    after: Option<(DisposeOp, Rect, Vec<u8>)>,
}

/// Rows that hold nothing decoded are of this; a cut-off picture shows them white.
const BLANK: u8 = 0xff;

impl<'a> Film<'a> {
    fn new(reader: Reader<Cursor<&'a [u8]>>, outline: &Outline) -> Result<Self, DecodeError> {
        let length = reader.output_buffer_size().ok_or_else(|| damaged("its rows are too long"))?;
        Ok(Self {
            reader,
            canvas: Canvas::new(outline.width, outline.height),
            raw: vec![BLANK; length],
            interlaced: outline.interlaced,
            after: None,
        })
    }

    /// Composes the next frame. `Ok(false)`: the file is cut off within it, and what there is was drawn.
    fn next(&mut self, index: usize) -> Result<bool, DecodeError> {
        if index > 0 {
            self.raw.fill(BLANK);
        }
        let error = self.reader.next_frame(&mut self.raw).err();
        if let Some(e) = &error {
            let something = self.raw.iter().any(|b| *b != BLANK);
            if index == 0 && !something {
                return Err(damaged(&e.to_string()));
            }
            if index > 0 && (!something || matches!(e, DecodingError::Parameter(_))) {
                return Ok(false);
            }
        }
        let info = self.reader.info();
        let canvas = Rect { x: 0, y: 0, width: info.width, height: info.height };
        let (rect, dispose, blend) = match info.frame_control.as_ref() {
            // The default picture beside an animation leaves nothing behind.
            None => (canvas, DisposeOp::Background, BlendOp::Source),
            Some(f) => {
                let rect = Rect { x: f.x_offset, y: f.y_offset, width: f.width, height: f.height };
                (rect, f.dispose_op, f.blend_op)
            }
        };
        let saved =
            if dispose == DisposeOp::Previous { self.canvas.save(rect) } else { Vec::new() };
        self.draw(rect, blend == BlendOp::Over);
        self.after = Some((dispose, rect, saved));
        Ok(error.is_none())
    }

    /// Draws the raw frame onto the canvas.
    fn draw(&mut self, rect: Rect, blend: bool) {
        let colour = self.reader.output_color_type().0;
        // Rows of an interlaced frame lie as far apart as those of the whole picture.
        let row_width = if self.interlaced { self.reader.info().width } else { rect.width };
        let stride = row_width as usize * colour.samples();
        let mut rgba = vec![0u8; rect.width as usize * 4];
        let rows = self.raw.chunks_exact(stride.max(1)).take(rect.height as usize);
        for (y, row) in (rect.y..).zip(rows) {
            widen(row, colour, &mut rgba);
            let line = Rect { y, height: 1, ..rect };
            self.canvas.draw(line, blend, std::iter::once(&rgba[..]));
        }
    }

    /// Takes the frame on the canvas off as it asked for.
    fn dispose(&mut self) {
        match self.after.take() {
            Some((DisposeOp::Background, rect, _)) => self.canvas.clear(rect),
            Some((DisposeOp::Previous, rect, saved)) => self.canvas.restore(rect, &saved),
            _ => {}
        }
    }
}

/// One row of 8-bit samples to RGBA.
fn widen(row: &[u8], colour: ColorType, rgba: &mut [u8]) {
    let out = rgba.as_chunks_mut::<4>().0.iter_mut();
    match colour {
        ColorType::Grayscale | ColorType::Indexed => {
            out.zip(row).for_each(|(o, g)| *o = [*g, *g, *g, 255])
        }
        ColorType::GrayscaleAlpha => {
            out.zip(row.as_chunks::<2>().0).for_each(|(o, [g, a])| *o = [*g, *g, *g, *a]);
        }
        ColorType::Rgb => {
            out.zip(row.as_chunks::<3>().0).for_each(|(o, [r, g, b])| *o = [*r, *g, *b, 255])
        }
        ColorType::Rgba => out.zip(row.as_chunks::<4>().0).for_each(|(o, p)| *o = *p),
    }
}
