//! One submission through all detectors: caption and hashes first, then decoding and models.
//!
//! Knows no policy: whoever calls says which detectors are required, how dense the time line must be looked
//! at, and when the matter is settled.

mod appended;
mod detectors;
mod gather;
mod notes;
mod outcome;
pub mod preview;
mod progress;
mod shade;
pub mod sheet;
mod spans;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Context, Coverage, Evidence, Failure, Format, Media, MediaKind, Sampling};

use crate::decode::{DecodeError, Limits, Unseen, VideoDecoder};
use crate::hash::BankSet;
use crate::sandbox::protocol::{Request, WorkError};
use crate::sandbox::{Item, Level, Sandbox};
use crate::sniff::{sniff, unsupported};

use detectors::Sight;
pub use detectors::{Detectors, Neural};
use gather::{Gather, Stop};
use outcome::failure_of;
pub use progress::{Progress, Step};
pub use trials::{Shadow, Trials};

/// No item may take longer than this, retries included.
const ITEM_BUDGET: Duration = Duration::from_millis(14_000);
/// After this the detectors get no more frames of an item.
const OVERDUE: Duration = Duration::from_millis(11_000);
/// A retry with less time than this is not worth its start.
const LEAST_TRY: Duration = Duration::from_millis(500);
/// A first try that hangs must leave the retry some of the budget.
const FIRST_TRY: Duration = Duration::from_millis(9_000);
/// The most of a text file that is judged; longer ones are held as too large.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// What is to be judged.
pub struct Submission<'a> {
    /// Caption, where there is one.
    pub caption: Option<&'a str>,
    /// The name under which the media were sent, whose words count as the caption's do.
    pub name: Option<&'a str>,
    /// Where it comes from.
    pub context: Context,
    /// The media, each in a sealed memory file.
    pub media: &'a [Item],
}

/// What the caller's policy asks of an inspection.
pub struct Watch<'a> {
    /// Names of the detectors that must see everything.
    pub required: &'a [String],
    /// How densely time lines are looked at.
    pub sampling: Sampling,
    /// Whether what is known settles a rejection, so that the scan may end.
    pub settled: &'a dyn Fn(&Evidence) -> bool,
    /// The tenant's own lists, matched together with the profile's banks.
    pub lists: Option<&'a BankSet>,
    /// Which versions on trial take part.
    pub trials: &'a Trials,
    /// Threads of a video decoder.
    pub decode_threads: u32,
    /// Called each time a medium is decoded and only the models are still at work on it: another one may be decoded now.
    pub decoded: &'a dyn Fn(),
    /// Called for each frame and answer of a model, from the thread that inspects: it must not wait.
    pub progress: &'a dyn Fn(Progress),
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Decoding, as the workers report it.
    pub decode: Duration,
    /// Everything else between start and evidence.
    pub detect: Duration,
}

/// What came out.
#[derive(Debug)]
pub struct Inspection {
    /// All that is known.
    pub evidence: Evidence,
    /// `name@version` of every model, bank and list that took part, sorted.
    pub models: Vec<String>,
    /// Required detectors that failed on something they had to see, and why.
    pub unseen: BTreeMap<String, String>,
    /// Detectors whose model failed on a frame.
    pub broken: BTreeSet<String>,
    /// What versions beside have seen.
    pub shadow: Shadow,
    /// The evidence as it would be, had those judged; `None` where none ran, or not on all.
    pub instead: Option<Evidence>,
    /// What decoded each video, by the place of the medium from 0.
    pub decoders: BTreeMap<usize, VideoDecoder>,
    /// Where the time went.
    pub timings: Timings,
}

/// The detectors of one profile over one sandbox. Shared by all job threads.
pub struct Inspector {
    sandbox: Arc<Sandbox>,
    detectors: Detectors,
    limits: Limits,
    max_duration_ms: u64,
}

impl Inspector {
    /// An inspector with the given detectors, for media of at most `max_duration_ms`.
    pub fn new(
        sandbox: Arc<Sandbox>,
        detectors: Detectors,
        limits: Limits,
        max_duration_ms: u64,
    ) -> Self {
        Self { sandbox, detectors, limits, max_duration_ms }
    }

    /// The level that its workers reach; starts one where none has run.
    pub fn sandbox_level(&self) -> Level {
        self.sandbox.level()
    }

