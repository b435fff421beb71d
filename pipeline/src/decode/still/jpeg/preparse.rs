//! A walk over the markers of a JPEG: size, scans, orientation. Decodes nothing.

use super::super::bytes::Order;
use super::super::exif;
use super::Orientation;
use crate::decode::DecodeError;

/// Most scans of a progressive picture; cameras and encoders write about ten. The figure is that of
/// libturbojpeg's own `TJFLAG_LIMITSCANS`.
const MAX_SCANS: u32 = 500;

/// Most pixels times scans, since each scan visits every block: 100 scans of the largest picture.
const MAX_VISITS: u64 = 5_000_000_000;

/// What the markers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// Stored width in pixels.
    pub(super) width: u32,
    /// Stored height in pixels.
    pub(super) height: u32,
    /// Components: 1 grey, 3 colour, 4 CMYK.
    pub(super) components: u8,
    /// Scans.
    pub(super) scans: u32,
    /// How the picture is turned to be upright.
    pub(super) orientation: Orientation,
    /// Where the picture ends; `None` where the file ends before its end marker.
    pub(super) end: Option<usize>,
}

fn damaged(why: &str) -> DecodeError {
    DecodeError::Damaged(format!("JPEG: {why}"))
}

impl Outline {
    /// Reads the markers of the first picture up to its end marker.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut outline = None;
        let mut turn = None;
        let (mut at, mut scans, mut end) = (2, 0u32, None);
        while let Some((marker, body)) = next_marker(bytes, at) {
            match marker {
                // End of image.
                0xd9 => {
                    end = Some(body);
                    break;
                }
                // Start of image again, restart, TEM: no length.
                0xd8 | 0xd0..=0xd7 | 0x01 => {
                    at = body;
                    continue;
                }
                _ => {}
            }
            let Some(length) = Order::Big.u16(bytes, body).map(usize::from) else { break };
            let Some(segment) = bytes.get(body + 2..body + length.max(2)) else { break };
            match marker {
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf if outline.is_none() => {
                    outline = Some(frame_header(marker, segment)?);
                }
                0xe1 if turn.is_none() && segment.starts_with(b"Exif\0\0") => {
                    turn = Some(exif::orientation(segment));
                }
                0xda => scans = scans.saturating_add(1),
                _ => {}
            }
            at = body + length.max(2);
        }
        let (width, height, components) = outline.ok_or_else(|| damaged("no frame header"))?;
        if scans == 0 {
            return Err(damaged("it ends before its first scan"));
        }
        let orientation = turn.unwrap_or(Orientation::UPRIGHT);
        Ok(Self { width, height, components, scans, orientation, end })
    }

    /// Refuses a picture whose scans would cost too much.
    pub(super) fn check_scans(&self) -> Result<(), DecodeError> {
        let visits = u64::from(self.width) * u64::from(self.height) * u64::from(self.scans);
        if self.scans > MAX_SCANS || visits > MAX_VISITS {
            return Err(DecodeError::TooLarge(format!(
                "JPEG with {} scans of {} × {} pixels",
                self.scans, self.width, self.height
            )));
        }
        Ok(())
    }
}

/// The segments before the first scan.
pub(super) fn head(bytes: &[u8]) -> &[u8] {
    let mut at = 2;
    while let Some((marker, body)) = next_marker(bytes, at) {
        let length = Order::Big.u16(bytes, body).map_or(2, |n| usize::from(n.max(2)));
        if matches!(marker, 0xd9 | 0xda) {
            break;
        }
        at = if matches!(marker, 0xd8 | 0xd0..=0xd7 | 0x01) { body } else { body + length };
    }
    bytes.get(..at).unwrap_or(bytes)
}

/// The next marker at or after `at` and where its body begins. Entropy-coded bytes in between are passed over:
/// there 0xFF is followed by zero.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += first_ff(bytes.get(at..)?)?;
        match *bytes.get(at + 1)? {
            0x00 => at += 2,
            0xff => at += 1,
            marker => return Some((marker, at + 2)),
        }
    }
}

/// The first 0xFF. In entropy-coded bytes it is a long way off: whole blocks are searched a word at a time.
fn first_ff(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 64;
    let start = bytes.chunks(BLOCK).position(|block| block.contains(&0xff))? * BLOCK;
    Some(start + bytes.get(start..)?.iter().position(|b| *b == 0xff)?)
}

/// Width, height and components of a start-of-frame segment; refuses the kinds that no browser shows.
fn frame_header(marker: u8, segment: &[u8]) -> Result<(u32, u32, u8), DecodeError> {
    let [precision, h1, h0, w1, w0, components, ..] = *segment else {
        return Err(damaged("the frame header is cut short"));
    };
    let unsupported = |what: &str| {
        Err(DecodeError::Unsupported(format!(
            "{what} JPEG; save it as a baseline or progressive JPEG"
        )))
    };
    match marker {
        0xc3 | 0xc7 | 0xcb | 0xcf => return unsupported("a lossless"),
        0xc5 | 0xc6 | 0xcd | 0xce => return unsupported("a hierarchical"),
        0xc9 | 0xca => return unsupported("an arithmetic-coded"),
        _ if precision != 8 => return unsupported(&format!("a {precision}-bit")),
        _ => {}
    }
    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
    Ok((side(w1, w0), side(h1, h0), components))
}
