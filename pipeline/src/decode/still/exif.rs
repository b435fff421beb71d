//! The orientation from a block of Exif, which is a small TIFF (Exif 2.32, tag 0x0112).
//!
//! Only the first directory is looked at: the second one describes the thumbnail. Other tags, however
//! broken, cannot keep a picture from being turned upright.

use super::bytes::Order;
use super::orient::Orientation;

const ORIENTATION: u16 = 0x0112;

/// The byte order that a TIFF header declares.
pub(super) fn order(tiff: &[u8]) -> Option<Order> {
    match tiff.get(..2)? {
        b"II" => Some(Order::Little),
        b"MM" => Some(Order::Big),
        _ => None,
    }
}

/// The orientation in a raw Exif block, with or without its `Exif\0\0` prefix; upright where there is none.
pub(super) fn orientation(block: &[u8]) -> Orientation {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    find(tiff).map_or(Orientation::UPRIGHT, Orientation::from_exif)
}

fn find(tiff: &[u8]) -> Option<u16> {
    let order = order(tiff)?;
    let directory = usize::try_from(order.u32(tiff, 4)?).ok()?;
    let entries = usize::from(order.u16(tiff, directory)?);
    for entry in 0..entries {
        let at = directory.checked_add(2 + 12 * entry)?;
        if order.u16(tiff, at)? == ORIENTATION {
            // SHORT by the standard; LONG is seen in the wild.
            return match order.u16(tiff, at + 2)? {
                4 => u16::try_from(order.u32(tiff, at + 8)?).ok(),
                1 => tiff.get(at + 8).copied().map(u16::from),
                _ => order.u16(tiff, at + 8),
            };
        }
    }
    None
}
