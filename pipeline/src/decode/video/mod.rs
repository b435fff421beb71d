//! Video and sound files, by GStreamer: scan the container, plan which frames to look at, decode just those.
//!
//! 1. [`scan`]: one pass over the container without decoding gives the table of access units.
//! 2. [`plan`]: a pure function chooses the frames to look at under `Need::max_gap_ms`, and the units to decode.
//! 3. [`run`]: a second pass gives those units to the decoder; what comes out is scaled, turned and handed on.
//!
//! The time line starts at the first frame that is shown and ends with the last one. Containers that claim to be
//! longer, or that start late, show nothing there to look at. `Limits::max_ratio` is not applied: video is compressed
//! that much by design, frames pass one at a time, and time is limited by the worker.
//!
//! One stream of pictures is looked at. What there is beside it (other tracks, covers among the tags, a second `moov`,
//! further programs) the tally names as unseen; where the bytes are fewer than the container promises, or times so
//! jumbled that stretches mix, it says `damaged`. Text tracks are read; captions within the video's own bits (CEA-608
//! and 708) are not, and not told either.

pub mod chain;
mod container;
mod convert;
pub mod decoder;
mod demux;
pub mod distant;
pub mod inventory;
mod plan;
mod registry;
mod run;
mod scan;
mod select;
mod sys;
#[cfg(test)]
mod tests;
mod unit;
mod words;

use std::fs::File;
use std::sync::Arc;

use domain::{Format, MediaKind};

use super::{DecodeError, Facts, Limits, Need, Sink, Tally};
use distant::Distant;
use plan::{Aim, Line};
pub use registry::preload;
use run::Job;
use scan::{Scan, Scanned};

const MS: i64 = 1_000_000;

/// Decodes the frames of a video that `need` asks for; of sound it only tells the length.
///
/// `file` holds the whole item; it is read by offset, its position does not matter.
///
/// # Errors
/// `Damaged` when no frame can be had, `Encrypted`, `Unsupported` with the codec's name, `TooLarge`, `Missing`.
pub fn decode(
    file: File,
    format: Format,
    need: &Need,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Tally, DecodeError> {
    look(file, format, None, (need, limits), None, sink)
}

/// The same by a decoder in another process, where that has the codec; else by cores.
///
/// # Errors
/// As [`decode`], and `Lost`.
pub fn decode_by(
    distant: &Arc<dyn Distant>,
    file: File,
    format: Format,
    need: &Need,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Tally, DecodeError> {
    look(file, format, None, (need, limits), Some(distant), sink)
}

/// Looks at a stretch of a video again, more densely: `need.max_gap_ms` between frames from `start_ms` to `end_ms`.
///
/// The tally's gap counts within the stretch.
///
/// # Errors
/// As [`decode`].
pub fn decode_span(
    file: File,
    format: Format,
    (start_ms, end_ms): (u64, u64),
    need: &Need,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Tally, DecodeError> {
    look(file, format, Some((start_ms, end_ms)), (need, limits), None, sink)
}

fn look(
    file: File,
    format: Format,
    span_ms: Option<(u64, u64)>,
    (need, limits): (&Need, &Limits),
    distant: Option<&Arc<dyn Distant>>,
    sink: &mut dyn Sink,
) -> Result<Tally, DecodeError> {
    preload()?;
    let file = Arc::new(file);
    let scan = match scan::scan(&file, scan::MAX_UNITS)? {
        Scanned::Video(scan) => scan,
        Scanned::Audio(scan::Sound { duration_ms, damaged, unseen, words }) => {
            sink.facts(facts(MediaKind::Audio, format, duration_ms, None));
            return Ok(Tally { damaged, unseen, words, ..Tally::default() });
        }
    };
    if let Some(message) = scan.claimed_size().and_then(|size| decoder::too_large(size, limits)) {
        return Err(DecodeError::TooLarge(message));
    }
    let aim = aim(&scan, span_ms, need, limits);
    let line = Line::new(&scan.units);
    let plan = line.plan(aim);
    if plan.targets.is_empty() {
        return Err(DecodeError::Damaged("no frame of it can be decoded".into()));
    }
    let duration_ms = u64::try_from(scan.end / MS).ok();
    let mut facts = Some(facts(MediaKind::Video, format, duration_ms, Some(scan.frames())));
    let wall = run::WALL_BUDGET;
    let job = Job { file: &file, scan: &scan, plan: &plan, need, limits, wall, distant };
    let outcome = run::run(&job, &mut facts, sink)?;
    if outcome.looked.is_empty() && !outcome.stopped {
        return Err(DecodeError::Damaged("the decoder gives no frame".into()));
    }
    let gap = line.max_gap(&outcome.looked, aim.start, aim.end);
    Ok(Tally {
        frames: outcome.looked.len() as u64,
        // Rounded up: never smaller than it is.
        max_gap_ms: u64::try_from((gap + MS - 1) / MS).unwrap_or(0),
        damaged: outcome.damaged,
        unseen: scan.unseen.clone(),
        words: scan.words.clone(),
        decoder: Some(outcome.decoder),
    })
}

fn facts(kind: MediaKind, format: Format, duration_ms: Option<u64>, frames: Option<u64>) -> Facts {
    Facts { kind, format, width: 0, height: 0, duration_ms, frames }
}

fn aim(scan: &Scan, span_ms: Option<(u64, u64)>, need: &Need, limits: &Limits) -> Aim {
    let ns = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(MS);
    let (start, end) =
        span_ms.map_or((0, scan.end), |(start, end)| (ns(start), ns(end).min(scan.end)));
    Aim {
        start: start.min(end),
        end,
        max_gap: ns(need.max_gap_ms),
        max_frames: limits.max_frames as usize,
    }
}
