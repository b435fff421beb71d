//! One grey plane of a frame, shared by the measures that look at brightness only.

use std::borrow::Cow;
use std::ops::Range;

use fast_image_resize as fir;
use models::{Filter, Fit, Rendition, RgbImage};

/// 8-bit luma (BT.601), rows packed without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grey {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Grey {
    /// The luma of a picture, rounded: 0.299 R + 0.587 G + 0.114 B in 16 bits of fraction.
    pub fn of(image: &RgbImage) -> Self {
        let data = image.data().as_chunks::<3>().0.iter().map(luma).collect();
        Self { width: image.width(), height: image.height(), data }
    }

    /// Wraps packed bytes; `None` when the length does not fit the size, or a side is zero.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Option<Self> {
        let want = u64::from(width) * u64::from(height);
        (want > 0 && data.len() as u64 == want).then_some(Self { width, height, data })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The longer of the two.
    pub fn long_side(&self) -> u32 {
        self.width.max(self.height)
    }

    /// The shorter of the two.
    pub fn short_side(&self) -> u32 {
        self.width.min(self.height)
    }

    /// Packed bytes, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The rows, from the top.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.data.chunks_exact(self.width as usize)
    }

    /// The picture in pieces along its longer side, in order. Each is as long as twice the shorter side or as `side`,
    /// whichever is more, and overlaps the next by `overlap`; a picture no longer than that is its only piece.
    pub fn tiles(&self, side: u32, overlap: u32) -> Vec<Cow<'_, Self>> {
        let (long, length) = (self.long_side(), side.max(self.short_side().saturating_mul(2)));
        if long <= length {
            return vec![Cow::Borrowed(self)];
        }
        let step = length.saturating_sub(overlap).max(1);
        let last = long - length;
        // The last piece ends where the picture does.
        let starts = (0..=last.div_ceil(step)).map(|i| (i * step).min(last));
        let piece = |start: u32| {
            if self.width > self.height {
                self.crop(start, 0, length, self.height)
            } else {
                self.crop(0, start, self.width, length)
            }
        };
        starts.filter_map(piece).map(Cow::Owned).collect()
    }

    /// A part of the picture; `None` where it has no pixels or does not lie within.
    pub fn crop(&self, left: u32, top: u32, width: u32, height: u32) -> Option<Self> {
        let (right, bottom) = (left.checked_add(width)?, top.checked_add(height)?);
        if right > self.width || bottom > self.height {
            return None;
        }
        let rows = self.rows().skip(top as usize).take(height as usize);
        let data: Vec<u8> = rows
            .filter_map(|row| row.get(left as usize..right as usize))
            .flatten()
            .copied()
            .collect();
        Self::new(width, height, data)
    }

    /// Columns and rows exchanged.
    pub fn transposed(&self) -> Option<Self> {
        // Block by block, so that both pictures stay in the cache.
        const BLOCK: usize = 32;
        let (width, height) = (self.width as usize, self.height as usize);
        let mut data = vec![0; self.data.len()];
        for top in (0..height).step_by(BLOCK) {
            for left in (0..width).step_by(BLOCK) {
                let columns = BLOCK.min(width - left);
                for y in top..height.min(top + BLOCK) {
                    let row = self.data.get(y * width + left..).unwrap_or_default();
                    let column = data.get_mut(left * height + y..).unwrap_or_default();
                    for (place, &v) in
                        column.iter_mut().step_by(height).zip(row.iter().take(columns))
                    {
                        *place = v;
                    }
                }
            }
        }
        Self::new(self.height, self.width, data)
    }

    /// Turned to the left by a quarter.
    pub fn turned_left(&self) -> Option<Self> {
        let transposed = self.transposed()?;
        let data = transposed.rows().rev().flatten().copied().collect();
        Self::new(transposed.width, transposed.height, data)
    }

    /// Turned upside down.
    pub fn turned_round(&self) -> Self {
        let data = self.data.iter().rev().copied().collect();
        Self { width: self.width, height: self.height, data }
    }

    /// Brightness stretched so that the darkest pixel is black and the lightest white.
    pub fn stretched(mut self) -> Self {
        let (low, high) = self.data.iter().fold((u8::MAX, 0), |(l, h), &v| (l.min(v), h.max(v)));
        let range = u32::from(high.saturating_sub(low)).max(1);
        for v in &mut self.data {
            *v = (u32::from(*v - low) * 255 / range) as u8;
        }
        self
    }

    /// Shrunk or enlarged to a size.
    pub fn resized(&self, width: u32, height: u32) -> Option<Self> {
        let mut data = vec![0; width as usize * height as usize];
        let kind = fir::PixelType::U8;
        let source = fir::images::ImageRef::new(self.width, self.height, &self.data, kind).ok()?;
        let mut target = fir::images::Image::from_slice_u8(width, height, &mut data, kind).ok()?;
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom))
            .use_alpha(false);
        fir::Resizer::new().resize(&source, &mut target, &options).ok()?;
        Self::new(width, height, data)
    }

    /// Paints the pixels at which `inside` holds, within columns `x` and rows `y`.
    pub fn paint(
        &mut self,
        x: Range<u32>,
        y: Range<u32>,
        value: u8,
        inside: impl Fn(u32, u32) -> bool,
    ) {
        let rows = self.data.chunks_exact_mut(self.width as usize).enumerate();
        for (row, pixels) in rows.skip(y.start as usize).take(y.len()) {
            for (column, v) in pixels.iter_mut().enumerate().skip(x.start as usize).take(x.len()) {
                if inside(column as u32, row as u32) {
                    *v = value;
                }
            }
        }
    }

    /// Shrunk by area averaging until the long side is at most `side`; `None` where it is already.
    pub fn within(&self, side: u32) -> Option<Self> {
        if self.long_side() <= side {
            return None;
        }
        let frame =
            Rendition { width: side, height: side, fit: Fit::Within, filter: Filter::Triangle };
        let (width, height) = frame.size(self.width, self.height);
        let mut data = vec![0; width as usize * height as usize];
        let source =
            fir::images::ImageRef::new(self.width, self.height, &self.data, fir::PixelType::U8)
                .ok()?;
        let mut target =
            fir::images::Image::from_slice_u8(width, height, &mut data, fir::PixelType::U8).ok()?;
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Box))
            .use_alpha(false);
        fir::Resizer::new().resize(&source, &mut target, &options).ok()?;
        Some(Self { width, height, data })
    }
}

