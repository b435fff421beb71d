//! Listens to one worker: feeds frames to banks and models, keeps the scores, and ends the scan once settled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use domain::media::Face;
use domain::{BBox, Evidence, Finding, Format, Media, MediaKind, Scores};
use models::{Face as FoundFace, Kind, Output, RgbImage, Ticket, crop_face};

use super::Watch;
use super::detectors::{Dealt, Detectors, Neural};
use super::notes::By;
use super::progress::{Progress, Step, so_far};
use super::shade::Shade;
use super::spans::SpanBook;
use super::trials::Shadow;
use crate::decode::{Facts, Flow};
use crate::measure::pdq::{self, Pdq};
use crate::measure::{Measures, ocr, qr, quality};
use crate::sandbox::Item;
use crate::sandbox::protocol::{Observer, Report, Seen};

/// Answers of models that may be outstanding for one item; more frames wait, so memory stays bounded.
const MAX_PENDING: usize = 24;
/// The most of a video's OCR text that is kept.
const MAX_OCR_BYTES: usize = 8 * 1024;
/// A face crop takes in this share of the box's longer side on each side.
const FACE_MARGIN: f32 = 0.1;
/// Faces of one picture whose age is estimated; the largest first.
const MAX_AGED_FACES: usize = 16;

/// A question that a model has yet to answer.
struct Pending<'a> {
    pts_ms: u64,
    ask: Ask<'a>,
    ticket: Ticket,
}

enum Ask<'a> {
    Classes(&'a Neural),
    Faces { detector: &'a Neural, picture: Option<Arc<RgbImage>> },
    Age { detector: &'a Neural, face: usize, faces_of: Option<u64> },
}

/// One medium's evidence while it grows.
pub(super) struct Gather<'a> {
    detectors: &'a Detectors,
    watch: &'a Watch<'a>,
    /// Evidence on the submission so far, with this medium's added before each look at the policy.
    known: Evidence,
    media: usize,
    facts: Option<Facts>,
    spans: SpanBook,
    scores: Scores,
    best_pdq: Option<Pdq>,
    faces: Vec<Face>,
    /// The frame that `faces` are of, by its time.
    faces_of: Option<u64>,
    frames: u64,
    ocr_gated: u64,
    words: BTreeSet<String>,
    links: BTreeSet<String>,
    pending: VecDeque<Pending<'a>>,
    /// Questions asked so far.
    asked: u64,
    /// Detectors that failed on a frame, and why at first.
    pub(super) failed: BTreeMap<String, String>,
    /// Those whose model failed.
    pub(super) broken: BTreeSet<String>,
    /// Versions that run beside; nobody asks it where none does.
    shade: Option<Shade<'a>>,
    /// When this medium's time is over.
    end: Instant,
    stop: Option<Stop>,
}

/// Why a scan was ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A rejection is settled.
    Settled,
    /// The time is over.
    Overdue,
}

impl<'a> Gather<'a> {
    pub(super) fn new(
        detectors: &'a Detectors,
        watch: &'a Watch<'a>,
        so_far: &Evidence,
        media: usize,
        end: Instant,
    ) -> Self {
        Self {
            detectors,
            watch,
            known: so_far.clone(),
            media,
            facts: None,
            spans: SpanBook::new(None),
            scores: Scores::default(),
            best_pdq: None,
            faces: Vec::new(),
            faces_of: None,
            frames: 0,
            ocr_gated: 0,
            words: BTreeSet::new(),
            links: BTreeSet::new(),
            pending: VecDeque::new(),
            asked: 0,
            failed: BTreeMap::new(),
            broken: BTreeSet::new(),
            shade: Some(Shade::new(detectors, media)),
            end,
            stop: None,
        }
    }

    /// Why the scan was ended before its end, if it was.
    pub(super) fn stopped(&self) -> Option<Stop> {
        self.stop
    }

