//! The canvas that the frames of an animation are composed on.

use models::RgbImage;

use super::emit;
use crate::decode::DecodeError;
use crate::measure::blocks::Signature;

/// A part of the canvas in pixels; always used clipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    /// Left edge.
    pub(super) x: u32,
    /// Top edge.
    pub(super) y: u32,
    /// Width.
    pub(super) width: u32,
    /// Height.
    pub(super) height: u32,
}

/// RGBA pixels, not premultiplied, at first transparent.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

/// The colour of a pixel laid over white.
pub(super) fn over_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let alpha = u16::from(a);
    [r, g, b].map(|c| ((u16::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

/// The colour of a pixel laid over black.
pub(super) fn over_black([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let alpha = u16::from(a);
    [r, g, b].map(|c| ((u16::from(c) * alpha + 127) / 255) as u8)
}

/// `top` laid over `under`, neither premultiplied (Porter–Duff "over").
fn over(top: [u8; 4], under: [u8; 4]) -> [u8; 4] {
    let (ta, ua) = (u32::from(top[3]), u32::from(under[3]));
    if ta == 255 || ua == 0 {
        return top;
    }
    if ta == 0 {
        return under;
    }
    // Alphas times 255, so that nothing is rounded before the end.
    let under_share = ua * (255 - ta);
    let sum = ta * 255 + under_share;
    let mix = |t: u8, u: u8| {
        ((u32::from(t) * ta * 255 + u32::from(u) * under_share + sum / 2) / sum) as u8
    };
    [mix(top[0], under[0]), mix(top[1], under[1]), mix(top[2], under[2]), ((sum + 127) / 255) as u8]
}

impl Canvas {
    /// A transparent canvas.
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { width, height, rgba: vec![0; width as usize * height as usize * 4] }
    }

    /// The part of `rect` that lies on the canvas.
    fn clip(&self, rect: Rect) -> Rect {
        let (x, y) = (rect.x.min(self.width), rect.y.min(self.height));
        Rect {
            x,
            y,
            width: rect.width.min(self.width - x),
            height: rect.height.min(self.height - y),
        }
    }

    /// The rows of the canvas within a clipped rectangle.
    fn rows(&mut self, rect: Rect) -> impl Iterator<Item = &mut [u8]> {
        let stride = self.width as usize * 4;
        let (from, to) = (rect.x as usize * 4, (rect.x + rect.width) as usize * 4);
        let rows = self.rgba.chunks_exact_mut(stride.max(1));
        rows.skip(rect.y as usize)
            .take(rect.height as usize)
            .filter_map(move |row| row.get_mut(from..to))
    }

    /// Draws a frame whose rows are given by `row` as RGBA (packed, at least as wide as `rect`): laid over what
    /// is there, or in its place.
    pub(super) fn draw<'a>(
        &mut self,
        rect: Rect,
        blend: bool,
        rows: impl Iterator<Item = &'a [u8]>,
    ) {
        let clipped = self.clip(rect);
        for (to, from) in self.rows(clipped).zip(rows) {
            if !blend {
                let n = to.len().min(from.len());
                if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
                    to.copy_from_slice(from);
                }
                continue;
            }
            for (under, top) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
                *under = over(*top, *under);
            }
        }
    }

    /// Makes a part transparent.
    pub(super) fn clear(&mut self, rect: Rect) {
        let clipped = self.clip(rect);
        self.rows(clipped).for_each(|row| row.fill(0));
    }

    /// A copy of a part, to be put back by [`Canvas::restore`].
    pub(super) fn save(&mut self, rect: Rect) -> Vec<u8> {
        let clipped = self.clip(rect);
        self.rows(clipped).flat_map(|row| row.iter().copied()).collect()
    }

    /// Puts a saved part back.
    pub(super) fn restore(&mut self, rect: Rect, saved: &[u8]) {
        let clipped = self.clip(rect);
        let stride = (clipped.width as usize * 4).max(1);
        for (to, from) in self.rows(clipped).zip(saved.chunks_exact(stride)) {
            to.copy_from_slice(from);
        }
    }

    /// The canvas over white and black.
    pub(super) fn flatten(&self) -> Result<Flat, DecodeError> {
        flatten(self.width, self.height, &self.rgba)
    }
}

/// A picture without transparency.
pub(super) struct Flat {
    /// What a white page shows of it.
    pub(super) white: RgbImage,
    /// What a black page shows, where that is another picture: what is drawn in white is seen only there.
    pub(super) black: Option<RgbImage>,
}

impl From<RgbImage> for Flat {
    fn from(white: RgbImage) -> Self {
        Self { white, black: None }
    }
}

impl Flat {
    /// Keeps what a black page shows only where it differs by more than near-duplicates do.
    pub(super) fn new(white: RgbImage, black: RgbImage) -> Self {
        let differs = Signature::of(&white).differs(&Signature::of(&black));
        Self { white, black: differs.then_some(black) }
    }
}

/// RGBA over white and black.
pub(super) fn flatten(width: u32, height: u32, rgba: &[u8]) -> Result<Flat, DecodeError> {
    let pixels = rgba.as_chunks::<4>().0;
    let over = |ground: fn([u8; 4]) -> [u8; 3]| {
        let mut rgb = vec![0; pixels.len() * 3];
        for (to, from) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            *to = ground(*from);
        }
        emit::rgb(width, height, rgb)
    };
    let white = over(over_white)?;
    if pixels.iter().all(|[.., alpha]| *alpha == u8::MAX) {
        return Ok(white.into());
    }
    Ok(Flat::new(white, over(over_black)?))
}
