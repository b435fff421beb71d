//! The decoder (`rqrr`), and what its answer means.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rqrr::BitGrid;

use super::quad::Quad;
use crate::measure::grey::Grey;

/// What the decoder made of a picture.
#[derive(Default)]
pub(super) struct Look {
    /// What was read, and where.
    pub read: Vec<(String, Quad)>,
    /// Codes beyond doubt, but illegible.
    pub illegible: Vec<Quad>,
    /// The decoder gave up on all of it.
    pub panicked: bool,
}

/// Runs the decoder on a picture, XORed with `flip`.
pub(super) fn look(grey: &Grey, flip: u8) -> Look {
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

/// What a grid of modules is.
pub(super) enum Code {
    /// A code that says this.
    Content(String),
    /// A code beyond doubt that cannot be read.
    Illegible,
}

/// Decodes modules that were sampled elsewhere; `None` where they are no code.
pub(super) fn decode(size: usize, dark: impl Fn(usize, usize) -> bool) -> Option<Code> {
    // The crate asks by column and row.
    let grid = rqrr::SimpleGrid::from_func(size, |x, y| dark(y, x));
    let code = is_code(&grid);
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut bytes = Vec::new();
        rqrr::Grid::new(grid).decode_to(&mut bytes).is_ok().then_some(bytes)
    }));
    match decoded {
        Ok(Some(bytes)) => Some(Code::Content(text(bytes))),
        _ => code.then_some(Code::Illegible),
    }
}

/// Whether a grid shows the fixed patterns of a code; texture that the decoder took for a grid does not.
fn is_code(grid: &impl BitGrid) -> bool {
    grid.size() >= 21 && Fit::of(grid.size(), |y, x| grid.bit(y, x)).is_code()
}

/// How well modules agree with the fixed patterns of a code (ISO/IEC 18004, 6.3.3 to 6.3.6): the three finder patterns,
/// the timing between them, and the alignment pattern near the fourth corner.
pub(super) struct Fit {
    finder_misses: usize,
    timing_misses: usize,
    timing: usize,
    alignment_misses: usize,
}

/// Modules of three finder patterns.
const FINDERS: usize = 3 * 49;

impl Fit {
    /// Compares a grid of `size` modules a side, at least 21; `dark` takes row and column.
    pub fn of(size: usize, dark: impl Fn(usize, usize) -> bool) -> Self {
        let far = size - 7;
        let finder = |top: usize, left: usize| {
            let modules = (0..7usize).flat_map(|y| (0..7usize).map(move |x| (y, x)));
            let set = |(y, x): (usize, usize)| y.abs_diff(3).max(x.abs_diff(3)) != 2;
            modules.filter(|&(y, x)| dark(top + y, left + x) != set((y, x))).count()
        };
        let timing = 8..size - 8;
        let misses = |i: usize| {
            usize::from(dark(6, i) != (i.is_multiple_of(2)))
                + usize::from(dark(i, 6) != (i.is_multiple_of(2)))
        };
        let alignment = || {
            let modules = (0..5usize).flat_map(|y| (0..5usize).map(move |x| (y, x)));
            let set = |(y, x): (usize, usize)| y.abs_diff(2).max(x.abs_diff(2)) != 1;
            modules.filter(|&(y, x)| dark(size - 9 + y, size - 9 + x) != set((y, x))).count()
        };
        Self {
            finder_misses: finder(0, 0) + finder(far, 0) + finder(0, far),
            timing_misses: timing.clone().map(misses).sum(),
            timing: 2 * timing.len(),
            // Version 1 has none.
            alignment_misses: if size > 21 { alignment() } else { 0 },
        }
    }

    /// Nine of ten modules of the finder patterns and of the timing.
    fn is_code(&self) -> bool {
        self.finder_misses * 10 <= FINDERS && self.timing_misses * 10 <= self.timing
    }

    /// Four of five.
    pub fn may_be_code(&self) -> bool {
        self.finder_misses * 5 <= FINDERS && self.timing_misses * 5 <= self.timing
    }

    /// Modules that are not as they should be.
    pub fn misses(&self) -> u32 {
        (self.finder_misses + self.timing_misses + self.alignment_misses) as u32
    }
}
