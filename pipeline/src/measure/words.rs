//! Reads the words of one frame: the whole page where level lines stand all over it, and then each region by itself that
//! the page reader is not made for: lines on a photo, small or coloured ones, turned ones.

use std::time::{Duration, Instant};

use models::RgbImage;

use super::analyser::with_reader;
use super::grey::Grey;
use super::ocr::{self, OcrError, Reader};
use super::textness::{Plane, Region, Textness};
use super::{Measures, Words};

/// Time for reading the words of one item, over all its frames. What is left unread then is told, never passed over.
const READING_BUDGET: Duration = Duration::from_secs(3);
/// Height in pixels to which the lowest line of a region is brought, a third of what it may be in truth.
const LINE_HEIGHT: f32 = 22.0;
/// Most that a region is enlarged: there is nothing more in it.
const MOST_ENLARGED: f32 = 4.0;
/// Tiles from which a region on plain ground is text without doubt, so that it is told when nothing of it can be read.
const CERTAIN_TILES: usize = 12;

const TIME_SPENT: &str = "the item's time for reading words is spent";
const ILLEGIBLE: &str = "there are lines of text of which no word could be read";

/// A picture to read.
pub(super) struct Page<'a> {
    /// At the size for reading.
    pub image: &'a RgbImage,
    /// Where lines seem to stand, by a smaller copy.
    pub seen: &'a Textness,
    /// Likelihood from which a whole page is read.
    pub gate: f32,
    /// Left, top, right and bottom of the QR codes that were read, as shares of width and height.
    pub codes: &'a [[f32; 4]],
}

/// Reads the words of a picture, as long as the item's time lasts.
pub(super) fn read(page: &Page<'_>, spent: &mut Duration, measures: &mut Measures) {
    let Page { image, seen, gate, codes } = *page;
    let mut search = Search { spent, words: Words::default(), any: false, failure: None };
    // A line of text is lower than a quarter of the width: one of two neighbouring pieces has the whole of it.
    if seen.page >= gate {
        let grey = Grey::of(image);
        for piece in grey.tiles(ocr::WORKING_SIDE, grey.short_side() / 4) {
            if let Some(words) = search.try_read(|reader| reader.read(&piece)) {
                search.add(words);
            }
        }
    }
    for region in &seen.regions {
        // What stands level in black and white was on the page, and what seems to be lines from the side, too.
        let on_page = |r: &Region| r.plane == Plane::Luma && !r.turned;
        let again =
            || region.turned && seen.regions.iter().any(|r| on_page(r) && covers(r, region));
        if seen.page >= gate && is_legible(&search.words) && (on_page(region) || again()) {
            continue;
        }
        search.region(image, region);
    }
    // The modules of a code look like letters; what they say was read.
    let certain = |r: &Region| {
        r.quiet && r.tiles >= CERTAIN_TILES && !codes.iter().any(|code| mostly_in(&r.area, code))
    };
    if search.words.confident == 0 && seen.regions.iter().any(certain) {
        search.failure.get_or_insert_with(|| ILLEGIBLE.to_owned());
    }
    measures.ocr_failed = search.failure;
    measures.words = search.any.then_some(search.words);
}

/// Whether half of `region` lies within `other`.
fn covers(other: &Region, region: &Region) -> bool {
    let overlap = |low: usize, high: usize| {
        let start = other.area[low].max(region.area[low]);
        (other.area[high].min(region.area[high]) - start).max(0.0)
    };
    let [left, top, right, bottom] = region.area;
    2.0 * overlap(0, 2) * overlap(1, 3) >= (right - left) * (bottom - top)
}

struct Search<'a> {
    spent: &'a mut Duration,
    words: Words,
    /// Something was read, be it nothing.
    any: bool,
    failure: Option<String>,
}

