//! QR codes, dark on light and light on dark.
//!
//! A cheap look for finder patterns comes first: along every third row, runs of dark and light in the proportions
//! 1:1:3:1:1 (ISO/IEC 18004, 6.3.3), confirmed down the column through their middle. Any line through the middle of
//! a finder pattern has these proportions, so turned codes are seen too. Only where three stand as the corners of a
//! code does the decoder (`rqrr`) run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::grey::Grey;

/// Longest side in pixels that the decoder is given, for its cost grows with the area.
pub const WORKING_SIDE: u32 = 1000;
/// Most codes that are reported of one frame.
const MOST_CODES: usize = 16;
/// Above so many finder patterns their places are not compared: the decoder runs.
const MOST_FINDERS: usize = 64;
/// Rows looked at: one of so many. The middle square of a finder pattern is three modules high.
const ROW_STEP: usize = 3;
/// Least difference of luma between dark and light.
const LEAST_CONTRAST: u8 = 40;

/// What a frame shows of QR codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QrCodes {
    /// Contents, each once, in the order found.
    pub contents: Vec<String>,
    /// Whether finder patterns stand as those of a code do.
    pub suspected: bool,
}

/// Finds and reads QR codes; shrinks to [`WORKING_SIDE`] itself.
pub fn read(grey: &Grey) -> QrCodes {
    let shrunk = grey.within(WORKING_SIDE);
    let grey = shrunk.as_ref().unwrap_or(grey);
    let suspects = suspects(grey);
    let mut codes = QrCodes { contents: Vec::new(), suspected: suspects.contains(&true) };
    for (suspect, flip) in suspects.into_iter().zip([0, 255]) {
        if suspect {
            decode(grey, flip, &mut codes.contents);
        }
    }
    codes
}

fn decode(grey: &Grey, flip: u8, contents: &mut Vec<String>) {
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    let data = grey.data();
    // The crate is safe code, but its arithmetic on hostile geometry may panic; a code that cannot be read is none.
    let found = catch_unwind(AssertUnwindSafe(|| {
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            data.get(y * width + x).map_or(255, |v| v ^ flip)
        });
        let grids = image.detect_grids();
        grids
            .iter()
            .filter_map(|grid| grid.decode().ok())
            .map(|(_, content)| content)
            .collect::<Vec<_>>()
    }));
    for content in found.unwrap_or_default() {
        if contents.len() < MOST_CODES && !contents.contains(&content) {
            contents.push(content);
        }
    }
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

/// Whether finder patterns stand as those of a code do, dark on light and light on dark.
fn suspects(grey: &Grey) -> [bool; 2] {
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
    seen.map(|finders| has_corner(&finders))
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

/// Whether any three patterns of about one size stand as three corners of a square do, seen with some slant, at a
/// distance of 14 (version 1) to 170 modules (version 40).
fn has_corner(finders: &[Finder]) -> bool {
    // The middle square of a large pattern is met by many rows, of which noise meets few.
    let real = |f: &&Finder| f.hits as f32 >= (f.size / 7.0 / 2.0).floor().max(1.0);
    let finders: Vec<&Finder> = finders.iter().filter(real).collect();
    if finders.len() > MOST_FINDERS {
        return true;
    }
    let alike = |a: &Finder, b: &Finder| a.size.max(b.size) < 1.6 * a.size.min(b.size) + 2.0;
    finders.iter().any(|a| {
        let arms: Vec<(f32, f32)> = finders
            .iter()
            .filter(|b| alike(a, b))
            .map(|b| (b.x - a.x, b.y - a.y))
            .filter(|v| (1.2 * a.size..30.0 * a.size).contains(&v.0.hypot(v.1)))
            .collect();
        arms.iter().enumerate().any(|(i, v)| arms.iter().skip(i + 1).any(|w| is_corner(*v, *w)))
    })
}

/// Whether two arms are about equally long and about square to each other.
fn is_corner(v: (f32, f32), w: (f32, f32)) -> bool {
    let (long_v, long_w) = (v.0.hypot(v.1), w.0.hypot(w.1));
    let cosine = (v.0 * w.0 + v.1 * w.1) / (long_v * long_w);
    long_v.max(long_w) < 1.5 * long_v.min(long_w) && cosine.abs() < 0.4
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

    use super::read;
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
        assert!(!read(&Grey::of(&discs(640, 480))).suspected);
        assert!(!read(&Grey::of(&paint(3, 3, |_, _| [0; 3]))).suspected);
    }

    #[test]
    fn shared_few_photos_are_suspected() {
        let data = rig::shared!();
        let photos = std::fs::read_dir(data.join("faces")).unwrap().map(|f| f.unwrap().path());
        let found: Vec<bool> =
            photos.filter_map(|p| load(&p)).map(|i| read(&Grey::of(&i)).suspected).collect();
        let suspected = found.iter().filter(|&&s| s).count();
        println!("{suspected} of {} photos are suspected to show a QR code", found.len());
        assert!(suspected * 3 <= found.len(), "{suspected} of {}", found.len());
    }
}
