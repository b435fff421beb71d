//! How much of a picture looks like rendered or printed text: the cheap test that decides whether OCR is worth its
//! second.
//!
//! Text differs from the texture of photos in that it has two brightnesses, ink and paper, with steep edges between
//! them and little else, many edges along a line, and lines that run on for several letters. The picture is cut into
//! small tiles; a tile looks like text when its contrast is high, its pixels are mostly near one of the two ends
//! of their range, and its rows cross the middle often enough. Only tiles that have such neighbours to the left or
//! right count: a line of text has several, a speck of gravel few.

use models::RgbImage;

use super::grey::{Grey, luma};

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
/// The same between two colours, of which a camera sees fewer than brightnesses.
const LEAST_COLOUR: u8 = 36;
/// A region on plain ground counts so many times.
const QUIET: f32 = 2.5;
/// Least number of tiles in a region that is read by itself.
const LEAST_REGION: usize = 5;
/// Rows above and below, of two dozen, that make plain ground.
const QUIET_ROWS: usize = 10;
/// Most regions of one picture.
const MOST_REGIONS: usize = 6;
/// Pixels of a picture of full size at the working side.
const FULL_AREA: f32 = 640.0 * 480.0;
/// Tiles in lines at which the likelihood reaches one half: about one line of a few words.
const HALF: f32 = 12.0;

/// What the test sees in a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Textness {
    /// 0..=1: rises with the number of tiles that look like text, one half at about a dozen, or at fewer in a small
    /// picture, which costs less to read. Of an elongated picture, that of its most likely piece.
    pub likelihood: f32,
    /// The same for level lines all over the picture, as on a page or a screen.
    pub page: f32,
    /// Where lines seem to stand, the largest first.
    pub regions: Vec<Region>,
}

/// A part of a picture that looks like lines of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left, top, right and bottom as shares of the width and height.
    pub area: [f32; 4],
    /// Tiles in it that look like text.
    pub tiles: usize,
    /// Lowest height of a line in it, as a share of the picture's height (of its width, where turned).
    pub line: f32,
    /// In which plane they show.
    pub plane: Plane,
    /// Lines run down or up.
    pub turned: bool,
    /// The ground above and below is plain.
    pub quiet: bool,
}

/// One view of a picture in which ink may differ from paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Brightness.
    Luma,
    /// Red against green.
    RedGreen,
    /// Blue against yellow.
    BlueYellow,
}

impl Plane {
    /// The plane of a picture, every `step`th pixel.
    pub fn of(self, image: &RgbImage, step: usize) -> Option<Grey> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let half = |v: i32| (128 + v / 2).clamp(0, 255) as u8;
        let value = |p: &[u8; 3]| {
            let [r, g, b] = p.map(i32::from);
            match self {
                Self::Luma => luma(p),
                Self::RedGreen => half(r - g),
                Self::BlueYellow => half(b - (r + g) / 2),
            }
        };
        let rows = image.data().chunks_exact(width * 3).step_by(step);
        let data = rows.flat_map(|row| row.as_chunks::<3>().0.iter().step_by(step)).map(value);
        Grey::new(width.div_ceil(step) as u32, height.div_ceil(step) as u32, data.collect())
    }
}

/// Looks for text in a frame and its luma.
pub fn look(image: &RgbImage, grey: &Grey) -> Textness {
    let mut regions = Vec::new();
    let short = u64::from(grey.short_side().max(1));
    // Of an elongated picture the short side counts.
    let side = (u64::from(WORKING_SIDE) * u64::from(grey.long_side()) * 3).div_ceil(short * 4);
    let side = u32::try_from(side).unwrap_or(u32::MAX).max(WORKING_SIDE);
    let shrunk = grey.within(side);
    let small = shrunk.as_ref().unwrap_or(grey);
    find(small, false, Plane::Luma, LEAST_CONTRAST, &mut regions);
    if let Some(turned) = small.transposed() {
        find(&turned, true, Plane::Luma, LEAST_CONTRAST, &mut regions);
    }
    // Cameras and JPEG keep half of the resolution of colour.
    let step = 2 * grey.long_side().div_ceil(side) as usize;
    for plane in [Plane::RedGreen, Plane::BlueYellow] {
        if let Some(grey) = plane.of(image, step) {
            find(&grey, false, plane, LEAST_COLOUR, &mut regions);
        }
    }
    regions.sort_by_key(|r| std::cmp::Reverse(r.tiles));
    regions.truncate(MOST_REGIONS);
    // A small picture has little room for tiles, and reading it costs little.
    let area = (grey.width() as f32 * grey.height() as f32 / FULL_AREA).clamp(0.25, 1.0);
    let strength = |r: &Region| r.tiles as f32 * if r.quiet { QUIET } else { 1.0 };
    let best = regions.iter().map(strength).fold(0.0, f32::max);
    let page = likelihood(grey);
    Textness { likelihood: page.max(best / (best + HALF * area)), page, regions }
}

