//! QR codes, dark on light and light on dark.
//!
//! A cheap look for finder patterns comes first: along every third row, runs of dark and light in the proportions
//! 1:1:3:1:1 (ISO/IEC 18004, 6.3.3), confirmed down the column through their middle. Any line through the middle of
//! a finder pattern has these proportions, so turned codes are seen too. Only where three stand as the corners of a
//! code does the decoder (`rqrr`) run; and what it leaves is sampled module by module ([`grid`]).

mod corner;
mod decoder;
mod finder;
mod grid;
mod quad;
mod search;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::grey::Grey;
use corner::corners;
use finder::finders;
use quad::{Quad, contains};
use search::Search;

/// `model` of findings: the decoder's version.
pub const MODEL: &str = "rqrr@0.11";
/// Longest side in pixels of a picture, or of a piece of an elongated one, that the decoder is given at first, for its
/// cost grows with the area.
pub const WORKING_SIDE: u32 = 1000;
/// The same for a picture that certainly shows a code which is not legible at the working size.
pub const FINE_SIDE: u32 = 2000;
/// Most codes that are reported of one frame.
pub const MOST_CODES: usize = 64;
/// Most bytes that all codes of one frame say together: eight times what the largest holds, so that a worker's message
/// holds it.
pub const MOST_BYTES: usize = 8 * 2953;
/// Above so many finder patterns their places are not compared: the decoder runs.
const MOST_FINDERS: usize = 64;

/// What a frame shows of QR codes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QrCodes {
    /// Contents, each once, in the order found.
    pub contents: Vec<String>,
    /// Finder patterns stand as those of a code do, and no code that was read explains them: a larger picture may show
    /// more. Texture does this too.
    pub unread: bool,
    /// What there certainly was and was not read.
    pub lost: Option<&'static str>,
    /// Left, top, right and bottom of the codes that were read, as shares of width and height; none of an elongated
    /// picture, which is looked at in pieces.
    pub areas: Vec<[f32; 4]>,
}

impl QrCodes {
    /// What is known once the same picture was looked at at a larger size.
    pub fn refined(mut self, finer: Self) -> Self {
        let silent = finer.contents.is_empty() || finer.unread;
        self.lost = finer.lost.or(self.lost.filter(|_| silent));
        self.unread = finer.unread;
        self.areas.extend(finer.areas);
        finer.contents.into_iter().for_each(|content| self.add(content));
        self
    }

    fn add(&mut self, content: String) {
        if self.contents.contains(&content) {
            return;
        }
        let bytes: usize = self.contents.iter().map(String::len).sum();
        if self.contents.len() < MOST_CODES && bytes + content.len() <= MOST_BYTES {
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
    let pieces = grey.tiles(side, grey.short_side());
    let whole = pieces.len() == 1;
    for piece in pieces {
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
        if whole {
            let (width, height) = (piece.width() as f32, piece.height() as f32);
            codes.areas.extend(read.iter().map(|quad| {
                let [left, top, right, bottom] = quad::bounds(quad);
                [left / width, top / height, right / width, bottom / height]
            }));
        }
    }
    codes
}
