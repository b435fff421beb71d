//! Reads a code by its three finder patterns alone.
//!
//! The decoder's own search gives up where it finds no alignment pattern and thresholds the picture as a whole. Here
//! the modules are sampled straight from the picture: the finder patterns give three corners of a projective map
//! (Heckbert 1989), the fourth is tried at several places, the best by the fixed patterns first, and each module is
//! compared with the mean of its neighbourhood (Bradley & Roth 2007). So a code is read whose alignment pattern is
//! destroyed, whose contrast is low or uneven, or that is slanted or slightly bent.

use super::corner::Corner;
use super::decoder::{Code, Fit, decode};
use super::quad::Quad;
use crate::measure::grey::Grey;

/// How far from the parallelogram the fourth corner is looked for, in modules.
const REACH: i16 = 5;
/// Fourth corners for which decoding is tried.
const MOST_TRIES: usize = 16;
/// Sizes of codes, in modules (ISO/IEC 18004, 5.3.1).
const LEAST_SIZE: i32 = 21;
const MOST_SIZE: i32 = 177;

/// Reads the code at `corner` of a picture XORed with `flip`; `None` where there is none.
pub(super) fn read(grey: &Grey, flip: u8, corner: &Corner) -> Option<(Code, Quad)> {
    let sampler = Sampler::new(grey, flip, corner)?;
    let fit = |map: &Map| Fit::of(map.size, |y, x| sampler.dark(map, x, y));
    let mut tries: Vec<(u32, Map)> = Vec::new();
    for size in sizes(corner) {
        let map = |dx: i16, dy: i16| {
            let shift = (f32::from(dx), f32::from(dy));
            Map::of(&sampler.finders, size, shift, sampler.offset)
        };
        // Most patterns that texture makes end here.
        if !map(0, 0).is_some_and(|map| fit(&map).may_be_code()) {
            continue;
        }
        for (dx, dy) in (-REACH..=REACH).flat_map(|y| (-REACH..=REACH).map(move |x| (x, y))) {
            let Some(map) = map(dx, dy) else { continue };
            let misses = 8 * fit(&map).misses() + u32::from(dx.unsigned_abs() + dy.unsigned_abs());
            tries.push((misses, map));
        }
    }
    tries.sort_by_key(|(misses, _)| *misses);
    let mut illegible = None;
    for (_, map) in tries.into_iter().take(MOST_TRIES) {
        match decode(map.size, |y, x| sampler.dark(&map, x, y)) {
            Some(Code::Illegible) => {
                illegible = illegible.or(Some((Code::Illegible, map.outline())))
            }
            Some(code) => return Some((code, map.outline())),
            None => {}
        }
    }
    illegible
}

/// The sizes that a code with these arms may have: that by the finder pattern's width, and its neighbours.
fn sizes(corner: &Corner) -> Vec<usize> {
    let [a, b, c] = corner.at;
    let modules = |end: (f32, f32)| {
        let (dx, dy) = ((end.0 - a.0).abs(), (end.1 - a.1).abs());
        let long = dx.hypot(dy);
        // The row through the middle of a turned pattern is longer than its side.
        7.0 * long / (corner.size * dx.max(dy) / long.max(1.0)).max(1.0)
    };
    let guess = (modules(b) + modules(c)) / 2.0 + 7.0;
    let nearest = ((guess - 17.0) / 4.0).round() as i32 * 4 + 17;
    // The width of a small pattern is known to a pixel of two dozen, so that of a large code is known to few versions.
    let slack = if nearest > 60 { 2 } else { 1 };
    let around = (-slack..=slack).map(|step| nearest + 4 * step);
    around
        .filter(|size| (LEAST_SIZE..=MOST_SIZE).contains(size))
        .map(|size| size as usize)
        .collect()
}

/// Dark or light at places of the part of a picture around a code.
struct Sampler {
    part: Grey,
    flip: u8,
    /// Sums of all pixels above and to the left, a column and a row longer than the picture.
    sums: Vec<u32>,
    /// Half the side of the neighbourhood that a pixel is compared with.
    half: u32,
    /// Middles of the finder patterns: top left, top right, bottom left.
    finders: [(f32, f32); 3],
    offset: (f32, f32),
}