    /// Collects the evidence on a submission. Never fails: what could not be seen is in the evidence.
    pub fn inspect(&self, submission: &Submission<'_>, watch: &Watch<'_>) -> Inspection {
        let start = Instant::now();
        let mut evidence = Evidence {
            context: submission.context.clone(),
            has_text: submission.caption.is_some(),
            ..Evidence::default()
        };
        let mut seen = Seen::default();
        if let Some(caption) = submission.caption {
            let cut = self.detectors.read_text(caption, None, &mut evidence.findings);
            seen.note(cut);
        }
        if let Some(name) = submission.name {
            for words in name_words(name) {
                let mut found = Vec::new();
                seen.note(self.detectors.read_text(&words, Some(0), &mut found));
                found.retain(|f| !evidence.findings.iter().any(|known| known.label == f.label));
                evidence.findings.append(&mut found);
            }
        }
        for (index, item) in submission.media.iter().enumerate() {
            self.detectors.match_bytes(watch.lists, item.sha256(), index, &mut evidence.findings);
        }
        let mut decode = Duration::ZERO;
        for (index, item) in submission.media.iter().enumerate() {
            if (watch.settled)(&evidence) {
                evidence.coverage.ended_early = true;
                evidence.media.push(unseen_media(item));
                continue;
            }
            decode += self.inspect_media(index, item, watch, &mut evidence, &mut seen);
        }
        self.account(&mut evidence.coverage, &seen, watch.required);
        let total = start.elapsed();
        // The worker's own figure, which is believed only as far as it can be true.
        let decode = decode.min(total);
        let timings = Timings { decode, detect: total - decode };
        let missing = &evidence.coverage.detectors_missing;
        seen.failed.retain(|name, _| missing.contains(name));
        let models = self.detectors.models(seen.pictures, watch.trials);
        let instead = seen.shadow.instead(&evidence, &self.detectors, watch.trials);
        let Seen { failed: unseen, broken, shadow, decoders, .. } = seen;
        Inspection { evidence, models, unseen, broken, shadow, instead, decoders, timings }
    }

    /// The detectors.
    pub fn detectors(&self) -> &Detectors {
        &self.detectors
    }

    fn inspect_media(
        &self,
        index: usize,
        item: &Item,
        watch: &Watch<'_>,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Duration {
        let format = sniff(item.bytes());
        if format == Format::Text {
            self.inspect_words(index, item, evidence, seen);
            return Duration::ZERO;
        }
        if !format.is_still() && !format.is_stream() {
            seen.unfinished = true;
            evidence.media.push(unseen_media(item));
            evidence.failures.push(Failure {
                reason: if item.is_empty() { "empty" } else { "unsupported" }.into(),
                detail: if item.is_empty() {
                    "the file is empty".into()
                } else {
                    let known = unsupported(item.bytes());
                    known
                        .unwrap_or("this is not a picture, video, sound or text that Weir reads")
                        .into()
                },
                media: Some(index),
                permanent: true,
            });
            return Duration::ZERO;
        }
        let start = Instant::now();
        let job = Work { index, item, format, start };
        let decode = self.decode_media(job, watch, evidence, seen);
        if !format.is_still() {
            return decode;
        }
        decode + self.inspect_appended(job, watch, evidence, seen)
    }

    /// Looks at what is appended to a still as at further frames of it, within the time of the one item. Whether there is
    /// a face and how sharp it is the picture itself says, for that is what a plain viewer shows.
    fn inspect_appended(
        &self,
        job: Work<'_>,
        watch: &Watch<'_>,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Duration {
        let found = appended::find(job.item.bytes(), job.format);
        let (mut decode, mut missed) = (Duration::ZERO, found.more);
        let own = evidence.scores.clone();
        for part in found.parts {
            if (watch.settled)(evidence) {
                evidence.coverage.ended_early = true;
                missed = false;
                break;
            }
            let before = (evidence.media.len(), evidence.failures.len());
            let Ok(item) = Item::from_reader(part, part.len() as u64) else {
                missed = true;
                continue;
            };
            let found = &mut evidence.findings;
            self.detectors.match_bytes(watch.lists, item.sha256(), job.index, found);
            let work = Work { item: &item, format: sniff(part), ..job };
            decode += self.decode_media(work, watch, evidence, seen);
            evidence.media.truncate(before.0);
            missed |= evidence.failures.len() > before.1;
            evidence.failures.truncate(before.1);
        }
        let scores = &mut evidence.scores;
        scores.has_face = own.has_face;
        (scores.blur_variance, scores.blur_score) = (own.blur_variance, own.blur_score);
        if missed {
            evidence.failures.push(outcome::unseen(job.index, Unseen::Part));
        }
        decode
    }

