//! A walk over the boxes of a HEIF file (ISO 14496-12, 23008-12): declared sizes, extents, frames of a sequence.

use super::super::bytes::Order;
use crate::decode::DecodeError;

/// Boxes nest this deep at most in what is looked at.
const MAX_DEPTH: u32 = 8;

/// Most boxes and extents that are visited: files of cameras have a few hundred.
const MAX_VISITS: u32 = 100_000;

const BE: Order = Order::Big;

/// What the boxes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// Sizes that items declare (`ispe`), unturned.
    pub(super) sizes: Vec<(u32, u32)>,
    /// Frames and length in milliseconds of an image sequence.
    pub(super) sequence: Option<(u64, u64)>,
    /// Bytes that all extents of items need within the file; may lie behind its end.
    pub(super) end: u64,
    /// Parts of the track that is being read: handler is pictures, frames, length.
    track: (bool, u64, u64),
    visits: u32,
}

impl Outline {
    /// Walks the whole file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut outline = Self::default();
        outline.walk(bytes, 0)?;
        Ok(outline)
    }

    fn visit(&mut self) -> Result<(), DecodeError> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(DecodeError::TooLarge(format!(
                "HEIF with more than {MAX_VISITS} boxes and extents"
            )));
        }
        Ok(())
    }

    fn walk(&mut self, bytes: &[u8], depth: u32) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::Damaged("HEIF: its boxes nest too deep".to_owned()));
        }
        let mut at = 0usize;
        while let (Some(size), Some(kind)) = (BE.u32(bytes, at), bytes.get(at + 4..at + 8)) {
            self.visit()?;
            let rest = (bytes.len() - at) as u64;
            let (head, size) = match size {
                0 => (8, rest),
                1 => (16, BE.u64(bytes, at + 8).unwrap_or(0)),
                n => (8, u64::from(n)),
            };
            if size < head {
                return Err(DecodeError::Damaged(
                    "HEIF: a box is smaller than its head".to_owned(),
                ));
            }
            // A box that runs out of the file is read as far as it goes; libheif decides what it is worth.
            let end = at + size.min(rest) as usize;
            let body = bytes.get(at + head as usize..end).unwrap_or_default();
            self.enter(kind, body, depth)?;
            at = end;
        }
        Ok(())
    }

    fn enter(&mut self, kind: &[u8], body: &[u8], depth: u32) -> Result<(), DecodeError> {
        match kind {
            // `meta` is a full box: version and flags come first.
            b"meta" => self.walk(body.get(4..).unwrap_or_default(), depth + 1)?,
            b"iprp" | b"ipco" | b"moov" | b"mdia" | b"minf" | b"stbl" => {
                self.walk(body, depth + 1)?
            }
            b"trak" => {
                self.track = (false, 0, 0);
                self.walk(body, depth + 1)?;
                let (pictures, frames, ms) = self.track;
                if pictures && self.sequence.is_none() {
                    self.sequence = Some((frames, ms));
                }
            }
            b"ispe" => {
                self.sizes.push((BE.u32(body, 4).unwrap_or(0), BE.u32(body, 8).unwrap_or(0)))
            }
            b"hdlr" => self.track.0 |= body.get(8..12) == Some(b"pict"),
            b"stsz" => self.track.1 = u64::from(BE.u32(body, 8).unwrap_or(0)),
            b"mdhd" => self.track.2 = media_ms(body).unwrap_or(0),
            b"iloc" => self.extents(body)?,
            _ => {}
        }
        Ok(())
    }

    /// Finds the farthest byte that an item lies at.
    fn extents(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let cut =
            || DecodeError::Damaged("HEIF: the table of item locations is cut short".to_owned());
        let version = *body.first().ok_or_else(cut)?;
        let sizes = BE.u16(body, 4).ok_or_else(cut)?;
        let (offset, length, base) = (sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15);
        let index = if version == 0 { 0 } else { sizes & 15 };
        let mut at = 6;
        let mut number = |width: u16| -> Result<u64, DecodeError> {
            let value = match width {
                0 => Some(0),
                2 => BE.u16(body, at).map(u64::from),
                4 => BE.u32(body, at).map(u64::from),
                8 => BE.u64(body, at),
                _ => None,
            };
            at += usize::from(width);
            value.ok_or_else(cut)
        };
        let id = if version < 2 { 2 } else { 4 };
        let items = number(id)?;
        for _ in 0..items {
            number(id)?;
            let construction = if version == 0 { 0 } else { number(2)? & 15 };
            number(2)?;
            let start = number(base)?;
            let extents = number(2)?;
            for _ in 0..extents {
                self.visits += 1;
                if self.visits > MAX_VISITS {
                    return Err(DecodeError::TooLarge(format!(
                        "HEIF with more than {MAX_VISITS} extents"
                    )));
                }
                number(index)?;
                let (from, bytes) = (number(offset)?, number(length)?);
                // Others lie within `idat` or another item, not at a place of the file.
                if construction == 0 {
                    self.end = self.end.max(start.saturating_add(from).saturating_add(bytes));
                }
            }
        }
        Ok(())
    }
}

/// Length in milliseconds by a media header.
fn media_ms(body: &[u8]) -> Option<u64> {
    let (scale, duration) = if body.first() == Some(&1) {
        (BE.u32(body, 20)?, BE.u64(body, 24)?)
    } else {
        (BE.u32(body, 12)?, u64::from(BE.u32(body, 16)?))
    };
    u64::try_from(u128::from(duration) * 1000 / u128::from(scale.max(1))).ok()
}
