//! A picture in memory and its two usual file formats.

use super::Error;

/// An RGB picture, 8 bits a channel, rows packed: `rgb.len() == width * height * 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Packed pixels, row by row.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture in which the pixel at (x, y) is `colour(x, y)`.
    pub fn from_fn(width: u32, height: u32, mut colour: impl FnMut(u32, u32) -> [u8; 3]) -> Self {
        let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
        for y in 0..height {
            for x in 0..width {
                rgb.extend_from_slice(&colour(x, y));
            }
        }
        Self { width, height, rgb }
    }

    /// The colour at (x, y); the nearest edge pixel where that lies outside.
    pub fn at(&self, x: i64, y: i64) -> [u8; 3] {
        let x = x.clamp(0, i64::from(self.width) - 1) as usize;
        let y = y.clamp(0, i64::from(self.height) - 1) as usize;
        let start = (y * self.width as usize + x) * 3;
        [self.rgb[start], self.rgb[start + 1], self.rgb[start + 2]]
    }

    /// Sets the colour at (x, y), if that lies inside.
    pub fn set(&mut self, x: u32, y: u32, colour: [u8; 3]) {
        if x < self.width && y < self.height {
            let start = (y as usize * self.width as usize + x as usize) * 3;
            self.rgb[start..start + 3].copy_from_slice(&colour);
        }
    }

    /// Blurred by three box filters of the given radius in pixels, close to a Gaussian.
    #[must_use]
    pub fn blurred(&self, radius: u32) -> Self {
        let mut picture = self.clone();
        for _ in 0..3 {
            picture = picture.box_row(radius).transposed().box_row(radius).transposed();
        }
        picture
    }

    fn transposed(&self) -> Self {
        Self::from_fn(self.height, self.width, |x, y| self.at(i64::from(y), i64::from(x)))
    }

    /// Mean over `2 * radius + 1` neighbours along each row, by a running sum.
    fn box_row(&self, radius: u32) -> Self {
        let (radius, count) = (i64::from(radius), 2 * radius + 1);
        let mut sum = [0u32; 3];
        Self::from_fn(self.width, self.height, |x, y| {
            let (x, y) = (i64::from(x), i64::from(y));
            if x == 0 {
                sum = [0; 3];
                for near in -radius..=radius {
                    add(&mut sum, self.at(near, y));
                }
            } else {
                add(&mut sum, self.at(x + radius, y));
                for (total, old) in sum.iter_mut().zip(self.at(x - radius - 1, y)) {
                    *total -= u32::from(old);
                }
            }
            sum.map(|total| ((total + count / 2) / count) as u8)
        })
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// When the encoder refuses the picture (a side of zero).
    pub fn png(&self) -> Result<Vec<u8>, Error> {
        let fail =
            |error: png::EncodingError| Error::Encode { format: "PNG", detail: error.to_string() };
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(fail)?;
        writer.write_image_data(&self.rgb).map_err(fail)?;
        writer.finish().map_err(fail)?;
        Ok(bytes)
    }

    /// The bytes of a baseline JPEG file at the given quality in 1..=100.
    ///
    /// # Errors
    /// When a side is zero or over 65,535, the most that JPEG can say.
    pub fn jpeg(&self, quality: u8) -> Result<Vec<u8>, Error> {
        let fail = |detail: String| Error::Encode { format: "JPEG", detail };
        let side = |n: u32| u16::try_from(n).map_err(|_| fail(format!("a side of {n} pixels")));
        let mut bytes = Vec::new();
        jpeg_encoder::Encoder::new(&mut bytes, quality)
            .encode(&self.rgb, side(self.width)?, side(self.height)?, jpeg_encoder::ColorType::Rgb)
            .map_err(|error| fail(error.to_string()))?;
        Ok(bytes)
    }
}

fn add(sum: &mut [u32; 3], colour: [u8; 3]) {
    for (total, new) in sum.iter_mut().zip(colour) {
        *total += u32::from(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_of_a_single_bright_column_spreads_it_evenly_and_keeps_the_light() {
        let line = Picture::from_fn(41, 3, |x, _| if x == 20 { [240, 0, 0] } else { [0; 3] });
        let blurred = line.box_row(1);
        assert_eq!([18, 19, 20, 21, 22].map(|x| blurred.at(x, 1)[0]), [0, 80, 80, 80, 0]);
    }

    #[test]
    fn png_starts_with_its_signature_and_size() {
        let bytes = Picture::from_fn(7, 5, |_, _| [1, 2, 3]).png();
        let bytes = bytes.as_deref().unwrap_or_default();
        assert_eq!(bytes.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]));
        assert_eq!(bytes.get(16..24), Some(&[0, 0, 0, 7, 0, 0, 0, 5][..]));
    }
}
