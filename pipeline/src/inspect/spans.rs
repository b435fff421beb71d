//! Joins what is seen in neighbouring frames to one finding with a time span.

use domain::{Finding, Span};

/// Findings of one medium in the order in which they were first seen.
pub(super) struct SpanBook {
    /// Sightings this far apart still belong together; `None` for media without a time line.
    join_ms: Option<u64>,
    findings: Vec<Finding>,
    changed: bool,
}

/// Beyond this many, a finding is kept only as the first of its detector and label: labels are a closed set, so that
/// no flood of one kind pushes another out.
const MAX_FINDINGS: usize = 1024;

impl SpanBook {
    pub(super) fn new(join_ms: Option<u64>) -> Self {
        Self { join_ms, findings: Vec::new(), changed: false }
    }

    /// Says whether there is a time line, once that is known.
    pub(super) fn set_join(&mut self, join_ms: Option<u64>) {
        self.join_ms = join_ms;
    }

    /// Notes a sighting at `pts_ms`; the latest finding of the same kind is prolonged where it is near enough.
    pub(super) fn note(&mut self, mut finding: Finding, pts_ms: u64) {
        let Some(join_ms) = self.join_ms else {
            finding.span = None;
            self.push(finding);
            return;
        };
        let same = self.findings.iter_mut().rev().find(|f| {
            f.detector == finding.detector
                && f.label == finding.label
                && f.model == finding.model
                && f.text == finding.text
        });
        if let Some(known) = same
            && let Some(span) = &mut known.span
            && pts_ms >= span.start_ms
            && pts_ms.saturating_sub(span.end_ms) <= join_ms
        {
            span.end_ms = span.end_ms.max(pts_ms);
            if finding.score > known.score {
                self.changed = true;
                known.score = finding.score;
                known.bbox = finding.bbox;
            }
            return;
        }
        finding.span = Some(Span { start_ms: pts_ms, end_ms: pts_ms });
        self.push(finding);
    }

    fn push(&mut self, finding: Finding) {
        self.changed = true;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
            return;
        }
        let kind = |f: &&mut Finding| f.detector == finding.detector && f.label == finding.label;
        match self.findings.iter_mut().find(kind) {
            Some(known) => known.score = known.score.max(finding.score),
            None => self.findings.push(finding),
        }
    }

    /// Whether anything was added or grew graver since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(label: &str, score: f32) -> Finding {
        Finding {
            detector: "nsfw".into(),
            model: "m@1".into(),
            label: label.into(),
            score,
            span: None,
            bbox: None,
            media: Some(0),
            text: None,
        }
    }

    #[test]
    fn neighbours_join_and_keep_the_highest_score() {
        let mut book = SpanBook::new(Some(1000));
        book.note(sighting("porn", 0.6), 0);
        book.note(sighting("porn", 0.9), 900);
        book.note(sighting("sexy", 0.7), 900);
        book.note(sighting("porn", 0.7), 1900);
        let found = book.into_findings();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].span, Some(Span { start_ms: 0, end_ms: 1900 }));
        assert!((found[0].score - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_long_pause_starts_a_new_span() {
        let mut book = SpanBook::new(Some(1000));
        book.note(sighting("porn", 0.6), 0);
        book.note(sighting("porn", 0.6), 1001);
        assert_eq!(book.findings().len(), 2);
    }

    #[test]
    fn a_flood_of_one_label_pushes_no_other_out() {
        let mut book = SpanBook::new(None);
        for _ in 0..5000 {
            book.note(sighting("link:ip", 0.5), 0);
        }
        book.note(sighting("bank:illicit:x", 1.0), 0);
        let found = book.into_findings();
        assert_eq!(found.len(), MAX_FINDINGS + 1);
        assert!(found.iter().any(|f| f.label == "bank:illicit:x"));
    }

    #[test]
    fn only_news_counts_as_a_change() {
        let mut book = SpanBook::new(Some(1000));
        book.note(sighting("porn", 0.6), 0);
        assert!(book.take_changed());
        book.note(sighting("porn", 0.5), 500);
        assert!(!book.take_changed(), "a weaker sighting in the same span tells nothing new");
        book.note(sighting("porn", 0.9), 900);
        assert!(book.take_changed(), "a stronger one may settle the matter");
    }

    #[test]
    fn stills_have_no_span() {
        let mut book = SpanBook::new(None);
        book.note(sighting("porn", 0.6), 0);
        assert_eq!(book.into_findings()[0].span, None);
    }
}