/// Regions of lines in a plane, which was `turned` over its diagonal.
fn find(grey: &Grey, turned: bool, plane: Plane, contrast: u8, regions: &mut Vec<Region>) {
    let (width, height) = (grey.width() as f32, grey.height() as f32);
    for block in blocks(grey, contrast) {
        let [left, top, right, bottom] = block.area.map(|n| n as f32);
        let area = [left / width, top / height, right / width, bottom / height];
        let area = if turned { [area[1], area[0], area[3], area[2]] } else { area };
        let (tiles, quiet) = (block.tiles, is_quiet(grey, &block, contrast));
        regions.push(Region { area, tiles, line: TILE.1 as f32 / height, plane, turned, quiet });
    }
}

/// Neighbouring runs of tiles.
struct Block {
    /// Left, top, right, bottom in pixels.
    area: [usize; 4],
    tiles: usize,
}

/// The runs of tiles that look like pieces of lines, joined where they touch.
fn blocks(grey: &Grey, contrast: u8) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (left, top, tiles) in runs(grey, contrast) {
        let (right, bottom) = (left + tiles * TILE.0, top + TILE.1);
        let touches = |b: &&mut Block| {
            let [l, _, r, end] = b.area;
            end + TILE.1 >= top && l < right + TILE.0 && left < r + TILE.0
        };
        match blocks.iter_mut().rev().take(32).find(touches) {
            Some(block) => {
                let [l, t, r, b] = block.area;
                block.area = [l.min(left), t, r.max(right), b.max(bottom)];
                block.tiles += tiles;
            }
            None => blocks.push(Block { area: [left, top, right, bottom], tiles }),
        }
    }
    blocks.retain(|b| b.tiles >= LEAST_REGION);
    blocks
}

/// Whether what lies above and below is plain: lines on a page or a banner stand so, texture has more of itself around it.
fn is_quiet(grey: &Grey, block: &Block, contrast: u8) -> bool {
    let [left, top, right, bottom] = block.area;
    let plain = |row: usize| {
        let pixels =
            grey.rows().nth(row).and_then(|r| r.get(left..right.min(r.len()))).unwrap_or_default();
        let range =
            pixels.iter().max().zip(pixels.iter().min()).map_or(0, |(high, low)| high - low);
        range < contrast
    };
    let above =
        (1..=3 * TILE.1).map_while(|i| top.checked_sub(i)).filter(|&row| plain(row)).count();
    let below = (0..3 * TILE.1).map(|i| bottom + i).take_while(|&row| row < grey.height() as usize);
    above >= QUIET_ROWS && below.filter(|&row| plain(row)).count() >= QUIET_ROWS
}

/// 0..=1: rises with the number of tiles that look like text, one half at about a dozen. Of an elongated picture, that
/// of its most likely piece.
pub fn likelihood(grey: &Grey) -> f32 {
    let pieces = grey.tiles(WORKING_SIDE, grey.short_side() / 4);
    let tiles = pieces.iter().map(|piece| text_tiles(piece)).max().unwrap_or(0) as f32;
    tiles / (tiles + HALF)
}

fn text_tiles(grey: &Grey) -> usize {
    let shrunk = grey.within(WORKING_SIDE);
    runs(shrunk.as_ref().unwrap_or(grey), LEAST_CONTRAST).iter().map(|run| run.2).sum()
}

/// Runs of tiles that look like pieces of lines: left and top in pixels, and number of tiles.
fn runs(grey: &Grey, contrast: u8) -> Vec<(usize, usize, usize)> {
    let rows: Vec<&[u8]> = grey.rows().collect();
    let columns = grey.width() as usize / TILE.0;
    let mut runs = Vec::new();
    for (number, band) in rows.chunks_exact(TILE.1).enumerate() {
        let mut run = 0;
        for column in 0..=columns {
            // One past the end closes the last run.
            if column < columns && is_text(band, column * TILE.0, contrast) {
                run += 1;
            } else {
                if run >= LEAST_RUN {
                    runs.push(((column - run) * TILE.0, number * TILE.1, run));
                }
                run = 0;
            }
        }
    }
    runs
}

/// Whether the tile of this band of rows that starts at column `left` looks like a piece of a line of text.
fn is_text(band: &[&[u8]], left: usize, contrast: u8) -> bool {
    let tile = || band.iter().filter_map(|row| row.get(left..left + TILE.0));
    let (mut low, mut high) = (u8::MAX, u8::MIN);
    for row in tile() {
        for &v in row {
            (low, high) = (low.min(v), high.max(v));
        }
    }
    let range = high.saturating_sub(low);
    if range < contrast {
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