    /// Decodes with one retry, since a worker may die for reasons that are not the item's.
    fn decode_media(
        &self,
        Work { index, item, format, start }: Work<'_>,
        watch: &Watch<'_>,
        evidence: &mut Evidence,
        seen: &mut Seen,
    ) -> Duration {
        let mut wall = FIRST_TRY.min(ITEM_BUDGET.saturating_sub(start.elapsed()));
        let mut retried = false;
        (watch.progress)(Progress { media: index, step: Step::Decode, percent: 0 });
        loop {
            let mut request = self.request(item, format, watch, wall);
            // By cores the second time: the item must not wait for a driver.
            request.hardware = !retried;
            let mut gather = Gather::new(&self.detectors, watch, evidence, index, start + OVERDUE);
            let result = self.sandbox.decode(item, &request, &mut gather);
            let again = matches!(
                result,
                Err(WorkError::Crashed(_)
                    | WorkError::Decode(DecodeError::Lost(_) | DecodeError::Unfit(_))
                    | WorkError::TimedOut(_)
                    | WorkError::Lied(_)
                    | WorkError::Unavailable(_))
            );
            let left = ITEM_BUDGET.saturating_sub(start.elapsed());
            if again && !retried && left > LEAST_TRY && !gather.settles() {
                tracing::debug!(sha256 = item.sha256_hex(), error = ?result.as_ref().err(), "retrying the item in a fresh worker");
                retried = true;
                wall = left;
                continue;
            }
            (watch.decoded)();
            (watch.progress)(Progress { media: index, step: Step::Decode, percent: 100 });
            gather.finish();
            let too_long = gather.duration_ms().filter(|&ms| ms > self.max_duration_ms);
            let stopped = gather.stopped();
            seen.unfinished |= stopped == Some(Stop::Overdue)
                || (result.is_err() && stopped != Some(Stop::Settled));
            seen.pictures |= gather.visual();
            seen.failed.append(&mut gather.failed);
            seen.broken.append(&mut gather.broken);
            seen.shadow.add(gather.beside());
            let report = result.as_ref().cloned().unwrap_or_default();
            gather.close(evidence, item, &report, format);
            // What is appended to a still comes after its own frames, and does not speak for them.
            if let Some(decoder) = report.tally.decoder.clone().filter(|_| !format.is_still()) {
                seen.decoders.entry(index).or_insert(decoder);
            }
            let words = &report.tally.words;
            let cut = self.detectors.read_text(words, Some(index), &mut evidence.findings);
            seen.note(cut);
            let unseen = report.tally.unseen.iter();
            evidence.failures.extend(unseen.map(|what| outcome::unseen(index, *what)));
            if let Err(error) = result {
                evidence.failures.push(failure_of(&error, index));
            } else if stopped == Some(Stop::Overdue) {
                evidence.failures.push(outcome::overdue(index));
            } else if report.tally.damaged {
                evidence.failures.push(outcome::damaged(index));
            } else if let Some(ms) = too_long {
                evidence.failures.push(outcome::too_long(index, ms, self.max_duration_ms));
            }
            return Duration::from_micros(report.decode_us);
        }
    }

    fn request(&self, item: &Item, format: Format, watch: &Watch<'_>, wall: Duration) -> Request {
        Request {
            format,
            bytes: item.len(),
            renditions: self.detectors.renditions(watch.trials),
            measure: self.detectors.measure_plan(),
            limits: self.limits,
            max_gap_ms: watch.sampling.max_gap_ms,
            sparing: watch.sampling.sparing,
            threads: watch.decode_threads,
            hardware: true,
            wall_ms: wall.as_millis() as u64,
        }
    }

