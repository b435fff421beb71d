//! QR codes, dark on light and light on dark.
//!
//! A cheap look for finder patterns comes first: along every third row, runs of dark and light in the proportions
//! 1:1:3:1:1 (ISO/IEC 18004, 6.3.3), confirmed down the column through their middle. Any line through the middle of
//! a finder pattern has these proportions, so turned codes are seen too. Only where three stand as the corners of a
//! code does the decoder (`rqrr`) run.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rqrr::BitGrid;

use super::grey::Grey;

/// Longest side in pixels of a picture, or of a piece of an elongated one, that the decoder is given at first, for its
/// cost grows with the area.
pub const WORKING_SIDE: u32 = 1000;
/// The same for a picture that certainly shows a code which is not legible at the working size.
pub const FINE_SIDE: u32 = 2000;
/// Most codes that are reported of one frame; with more, what all of them say no longer fits a worker's message.
pub const MOST_CODES: usize = 8;
/// Above so many finder patterns their places are not compared: the decoder runs.
const MOST_FINDERS: usize = 64;
/// Rows looked at: one of so many. The middle square of a finder pattern is three modules high.
const ROW_STEP: usize = 3;
/// Least difference of luma between dark and light.
const LEAST_CONTRAST: u8 = 40;
/// Looks at a whole picture, each without the codes that were read before it.
const MOST_ROUNDS: usize = 3;
/// Looks at parts around three finder patterns: the decoder joins patterns of neighbouring codes where there are many.
const MOST_PARTS: usize = 8;

/// What a frame shows of QR codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QrCodes {
    /// Contents, each once, in the order found.
    pub contents: Vec<String>,
    /// Finder patterns stand as those of a code do, and no code that was read explains them: a larger picture may show
    /// more. Texture does this too.
    pub unread: bool,
    /// What there certainly was and was not read.
    pub lost: Option<&'static str>,
}

impl QrCodes {
    /// What is known once the same picture was looked at at a larger size.
    pub fn refined(mut self, finer: Self) -> Self {
        let silent = finer.contents.is_empty() || finer.unread;
        self.lost = finer.lost.or(self.lost.filter(|_| silent));
        self.unread = finer.unread;
        finer.contents.into_iter().for_each(|content| self.add(content));
        self
    }

    fn add(&mut self, content: String) {
        if self.contents.contains(&content) {
            return;
        }
        if self.contents.len() < MOST_CODES {
            self.contents.push(content);
        } else {
            self.lost = Some("there are more QR codes than are reported of one picture");
        }
    }
}

/// Finds and reads QR codes; shrinks to `side` itself, an elongated picture piece by piece.
pub fn read(grey: &Grey, side: u32) -> QrCodes {
    let mut codes = QrCodes::default();
    // No code is larger than the overlap, so each is whole on one of the pieces.
    for piece in grey.tiles(side, grey.short_side()) {
        let shrunk = piece.within(side);
        let piece = shrunk.as_ref().unwrap_or(&piece);
        let mut read: Vec<Quad> = Vec::new();
        for (mut finders, flip) in finders(piece).into_iter().zip([0, 255]) {
            // The data of codes that stand in rows may look like light finder patterns that stand in rows.
            finders.retain(|f| !read.iter().any(|quad| contains(quad, f.x, f.y)));
            if finders.len() > MOST_FINDERS || !corners(&finders).is_empty() {
                let illegible = Vec::new();
                Search { piece: Cow::Borrowed(piece), flip, finders, illegible, read: &mut read }
                    .run(&mut codes);
            }
        }
    }
    codes
}

/// Four corners of a code, in order around it.
type Quad = [(f32, f32); 4];

/// What the decoder made of a picture.
#[derive(Default)]
struct Look {
    read: Vec<(String, Quad)>,
    /// Codes beyond doubt, but illegible.
    illegible: Vec<Quad>,
    /// The decoder gave up on all of it.
    panicked: bool,
}

/// The search of one picture for codes of one polarity.
struct Search<'a> {
    piece: Cow<'a, Grey>,
    /// 255 for light on dark.
    flip: u8,
    /// Finder patterns that no code that was read explains.
    finders: Vec<Finder>,
    illegible: Vec<Quad>,
    /// Where codes were read.
    read: &'a mut Vec<Quad>,
}

