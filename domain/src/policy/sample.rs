//! Evidence in which everything was measured, to try conditions on.

use crate::{BBox, Context, Coverage, Evidence, Finding, Format, Media, MediaKind, Scores, Span};

/// A video with a caption, of which every score, field and list is filled.
pub(super) fn full() -> Evidence {
    let labels = [("porn".to_owned(), 0.9), ("neutral".to_owned(), 0.1)];
    Evidence {
        context: Context { surface: "post".into(), language: "en".into() },
        findings: vec![Finding {
            detector: "nsfw".into(),
            model: "sample@1".into(),
            label: "porn".into(),
            score: 0.9,
            span: Some(Span { start_ms: 0, end_ms: 1000 }),
            bbox: Some(BBox { x: 0.0, y: 0.0, w: 10.0, h: 10.0 }),
            media: Some(0),
            text: None,
        }],
        scores: Scores {
            blur_variance: Some(500.0),
            blur_score: Some(0.1),
            has_face: Some(true),
            face_count: Some(1),
            estimated_age: Some(30.0),
            nsfw_score: Some(0.9),
            nsfw_categories: labels.clone().into(),
            ocr_text: Some("words".into()),
            text_likelihood: Some(0.5),
            ocr_words: Some(1),
            labels: [("sample".to_owned(), labels.into())].into(),
        },
        media: vec![Media {
            kind: MediaKind::Video,
            format: Format::Mp4,
            width: Some(640),
            height: Some(480),
            duration_ms: Some(1000),
            sha256: String::new(),
            pdq: None,
            pdq_quality: None,
            faces: Vec::new(),
        }],
        has_text: true,
        coverage: Coverage {
            frames_seen: 2,
            max_gap_ms: 500,
            detectors_run: vec!["nsfw".into()],
            ..Coverage::default()
        },
        failures: Vec::new(),
    }
}