    /// Length of the time line.
    pub(super) fn duration_ms(&self) -> Option<u64> {
        self.facts.as_ref().and_then(|f| f.duration_ms)
    }

    /// Whether there were pictures.
    pub(super) fn visual(&self) -> bool {
        self.frames > 0
    }

    /// Waits for all models.
    pub(super) fn finish(&mut self) {
        while !self.pending.is_empty() {
            let answered = self.asked.saturating_sub(self.pending.len() as u64);
            self.tell(Step::Detect, so_far(answered, self.asked));
            self.answer_oldest();
        }
        self.tell(Step::Detect, 100);
    }

    fn tell(&self, step: Step, percent: u8) {
        (self.watch.progress)(Progress { media: self.media, step, percent });
    }

    /// Adds what was gathered to the submission's evidence.
    pub(super) fn close(
        self,
        evidence: &mut Evidence,
        item: &Item,
        report: &Report,
        format: Format,
    ) {
        let coverage = &mut evidence.coverage;
        let looked = self.frames + report.skipped;
        let told = self.facts.as_ref().and_then(|f| f.frames).unwrap_or(looked);
        coverage.frames_total += told.max(looked);
        coverage.frames_seen += self.frames;
        coverage.frames_skipped += report.skipped;
        coverage.max_gap_ms = coverage.max_gap_ms.max(report.tally.max_gap_ms);
        let (kind, sampling) = (self.facts.as_ref().map(|f| f.kind), self.watch.sampling);
        if matches!(kind, Some(MediaKind::Video | MediaKind::Animation)) {
            coverage.gap_in_force_ms = coverage.gap_in_force_ms.max(sampling.max_gap_ms);
            // Of a video no more is looked at than is promised on any day.
            let less = sampling.sparing && kind == Some(MediaKind::Animation);
            coverage.throttled |= sampling.widened || less;
        }
        coverage.ended_early |= self.stop == Some(Stop::Settled);
        coverage.ocr_gated += self.ocr_gated;
        let facts = self.facts;
        let side = |n: u32| (n > 0).then_some(n);
        evidence.media.push(Media {
            kind: facts.as_ref().map_or(MediaKind::Unknown, |f| f.kind),
            format: facts.as_ref().map_or(format, |f| f.format),
            width: facts.as_ref().and_then(|f| side(f.width)),
            height: facts.as_ref().and_then(|f| side(f.height)),
            duration_ms: facts.as_ref().and_then(|f| f.duration_ms),
            sha256: item.sha256_hex(),
            pdq: self.best_pdq.map(|p| pdq::to_hex(&p.hash)),
            pdq_quality: self.best_pdq.map(|p| p.quality),
            faces: self.faces,
        });
        evidence.findings.extend(self.spans.into_findings());
        merge(&mut evidence.scores, self.scores);
    }

    fn ask(&mut self, pts_ms: u64, ask: Ask<'a>, image: impl Into<Arc<RgbImage>>, neural: &Neural) {
        let ticket = neural.judge(self.watch.trials).submit(image);
        self.asked += 1;
        self.pending.push_back(Pending { pts_ms, ask, ticket });
    }

    fn fail(&mut self, name: &str, error: &dyn std::fmt::Display) {
        if !self.failed.contains_key(name) {
            tracing::warn!(detector = name, %error, "a detector failed on a frame");
            self.failed.insert(name.to_owned(), error.to_string());
        }
    }

    /// A detector's model failed.
    fn break_down(&mut self, neural: &Neural, error: &dyn std::fmt::Display) {
        self.fail(&neural.name, error);
        self.broken.insert(neural.name.clone());
    }

    /// What versions beside have seen, once the others are done.
    pub(super) fn beside(&mut self) -> Shadow {
        self.shade.take().map(Shade::finish).unwrap_or_default()
    }