impl Sampler {
    fn new(grey: &Grey, flip: u8, corner: &Corner) -> Option<Self> {
        let (left, top, width, height) = corner.surroundings(grey);
        let part = grey.crop(left, top, width, height)?;
        let mut sums = vec![0u32; (width as usize + 1) * (height as usize + 1)];
        let stride = width as usize + 1;
        for (y, row) in part.rows().enumerate() {
            let mut sum = 0u32;
            for (x, &v) in row.iter().enumerate() {
                sum += u32::from(v ^ flip);
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + sum;
            }
        }
        let offset = (left as f32, top as f32);
        let half = (corner.size * 0.7).max(4.0) as u32;
        let mut sampler = Self { part, flip, sums, half, finders: corner.at, offset };
        let [a, b, c] = corner.at.map(|(x, y)| sampler.centre((x - offset.0, y - offset.1)));
        let cross = (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
        sampler.finders = if cross >= 0.0 { [a, b, c] } else { [a, c, b] };
        Some(sampler)
    }

    /// Whether the pixel is darker than its neighbourhood; light outside the picture.
    fn is_dark(&self, x: i64, y: i64) -> bool {
        let (width, height) = (i64::from(self.part.width()), i64::from(self.part.height()));
        if x < 0 || y < 0 || x >= width || y >= height {
            return false;
        }
        let half = i64::from(self.half);
        let (x0, x1) = ((x - half).max(0) as usize, (x + half + 1).min(width) as usize);
        let (y0, y1) = ((y - half).max(0) as usize, (y + half + 1).min(height) as usize);
        let stride = width as usize + 1;
        let at = |x: usize, y: usize| self.sums.get(y * stride + x).copied().unwrap_or(0);
        let sum =
            at(x1, y1).wrapping_sub(at(x0, y1)).wrapping_sub(at(x1, y0)).wrapping_add(at(x0, y0));
        let count = ((x1 - x0) * (y1 - y0)) as u32;
        let here =
            self.part.data().get(y as usize * width as usize + x as usize).copied().unwrap_or(255);
        u32::from(here ^ self.flip) * count < sum
    }

    /// The middle of the dark square around a place: the middles of its column and row, thrice, by when a turned
    /// square's are its own.
    fn centre(&self, (mut x, mut y): (f32, f32)) -> (f32, f32) {
        let reach = i64::from(self.half) * 2;
        for _ in 0..3 {
            let (cx, cy) = (x as i64, y as i64);
            let run = |step: &dyn Fn(i64) -> (i64, i64)| {
                (1..reach)
                    .take_while(|i| {
                        let (x, y) = step(*i);
                        self.is_dark(x, y)
                    })
                    .count() as f32
            };
            y = cy as f32 + 0.5 + (run(&|i| (cx, cy + i)) - run(&|i| (cx, cy - i))) / 2.0;
            let cy = y as i64;
            x = cx as f32 + 0.5 + (run(&|i| (cx + i, cy)) - run(&|i| (cx - i, cy))) / 2.0;
        }
        (x, y)
    }

    /// Whether the module in column `x` and row `y` is dark: most of five places in it.
    fn dark(&self, map: &Map, x: usize, y: usize) -> bool {
        const PLACES: [(f32, f32); 5] =
            [(0.5, 0.5), (0.3, 0.5), (0.7, 0.5), (0.5, 0.3), (0.5, 0.7)];
        let place = |&(dx, dy): &(f32, f32)| {
            let (px, py) = map.at(x as f32 + dx, y as f32 + dy);
            self.is_dark(px.floor() as i64, py.floor() as i64)
        };
        PLACES.iter().filter(|p| place(p)).count() >= 3
    }
}

/// A projective map from modules to pixels.
struct Map {
    size: usize,
    /// x = (m0 u + m1 v + m2) / (m6 u + m7 v + 1), y with m3 to m5.
    m: [f32; 8],
    offset: (f32, f32),
}

impl Map {
    /// The map that takes the middles of the finder patterns to `finders`, and the fourth corner of their square to a
    /// place `shift` modules from where a parallelogram has it.
    fn of(
        finders: &[(f32, f32); 3],
        size: usize,
        shift: (f32, f32),
        offset: (f32, f32),
    ) -> Option<Self> {
        let [a, b, c] = *finders;
        let arm = size as f32 - 7.0;
        let fourth =
            |a: f32, b: f32, c: f32| b + c - a + shift.0 * (b - a) / arm + shift.1 * (c - a) / arm;
        let d = (fourth(a.0, b.0, c.0), fourth(a.1, b.1, c.1));
        let (bd, cd) = ((b.0 - d.0, b.1 - d.1), (c.0 - d.0, c.1 - d.1));
        let rest = (a.0 - b.0 + d.0 - c.0, a.1 - b.1 + d.1 - c.1);
        let det = bd.0 * cd.1 - cd.0 * bd.1;
        let (g, h) = ((rest.0 * cd.1 - cd.0 * rest.1) / det, (bd.0 * rest.1 - rest.0 * bd.1) / det);
        let m = [
            b.0 - a.0 + g * b.0,
            c.0 - a.0 + h * c.0,
            a.0,
            b.1 - a.1 + g * b.1,
            c.1 - a.1 + h * c.1,
            a.1,
            g,
            h,
        ];
        m.iter().all(|v| v.is_finite()).then_some(Self { size, m, offset })
    }

    /// The pixel at column `u` and row `v` in modules.
    fn at(&self, u: f32, v: f32) -> (f32, f32) {
        let arm = self.size as f32 - 7.0;
        let (u, v) = ((u - 3.5) / arm, (v - 3.5) / arm);
        let [a, b, c, d, e, f, g, h] = self.m;
        let scale = g * u + h * v + 1.0;
        ((a * u + b * v + c) / scale, (d * u + e * v + f) / scale)
    }

    /// The corners of the code in the whole picture.
    fn outline(&self) -> Quad {
        let end = self.size as f32;
        [(0.0, 0.0), (end, 0.0), (end, end), (0.0, end)].map(|(u, v)| {
            let (x, y) = self.at(u, v);
            (x + self.offset.0, y + self.offset.1)
        })
    }
}
