//! One verdict as `weir check` shows it: the JSON line, documented key by key in docs/check.md.
//!
//! Keys are added, never renamed. This is the command's view; what a box stores keeps free text apart.

use std::collections::BTreeMap;

use domain::{
    Action, Category, Coverage, Decision, Failure, Finding, Media, Scores, Severity, Status,
};
use pipeline::decode::VideoDecoder;
use pipeline::inspect::Inspection;
use serde::Serialize;

use crate::inference::Cited;

/// One line of `--json`.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The path as given, lossily as UTF-8; `null` for a caption alone.
    pub file: Option<String>,
    /// UUIDv7 of this judgement.
    pub id: String,
    pub status: Status,
    pub complete: bool,
    pub severity: Severity,
    pub action: Action,
    pub reasons: Vec<String>,
    pub categories: BTreeMap<Category, Severity>,
    pub scores: Scores,
    pub media: Vec<MediaView>,
    pub findings: Vec<FindingView>,
    pub coverage: Coverage,
    /// `name@version`.
    pub policy: String,
    pub models: Vec<String>,
    /// On what the models ran; `null` where the profile has none.
    pub engine: Option<Cited>,
    pub timings_ms: TimingsView,
    /// Why something could not be looked at; `null` where all could.
    pub error: Option<String>,
}

/// Milliseconds of each stage.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TimingsView {
    pub decode: f64,
    pub detect: f64,
    pub decide: f64,
    pub total: f64,
}

/// A medium with its boxes as `[x, y, w, h]`.
#[derive(Debug, Serialize)]
pub struct MediaView {
    kind: domain::MediaKind,
    format: domain::Format,
    width: Option<u32>,
    height: Option<u32>,
    duration_ms: Option<u64>,
    sha256: String,
    pdq: Option<String>,
    pdq_quality: Option<u8>,
    faces: Vec<FaceView>,
    /// What decoded it; `None` of what is no video.
    decoder: Option<VideoDecoder>,
}

#[derive(Debug, Serialize)]
struct FaceView {
    #[serde(rename = "box")]
    bbox: [f32; 4],
    score: f32,
    age: Option<f32>,
}

/// A finding with its span and box laid flat.
#[derive(Debug, Serialize)]
pub struct FindingView {
    detector: String,
    model: String,
    label: String,
    score: f32,
    start_ms: Option<u64>,
    end_ms: Option<u64>,
    #[serde(rename = "box")]
    bbox: Option<[f32; 4]>,
    text: Option<String>,
}

impl Verdict {
    /// Puts a decision and what it rests on together.
    pub fn new(
        file: Option<String>,
        decision: Decision,
        inspection: Inspection,
        engine: Option<Cited>,
        timings: TimingsView,
    ) -> Self {
        let evidence = inspection.evidence;
        Self {
            file,
            id: uuid::Uuid::now_v7().to_string(),
            status: decision.status,
            complete: decision.complete,
            severity: decision.severity,
            action: decision.action,
            reasons: decision.reasons,
            categories: decision.categories,
            scores: evidence.scores,
            media: MediaView::all(evidence.media, &inspection.decoders).collect(),
            findings: evidence.findings.into_iter().map(FindingView::from).collect(),
            coverage: evidence.coverage,
            policy: decision.policy,
            models: inspection.models,
            engine,
            timings_ms: timings,
            error: error_line(&evidence.failures, &inspection.unseen),
        }
    }

    /// Whether the item could not be judged: a failure, or an answer that rests on less than was required.
    pub fn is_unjudged(&self) -> bool {
        is_unjudged(self.status, self.complete)
    }

    /// Whether the item may not be shown as it is.
    pub fn is_refused(&self) -> bool {
        self.status != Status::Approved
    }
}

/// Whether an item with this answer was not judged: a failure, or an answer that rests on less than was required.
pub fn is_unjudged(status: Status, complete: bool) -> bool {
    status == Status::Failed || (!complete && status != Status::Rejected)
}

/// Why something was not looked at, in one line; `None` where all was.
pub fn error_line(failures: &[Failure], unseen: &BTreeMap<String, String>) -> Option<String> {
    let failures = failures.iter().map(|f| format!("{}: {}", f.reason, f.detail));
    let unseen = unseen.iter().map(|(detector, why)| format!("{detector}: {why}"));
    let lines: Vec<_> = failures.chain(unseen).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

fn flat(bbox: domain::BBox) -> [f32; 4] {
    [bbox.x, bbox.y, bbox.w, bbox.h].map(|n| (n * 10.0).round() / 10.0)
}

impl FindingView {
    /// Whether the finding says something to a person who asks why.
    pub fn is_telling(&self) -> bool {
        self.text.is_some() || self.label.contains(':')
    }

    /// The finding in words, with what was matched in quotes.
    pub fn describe(&self) -> String {
        match &self.text {
            Some(text) => {
                format!("{} {} “{}”", self.detector, self.label, super::table::clean(text))
            }
            None => format!("{} {}", self.detector, self.label),
        }
    }

    /// Start and end on the time line.
    pub fn times(&self) -> (Option<u64>, Option<u64>) {
        (self.start_ms, self.end_ms)
    }
}

impl MediaView {
    /// Media in order, with what decoded each by its place.
    pub fn all(
        media: Vec<Media>,
        decoders: &BTreeMap<usize, VideoDecoder>,
    ) -> impl Iterator<Item = Self> {
        media.into_iter().enumerate().map(|(index, media)| Self {
            decoder: decoders.get(&index).cloned(),
            ..Self::from(media)
        })
    }

    /// What it turned out to be.
    pub fn kind(&self) -> domain::MediaKind {
        self.kind
    }
}

impl From<Media> for MediaView {
    fn from(media: Media) -> Self {
        let faces = media.faces.into_iter().map(|face| FaceView {
            bbox: flat(face.bbox),
            score: face.score,
            age: face.age,
        });
        Self {
            kind: media.kind,
            format: media.format,
            width: media.width,
            height: media.height,
            duration_ms: media.duration_ms,
            sha256: media.sha256,
            pdq: media.pdq,
            pdq_quality: media.pdq_quality,
            faces: faces.collect(),
            decoder: None,
        }
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        Self {
            detector: finding.detector,
            model: finding.model,
            label: finding.label,
            score: finding.score,
            start_ms: finding.span.map(|s| s.start_ms),
            end_ms: finding.span.map(|s| s.end_ms),
            bbox: finding.bbox.map(flat),
            text: finding.text,
        }
    }
}