impl Search<'_> {
    /// Reads, where there is time; notes why not all was read.
    fn try_read(
        &mut self,
        read: impl FnOnce(&mut Reader) -> (Words, Option<OcrError>),
    ) -> Option<Words> {
        if *self.spent > READING_BUDGET {
            self.failure.get_or_insert_with(|| TIME_SPENT.to_owned());
            return None;
        }
        let started = Instant::now();
        let read = with_reader(read);
        *self.spent += started.elapsed();
        match read {
            Ok((words, failure)) => {
                self.any = true;
                self.failure = self.failure.take().or(failure.map(|f| f.to_string()));
                Some(words)
            }
            Err(e) => {
                self.failure.get_or_insert_with(|| e.to_string());
                None
            }
        }
    }

    fn add(&mut self, words: Words) {
        if !self.words.text.is_empty() && !words.text.is_empty() {
            self.words.text.push('\n');
        }
        self.words.text.push_str(&words.text);
        self.words.confident = self.words.confident.saturating_add(words.confident);
    }

    /// Reads one region; from the other side, too, where this one makes little sense.
    fn region(&mut self, image: &RgbImage, region: &Region) {
        let Some(lines) = lines(image, region) else { return };
        let Some(mut words) = self.try_read(|reader| reader.read_block(&lines)) else { return };
        if !is_legible(&words) || region.turned {
            let turned = lines.turned_round();
            let other = self.try_read(|reader| reader.read_block(&turned)).unwrap_or_default();
            if other.confident > words.confident {
                words = other;
            }
        }
        if words.confident > 0 {
            self.add(words);
        }
    }
}

/// Whether half of the words are certain: what stands upside down gives a few by chance.
fn is_legible(words: &Words) -> bool {
    let all = words.text.split_whitespace().filter(|w| w.chars().count() > 1).count();
    words.confident > 0 && words.confident as usize * 2 >= all
}

/// Whether most of an area lies in a code, or in the margin that tiles of text reach into.
fn mostly_in(area: &[f32; 4], code: &[f32; 4]) -> bool {
    let [left, top, right, bottom] = *code;
    let (dx, dy) = ((right - left) / 8.0, (bottom - top) / 8.0);
    let within =
        |low: f32, high: f32, least: f32, most: f32| (high.min(most) - low.max(least)).max(0.0);
    let wide = within(area[0], area[2], left - dx, right + dx);
    let high = within(area[1], area[3], top - dy, bottom + dy);
    wide * high >= 0.75 * (area[2] - area[0]) * (area[3] - area[1])
}

/// The region with some ground around it, its lines level and of a legible height.
fn lines(image: &RgbImage, region: &Region) -> Option<Grey> {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let line = region.line * if region.turned { width } else { height };
    let [left, top, right, bottom] = region.area;
    let margin = 2.0 * line;
    let low = |share: f32, side: f32| (share * side - margin).max(0.0) as u32;
    let high = |share: f32, side: f32| (share * side + margin).min(side) as u32;
    let (x, y) = (low(left, width), low(top, height));
    let (w, h) = (high(right, width).checked_sub(x)?, high(bottom, height).checked_sub(y)?);
    let part = region.plane.of(&crop(image, x, y, w, h)?, 1)?.stretched();
    let part = if region.turned { part.turned_left()? } else { part };
    let most = ocr::WORKING_SIDE as f32 / part.long_side() as f32;
    let scale = (LINE_HEIGHT / line.max(1.0)).clamp(0.25, MOST_ENLARGED).min(most);
    let side = |n: u32| ((n as f32 * scale) as u32).max(1);
    part.resized(side(part.width()), side(part.height()))
}