    fn answer_oldest(&mut self) {
        let Some(Pending { pts_ms, ask, ticket }) = self.pending.pop_front() else { return };
        let answer = ticket.wait();
        match (ask, answer) {
            (Ask::Classes(neural), Ok(Output::Classes(classes))) => {
                self.classes(neural, &classes, pts_ms)
            }
            (Ask::Faces { detector, picture }, Ok(Output::Faces(found))) => {
                self.found_faces(detector, picture.as_deref(), &found, pts_ms);
            }
            (Ask::Age { detector, face, faces_of }, Ok(Output::Age { years })) => {
                self.aged(detector, face, faces_of, years, pts_ms);
            }
            (
                Ask::Classes(n) | Ask::Faces { detector: n, .. } | Ask::Age { detector: n, .. },
                Err(error),
            ) => self.break_down(n, &error),
            (
                Ask::Classes(n) | Ask::Faces { detector: n, .. } | Ask::Age { detector: n, .. },
                Ok(_),
            ) => self.break_down(n, &"its model answered with another kind of output"),
        }
    }

    fn classes(&mut self, neural: &Neural, classes: &[(String, f32)], pts_ms: u64) {
        let first = self.detectors.is_first(neural);
        by(self.watch, self.media, neural, pts_ms).classes(
            classes,
            first,
            &mut self.scores,
            &mut self.spans,
        );
    }

    fn found_faces(
        &mut self,
        neural: &'a Neural,
        picture: Option<&RgbImage>,
        found: &[FoundFace],
        pts_ms: u64,
    ) {
        let found: Vec<_> = found.iter().filter(|f| f.score >= neural.min_score).collect();
        let by = by(self.watch, self.media, neural, pts_ms);
        let Some(facts) = &self.facts else {
            by.count_faces(found.len(), &mut self.scores);
            return;
        };
        let (full_w, full_h) = (facts.width as f32, facts.height as f32);
        let scale = picture.map(|p| (full_w / p.width() as f32, full_h / p.height() as f32));
        let full_size = |b: &BBox| {
            let (sx, sy) = scale.unwrap_or((1.0, 1.0));
            BBox { x: b.x * sx, y: b.y * sy, w: b.w * sx, h: b.h * sy }
        };
        let best = found.len() > self.faces.len();
        if best {
            self.faces_of = Some(pts_ms);
            self.faces = found
                .iter()
                .map(|f| Face { bbox: full_size(&f.bbox), score: f.score, age: None })
                .collect();
        }
        by.faces(&found, &full_size, &mut self.scores, &mut self.spans);
        let (Some(age), Some(picture)) = (&self.detectors.age, picture) else { return };
        if found.len() > MAX_AGED_FACES {
            let reason = format!("{} faces, of which {MAX_AGED_FACES} are aged", found.len());
            self.fail(&age.name, &reason);
        }
        let faces_of = best.then_some(pts_ms);
        let mut largest: Vec<usize> = (0..found.len()).collect();
        largest.sort_by(|a, b| area(&found[*b].bbox).total_cmp(&area(&found[*a].bbox)));
        for face in largest.into_iter().take(MAX_AGED_FACES) {
            let crop = Arc::new(crop_face(picture, &found[face].bbox, FACE_MARGIN));
            if let Some(shade) = self.shade.as_mut().filter(|_| age.has_beside(self.watch.trials)) {
                shade.ask(age, Arc::clone(&crop), None, pts_ms);
            }
            self.ask(pts_ms, Ask::Age { detector: age, face, faces_of }, crop, age);
        }
    }

    fn aged(
        &mut self,
        neural: &Neural,
        face: usize,
        faces_of: Option<u64>,
        years: f32,
        pts_ms: u64,
    ) {
        // Another frame may have more faces by now.
        if faces_of.is_some()
            && faces_of == self.faces_of
            && let Some(face) = self.faces.get_mut(face)
        {
            face.age = Some(years);
        }
        let by = by(self.watch, self.media, neural, pts_ms);
        by.age(years, &mut self.scores, &mut self.spans);
    }

