//! One grey plane of a frame, shared by the measures that look at brightness only.

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

    /// Packed bytes, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The rows, from the top.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.data.chunks_exact(self.width as usize)
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

fn luma(&[r, g, b]: &[u8; 3]) -> u8 {
    // 19595 + 38470 + 7471 = 65536.
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 32768) >> 16) as u8
}
