//! Models that run beside those that judge, on the pictures of one medium. Nobody waits for them: a picture for which
//! they have no room is skipped, and so is an answer that is not there soon after the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::BBox;
use models::{ModelError, Output, RgbImage, Runner, Ticket};

use super::detectors::{Detectors, Neural};
use super::notes::By;
use super::spans::SpanBook;
use super::trials::Shadow;

/// How long a verdict waits in all for answers that do not count: less than people notice.
const PATIENCE: Duration = Duration::from_millis(50);

struct Pending<'a> {
    neural: &'a Neural,
    runner: &'a Runner,
    pts_ms: u64,
    /// From the picture to the original.
    scale: (f32, f32),
    ticket: Ticket,
}

/// What they have seen so far.
pub(super) struct Shade<'a> {
    detectors: &'a Detectors,
    media: usize,
    seen: Shadow,
    spans: SpanBook,
    pending: VecDeque<Pending<'a>>,
}

impl<'a> Shade<'a> {
    pub(super) fn new(detectors: &'a Detectors, media: usize) -> Self {
        let (seen, spans) = (Shadow::default(), SpanBook::new(None));
        Self { detectors, media, seen, spans, pending: VecDeque::new() }
    }

    /// Says whether there is a time line, once that is known.
    pub(super) fn set_join(&mut self, join_ms: Option<u64>) {
        self.spans.set_join(join_ms);
    }

    /// Shows a picture of an original of this size to a detector's model on trial.
    pub(super) fn ask(
        &mut self,
        neural: &'a Neural,
        image: impl Into<Arc<RgbImage>>,
        original: Option<(u32, u32)>,
        pts_ms: u64,
    ) {
        let Some(runner) = &neural.trial else { return };
        let image = image.into();
        let scale = original.map_or((1.0, 1.0), |(width, height)| {
            (width as f32 / image.width() as f32, height as f32 / image.height() as f32)
        });
        self.seen.models.insert(runner.manifest().id());
        match runner.try_submit(image) {
            Some(ticket) => {
                self.pending.push_back(Pending { neural, runner, pts_ms, scale, ticket });
            }
            None => self.seen.skipped += 1,
        }
        while self.pending.front().is_some_and(|p| p.ticket.is_ready()) {
            self.answer_oldest(Duration::ZERO);
        }
    }

    /// Takes the answers that come soon; the rest is skipped.
    pub(super) fn finish(mut self) -> Shadow {
        let end = Instant::now() + PATIENCE;
        while !self.pending.is_empty() {
            self.answer_oldest(end.saturating_duration_since(Instant::now()));
        }
        self.seen.findings = self.spans.into_findings();
        self.seen
    }

    fn answer_oldest(&mut self, patience: Duration) {
        let Some(Pending { neural, runner, pts_ms, scale, ticket }) = self.pending.pop_front()
        else {
            return;
        };
        let by = By {
            detector: &neural.name,
            manifest: runner.manifest(),
            min_score: neural.min_score,
            media: self.media,
            pts_ms,
        };
        let (scores, spans) = (&mut self.seen.scores, &mut self.spans);
        match ticket.wait_for(patience) {
            None => self.seen.skipped += 1,
            Some(Ok(Output::Classes(classes))) => {
                by.classes(&classes, self.detectors.is_first(neural), scores, spans);
            }
            Some(Ok(Output::Faces(found))) => {
                let found: Vec<_> = found.iter().filter(|f| f.score >= neural.min_score).collect();
                let (x, y) = scale;
                let full = |b: &BBox| BBox { x: b.x * x, y: b.y * y, w: b.w * x, h: b.h * y };
                by.faces(&found, &full, scores, spans);
            }
            Some(Ok(Output::Age { years })) => by.age(years, scores, spans),
            Some(Err(error)) => self.fail(&by.manifest.id(), &error),
        }
    }

    fn fail(&mut self, model: &str, error: &ModelError) {
        if self.seen.failed == 0 {
            tracing::warn!(model, %error, "a model that runs beside failed on a frame");
        }
        self.seen.failed += 1;
    }
}
