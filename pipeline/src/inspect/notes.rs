//! What a model's answer adds to scores and findings, whether it judges or runs beside.

use domain::{BBox, Finding, Scores};
use models::{Face, Manifest};

use super::spans::SpanBook;

/// Whose answer it is, and about what.
pub(super) struct By<'a> {
    /// The detector's name.
    pub detector: &'a str,
    /// The model that answered.
    pub manifest: &'a Manifest,
    /// Scores below make no finding.
    pub min_score: f32,
    /// The medium.
    pub media: usize,
    /// The frame.
    pub pts_ms: u64,
}

impl By<'_> {
    fn finding(&self, label: String, score: f32) -> Finding {
        Finding {
            detector: self.detector.to_owned(),
            model: self.manifest.id(),
            label,
            score,
            span: None,
            bbox: None,
            media: Some(self.media),
            text: None,
        }
    }

    /// Scores of a classifier; those of the `first` one are `nsfw_score`.
    pub(super) fn classes(
        &self,
        classes: &[(String, f32)],
        first: bool,
        scores: &mut Scores,
        spans: &mut SpanBook,
    ) {
        for (label, score) in classes {
            let label = label.to_lowercase();
            let labels = scores.labels.entry(self.detector.to_owned()).or_default();
            let top = labels.entry(label.clone()).or_insert(0.0);
            *top = top.max(*score);
            let is_unsafe = self.manifest.label(&label).is_some_and(|l| l.is_unsafe);
            if first {
                let top = scores.nsfw_categories.entry(label.clone()).or_insert(0.0);
                *top = top.max(*score);
                if is_unsafe {
                    scores.nsfw_score = Some(scores.nsfw_score.unwrap_or(0.0).max(*score));
                }
            }
            if is_unsafe && *score >= self.min_score {
                spans.note(self.finding(label, *score), self.pts_ms);
            }
        }
    }

    /// Faces, those that are weak left out already; `full_size` brings a box to the size of the original.
    pub(super) fn faces(
        &self,
        found: &[&Face],
        full_size: &dyn Fn(&BBox) -> BBox,
        scores: &mut Scores,
        spans: &mut SpanBook,
    ) {
        self.count_faces(found.len(), scores);
        for face in found {
            let bbox = Some(full_size(&face.bbox));
            let finding = Finding { bbox, ..self.finding("face".into(), face.score) };
            spans.note(finding, self.pts_ms);
        }
    }

    /// How many faces there are.
    pub(super) fn count_faces(&self, found: usize, scores: &mut Scores) {
        let most = scores.face_count.unwrap_or(0).max(found as u32);
        scores.face_count = Some(most);
        scores.has_face = Some(most > 0);
    }

    /// The age of a face.
    pub(super) fn age(&self, years: f32, scores: &mut Scores, spans: &mut SpanBook) {
        scores.estimated_age = Some(scores.estimated_age.map_or(years, |known| known.min(years)));
        spans.note(self.finding("age".into(), 1.0), self.pts_ms);
    }
}
