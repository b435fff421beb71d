//! The image file directories of a TIFF, read without the crate: sizes, what samples mean, loops.

use super::super::bytes::Order;
use super::super::exif;
use super::super::orient::Orientation;
use crate::decode::DecodeError;

/// What the samples of a page mean (tag 262).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    /// Grey, zero is white.
    WhiteIsZero,
    /// Grey, zero is black.
    BlackIsZero,
    /// Red, green, blue.
    Rgb,
    /// An index into the colour map.
    Palette,
    /// Cyan, magenta, yellow, black.
    Cmyk,
    /// Luma and chroma of CCIR 601, full range.
    YCbCr,
    /// CIE L*a*b* with signed a and b.
    CieLab,
    /// CIE L*a*b* with a and b offset by half.
    IccLab,
}

/// Form of a sample (tag 339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// Unsigned integer.
    Unsigned,
    /// Two's complement.
    Signed,
    /// IEEE 754.
    Float,
}

/// One directory.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Place in the chain, from zero.
    pub(super) index: usize,
    /// Stored width in pixels.
    pub(super) width: u32,
    /// Stored height in pixels.
    pub(super) height: u32,
    /// Bits of one sample.
    pub(super) bits: u16,
    /// Samples of one pixel, extra ones included.
    pub(super) samples: u16,
    /// Form of the samples.
    pub(super) sample: Sample,
    /// What they mean.
    pub(super) photometric: Photometric,
    /// Whether each sample has a plane of its own.
    pub(super) planar: bool,
    /// The first extra sample: 1 alpha with colours premultiplied, 2 plain alpha, 0 anything else.
    pub(super) extra: u16,
    /// Colour map: all reds, then greens, then blues, of 16 bits.
    pub(super) palette: Vec<u16>,
    /// How the page is turned to be upright.
    pub(super) orientation: Orientation,
    /// NewSubfileType: bit 0 a reduced version, bit 2 a mask.
    subfile: u32,
    /// Where in the file the value of the photometric tag is.
    photometric_at: Option<usize>,
    /// Where in the file the link to the next directory is, and its bytes.
    link: std::ops::Range<usize>,
}

impl Page {
    /// A reduced version of another page, or a mask.
    pub(super) fn is_auxiliary(&self) -> bool {
        self.subfile & 0b101 != 0
    }

    /// Bytes of the samples of the whole page.
    pub(super) fn decoded_bytes(&self) -> u64 {
        let bits = u64::from(self.bits) * u64::from(self.samples);
        u64::from(self.width)
            .saturating_mul(u64::from(self.height))
            .saturating_mul(bits.div_ceil(8))
    }
}

fn damaged(why: &str) -> DecodeError {
    DecodeError::Damaged(format!("TIFF: {why}"))
}

/// Reads classic and BigTIFF alike.
struct Walker<'a> {
    bytes: &'a [u8],
    order: Order,
    big: bool,
}

