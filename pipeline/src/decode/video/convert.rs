//! Planar YUV → packed RGB, scaled down, with square pixels and turned upright.
//!
//! The planes are scaled first, each from its own size to the size wanted, and converted then: far fewer pixels are
//! touched than the other way round. Matrices: ITU-R BT.601, BT.709, BT.2020 (non-constant luminance). Transfer
//! functions are left as they are: HDR looks flat, not wrong in hue.

use fast_image_resize as fir;
use fir::images::{Image, ImageRef};
use gstreamer_video as video;
use models::RgbImage;
use serde::{Deserialize, Serialize};
use video::prelude::*;

/// How a picture has to be turned to be upright: first mirrored left to right, then turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orientation {
    /// Whether it is mirrored.
    pub mirrored: bool,
    /// Quarter turns clockwise, 0..=3.
    pub quarters: u8,
}

impl Orientation {
    /// Reads GStreamer's `image-orientation` tag: `rotate-90`, `flip-rotate-270`…
    pub fn from_tag(tag: &str) -> Self {
        let turn = tag.strip_prefix("flip-").unwrap_or(tag);
        let quarters = match turn {
            "rotate-90" => 1,
            "rotate-180" => 2,
            "rotate-270" => 3,
            _ => 0,
        };
        Self { mirrored: tag.starts_with("flip-"), quarters }
    }

    /// Width and height after turning.
    pub fn turn(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.quarters % 2 == 1 { (height, width) } else { (width, height) }
    }
}

/// Scales and converts frames; keeps its tables between frames of one size.
pub struct Converter {
    resizer: fir::Resizer,
    planes: [Image<'static>; 3],
}

impl Default for Converter {
    fn default() -> Self {
        let plane = || Image::new(1, 1, fir::PixelType::U8);
        Self { resizer: fir::Resizer::new(), planes: [plane(), plane(), plane()] }
    }
}

impl Converter {
    /// Converts one I420 frame to `size` (before turning), then turns it. `None` when the frame is not what it says.
    pub fn convert(
        &mut self,
        frame: &video::VideoFrameRef<&gstreamer::BufferRef>,
        size: (u32, u32),
        orientation: Orientation,
    ) -> Option<RgbImage> {
        let info = frame.info();
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear));
        for (i, plane) in (0u32..).zip(&mut self.planes) {
            let (width, height) = (info.comp_width(i as u8), info.comp_height(i as u8));
            let stride = u32::try_from(*frame.plane_stride().get(i as usize)?).ok()?;
            let data = frame.plane_data(i).ok()?;
            let rows = height.min(u32::try_from(data.len()).ok()? / stride.max(1));
            let data = data.get(..stride as usize * rows as usize)?;
            let source = ImageRef::new(stride, rows, data, fir::PixelType::U8).ok()?;
            if (plane.width(), plane.height()) != size {
                *plane = Image::new(size.0, size.1, fir::PixelType::U8);
            }
            let crop = options.crop(0.0, 0.0, f64::from(width), f64::from(rows));
            self.resizer.resize(&source, plane, &crop).ok()?;
        }
        let [y, u, v] = &self.planes;
        let rgb = matrix(info).apply(y.buffer(), u.buffer(), v.buffer());
        RgbImage::new(size.0, size.1, rgb).map(|image| turn(image, orientation))
    }
}