impl Search<'_> {
    fn run(mut self, codes: &mut QrCodes) {
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
}

/// Runs the decoder.
fn look(grey: &Grey, flip: u8) -> Look {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let data = grey.data();
    // The crate is safe code, but its arithmetic on hostile geometry may panic.
    let found = catch_unwind(AssertUnwindSafe(|| {
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            data.get(y * width + x).map_or(255, |v| v ^ flip)
        });
        let mut look = Look::default();
        for grid in image.detect_grids() {
            let quad = grid.bounds.map(|p| (p.x as f32, p.y as f32));
            let mut bytes = Vec::new();
            if grid.decode_to(&mut bytes).is_ok() {
                look.read.push((text(bytes), quad));
            } else if is_code(&grid.grid) {
                look.illegible.push(quad);
            }
        }
        look
    }));
    found.unwrap_or(Look { panicked: true, ..Look::default() })
}

/// The content of a code: UTF-8 by custom, ISO 8859-1 by the standard.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|e| e.as_bytes().iter().map(|&byte| char::from(byte)).collect())
}

/// Whether a grid shows the fixed patterns of a code (ISO/IEC 18004, 6.3.3 and 6.3.5): nine of ten modules of the three
/// finder patterns and of the timing between them. Texture that the decoder took for a grid does not.
fn is_code(grid: &impl BitGrid) -> bool {
    let size = grid.size();
    if size < 21 {
        return false;
    }
    let far = size - 7;
    let finder = |top: usize, left: usize| {
        let modules = (0..7usize).flat_map(|y| (0..7usize).map(move |x| (y, x)));
        let dark = |(y, x): (usize, usize)| y.abs_diff(3).max(x.abs_diff(3)) != 2;
        modules.filter(|&(y, x)| grid.bit(top + y, left + x) == dark((y, x))).count()
    };
    let fits = finder(0, 0) + finder(far, 0) + finder(0, far);
    let along = 8..size - 8;
    let timing: usize = along
        .clone()
        .map(|i| {
            let dark = i % 2 == 0;
            usize::from(grid.bit(6, i) == dark) + usize::from(grid.bit(i, 6) == dark)
        })
        .sum();
    fits * 10 >= 3 * 49 * 9 && timing * 10 >= 2 * along.len() * 9
}

fn middle(quad: &Quad) -> (f32, f32) {
    quad.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / 4.0, y + p.1 / 4.0))
}

/// Whether a point lies within a convex quadrilateral: on the same side of all its edges.
fn contains(quad: &Quad, x: f32, y: f32) -> bool {
    let [a, b, c, d] = *quad;
    let side = |((ax, ay), (bx, by)): ((f32, f32), (f32, f32))| {
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    };
    let sides = [(a, b), (b, c), (c, d), (d, a)].map(side);
    sides.iter().all(|&s| s >= 0.0) || sides.iter().all(|&s| s <= 0.0)
}

/// A finder pattern that was seen.
#[derive(Clone, Copy)]
struct Finder {
    x: f32,
    y: f32,
    /// Width along the row.
    size: f32,
    /// Rows on which it was seen.
    hits: u32,
}

/// Finder patterns, dark on light and light on dark.
fn finders(grey: &Grey) -> [Vec<Finder>; 2] {
    let mut seen: [Vec<Finder>; 2] = Default::default();
    let mut runs = Runs::default();
    for (y, row) in grey.rows().enumerate().step_by(ROW_STEP) {
        runs.clear();
        for (x, dark) in Threshold::new(row).enumerate() {
            if let Some((start, light_inside)) = runs.push(dark, x)
                && confirmed(grey, start.midpoint(x), y, light_inside)
            {
                add(&mut seen[usize::from(light_inside)], start.midpoint(x), y, x - start);
            }
        }
    }
    // The middle square of a large pattern is met by many rows, of which noise meets few.
    let real = |f: &Finder| f.hits as f32 >= (f.size / 7.0 / 2.0).floor().max(1.0);
    seen.map(|finders| finders.into_iter().filter(real).collect())
}

