//! Takes all measures of a frame, each at its own size, sharing what they share.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use models::{Filter, Fit, Rendition, RgbImage};

use super::grey::Grey;
use super::ocr::{OcrError, Reader};
use super::pdq::Pdq;
use super::qr::QrCodes;
use super::{Measures, Ocr, Plan, ocr, qr, quality, textness, words};

static READER: OnceLock<Mutex<Result<Reader, OcrError>>> = OnceLock::new();

/// Loads what a locked-down worker can no longer load: the OCR engine, if there are languages. To be called once,
/// in the zygote, before it forks.
///
/// # Errors
/// What is missing for OCR. The worker goes on without and says so in every frame (`Measures::ocr_failed`).
pub fn preload(ocr_languages: &[String], tessdata: &Path) -> Result<(), OcrError> {
    if ocr_languages.is_empty() {
        return Ok(());
    }
    let reader = READER.get_or_init(|| Mutex::new(Reader::open(ocr_languages, tessdata)));
    match &*reader.lock().unwrap_or_else(PoisonError::into_inner) {
        Ok(_) => Ok(()),
        Err(e) => Err(e.clone()),
    }
}

/// Measures frames as a plan says.
#[derive(Clone, Copy, Debug)]
pub struct Analyser {
    plan: Plan,
    /// Time spent on reading words of this item.
    reading: Duration,
}

impl Analyser {
    /// An analyser for one item.
    pub fn new(plan: Plan) -> Self {
        Self { plan, reading: Duration::ZERO }
    }

    /// The sizes at which a decoder must at least hand over the frames for this plan: what OCR and QR codes need
    /// beyond it they ask for when they need it.
    ///
    /// An elongated picture is looked at in pieces of at most 2:1, so its *short* side must not fall below half of the
    /// working size. The two renditions for that ask for nothing more where the picture itself is at most 2:1.
    pub fn renditions(plan: &Plan) -> Vec<Rendition> {
        let sides = [
            (plan.pdq, super::pdq::WORKING_SIDE),
            (plan.blur, quality::WORKING_SIDE),
            (plan.ocr != Ocr::Off, textness::WORKING_SIDE),
            (plan.qr, textness::WORKING_SIDE),
        ];
        let asked = sides.into_iter().filter(|(asked, _)| *asked).map(|(_, side)| side);
        let Some(side) = asked.max() else { return Vec::new() };
        [(side, side), (side / 2, u32::MAX), (u32::MAX, side / 2)]
            .map(|(width, height)| Rendition {
                width,
                height,
                fit: Fit::Within,
                filter: Filter::Triangle,
            })
            .to_vec()
    }

    /// Measures one frame of a picture whose upright full size is `source`. `redecode` gives the same frame with a
    /// long side of at least the given one, or nothing, where that is too dear; then OCR and QR read the frame at
    /// hand. It is asked at most three times: by OCR where the gate lets it run, and by QR where there are finder
    /// patterns that no code that was read explains, and again where there is a code that is not legible yet.
    pub fn analyse(
        &mut self,
        frame: &RgbImage,
        source: (u32, u32),
        redecode: &mut dyn FnMut(u32) -> Option<RgbImage>,
    ) -> Measures {
        let mut measures = Measures::default();
        if self.plan.pdq {
            measures.pdq = Pdq::of_rendition(frame, source.0, source.1);
        }
        if !self.plan.blur && !self.plan.qr && self.plan.ocr == Ocr::Off {
            return measures;
        }
        let grey = Grey::of(frame);
        let mut larger = |side: u32| {
            let wanted = whole_side(side, source);
            (grey.long_side() < wanted).then(|| redecode(wanted)).flatten()
        };
        if self.plan.blur {
            measures.blur_variance = quality::blur_variance(&grey);
        }
        let mut codes = QrCodes::default();
        if self.plan.qr {
            codes = read_codes(&grey, &mut |side| larger(side).map(|image| Grey::of(&image)));
            measures.qr = std::mem::take(&mut codes.contents);
            measures.qr_failed = codes.lost.map(str::to_owned);
        }
        if self.plan.ocr != Ocr::Off {
            let seen = textness::look(frame, &grey);
            measures.text_likelihood = Some(seen.likelihood);
            let gate = match self.plan.ocr {
                Ocr::Gated(percent) => f32::from(percent) / 100.0,
                Ocr::Off | Ocr::Always => 0.0,
            };
            measures.ocr_gated = seen.likelihood < gate;
            if !measures.ocr_gated {
                let larger = larger(ocr::WORKING_SIDE);
                let image = larger.as_ref().unwrap_or(frame);
                let whole = words::Page { image, seen: &seen, gate, codes: &codes.areas };
                words::read(&whole, &mut self.reading, &mut measures);
            }
        }
        measures
    }
}

/// The long side of a whole picture whose pieces of at most 2:1 have a long side of `side`; never enlarged.
fn whole_side(side: u32, (width, height): (u32, u32)) -> u32 {
    let (long, short) = (width.max(height), width.min(height).max(1));
    let elongated = u64::from(side) * u64::from(long) / (2 * u64::from(short));
    u32::try_from(elongated).unwrap_or(u32::MAX).max(side).min(long)
}

