//! Samples of a TIFF page to RGB.

use models::RgbImage;

use super::super::canvas::{Flat, over_black, over_white};
use super::super::emit;
use super::directory::{Page, Photometric, Sample};
use crate::decode::DecodeError;

/// Samples of a page as the crate unpacks them: rows padded to bytes, words in the byte order of the machine.
struct Samples<'a> {
    page: &'a Page,
    bytes: &'a [u8],
    row: usize,
    plane: usize,
}

impl Samples<'_> {
    /// The raw bits of sample `s` of the pixel; zero outside of the data.
    fn raw(&self, x: usize, y: usize, s: usize) -> u64 {
        let (index, start) = if self.page.planar {
            (x, s * self.plane + y * self.row)
        } else {
            (x * usize::from(self.page.samples) + s, y * self.row)
        };
        let row = self.bytes.get(start..).unwrap_or_default();
        let bits = usize::from(self.page.bits);
        match bits {
            8 => row.get(index).copied().map_or(0, u64::from),
            16 | 32 | 64 => {
                let width = bits / 8;
                let word = row.get(index * width..(index + 1) * width).unwrap_or_default();
                match *word {
                    [a, b] => u64::from(u16::from_ne_bytes([a, b])),
                    [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
                    [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
                    _ => 0,
                }
            }
            // Packed, most significant bit first.
            _ => (index * bits..(index + 1) * bits).fold(0, |value, bit| {
                let byte = row.get(bit / 8).copied().unwrap_or(0);
                value << 1 | u64::from(byte >> (7 - bit % 8) & 1)
            }),
        }
    }

    /// The sample scaled to 0..=255.
    fn eight(&self, x: usize, y: usize, s: usize) -> u8 {
        let raw = self.raw(x, y, s);
        let bits = u32::from(self.page.bits).clamp(1, 64);
        match self.page.sample {
            Sample::Float => {
                let value = match bits {
                    16 => half(raw as u16),
                    32 => f64::from(f32::from_bits(raw as u32)),
                    _ => f64::from_bits(raw),
                };
                (value.clamp(0.0, 1.0) * 255.0).round() as u8
            }
            // A signed sample is moved so that its least value is black.
            Sample::Signed => top_byte(raw ^ 1 << (bits - 1), bits),
            Sample::Unsigned => top_byte(raw, bits),
        }
    }
}

/// An unsigned number of so many bits scaled to 0..=255.
fn top_byte(raw: u64, bits: u32) -> u8 {
    if bits >= 8 {
        return (raw >> (bits - 8)) as u8;
    }
    (raw * 255 / ((1 << bits) - 1)) as u8
}

/// IEEE 754 binary16.
fn half(raw: u16) -> f64 {
    let (exponent, fraction) = (i32::from(raw >> 10 & 31), f64::from(raw & 1023));
    let size = if exponent == 0 {
        fraction * 2f64.powi(-24)
    } else {
        (1024.0 + fraction) * 2f64.powi(exponent - 25)
    };
    if raw >> 15 == 1 { -size } else { size }
}

/// Samples that the colour itself takes.
fn colours(photometric: Photometric) -> u16 {
    match photometric {
        Photometric::WhiteIsZero | Photometric::BlackIsZero | Photometric::Palette => 1,
        Photometric::Cmyk => 4,
        _ => 3,
    }
}

/// The page over white and black. `row` and `plane` are strides in bytes.
pub(super) fn to_rgb(
    page: &Page,
    bytes: &[u8],
    row: usize,
    plane: usize,
) -> Result<Flat, DecodeError> {
    let colours = colours(page.photometric);
    if page.samples < colours {
        let why = format!("TIFF: {} samples a pixel for {:?}", page.samples, page.photometric);
        return Err(DecodeError::Damaged(why));
    }
    let samples = Samples { page, bytes, row, plane };
    let alpha = matches!(page.extra, 1 | 2) && page.samples > colours;
    if !alpha {
        return over(&samples, colour).map(Into::into);
    }
    let with_alpha = |x, y| {
        let [r, g, b] = colour(&samples, x, y);
        [r, g, b, samples.eight(x, y, usize::from(colours))]
    };
    // Colours that are premultiplied already only want the ground behind them.
    let premultiplied = page.extra == 1;
    let white = over(&samples, |_, x, y| match with_alpha(x, y) {
        [r, g, b, a] if premultiplied => [r, g, b].map(|c| c.saturating_add(255 - a)),
        pixel => over_white(pixel),
    })?;
    let black = over(&samples, |_, x, y| match with_alpha(x, y) {
        [r, g, b, _] if premultiplied => [r, g, b],
        pixel => over_black(pixel),
    })?;
    Ok(Flat::new(white, black))
}

/// All pixels by a function of their place.
fn over(
    samples: &Samples<'_>,
    pixel: impl Fn(&Samples<'_>, usize, usize) -> [u8; 3],
) -> Result<RgbImage, DecodeError> {
    let (width, height) = (samples.page.width as usize, samples.page.height as usize);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        (0..width).for_each(|x| rgb.extend(pixel(samples, x, y)));
    }
    emit::rgb(samples.page.width, samples.page.height, rgb)
}

fn colour(samples: &Samples<'_>, x: usize, y: usize) -> [u8; 3] {
    let at = |s| samples.eight(x, y, s);
    match samples.page.photometric {
        Photometric::WhiteIsZero => [255 - at(0); 3],
        Photometric::BlackIsZero => [at(0); 3],
        Photometric::Rgb => [at(0), at(1), at(2)],
        Photometric::Palette => {
            let map = &samples.page.palette;
            let entries = map.len() / 3;
            let index = usize::try_from(samples.raw(x, y, 0)).unwrap_or(usize::MAX).min(entries);
            [0, 1, 2].map(|c| map.get(c * entries + index).map_or(0, |v| (v >> 8) as u8))
        }
        Photometric::Cmyk => {
            let light = u16::from(255 - at(3));
            [0, 1, 2].map(|c| ((u16::from(255 - at(c)) * light + 127) / 255) as u8)
        }
        Photometric::YCbCr => ycbcr(at(0), at(1), at(2)),
        Photometric::CieLab => lab(at(0), f64::from(at(1) as i8), f64::from(at(2) as i8)),
        Photometric::IccLab => lab(at(0), f64::from(at(1)) - 128.0, f64::from(at(2)) - 128.0),
    }
}

/// Full-range CCIR 601, as JFIF has it.
fn ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|c| c.round() as u8)
}

/// CIE L*a*b* (D50; L of 255 is 100) to sRGB, by way of XYZ with the Bradford-adapted matrix.
fn lab(l: u8, a: f64, b: f64) -> [u8; 3] {
    let fy = (f64::from(l) / 2.55 + 16.0) / 116.0;
    let linear = |t: f64| if t > 6.0 / 29.0 { t.powi(3) } else { (t - 4.0 / 29.0) * 108.0 / 841.0 };
    let (x, y, z) = (0.9642 * linear(fy + a / 500.0), linear(fy), 0.8249 * linear(fy - b / 200.0));
    let rgb = [
        3.1339 * x - 1.6169 * y - 0.4906 * z,
        -0.9788 * x + 1.9161 * y + 0.0335 * z,
        0.0719 * x - 0.2290 * y + 1.4052 * z,
    ];
    rgb.map(|c| {
        let c = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
        (c.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}