    fn measures(&mut self, measures: &Measures, pts_ms: u64) {
        if let Some(pdq) = &measures.pdq {
            if self.best_pdq.is_none_or(|best| pdq.quality > best.quality) {
                self.best_pdq = Some(*pdq);
            }
            for finding in self.detectors.match_picture(self.watch.lists, pdq) {
                self.spans.note(Finding { media: Some(self.media), ..finding }, pts_ms);
            }
        } else if let Some((name, _)) = &self.detectors.hash {
            self.fail(&name.clone(), &"the picture is too small for PDQ");
        }
        if let Some(variance) = measures.blur_variance {
            // A video is as sharp as its sharpest frame.
            let best = self.scores.blur_variance.unwrap_or(variance).max(variance);
            self.scores.blur_variance = Some(best);
            self.scores.blur_score = Some(quality::blur_score(best));
        }
        if let Some(likely) = measures.text_likelihood {
            self.scores.text_likelihood =
                Some(self.scores.text_likelihood.unwrap_or(0.0).max(likely));
        }
        self.ocr_gated += u64::from(measures.ocr_gated);
        if let (Some(reason), Some((name, _))) = (&measures.ocr_failed, &self.detectors.ocr) {
            self.fail(&name.clone(), reason);
        }
        if let (Some(reason), Some(name)) = (&measures.qr_failed, &self.detectors.qr) {
            self.fail(&name.clone(), reason);
        }
        self.read(measures, pts_ms);
    }

    /// Words and QR codes in the frame, each content once.
    fn read(&mut self, measures: &Measures, pts_ms: u64) {
        if let (Some(words), Some((name, _))) = (&measures.words, &self.detectors.ocr) {
            let most = self.scores.ocr_words.unwrap_or(0).max(words.confident);
            self.scores.ocr_words = Some(most);
            let text = words.text.trim();
            if !text.is_empty() && self.words.insert(text.to_owned()) {
                let kept = self.scores.ocr_text.get_or_insert_default();
                if kept.len() + text.len() < MAX_OCR_BYTES {
                    if !kept.is_empty() {
                        kept.push('\n');
                    }
                    kept.push_str(text);
                }
                let finding = self.finding(name, ocr::MODEL.into(), "words".into(), 1.0);
                self.spans.note(finding, pts_ms);
                let mut found = Vec::new();
                let cut = self.detectors.read_text(text, Some(self.media), &mut found);
                cut.iter().for_each(|name| self.fail(name, &super::TOO_MUCH_TEXT));
                found.into_iter().for_each(|f| self.spans.note(f, pts_ms));
            }
        }
        let Some(name) = &self.detectors.qr else { return };
        for content in &measures.qr {
            let mut finding = self.finding(name, qr::MODEL.into(), "qr".into(), 1.0);
            finding.text = Some(content.clone());
            self.spans.note(finding, pts_ms);
            if self.links.insert(content.clone()) {
                let mut found = Vec::new();
                let cut = self.detectors.read_text(content, Some(self.media), &mut found);
                cut.iter().for_each(|name| self.fail(name, &super::TOO_MUCH_TEXT));
                found.into_iter().for_each(|f| self.spans.note(f, pts_ms));
            }
        }
    }

    fn finding(&self, detector: &str, model: String, label: String, score: f32) -> Finding {
        Finding {
            detector: detector.to_owned(),
            model,
            label,
            score,
            span: None,
            bbox: None,
            media: Some(self.media),
            text: None,
        }
    }

    /// Asks the policy whether what is known so far settles a rejection.
    pub(super) fn settles(&self) -> bool {
        let mut now = self.known.clone();
        now.findings.extend_from_slice(self.spans.findings());
        merge(&mut now.scores, self.scores.clone());
        (self.watch.settled)(&now)
    }
}

