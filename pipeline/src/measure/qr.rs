//! QR codes, dark on light and light on dark.
//!
//! A cheap look for finder patterns comes first: along every third row, runs of dark and light in the proportions
//! 1:1:3:1:1 (ISO/IEC 18004, 6.3.3), confirmed down the column through their middle. Any line through the middle of
//! a finder pattern has these proportions, so turned codes are seen too. Only where three are seen does the
//! decoder (`rqrr`) run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::grey::Grey;

/// Longest side in pixels that the decoder is given: its cost grows with the area, and a code whose modules are below
/// two pixels at this size is not one that a phone's camera reads off a screen either.
pub const WORKING_SIDE: u32 = 1000;
/// Most codes that are reported of one frame.
const MOST_CODES: usize = 16;
/// Finder patterns of one code.
const FINDERS: usize = 3;
/// Rows looked at: one of so many. The middle square of a finder pattern is three modules high.
const ROW_STEP: usize = 3;
/// Least difference of luma between dark and light.
const LEAST_CONTRAST: u8 = 40;

/// What a frame shows of QR codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QrCodes {
    /// Contents, each once, in the order found.
    pub contents: Vec<String>,
    /// Whether there were finder patterns enough for a code.
    pub suspected: bool,
}

/// Finds and reads QR codes; shrinks to [`WORKING_SIDE`] itself.
pub fn read(grey: &Grey) -> QrCodes {
    let shrunk = grey.within(WORKING_SIDE);
    let grey = shrunk.as_ref().unwrap_or(grey);
    let finders = count_finders(grey);
    let mut codes =
        QrCodes { contents: Vec::new(), suspected: finders.iter().any(|&n| n >= FINDERS) };
    for (count, flip) in finders.into_iter().zip([0, 255]) {
        if count >= FINDERS {
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

/// Finder patterns seen, dark on light and light on dark. One pattern may count more than once.
fn count_finders(grey: &Grey) -> [usize; 2] {
    let mut counts = [0; 2];
    let mut runs = Runs::default();
    for (y, row) in grey.rows().enumerate().step_by(ROW_STEP) {
        runs.clear();
        let mut before = 0;
        for (x, dark) in Threshold::new(row).enumerate() {
            if let Some((start, light_inside)) = runs.push(dark, x)
                && confirmed(grey, start.midpoint(x), y, light_inside)
                && x - before > 2
            {
                counts[usize::from(light_inside)] += 1;
                before = x;
            }
        }
    }
    counts
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