/// Reads QR codes, on a larger picture as long as there is one and it may show more.
fn read_codes(grey: &Grey, larger: &mut dyn FnMut(u32) -> Option<Grey>) -> QrCodes {
    let mut codes = qr::read(grey, qr::WORKING_SIDE);
    let mut seen = grey.long_side().min(qr::WORKING_SIDE);
    for side in [qr::WORKING_SIDE, qr::FINE_SIDE] {
        // Texture often passes for finder patterns: the dear size is for what is certainly a code.
        if !codes.unread || (side == qr::FINE_SIDE && codes.lost.is_none()) {
            break;
        }
        let image = larger(side);
        let image = image.as_ref().unwrap_or(grey);
        if image.long_side().min(side) > seen {
            seen = image.long_side().min(side);
            codes = codes.refined(qr::read(image, side));
        }
    }
    codes
}

/// Does something with the loaded engine.
pub(super) fn with_reader<T>(act: impl FnOnce(&mut Reader) -> T) -> Result<T, OcrError> {
    let reader = READER.get().ok_or(OcrError::NotLoaded)?;
    match &mut *reader.lock().unwrap_or_else(PoisonError::into_inner) {
        Ok(reader) => Ok(act(reader)),
        Err(e) => Err(e.clone()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use models::RgbImage;

    use super::{Analyser, preload};
    use crate::measure::ocr::DEFAULT_TESSDATA;
    use crate::measure::testing::{discs, letters, paint, resize};
    use crate::measure::{Measures, Ocr, Plan};

    const ALL: Plan = Plan { pdq: true, blur: true, qr: true, ocr: Ocr::Gated(50) };

    /// Measures the frame, and the long sides that were asked for.
    fn analyse(plan: Plan, frame: &RgbImage, full: &RgbImage) -> (Measures, Vec<u32>) {
        let mut asked = Vec::new();
        let measures =
            Analyser::new(plan).analyse(frame, (full.width(), full.height()), &mut |side| {
                asked.push(side);
                Some(full.clone())
            });
        (measures, asked)
    }

    #[test]
    fn a_plan_that_asks_for_nothing_measures_nothing() {
        let picture = discs(64, 48);
        assert_eq!(analyse(Plan::default(), &picture, &picture), (Measures::default(), Vec::new()));
        assert!(Analyser::renditions(&Plan::default()).is_empty());
    }

    #[test]
    fn a_photo_is_gated_and_never_decoded_again() {
        let full = discs(1280, 960);
        let (measures, asked) = analyse(ALL, &resize(&full, 640, 480), &full);
        assert!(measures.pdq.is_some() && measures.blur_variance.is_some() && measures.ocr_gated);
        assert_eq!((measures.words, measures.ocr_failed, asked), (None, None, Vec::new()));
    }

    #[test]
    fn text_is_read_at_the_larger_size() {
        preload(&["eng".to_owned()], Path::new(DEFAULT_TESSDATA)).unwrap();
        let full = letters(1280, 400, 6, "HELLO TO THE HOTEL");
        let (measures, asked) = analyse(ALL, &resize(&full, 640, 200), &full);
        assert_eq!(asked, [1280]);
        assert_eq!(measures.words.unwrap().text, "HELLO TO THE HOTEL");
        assert_eq!((measures.ocr_gated, measures.ocr_failed), (false, None));
    }

    #[test]
    fn a_decoder_keeps_half_the_working_size_of_the_short_side_and_no_more_of_a_photo() {
        let least = |width, height| {
            Analyser::renditions(&ALL)
                .iter()
                .map(|r| r.least_scale(width, height))
                .fold(0.0, f64::max)
        };
        assert_eq!((least(1280, 960), least(960, 1280), least(1280, 640)), (0.5, 0.5, 0.5));
        assert_eq!((least(640, 8000), least(8000, 640), least(100, 8000)), (0.5, 0.5, 1.0));
    }

    #[test]
    fn the_words_at_the_end_of_a_tall_picture_are_read() {
        preload(&["eng".to_owned()], Path::new(DEFAULT_TESSDATA)).unwrap();
        let line = letters(640, 160, 5, "HELLO TO THE HOTEL");
        let pixels = line.data().as_chunks::<3>().0;
        let full = paint(640, 4000, |x, y| {
            if y < 3840 { [255; 3] } else { pixels[((y - 3840) * 640 + x) as usize] }
        });
        let (measures, asked) =
            analyse(Plan { ocr: Ocr::Gated(20), ..ALL }, &resize(&full, 320, 2000), &full);
        assert_eq!(asked, [4000]);
        assert_eq!(measures.words.unwrap().text, "HELLO TO THE HOTEL");
        assert_eq!((measures.ocr_gated, measures.ocr_failed), (false, None));
    }

    #[test]
    fn ocr_that_was_not_loaded_is_told() {
        // Each test runs in a process of its own under nextest; under `cargo test` another may have loaded it.
        let page = letters(640, 120, 5, "HELLO");
        let (measures, _) = analyse(Plan { ocr: Ocr::Always, ..Plan::default() }, &page, &page);
        assert_ne!(measures.words.is_some(), measures.ocr_failed.is_some());
    }
}
