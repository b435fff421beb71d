//! Takes all measures of a frame, each at its own size, sharing what they share.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use models::{Filter, Fit, Rendition, RgbImage};

use super::grey::Grey;
use super::ocr::{OcrError, Reader};
use super::pdq::Pdq;
use super::{Measures, Ocr, Plan, ocr, qr, quality, textness};

/// Time for reading the words of one item, over all its frames. What is left unread then is told, never passed over.
const READING_BUDGET: Duration = Duration::from_secs(3);

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

    /// The size at which a decoder must at least hand over the frames for this plan: what OCR and QR codes need
    /// beyond it they ask for when they need it.
    pub fn rendition(plan: &Plan) -> Option<Rendition> {
        let sides = [
            (plan.pdq, super::pdq::WORKING_SIDE),
            (plan.blur, quality::WORKING_SIDE),
            (plan.ocr != Ocr::Off, textness::WORKING_SIDE),
            (plan.qr, textness::WORKING_SIDE),
        ];
        let side = sides.into_iter().filter(|(asked, _)| *asked).map(|(_, side)| side).max()?;
        Some(Rendition { width: side, height: side, fit: Fit::Within, filter: Filter::Triangle })
    }

    /// Measures one frame of a picture whose upright full size is `source`. `redecode` gives the same frame with a
    /// long side of at least the given one, or nothing, where that is too dear; then OCR and QR read the frame at
    /// hand. It is asked at most twice: by OCR where the gate lets it run, and by QR where there are finder
    /// patterns but no code could be read.
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
        let source_side = source.0.max(source.1);
        let mut larger = |side: u32| {
            let wanted = side.min(source_side);
            (grey.long_side() < wanted)
                .then(|| redecode(wanted))
                .flatten()
                .map(|image| Grey::of(&image))
        };
        if self.plan.blur {
            measures.blur_variance = quality::blur_variance(&grey);
        }
        if self.plan.qr {
            let mut codes = qr::read(&grey);
            if codes.contents.is_empty() && codes.suspected {
                codes = larger(qr::WORKING_SIDE).map_or(codes, |grey| qr::read(&grey));
            }
            measures.qr = codes.contents;
        }
        if self.plan.ocr != Ocr::Off {
            let likelihood = textness::likelihood(&grey);
            measures.text_likelihood = Some(likelihood);
            measures.ocr_gated = matches!(self.plan.ocr, Ocr::Gated(percent) if likelihood * 100.0 < f32::from(percent));
            if !measures.ocr_gated && self.reading > READING_BUDGET {
                measures.ocr_failed = Some("the item's time for reading words is spent".to_owned());
            } else if !measures.ocr_gated {
                let started = Instant::now();
                let larger = larger(ocr::WORKING_SIDE);
                read_words(larger.as_ref().unwrap_or(&grey), &mut measures);
                self.reading += started.elapsed();
            }
        }
        measures
    }
}

fn read_words(grey: &Grey, measures: &mut Measures) {
    let Some(reader) = READER.get() else {
        measures.ocr_failed = Some(OcrError::NotLoaded.to_string());
        return;
    };
    match &mut *reader.lock().unwrap_or_else(PoisonError::into_inner) {
        Ok(reader) => {
            let (words, failure) = reader.read(grey);
            measures.words = Some(words);
            measures.ocr_failed = failure.map(|e| e.to_string());
        }
        Err(e) => measures.ocr_failed = Some(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use models::RgbImage;

    use super::{Analyser, preload};
    use crate::measure::ocr::DEFAULT_TESSDATA;
    use crate::measure::testing::{discs, letters, resize};
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
        assert_eq!(Analyser::rendition(&Plan::default()), None);
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
    fn ocr_that_was_not_loaded_is_told() {
        // Each test runs in a process of its own under nextest; under `cargo test` another may have loaded it.
        let page = letters(640, 120, 5, "HELLO");
        let (measures, _) = analyse(Plan { ocr: Ocr::Always, ..Plan::default() }, &page, &page);
        assert_ne!(measures.words.is_some(), measures.ocr_failed.is_some());
    }
}
