//! How many bytes of a file a still takes: what comes behind them no decoder looks at.

use domain::Format;

use super::bytes::Order;
use super::jpeg;

/// Bytes from the start of the picture to its end; `None` where it has no end, or is of a format that tells none.
pub(crate) fn length(bytes: &[u8], format: Format) -> Option<usize> {
    let end = match format {
        Format::Jpeg => jpeg::end(bytes)?,
        Format::Png => png(bytes)?,
        Format::Gif => gif(bytes)?,
        Format::Webp | Format::Avi => riff(bytes)?,
        Format::Heic | Format::Avif => heif(bytes),
        _ => return None,
    };
    (end <= bytes.len()).then_some(end)
}

fn png(bytes: &[u8]) -> Option<usize> {
    let mut at = 8usize;
    loop {
        let length = Order::Big.u32(bytes, at)? as usize;
        let next = at.checked_add(12)?.checked_add(length)?;
        if bytes.get(at + 4..at + 8)? == b"IEND" {
            return Some(next);
        }
        at = next;
    }
}

/// Blocks up to the trailer (GIF89a, appendix B).
fn gif(bytes: &[u8]) -> Option<usize> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        at += match *bytes.get(at)? {
            0x3b => return Some(at + 1),
            0x21 => 2,
            0x2c => 11 + table(*bytes.get(at + 9)?),
            _ => return None,
        };
        loop {
            let size = usize::from(*bytes.get(at)?);
            at += 1 + size;
            if size == 0 {
                break;
            }
        }
    }
}

fn riff(bytes: &[u8]) -> Option<usize> {
    let length = Order::Little.u32(bytes, 4)? as usize;
    length.checked_add(8 + (length & 1)).map(|end| end.min(bytes.len().max(length + 8)))
}

/// Boxes up to the first that is no part of a picture: a second file, or the clip of a motion photo (`mpvd`).
fn heif(bytes: &[u8]) -> usize {
    let mut at = 0usize;
    while let (Some(size), Some(kind)) = (Order::Big.u32(bytes, at), bytes.get(at + 4..at + 8)) {
        let foreign = (at > 0 && kind == b"ftyp") || kind == b"mpvd";
        if foreign || !kind.iter().all(|b| (0x20..0x7f).contains(b)) {
            break;
        }
        let size = match size {
            0 => (bytes.len() - at) as u64,
            1 => Order::Big.u64(bytes, at + 8).unwrap_or(0),
            n => u64::from(n),
        };
        let end = (at as u64).saturating_add(size.max(8)).min(bytes.len() as u64);
        at = end as usize;
    }
    at
}