impl Walker<'_> {
    fn offset(&self, at: usize) -> Option<usize> {
        let n = if self.big {
            self.order.u64(self.bytes, at)?
        } else {
            u64::from(self.order.u32(self.bytes, at)?)
        };
        usize::try_from(n).ok()
    }

    /// All pages of the chain; a loop ends it.
    fn pages(&self, most: usize) -> Result<Vec<Page>, DecodeError> {
        let mut next = self.offset(if self.big { 8 } else { 4 }).unwrap_or(0);
        let (mut seen, mut pages) = (std::collections::BTreeSet::new(), Vec::new());
        while next != 0 && seen.insert(next) {
            if pages.len() == most {
                return Err(DecodeError::TooLarge(format!("TIFF with more than {most} pages")));
            }
            match self.page(next, pages.len()) {
                Ok((page, after)) => {
                    pages.push(page);
                    next = after;
                }
                Err(e) if pages.is_empty() => return Err(e),
                // What follows a broken directory cannot be found.
                Err(_) => break,
            }
        }
        Ok(pages)
    }

    /// The page at `at`, and where the next one is.
    fn page(&self, at: usize, index: usize) -> Result<(Page, usize), DecodeError> {
        let cut = || damaged("a directory lies outside of the file");
        let (count, head, size) = if self.big {
            (self.order.u64(self.bytes, at).ok_or_else(cut)?, 8, 20)
        } else {
            (u64::from(self.order.u16(self.bytes, at).ok_or_else(cut)?), 2, 12)
        };
        let count = usize::try_from(count)
            .ok()
            .filter(|n| *n <= self.bytes.len() / size)
            .ok_or_else(cut)?;
        let mut page = Page {
            index,
            width: 0,
            height: 0,
            bits: 1,
            samples: 1,
            sample: Sample::Unsigned,
            photometric: Photometric::BlackIsZero,
            planar: false,
            extra: 0,
            palette: Vec::new(),
            orientation: Orientation::UPRIGHT,
            subfile: 0,
            photometric_at: None,
            link: 0..0,
        };
        let entries = at.saturating_add(head);
        for entry in 0..count {
            self.entry(&mut page, entries.saturating_add(entry * size))?;
        }
        let link = entries.saturating_add(count * size);
        page.link = link..link.saturating_add(if self.big { 8 } else { 4 });
        let after = self.offset(link).unwrap_or(0);
        Ok((page, after))
    }

    /// Where the values of an entry are, of how many bytes each, and how many.
    fn values(&self, at: usize) -> Option<(usize, usize, usize)> {
        let width = match self.order.u16(self.bytes, at + 2)? {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            _ => 8,
        };
        let count = self.offset(at + 4)?;
        let (value, inline) = if self.big { (at + 12, 8) } else { (at + 8, 4) };
        let place = if width * count.min(9) <= inline { value } else { self.offset(value)? };
        Some((place, width, count))
    }

    /// The first value of an entry.
    fn first(&self, at: usize) -> Option<u32> {
        match self.values(at)? {
            (place, 1, _) => self.bytes.get(place).copied().map(u32::from),
            (place, 2, _) => self.order.u16(self.bytes, place).map(u32::from),
            (place, 4, _) => self.order.u32(self.bytes, place),
            (place, _, _) => {
                self.order.u64(self.bytes, place).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
            }
        }
    }

    fn entry(&self, page: &mut Page, at: usize) -> Result<(), DecodeError> {
        let Some(tag) = self.order.u16(self.bytes, at) else {
            return Err(damaged("a directory is cut short"));
        };
        let Some(value) = self.first(at) else { return Ok(()) };
        let short = u16::try_from(value).unwrap_or(u16::MAX);
        match tag {
            254 => page.subfile = value,
            256 => page.width = value,
            257 => page.height = value,
            258 => page.bits = short,
            262 => {
                page.photometric = photometric(value)?;
                page.photometric_at = self.values(at).map(|(place, ..)| place);
            }
            274 => page.orientation = Orientation::from_exif(short),
            277 => page.samples = short,
            284 => page.planar = value == 2,
            320 => page.palette = self.palette(at),
            338 => page.extra = short,
            339 => {
                page.sample = match value {
                    2 => Sample::Signed,
                    3 => Sample::Float,
                    _ => Sample::Unsigned,
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn palette(&self, at: usize) -> Vec<u16> {
        let Some((place, 2, count)) = self.values(at) else { return Vec::new() };
        // 16 bits an index is the most there is.
        (0..count.min(3 << 16))
            .map_while(|i| self.order.u16(self.bytes, place.checked_add(i * 2)?))
            .collect()
    }
}

fn photometric(value: u32) -> Result<Photometric, DecodeError> {
    Ok(match value {
        0 => Photometric::WhiteIsZero,
        1 | 4 => Photometric::BlackIsZero,
        2 => Photometric::Rgb,
        3 => Photometric::Palette,
        5 => Photometric::Cmyk,
        6 => Photometric::YCbCr,
        8 => Photometric::CieLab,
        9 => Photometric::IccLab,
        other => {
            let what = format!("TIFF with photometric interpretation {other}; save it as PNG");
            return Err(DecodeError::Unsupported(what));
        }
    })
}

/// All pages of a file.
pub(super) fn pages(bytes: &[u8], most: usize) -> Result<Vec<Page>, DecodeError> {
    let order = exif::order(bytes).ok_or_else(|| damaged("no byte order"))?;
    Walker { bytes, order, big: order.u16(bytes, 2) == Some(43) }.pages(most)
}

/// A copy of the file in which every page says that it is grey with black as zero, and the last one that it is the
/// last: the crate refuses all of a chain that bites its tail.
pub(super) fn as_grey(bytes: &[u8], pages: &[Page]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let one: [u8; 2] = if bytes.starts_with(b"MM") { [0, 1] } else { [1, 0] };
    for at in pages.iter().filter_map(|page| page.photometric_at) {
        if let Some(value) = copy.get_mut(at..at.saturating_add(2)) {
            value.copy_from_slice(&one);
        }
    }
    if let Some(link) = pages.last().and_then(|page| copy.get_mut(page.link.clone())) {
        link.fill(0);
    }
    copy
}
