//! How much of a picture looks like rendered or printed text: the cheap test that decides whether OCR is worth its
//! second.
//!
//! Text differs from the texture of photos in that it has two brightnesses, ink and paper, with steep edges between
//! them and little else, many edges along a line, and lines that run on for several letters. The picture is cut into
//! small tiles; a tile looks like text when its contrast is high, its pixels are mostly near one of the two ends
//! of their range, and its rows cross the middle often enough. Only tiles that have such neighbours to the left or
//! right count: a line of text has several, a speck of gravel few.

use super::grey::Grey;

/// Long side in pixels at which the test looks; of a picture longer than twice its width or height, that of a piece
/// of twice that, for at its own long side the words would be lost.
pub const WORKING_SIDE: u32 = 640;
/// Likelihood from which OCR is worth its cost: about a dozen tiles. Of the reference data the ten pages of the test
/// below pass, and 7 of 34 photos do.
pub const GATE: f32 = 0.5;

/// Tile size in pixels; about a letter or two of body text at the working size.
const TILE: (usize, usize) = (16, 8);
/// Least difference of luma between ink and paper.
const LEAST_CONTRAST: u8 = 50;
/// Least number of tiles in a row that make a piece of a line.
const LEAST_RUN: usize = 4;
/// Tiles in lines at which the likelihood reaches one half: about one line of a few words.
const HALF: f32 = 12.0;

/// 0..=1: rises with the number of tiles that look like text, one half at about a dozen. Of an elongated picture, that
/// of its most likely piece.
pub fn likelihood(grey: &Grey) -> f32 {
    let pieces = grey.tiles(WORKING_SIDE, grey.short_side() / 4);
    let tiles = pieces.iter().map(|piece| text_tiles(piece)).max().unwrap_or(0) as f32;
    tiles / (tiles + HALF)
}

fn text_tiles(grey: &Grey) -> usize {
    let shrunk = grey.within(WORKING_SIDE);
    let grey = shrunk.as_ref().unwrap_or(grey);
    let rows: Vec<&[u8]> = grey.rows().collect();
    let columns = grey.width() as usize / TILE.0;
    let mut found = 0;
    for band in rows.chunks_exact(TILE.1) {
        let mut run = 0;
        for column in 0..=columns {
            // One past the end closes the last run.
            if column < columns && is_text(band, column * TILE.0) {
                run += 1;
            } else {
                found += if run >= LEAST_RUN { run } else { 0 };
                run = 0;
            }
        }
    }
    found
}

/// Whether the tile of this band of rows that starts at column `left` looks like a piece of a line of text.
fn is_text(band: &[&[u8]], left: usize) -> bool {
    let tile = || band.iter().filter_map(|row| row.get(left..left + TILE.0));
    let (mut low, mut high) = (u8::MAX, u8::MIN);
    for row in tile() {
        for &v in row {
            (low, high) = (low.min(v), high.max(v));
        }
    }
    let range = high.saturating_sub(low);
    if range < LEAST_CONTRAST {
        return false;
    }
    let (dark, light, middle) = (low + range / 4, high - range / 4, low + range / 2);
    let (mut darks, mut lights, mut crossings) = (0, 0, 0);
    for row in tile() {
        for &v in row {
            darks += usize::from(v <= dark);
            lights += usize::from(v >= light);
        }
        for pair in row.windows(2) {
            crossings += usize::from((pair[0] > middle) != (pair[1] > middle));
        }
    }
    let (area, ends) = (TILE.0 * TILE.1, darks + lights);
    let paper = darks.max(lights);
    // Letters cross the middle at least twice a row on half of the rows, noise many times more.
    ends * 100 >= area * 65 && paper * 100 >= area * 40 && (8..=56).contains(&crossings)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{GATE, likelihood};
    use crate::measure::grey::Grey;
    use crate::measure::testing::{discs, letters, load, paint};

    #[test]
    fn words_pass_the_gate_and_a_picture_does_not() {
        let words = letters(640, 480, 4, "HELLO TO THE HOTEL");
        assert!(likelihood(&Grey::of(&words)) >= GATE);
        let flat = paint(640, 480, |_, _| [90; 3]);
        assert_eq!(likelihood(&Grey::of(&flat)), 0.0);
        let smooth = paint(640, 480, |x, y| [(x * 255 / 640) as u8, (y * 255 / 480) as u8, 0]);
        assert_eq!(likelihood(&Grey::of(&smooth)), 0.0);
    }

    #[test]
    fn words_far_down_a_tall_picture_pass_the_gate() {
        let words = letters(640, 480, 4, "HELLO TO THE HOTEL");
        let line = words.data().as_chunks::<3>().0;
        let tall = paint(640, 4800, |x, y| {
            if y < 4320 { [255; 3] } else { line[((y - 4320) * 640 + x) as usize] }
        });
        assert!(likelihood(&Grey::of(&tall)) >= GATE);
    }

    #[test]
    fn noise_does_not_pass() {
        let mut state = 7u32;
        let noise = paint(640, 480, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [(state >> 24) as u8; 3]
        });
        assert!(likelihood(&Grey::of(&noise)) < GATE);
        assert!(likelihood(&Grey::of(&discs(20, 20))) < GATE);
    }

    #[test]
    fn shared_pages_pass_and_most_photos_do_not() {
        let data = rig::shared!();
        let at = |path: &str| likelihood(&Grey::of(&load(&data.join(path)).unwrap()));
        for page in [
            "lorem_ipsum_screenshot.png",
            "page.png",
            "pytessera_test.png",
            "pytessera_test-european.jpg",
            "tesseract_bill.png",
            "tesseract_tyger.jpg",
            "test_devatest.png",
            "test_hebrew.png",
            "test_deslant.tif",
            "test_phototest-rotated-180.png",
        ] {
            assert!(at(&format!("ocr/{page}")) >= GATE, "{page}: {}", at(&format!("ocr/{page}")));
        }
        let photos = std::fs::read_dir(data.join("faces")).unwrap().map(|f| f.unwrap().path());
        let found: Vec<bool> =
            photos.filter_map(|p| load(&p)).map(|i| likelihood(&Grey::of(&i)) >= GATE).collect();
        let passed = found.iter().filter(|&&p| p).count();
        println!("{passed} of {} photos pass the text gate", found.len());
        assert!(passed * 2 <= found.len(), "{passed} of {}", found.len());
    }
}
