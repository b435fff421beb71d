//! The eight orientations of Exif and how pixels get upright.

use models::RgbImage;

/// How a stored picture is turned to be upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Rows and columns change places (applied first).
    transpose: bool,
    /// Left and right change places in the upright picture.
    flip_x: bool,
    /// Top and bottom change places in the upright picture.
    flip_y: bool,
}

impl Orientation {
    /// Nothing to do.
    pub(super) const UPRIGHT: Self = Self { transpose: false, flip_x: false, flip_y: false };

    /// From the value of the Exif tag: 1 to 8; any other (0 and 255 are seen) means upright.
    pub(super) fn from_exif(value: u16) -> Self {
        let (transpose, flip_x, flip_y) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transpose, flip_x, flip_y }
    }

    /// The upright size of a stored size.
    pub(super) fn size(self, width: u32, height: u32) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Turns a stored picture upright.
    pub(super) fn apply(self, stored: RgbImage) -> RgbImage {
        if self == Self::UPRIGHT {
            return stored;
        }
        let (width, height) = self.size(stored.width(), stored.height());
        let (w, h, stored_w) = (width as usize, height as usize, stored.width() as usize);
        let source = stored.data();
        let mut upright = vec![0u8; source.len()];
        for (y, row) in upright.chunks_exact_mut(w * 3).enumerate() {
            let from_y = if self.flip_y { h - 1 - y } else { y };
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let from_x = if self.flip_x { w - 1 - x } else { x };
                let at = if self.transpose {
                    from_x * stored_w + from_y
                } else {
                    from_y * stored_w + from_x
                };
                if let Some(rgb) = source.get(at * 3..at * 3 + 3) {
                    pixel.copy_from_slice(rgb);
                }
            }
        }
        RgbImage::new(width, height, upright).unwrap_or(stored)
    }
}