fn crop(image: &RgbImage, x: u32, y: u32, width: u32, height: u32) -> Option<RgbImage> {
    let rows = image.data().chunks_exact(image.width() as usize * 3);
    let rows = rows.skip(y as usize).take(height as usize);
    let span = x as usize * 3..(x + width) as usize * 3;
    let data: Vec<u8> = rows.filter_map(|row| row.get(span.clone())).flatten().copied().collect();
    RgbImage::new(width, height, data)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use models::RgbImage;
    use rig::media::{Line, Picture, page, scene};

    use crate::measure::ocr::DEFAULT_TESSDATA;
    use crate::measure::testing::resize;
    use crate::measure::{Analyser, Measures, Ocr, Plan, preload};

    const WORDS: &str = "send money to this account";

    fn rgb(picture: &Picture) -> RgbImage {
        RgbImage::new(picture.width, picture.height, picture.rgb.clone()).unwrap()
    }

    /// The words in letters of a height on some ground.
    fn written(ground: &Picture, height: f32, colour: [u8; 3]) -> RgbImage {
        let (left, baseline) = (20.0, ground.height as f32 / 2.0);
        rgb(&page(ground, &[Line { text: WORDS, height, left, baseline, colour }]).unwrap())
    }

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> Picture {
        Picture::from_fn(width, height, |_, _| colour)
    }

    /// What is read of a picture whose frame has a long side of at most 1279, as decoders give it.
    fn measured(full: &RgbImage) -> Measures {
        preload(&["eng".to_owned()], Path::new(DEFAULT_TESSDATA)).unwrap();
        let (width, height) = (full.width(), full.height());
        let shrunk = |side: u32| {
            let by = |n: u32| (n * side / width.max(height)).max(1);
            resize(full, by(width), by(height))
        };
        let long = width.max(height);
        let frame = if long < 1280 { full.clone() } else { shrunk(long / (long / 640)) };
        Analyser::new(Plan { ocr: Ocr::Gated(50), ..Plan::default() }).analyse(
            &frame,
            (width, height),
            &mut |side| Some(shrunk(side)),
        )
    }

    fn assert_read(case: &str, picture: &RgbImage) {
        let measures = measured(picture);
        let text = measures.words.map(|w| w.text).unwrap_or_default();
        assert!(text.contains("money") && text.contains("account"), "{case}: {text:?}");
    }

    #[test]
    fn small_words_in_a_small_picture_are_read() {
        assert_read("16 px", &written(&plain(280, 200, [255; 3]), 20.0, [0; 3]));
    }

    #[test]
    fn small_words_in_a_large_picture_are_read() {
        assert_read("1:70", &written(&plain(2800, 2000, [255; 3]), 32.0, [0; 3]));
    }

    #[test]
    fn turned_words_are_read_either_way() {
        let level = written(&plain(640, 200, [255; 3]), 40.0, [0; 3]);
        let pixels = level.data().as_chunks::<3>().0;
        let at = |x: i64, y: i64| pixels[(y * 640 + x) as usize];
        let left = crate::measure::testing::paint(200, 640, |x, y| at(639 - y, x));
        let right = crate::measure::testing::paint(200, 640, |x, y| at(y, 199 - x));
        assert_read("left", &left);
        assert_read("right", &right);
    }

    #[test]
    fn words_in_a_colour_as_bright_as_their_ground_are_read() {
        assert_read("red on green", &written(&plain(640, 200, [0, 102, 0]), 40.0, [200, 0, 0]));
    }

    #[test]
    fn words_on_a_banner_across_a_photo_are_read() {
        let mut photo = scene(900, 700, 3);
        for (x, y) in (310..390).flat_map(|y| (0..900).map(move |x| (x, y))) {
            photo.set(x, y, [180, 0, 0]);
        }
        assert_read("banner", &written(&photo, 48.0, [255, 255, 0]));
    }

    #[test]
    fn lines_that_no_one_can_read_are_told() {
        // Blocks in rows with the rhythm of letters.
        let rows = Picture::from_fn(640, 480, |x, y| {
            let line = (200..280).contains(&y) && y % 20 < 12 && (40..600).contains(&x);
            [if line && (x / 4 * 7 + y / 6 * 3) % 5 < 2 { 0 } else { 255 }; 3]
        });
        let measures = measured(&rgb(&rows));
        // On a slow machine the time may be over before the last try, which is told as well.
        assert!(measures.ocr_failed.is_some(), "{:?}", measures.words);
    }

    #[test]
    fn a_code_that_was_read_is_no_text_that_was_not() {
        preload(&["eng".to_owned()], Path::new(DEFAULT_TESSDATA)).unwrap();
        let plan = Plan { ocr: Ocr::Gated(50), qr: true, ..Plan::default() };
        for module in [4, 8] {
            let code =
                rgb(&rig::media::qr_code("https://www.example.org/menu?table=17", module).unwrap());
            let size = (code.width(), code.height());
            let measures = Analyser::new(plan).analyse(&code, size, &mut |_| None);
            assert_eq!(measures.qr, ["https://www.example.org/menu?table=17"]);
            assert_eq!(measures.ocr_failed, None, "{module}");
        }
    }

    #[test]
    fn a_photo_without_words_is_not_read() {
        for seed in 1..5 {
            let measures = measured(&rgb(&scene(900, 700, seed)));
            assert!(measures.ocr_gated && measures.ocr_failed.is_none(), "{seed}");
        }
    }
}
