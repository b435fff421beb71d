//! Finder patterns: along every third row, runs of dark and light in the proportions 1:1:3:1:1 (ISO/IEC 18004, 6.3.3),
//! confirmed down the column through their middle.

use crate::measure::grey::Grey;

/// Rows looked at: one of so many. The middle square of a finder pattern is three modules high.
const ROW_STEP: usize = 3;
/// Least difference of luma between dark and light.
const LEAST_CONTRAST: u8 = 30;

/// A finder pattern that was seen.
#[derive(Clone, Copy)]
pub(super) struct Finder {
    /// Middle.
    pub x: f32,
    /// Middle.
    pub y: f32,
    /// Width along the row.
    pub size: f32,
    /// Rows on which it was seen.
    hits: u32,
}

/// Finder patterns, dark on light and light on dark.
pub(super) fn finders(grey: &Grey) -> [Vec<Finder>; 2] {
    let mut seen: [Vec<Finder>; 2] = Default::default();
    let mut runs = Runs::default();
    for (y, row) in grey.rows().enumerate().step_by(ROW_STEP) {
        runs.clear();
        let mut see = |dark: bool, x: usize| {
            if let Some((start, light_inside)) = runs.push(dark, x)
                && confirmed(grey, start.midpoint(x), y, light_inside)
            {
                add(&mut seen[usize::from(light_inside)], start.midpoint(x), y, x - start);
            }
        };
        let mut last = false;
        for (x, dark) in Threshold::new(row).enumerate() {
            see(dark, x);
            last = dark;
        }
        // A code may end where the picture does, and with it the last run.
        see(!last, row.len());
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
        // The first run of light starts with the row; of length 0, where the row starts dark.
        *self = Self { seen: 1, ..Self::default() };
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
    let up = lengths((top..=y).rev(), top == 0, inside);
    let down = lengths(y + 1..bottom, bottom == height, inside);
    let (&[a, b, c], &[d, e, f]) = (up.as_slice(), down.as_slice()) else { return false };
    is_finder([c, b, a + d, e, f])
}

/// Lengths of the first three runs that end within the way, or with the picture at its edge, the first of them inside.
fn lengths(
    way: impl Iterator<Item = usize>,
    to_edge: bool,
    inside: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let (mut lengths, mut run, mut colour) = (Vec::with_capacity(3), 0, true);
    for y in way {
        if inside(y) == colour {
            run += 1;
        } else {
            lengths.push(run);
            (run, colour) = (1, !colour);
            if lengths.len() == 3 {
                return lengths;
            }
        }
    }
    if to_edge && lengths.len() == 2 {
        lengths.push(run);
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