impl Observer for Gather<'_> {
    fn facts(&mut self, facts: &Facts) -> Flow {
        let timed = matches!(facts.kind, MediaKind::Video | MediaKind::Animation);
        let join_ms = timed.then_some(self.watch.sampling.max_gap_ms.max(1) * 2);
        self.spans.set_join(join_ms);
        self.shade.iter_mut().for_each(|shade| shade.set_join(join_ms));
        self.facts = Some(facts.clone());
        Flow::More
    }

    fn frame(&mut self, seen: Seen) -> Flow {
        self.frames += 1;
        self.measures(&seen.measures, seen.pts_ms);
        let detectors = self.detectors;
        let original = self.facts.as_ref().map(|f| (f.width, f.height));
        for Dealt { neural, picture, beside } in detectors.dealt(self.watch.trials, seen.renditions)
        {
            let ask = match neural.judge(self.watch.trials).manifest().kind {
                Kind::Faces => Ask::Faces { detector: neural, picture: Some(Arc::clone(&picture)) },
                Kind::Classifier | Kind::Age => Ask::Classes(neural),
            };
            self.ask(seen.pts_ms, ask, picture, neural);
            if let (Some(shade), Some(picture)) = (&mut self.shade, beside) {
                shade.ask(neural, picture, original, seen.pts_ms);
            }
        }
        while self.pending.len() > MAX_PENDING {
            self.answer_oldest();
        }
        while self.pending.front().is_some_and(|p| p.ticket.is_ready()) {
            self.answer_oldest();
        }
        let timed = self.facts.as_ref().is_some_and(|f| f.kind != MediaKind::Image);
        if self.spans.take_changed() && timed && self.settles() {
            self.stop = Some(Stop::Settled);
        } else if timed && Instant::now() > self.end {
            self.stop = Some(Stop::Overdue);
        }
        if let Some(whole) = self.duration_ms() {
            self.tell(Step::Decode, so_far(seen.pts_ms, whole));
        }
        if self.stop.is_some() { Flow::Enough } else { Flow::More }
    }
}

/// Whose answer one of a detector's model is.
fn by<'a>(watch: &Watch<'a>, media: usize, neural: &'a Neural, pts_ms: u64) -> By<'a> {
    let manifest = neural.judge(watch.trials).manifest();
    By { detector: &neural.name, manifest, min_score: neural.min_score, media, pts_ms }
}

fn area(bbox: &BBox) -> f32 {
    bbox.w * bbox.h
}

/// Joins one medium's scores to the submission's: the worse of the two, so that no medium hides another.
pub(super) fn merge(into: &mut Scores, from: Scores) {
    fn worse(into: &mut Option<f32>, from: Option<f32>, pick: fn(f32, f32) -> f32) {
        *into = match (*into, from) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (a, b) => a.or(b),
        };
    }
    worse(&mut into.blur_variance, from.blur_variance, f32::min);
    worse(&mut into.blur_score, from.blur_score, f32::max);
    worse(&mut into.estimated_age, from.estimated_age, f32::min);
    worse(&mut into.nsfw_score, from.nsfw_score, f32::max);
    worse(&mut into.text_likelihood, from.text_likelihood, f32::max);
    into.has_face = match (into.has_face, from.has_face) {
        (Some(a), Some(b)) => Some(a && b),
        (a, b) => a.or(b),
    };
    into.face_count = into.face_count.max(from.face_count);
    into.ocr_words = into.ocr_words.max(from.ocr_words);
    for (label, score) in from.nsfw_categories {
        let top = into.nsfw_categories.entry(label).or_insert(0.0);
        *top = top.max(score);
    }
    for (detector, labels) in from.labels {
        let known = into.labels.entry(detector).or_default();
        for (label, score) in labels {
            let top = known.entry(label).or_insert(0.0);
            *top = top.max(score);
        }
    }
    match (&mut into.ocr_text, from.ocr_text) {
        (Some(known), Some(more)) => {
            known.push('\n');
            known.push_str(&more);
        }
        (known, more) => *known = known.take().or(more),
    }
}
