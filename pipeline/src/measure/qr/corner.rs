//! Three finder patterns that stand as those of one code do.

use super::MOST_FINDERS;
use super::finder::Finder;
use crate::measure::grey::Grey;

/// Three finder patterns that stand as three corners of a square do.
pub(super) struct Corner {
    /// Their middles, that in the corner first.
    pub at: [(f32, f32); 3],
    /// Width of the one in the corner.
    pub size: f32,
    /// 0 for equal arms, square to each other.
    slant: f32,
}

impl Corner {
    /// Left, top, width and height of the code and a margin.
    pub fn surroundings(&self, grey: &Grey) -> (u32, u32, u32, u32) {
        let [a, b, c] = self.at;
        let fourth = (b.0 + c.0 - a.0, b.1 + c.1 - a.1);
        let span = |of: fn((f32, f32)) -> f32, end: u32| {
            let ends = [a, b, c, fourth].map(of);
            let low = ends.iter().copied().fold(f32::INFINITY, f32::min) - self.size;
            let high = ends.iter().copied().fold(0.0, f32::max) + self.size;
            let low = low.max(0.0) as u32;
            (low, (high.ceil() as u32).min(end).saturating_sub(low))
        };
        let ((left, width), (top, height)) =
            (span(|p| p.0, grey.width()), span(|p| p.1, grey.height()));
        (left, top, width, height)
    }
}

/// All corners that three patterns of about one size make as those of a code do, seen with some slant, at a distance of
/// 14 (version 1) to 170 modules (version 40); the least slanted first. None where there are too many patterns.
pub(super) fn corners(finders: &[Finder]) -> Vec<Corner> {
    if finders.len() > MOST_FINDERS {
        return Vec::new();
    }
    let alike = |a: &Finder, b: &Finder| a.size.max(b.size) < 1.6 * a.size.min(b.size) + 2.0;
    let mut found = Vec::new();
    for a in finders {
        let arm = |b: &Finder| (b.x - a.x, b.y - a.y);
        let near = |v: (f32, f32)| (1.2 * a.size..30.0 * a.size).contains(&v.0.hypot(v.1));
        let ends: Vec<&Finder> = finders.iter().filter(|b| alike(a, b) && near(arm(b))).collect();
        for (i, b) in ends.iter().enumerate() {
            for c in ends.iter().skip(i + 1).filter(|c| is_corner(arm(b), arm(c))) {
                let at = [(a.x, a.y), (b.x, b.y), (c.x, c.y)];
                found.push(Corner { at, size: a.size, slant: slant(arm(b), arm(c)) });
            }
        }
    }
    found.sort_by(|a, b| a.slant.total_cmp(&b.slant));
    found
}

/// Whether two arms are about equally long and about square to each other.
fn is_corner(v: (f32, f32), w: (f32, f32)) -> bool {
    let (long_v, long_w) = (v.0.hypot(v.1), w.0.hypot(w.1));
    long_v.max(long_w) < 1.5 * long_v.min(long_w) && cosine(v, w).abs() < 0.4
}

/// How far two arms are from those of a square.
fn slant(v: (f32, f32), w: (f32, f32)) -> f32 {
    let (long_v, long_w) = (v.0.hypot(v.1), w.0.hypot(w.1));
    cosine(v, w).abs() + long_v.max(long_w) / long_v.min(long_w) - 1.0
}

fn cosine(v: (f32, f32), w: (f32, f32)) -> f32 {
    (v.0 * w.0 + v.1 * w.1) / (v.0.hypot(v.1) * w.0.hypot(w.1))
}
