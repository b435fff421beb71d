//! The search of one picture for codes of one polarity.

use std::borrow::Cow;

use super::corner::{Corner, corners};
use super::decoder::{Code, Look, look};
use super::finder::Finder;
use super::grid;
use super::quad::{Quad, contains, middle};
use super::{MOST_FINDERS, QrCodes};
use crate::measure::grey::Grey;

/// Looks at a whole picture, each without the codes that were read before it.
const MOST_ROUNDS: usize = 3;
/// Looks at parts around three finder patterns: the decoder joins patterns of neighbouring codes where there are many.
const MOST_PARTS: usize = 8;

/// Three finder patterns that no other look explains, from which a code is sampled module by module.
const MOST_SAMPLED: usize = 12;

/// The search of one picture for codes of one polarity.
pub(super) struct Search<'a> {
    pub piece: Cow<'a, Grey>,
    /// 255 for light on dark.
    pub flip: u8,
    /// Finder patterns that no code that was read explains.
    pub finders: Vec<Finder>,
    pub illegible: Vec<Quad>,
    /// Where codes were read.
    pub read: &'a mut Vec<Quad>,
}

impl Search<'_> {
    pub fn run(mut self, codes: &mut QrCodes) {
        let mut panicked = false;
        for _ in 0..MOST_ROUNDS {
            let found = look(&self.piece, self.flip);
            panicked |= found.panicked;
            if !self.take(found, (0.0, 0.0), codes) || corners(&self.finders).is_empty() {
                break;
            }
        }
        for corner in corners(&self.finders).into_iter().take(MOST_PARTS) {
            // Read by now, as part of another corner?
            if corner.at.iter().any(|at| !self.finders.iter().any(|f| (f.x, f.y) == *at)) {
                continue;
            }
            let (left, top, width, height) = corner.surroundings(&self.piece);
            let Some(part) = self.piece.crop(left, top, width, height) else { continue };
            let found = look(&part, self.flip);
            self.take(found, (left as f32, top as f32), codes);
        }
        for corner in corners(&self.finders).into_iter().take(MOST_SAMPLED) {
            if !corner.at.iter().any(|at| !self.finders.iter().any(|f| (f.x, f.y) == *at)) {
                let found = sample(&self.piece, self.flip, &corner);
                self.take(found, (0.0, 0.0), codes);
            }
        }
        let left = self.finders.len() > MOST_FINDERS || !corners(&self.finders).is_empty();
        codes.unread |= left || panicked || !self.illegible.is_empty();
        if !self.illegible.is_empty() {
            codes.lost.get_or_insert("a QR code is illegible");
        }
    }

    /// Notes what a look at the part at `offset` gave, and paints over the codes that were read; whether there were any.
    fn take(&mut self, found: Look, offset: (f32, f32), codes: &mut QrCodes) -> bool {
        let moved = |quad: Quad| quad.map(|(x, y)| (x + offset.0, y + offset.1));
        let any = !found.read.is_empty();
        self.illegible.extend(found.illegible.into_iter().map(moved));
        for (content, quad) in found.read {
            codes.add(content);
            let quad = moved(quad);
            self.look_inside(&quad, codes);
            self.read.push(quad);
            self.finders.retain(|f| !contains(&quad, f.x, f.y));
            // The decoder may have laid its grid askew at first.
            self.illegible.retain(|other| {
                let (x, y) = middle(other);
                !contains(&quad, x, y)
            });
            let (width, height) = (self.piece.width(), self.piece.height());
            let span = |of: fn(&(f32, f32)) -> f32, end: u32| {
                let low = quad.iter().map(of).fold(f32::INFINITY, f32::min).max(0.0);
                let high = quad.iter().map(of).fold(0.0, f32::max).ceil();
                low as u32..(high as u32).saturating_add(1).min(end)
            };
            let inside = |x: u32, y: u32| contains(&quad, x as f32, y as f32);
            let (columns, rows) = (span(|p| p.0, width), span(|p| p.1, height));
            self.piece.to_mut().paint(columns, rows, 255 ^ self.flip, inside);
        }
        any
    }

    /// A code may lie within another, which error correction then reads as if it were not there.
    fn look_inside(&mut self, quad: &Quad, codes: &mut QrCodes) {
        let own = |f: &Finder| quad.iter().any(|p| (p.0 - f.x).hypot(p.1 - f.y) < 1.3 * f.size);
        let inner = self.finders.iter().filter(|f| contains(quad, f.x, f.y) && !own(f));
        let inner: Vec<Finder> = inner.copied().collect();
        for corner in corners(&inner).into_iter().take(MOST_SAMPLED) {
            let found = sample(&self.piece, self.flip, &corner);
            found.read.into_iter().for_each(|(content, _)| codes.add(content));
            if !found.illegible.is_empty() {
                codes.lost.get_or_insert("a QR code within another is illegible");
            }
        }
    }
}

/// Reads the code at one corner, module by module.
fn sample(grey: &Grey, flip: u8, corner: &Corner) -> Look {
    let mut look = Look::default();
    match grid::read(grey, flip, corner) {
        Some((Code::Content(content), quad)) => look.read.push((content, quad)),
        Some((Code::Illegible, quad)) => look.illegible.push(quad),
        None => {}
    }
    look
}
