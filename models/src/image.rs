//! Pixels as they travel from decoder to model.

use serde::{Deserialize, Serialize};

/// An upright 8-bit RGB picture, rows packed without padding: `data.len() == width * height * 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl RgbImage {
    /// Wraps packed RGB bytes; `None` when the length does not fit the size, or a side is zero.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Option<Self> {
        let want = u64::from(width) * u64::from(height) * 3;
        (width > 0 && height > 0 && data.len() as u64 == want).then_some(Self {
            width,
            height,
            data,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Packed RGB bytes, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Packed RGB bytes, mutable.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Gives the bytes away.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// How a picture is brought into a rendition's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Exactly `width` × `height`; the aspect ratio is not kept.
    Stretch,
    /// The largest size with the same aspect ratio that fits into `width` × `height`; never enlarged.
    Within,
}

/// How pixels are computed when a picture changes its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Two taps a side, corner pixels map onto corner pixels (TensorFlow's `align_corners = true`).
    BilinearAlignCorners,
    /// Two taps a side, half-pixel centres (OpenCV's `INTER_LINEAR`); aliases when it shrinks much.
    Bilinear,
    /// Triangle kernel widened by the reduction (Pillow's `BILINEAR`): shrinks without aliasing.
    Triangle,
}

/// A size at which a detector wants to see a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rendition {
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// How the picture is brought into it.
    pub fit: Fit,
    /// How pixels are computed.
    pub filter: Filter,
}

impl Rendition {
    /// The size in pixels that a picture of `width` × `height` gets; each side at least 1.
    pub fn size(&self, width: u32, height: u32) -> (u32, u32) {
        match self.fit {
            Fit::Stretch => (self.width, self.height),
            Fit::Within => {
                let scale = (f64::from(self.width) / f64::from(width.max(1)))
                    .min(f64::from(self.height) / f64::from(height.max(1)))
                    .min(1.0);
                let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
                (side(width), side(height))
            }
        }
    }

    /// The least scale in 0..=1 at which a picture must be decoded so that this rendition only ever shrinks it.
    pub fn least_scale(&self, width: u32, height: u32) -> f64 {
        let (w, h) = self.size(width, height);
        (f64::from(w) / f64::from(width.max(1)))
            .max(f64::from(h) / f64::from(height.max(1)))
            .min(1.0)
    }
}