/// The luma of one pixel.
pub(super) fn luma(&[r, g, b]: &[u8; 3]) -> u8 {
    // 19595 + 38470 + 7471 = 65536.
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 32768) >> 16) as u8
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::Grey;

    /// Every pixel tells its row.
    fn ladder(width: u32, height: u32) -> Grey {
        let rows = (0..height).flat_map(|y| std::iter::repeat_n(y as u8, width as usize));
        Grey::new(width, height, rows.collect()).unwrap()
    }

    #[test]
    fn tiles_cover_a_tall_picture_in_order_and_overlap() {
        let tall = ladder(10, 95);
        let spans: Vec<(u8, u8)> = tall
            .tiles(16, 5)
            .iter()
            .map(|t| (*t.data().first().unwrap(), *t.data().last().unwrap()))
            .collect();
        assert_eq!(spans, [(0, 19), (15, 34), (30, 49), (45, 64), (60, 79), (75, 94)]);
    }

    #[test]
    fn a_quarter_turn_to_the_left_brings_the_right_side_up() {
        let grey = Grey::new(3, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(grey.transposed().unwrap().data(), [1, 4, 2, 5, 3, 6]);
        let left = grey.turned_left().unwrap();
        assert_eq!((left.width(), left.data()), (2, &[3, 6, 2, 5, 1, 4][..]));
        assert_eq!(grey.turned_round().data(), [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_picture_that_fits_is_its_only_tile() {
        let sizes = |grey: &Grey, side| {
            grey.tiles(side, 3).iter().map(|t| (t.width(), t.height())).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&ladder(10, 20), 8), [(10, 20)]);
        assert_eq!(sizes(&ladder(3, 64), 64), [(3, 64)]);
        assert_eq!(sizes(&ladder(30, 10), 8), [(20, 10), (20, 10)]);
    }
}
