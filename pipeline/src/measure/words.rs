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

/// Reads the words of a picture, of which a smaller copy was `seen`, as long as the item's time lasts.
pub(super) fn read(
    image: &RgbImage,
    seen: &Textness,
    gate: f32,
    spent: &mut Duration,
    measures: &mut Measures,
) {
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
        // What stands level in black and white was on the page.
        let on_page = region.plane == Plane::Luma && !region.turned;
        if on_page && seen.page >= gate && is_legible(&search.words) {
            continue;
        }
        search.region(image, region);
    }
    let certain = |r: &Region| r.quiet && r.tiles >= CERTAIN_TILES;
    if search.words.confident == 0 && seen.regions.iter().any(certain) {
        search.failure.get_or_insert_with(|| ILLEGIBLE.to_owned());
    }
    measures.ocr_failed = search.failure;
    measures.words = search.any.then_some(search.words);
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