    /// A file of words is judged like a caption.
    fn inspect_words(&self, index: usize, item: &Item, evidence: &mut Evidence, seen: &mut Seen) {
        evidence.media.push(Media {
            kind: MediaKind::Text,
            format: Format::Text,
            ..unseen_media(item)
        });
        if item.len() > MAX_TEXT_BYTES {
            evidence.failures.push(Failure {
                reason: "too_large".into(),
                detail: format!("a text of more than {MAX_TEXT_BYTES} bytes is not read"),
                media: Some(index),
                permanent: false,
            });
            let each = self.detectors.each();
            let readers = each.iter().filter(|d| d.1 == Sight::Words);
            seen.note(readers.map(|d| d.0.to_owned()));
            return;
        }
        let words = String::from_utf8_lossy(item.bytes());
        evidence.has_text = true;
        let cut = self.detectors.read_text(&words, Some(index), &mut evidence.findings);
        seen.note(cut);
    }

    /// Says which detectors ran on all that they had to see (which may be nothing: a caption has no pictures), and
    /// which required ones did not. Where a settled rejection ended the scan, what was left unseen is not missing.
    fn account(&self, coverage: &mut Coverage, seen: &Seen, required: &[String]) {
        let whole = |(name, sight): &(&str, Sight)| {
            !seen.failed.contains_key(*name) && (*sight == Sight::Words || !seen.unfinished)
        };
        let each = self.detectors.each();
        coverage.detectors_run =
            each.iter().filter(|d| whole(d)).map(|(name, _)| (*name).to_owned()).collect();
        let missing = |name: &&String| {
            !coverage.detectors_run.contains(name)
                && (!coverage.ended_early || seen.failed.contains_key(*name))
        };
        coverage.detectors_missing = required.iter().filter(missing).cloned().collect();
        coverage.detectors_run.sort();
        coverage.detectors_missing.sort();
    }
}

/// What is to be decoded: a medium, or a part of one.
#[derive(Clone, Copy)]
struct Work<'a> {
    index: usize,
    item: &'a Item,
    format: Format,
    /// When work on the whole medium began.
    start: Instant,
}

/// What was seen and what was not, over all media of a submission.
#[derive(Default)]
struct Seen {
    /// Some medium could not be looked at to its end.
    unfinished: bool,
    /// There were pictures to look at.
    pictures: bool,
    /// Detectors that failed on something they had to see, and why.
    failed: BTreeMap<String, String>,
    /// Those of them whose model failed.
    broken: BTreeSet<String>,
    /// What versions beside have seen.
    shadow: Shadow,
    /// What decoded each video.
    decoders: BTreeMap<usize, VideoDecoder>,
}

/// Why a detector of words did not see all.
const TOO_MUCH_TEXT: &str = "there was more text than is read";

impl Seen {
    /// Notes detectors that could not read all of a text.
    fn note(&mut self, cut: impl IntoIterator<Item = String>) {
        for name in cut {
            self.failed.entry(name).or_insert_with(|| TOO_MUCH_TEXT.to_owned());
        }
    }
}

/// A file's name as texts, without folders and extension: as it stands, for it may be an address, and with its
/// separators as blanks. Apart, for together they would spell words that neither has.
fn name_words(name: &str) -> Vec<String> {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = base.rsplit_once('.').map(|(stem, _)| stem).filter(|stem| !stem.is_empty());
    let stem = stem.unwrap_or(base).to_owned();
    let spaced: String = stem.chars().map(|c| if "_-.+~".contains(c) { ' ' } else { c }).collect();
    if spaced == stem { vec![stem] } else { vec![stem, spaced] }
}

fn unseen_media(item: &Item) -> Media {
    let format = sniff(item.bytes());
    Media {
        kind: MediaKind::Unknown,
        format,
        width: None,
        height: None,
        duration_ms: None,
        sha256: item.sha256_hex(),
        pdq: None,
        pdq_quality: None,
        faces: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::name_words;

    #[test]
    fn a_files_name_is_read_as_words_and_as_it_stands() {
        assert_eq!(
            name_words("a/b/kill_your-self.now.mp3"),
            ["kill_your-self.now", "kill your self now"]
        );
        assert_eq!(name_words("scam.example.jpg"), ["scam.example", "scam example"]);
        assert_eq!(name_words("photo.jpg"), ["photo"]);
        assert_eq!(name_words(".hidden"), [".hidden", " hidden"]);
    }
}