/// Counts a sighting to the pattern it belongs to.
fn add(finders: &mut Vec<Finder>, x: usize, y: usize, size: usize) {
    let (x, y, size) = (x as f32, y as f32, size as f32);
    let near = |f: &&mut Finder| (f.x - x).abs().max((f.y - y).abs()) < f.size / 2.0;
    match finders.iter_mut().rfind(near) {
        Some(known) => known.hits += 1,
        None => finders.push(Finder { x, y, size, hits: 1 }),
    }
}

/// Three finder patterns that stand as three corners of a square do.
struct Corner {
    at: [(f32, f32); 3],
    size: f32,
    /// 0 for equal arms, square to each other.
    slant: f32,
}

impl Corner {
    /// Left, top, width and height of the code and a margin.
    fn surroundings(&self, grey: &Grey) -> (u32, u32, u32, u32) {
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
fn corners(finders: &[Finder]) -> Vec<Corner> {
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

/// The last five runs of equal colour.
#[derive(Default)]
struct Runs {
    /// Where each run starts; the last one is where the current run does.
    starts: [usize; 6],
    seen: usize,
    dark: bool,
}

impl Runs {
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the pixel at `x`. Where it ends a finder pattern: where that starts, and whether its middle is light.
    fn push(&mut self, dark: bool, x: usize) -> Option<(usize, bool)> {
        if dark == self.dark {
            return None;
        }
        self.dark = dark;
        self.starts.rotate_left(1);
        self.starts[5] = x;
        self.seen += 1;
        // The run that has just ended has the colour of the first and the middle one.
        let lengths: [usize; 5] = std::array::from_fn(|i| self.starts[i + 1] - self.starts[i]);
        (self.seen > 5 && is_finder(lengths)).then_some((self.starts[0], dark))
    }
}

/// Whether runs are as 1:1:3:1:1, each within half a module and a pixel.
fn is_finder(runs: [usize; 5]) -> bool {
    let total: usize = runs.iter().sum();
    // In sevenths of a pixel, so that all stays whole.
    let slack = total / 2 + 5;
    total >= 7
        && runs.iter().zip([1, 1, 3, 1, 1]).all(|(&run, modules)| {
            (run * 7).abs_diff(modules * total) <= if modules == 3 { 2 * slack } else { slack }
        })
}

/// Whether the column through the middle of a pattern shows the same proportions.
fn confirmed(grey: &Grey, x: usize, y: usize, light_inside: bool) -> bool {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let at = |y: usize| grey.data().get(y * width + x).copied().unwrap_or(0);
    let here = at(y);
    // The ring of the other colour is beside the middle square; its contrast gives the threshold.
    let reach = (height / 4).max(8);
    let (top, bottom) = (y.saturating_sub(reach), (y + reach).min(height));
    let column = (top..bottom).map(at);
    let Some(other) = (if light_inside { column.min() } else { column.max() }) else {
        return false;
    };
    if here.abs_diff(other) < LEAST_CONTRAST {
        return false;
    }
    let threshold = here.midpoint(other);
    let inside = |y: usize| (at(y) > threshold) == (here > threshold);
    let up = lengths((top..=y).rev(), inside);
    let down = lengths(y + 1..bottom, inside);
    let (&[a, b, c], &[d, e, f]) = (up.as_slice(), down.as_slice()) else { return false };
    is_finder([c, b, a + d, e, f])
}

/// Lengths of the first three runs that end within the way, the first of them inside.
fn lengths(way: impl Iterator<Item = usize>, inside: impl Fn(usize) -> bool) -> Vec<usize> {
    let (mut lengths, mut run, mut colour) = (Vec::with_capacity(3), 0, true);
    for y in way {
        if inside(y) == colour {
            run += 1;
        } else {
            lengths.push(run);
            (run, colour) = (1, !colour);
            if lengths.len() == 3 {
                break;
            }
        }
    }
    lengths
}

/// Dark or light for each pixel of a row, against the mean of its neighbourhood of a quarter of the width.
struct Threshold<'a> {
    row: &'a [u8],
    at: usize,
    half: usize,
    sum: u32,
    count: u32,
}

impl<'a> Threshold<'a> {
    fn new(row: &'a [u8]) -> Self {
        let half = (row.len() / 8).max(8);
        let first = row.iter().take(half);
        Self {
            row,
            at: 0,
            half,
            count: first.len() as u32,
            sum: first.map(|&v| u32::from(v)).sum(),
        }
    }
}

impl Iterator for Threshold<'_> {
    type Item = bool;

    fn next(&mut self) -> Option<bool> {
        let here = u32::from(*self.row.get(self.at)?);
        if let Some(&entering) = self.row.get(self.at + self.half) {
            self.sum += u32::from(entering);
            self.count += 1;
        }
        if let Some(&leaving) = self.at.checked_sub(self.half + 1).and_then(|at| self.row.get(at)) {
            self.sum -= u32::from(leaving);
            self.count -= 1;
        }
        self.at += 1;
        Some(here * self.count < self.sum)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use models::RgbImage;

    use super::{MOST_CODES, QrCodes, WORKING_SIDE};
    use crate::measure::grey::Grey;
    use crate::measure::testing::{discs, load, paint};

    /// `https://weir.example/a?b=1`, version 2, error correction M, by the Python library segno.
    const CODE: [&str; 25] = [
        "#######.##..##.##.#######",
        "#.....#...#.###.#.#.....#",
        "#.###.#....##..#..#.###.#",
        "#.###.#.#.##.##.#.#.###.#",
        "#.###.#.#.##..###.#.###.#",
        "#.....#.##.###..#.#.....#",
        "#######.#.#.#.#.#.#######",
        "........#####..##........",
        "#...#.#######....#####..#",
        "###.##.....#.####...##.#.",
        "#.....#....##.###..####..",
        "####.#....#...###..#..##.",
        "..##..#.#..##.#####..####",
        "#..###.#..#.#.###...#..#.",
        "...####...######.######..",
        "..#......#.#..##...##.##.",
        "##..#.#.#.......#######..",
        "........#..####.#...#....",
        "#######.##.##...#.#.#....",
        "#.....#..#.##.#.#...#####",
        "#.###.#.##.#..#.#######..",
        "#.###.#..####...####..###",
        "#.###.#...##.##...#..#.#.",
        "#.....#..##...##.#.#####.",
        "#######.###.#.........###",
    ];
    const LINK: &str = "https://weir.example/a?b=1";

    fn read(grey: &Grey) -> QrCodes {
        super::read(grey, WORKING_SIDE)
    }

    /// The code on a ground of `light`, turned by an angle, with modules of `module` pixels.
    fn code(module: f64, degrees: f64, dark: u8, light: u8) -> RgbImage {
        let (sin, cos) = degrees.to_radians().sin_cos();
        paint(640, 480, |x, y| {
            let (dx, dy) = (x as f64 - 330.0, y as f64 - 240.0);
            let place = |v: f64| (v / module + 12.5).floor();
            let (u, v) = (place(dx * cos + dy * sin), place(dy * cos - dx * sin));
            let row = (v >= 0.0).then(|| CODE.get(v as usize)).flatten();
            let set =
                row.filter(|_| u >= 0.0).and_then(|r| r.as_bytes().get(u as usize)) == Some(&b'#');
            [if set { dark } else { light }; 3]
        })
    }

    #[test]
    fn codes_are_read_dark_on_light_and_light_on_dark_large_and_small_and_turned() {
        for (module, degrees) in
            [(3.0, 0.0), (4.0, 90.0), (8.0, 10.0), (6.0, 45.0), (15.0, 0.0), (7.0, 200.0)]
        {
            for (dark, light) in [(0, 255), (60, 190), (255, 0)] {
                let found = read(&Grey::of(&code(module, degrees, dark, light)));
                assert_eq!(
                    found.contents,
                    [LINK],
                    "module {module}, {degrees}°, {dark} on {light}"
                );
            }
        }
    }

    #[test]
    fn a_code_in_a_large_picture_is_read() {
        let small = code(6.0, 0.0, 0, 255);
        let old = small.data().as_chunks::<3>().0;
        let large = paint(2560, 1920, |x, y| old[(y / 4 * 640 + x / 4) as usize]);
        assert_eq!(read(&Grey::of(&large)).contents, [LINK]);
    }

    #[test]
    fn pictures_without_codes_cost_no_decoding() {
        assert_eq!(read(&Grey::of(&discs(640, 480))), QrCodes::default());
        assert_eq!(read(&Grey::of(&paint(3, 3, |_, _| [0; 3]))), QrCodes::default());
    }

    /// Codes of four pixels a module, side by side with a quiet zone of four modules.
    fn sheet(columns: i64, rows: i64, mut hole: impl FnMut(i64, i64) -> bool) -> Grey {
        Grey::of(&paint((columns * 132 + 16) as u32, (rows * 132 + 16) as u32, |x, y| {
            let (u, v) = ((x - 16).div_euclid(4), (y - 16).div_euclid(4));
            let row = CODE.get(v.rem_euclid(33) as usize);
            let set = row.and_then(|r| r.as_bytes().get(u.rem_euclid(33) as usize)) == Some(&b'#');
            [if set && !hole(u, v) { 0 } else { 255 }; 3]
        }))
    }

    #[test]
    fn each_code_of_a_sheet_is_read() {
        // All say the same, so what tells is that no finder pattern remains.
        let whole = read(&sheet(4, 2, |_, _| false));
        assert_eq!(
            (whole.contents.as_slice(), whole.unread),
            ([LINK.to_owned()].as_slice(), false)
        );
    }

    #[test]
    fn an_illegible_code_beside_a_legible_one_is_told() {
        // Most data of the second code are white; its fixed patterns are whole, the alignment pattern among them.
        let found = read(&sheet(2, 1, |u, v| {
            let alignment = (49..54).contains(&u) && (16..21).contains(&v);
            (42..58).contains(&u) && (9..25).contains(&v) && !alignment
        }));
        assert_eq!(found.contents, [LINK]);
        assert!(found.unread && found.lost.is_some(), "{found:?}");
    }

    #[test]
    fn more_codes_than_are_reported_are_told() {
        let mut codes = QrCodes::default();
        (0..MOST_CODES).for_each(|i| codes.add(i.to_string()));
        codes.add("0".to_owned());
        assert_eq!(codes.lost, None);
        codes.add("one more".to_owned());
        assert_eq!(codes.contents.len(), MOST_CODES);
        assert!(codes.lost.is_some());
    }

    #[test]
    fn a_small_code_far_down_a_tall_picture_is_read() {
        let small = code(3.0, 0.0, 0, 255);
        let old = small.data().as_chunks::<3>().0;
        let tall = paint(640, 6000, |x, y| {
            if y < 5520 { [255; 3] } else { old[((y - 5520) * 640 + x) as usize] }
        });
        assert_eq!(read(&Grey::of(&tall)).contents, [LINK]);
    }

    #[test]
    fn a_larger_picture_settles_what_a_smaller_one_left_open() {
        let open = QrCodes { unread: true, lost: Some("illegible"), ..QrCodes::default() };
        let clear = QrCodes { contents: vec!["a".to_owned()], ..QrCodes::default() };
        assert_eq!(open.clone().refined(clear.clone()), clear);
        // One that shows less than before settles nothing.
        assert_eq!(open.clone().refined(QrCodes::default()).lost, Some("illegible"));
    }

    #[test]
    fn shared_no_photo_is_held_for_its_texture() {
        let data = rig::shared!();
        let mut folders: Vec<_> =
            ["faces", "formats", "pdq", "blur"].iter().map(|f| data.join(f)).collect();
        let (mut seen, mut open, mut time) = (0, 0, std::time::Duration::ZERO);
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(photo) = load(&path) {
                    let grey = Grey::of(&photo);
                    let started = std::time::Instant::now();
                    let found = read(&grey);
                    time += started.elapsed();
                    assert_eq!(found.lost, None, "{}", path.display());
                    (seen, open) = (seen + 1, open + u32::from(found.unread));
                }
            }
        }
        println!("{open} of {seen} pictures are looked at again; {time:?} in all");
        assert!(seen > 30 && open * 3 <= seen, "{open} of {seen}");
    }
}