/// Fixed-point YUV → RGB, 13 fractional bits.
struct Matrix {
    luma: i32,
    black: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

const BITS: i32 = 13;

fn matrix(info: &video::VideoInfo) -> Matrix {
    let colour = info.colorimetry();
    let (kr, kb) = match colour.matrix() {
        video::VideoColorMatrix::Bt709 => (0.2126, 0.0722),
        video::VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
        video::VideoColorMatrix::Smpte240m => (0.212, 0.087),
        video::VideoColorMatrix::Fcc => (0.30, 0.11),
        video::VideoColorMatrix::Bt601 => (0.299, 0.114),
        // Where the stream says nothing, high definition is BT.709 and the rest BT.601, as players assume.
        _ if info.height() > 576 => (0.2126, 0.0722),
        _ => (0.299, 0.114),
    };
    Matrix::new(kr, kb, colour.range() == video::VideoColorRange::Range0_255)
}

impl Matrix {
    fn new(kr: f64, kb: f64, full: bool) -> Self {
        let (black, luma, chroma) =
            if full { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
        let kg = 1.0 - kr - kb;
        let fixed = |x: f64| (x * f64::from(1 << BITS)).round() as i32;
        Self {
            luma: fixed(luma),
            black,
            red_v: fixed(2.0 * (1.0 - kr) * chroma),
            green_u: fixed(2.0 * kb * (1.0 - kb) / kg * chroma),
            green_v: fixed(2.0 * kr * (1.0 - kr) / kg * chroma),
            blue_u: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }

    fn apply(&self, y: &[u8], u: &[u8], v: &[u8]) -> Vec<u8> {
        let mut rgb = vec![0; y.len() * 3];
        let half = 1 << (BITS - 1);
        for (((out, y), u), v) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(y).zip(u).zip(v) {
            let y = (i32::from(*y) - self.black) * self.luma + half;
            let (u, v) = (i32::from(*u) - 128, i32::from(*v) - 128);
            let clip = |x: i32| (x >> BITS).clamp(0, 255) as u8;
            *out = [
                clip(y + v * self.red_v),
                clip(y - u * self.green_u - v * self.green_v),
                clip(y + u * self.blue_u),
            ];
        }
        rgb
    }
}

fn turn(image: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::default() {
        return image;
    }
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (out_width, out_height) = orientation.turn((image.width(), image.height()));
    let source = image.data().as_chunks::<3>().0;
    let mut out = Vec::with_capacity(image.data().len());
    for y in 0..out_height as usize {
        for x in 0..out_width as usize {
            let (sx, sy) = match orientation.quarters {
                0 => (x, y),
                1 => (y, height - 1 - x),
                2 => (width - 1 - x, height - 1 - y),
                _ => (width - 1 - y, x),
            };
            let sx = if orientation.mirrored { width - 1 - sx } else { sx };
            out.extend_from_slice(source.get(sy * width + sx).unwrap_or(&[0; 3]));
        }
    }
    RgbImage::new(out_width, out_height, out).unwrap_or(image)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    /// Reference values: ITU-R BT.601/709 studio-range encodings of pure colours.
    #[test]
    fn pure_colours_come_out_pure() {
        for (kr, kb, yuv, rgb) in [
            (0.299, 0.114, [81, 90, 240], [255, 0, 0]),
            (0.299, 0.114, [145, 54, 34], [0, 255, 0]),
            (0.2126, 0.0722, [63, 102, 240], [255, 0, 0]),
            (0.2126, 0.0722, [32, 240, 118], [0, 0, 255]),
            (0.299, 0.114, [235, 128, 128], [255, 255, 255]),
            (0.299, 0.114, [16, 128, 128], [0, 0, 0]),
        ] {
            let out = Matrix::new(kr, kb, false).apply(&yuv[..1], &yuv[1..2], &yuv[2..]);
            for (a, b) in out.iter().zip(&rgb) {
                assert!(a.abs_diff(*b) <= 2, "{yuv:?}: {out:?} is not {rgb:?}");
            }
        }
        assert_eq!(Matrix::new(0.299, 0.114, true).apply(&[7], &[128], &[128]), [7, 7, 7]);
    }

    #[test]
    fn turning_moves_the_corners_where_they_belong() {
        // 2 × 1: red left, blue right
        let image = RgbImage::new(2, 1, vec![255, 0, 0, 0, 0, 255]).unwrap();
        let data = |tag: &str| {
            let out = turn(image.clone(), Orientation::from_tag(tag));
            (out.width(), out.height(), out.data()[0] == 255)
        };
        assert_eq!(data("rotate-0"), (2, 1, true));
        assert_eq!(data("rotate-90"), (1, 2, true)); // left becomes top
        assert_eq!(data("rotate-180"), (2, 1, false));
        assert_eq!(data("rotate-270"), (1, 2, false));
        assert_eq!(data("flip-rotate-0"), (2, 1, false));
        assert_eq!(data("flip-rotate-90"), (1, 2, false));
    }
}
