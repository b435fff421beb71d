//! One worker that has its order: listens, copies pixels out, and believes nothing.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use domain::{Format, MediaKind};
use models::{Fit, Rendition, RgbImage};
use rustix::io::{Errno, pread};

use super::zygote::Worker;
use crate::decode::{DecodeError, Facts, Flow, VideoDecoder};
use crate::measure::{Measures, Ocr, Plan, quality};
use crate::sandbox::protocol::{Observer, Report, Request, Seen, WorkError};
use crate::sandbox::wire::{self, Command, Head, LinkError, MAX_QR, MAX_TEXT, Ring, Said};

/// Longest text of an error that a worker may give, in characters.
const MAX_REASON: usize = 300;

/// The judge of one worker.
pub(super) struct Session<'a> {
    worker: Worker,
    request: &'a Request,
    ring: Ring,
    memory: OwnedFd,
    wall: Duration,
    facts: Option<Facts>,
    /// The worker was told that it need not go on.
    stopped: bool,
    frames: u64,
    last_pts_ms: u64,
}

/// The most that the time of the detectors may prolong a session.
const MOST_PATIENCE: Duration = Duration::from_secs(4);

impl<'a> Session<'a> {
    pub(super) fn new(
        worker: Worker,
        request: &'a Request,
        ring: Ring,
        memory: OwnedFd,
        wall: Duration,
    ) -> Self {
        Self {
            worker,
            request,
            ring,
            memory,
            wall,
            facts: None,
            stopped: false,
            frames: 0,
            last_pts_ms: 0,
        }
    }

    /// Runs to the report. The worker is killed when `self` goes, whatever the outcome.
    pub(super) fn run(mut self, observer: &mut dyn Observer) -> Result<Report, WorkError> {
        let mut deadline = Instant::now() + self.wall;
        let end = deadline + MOST_PATIENCE;
        loop {
            let said =
                wire::hear(self.worker.socket(), Some(deadline)).map_err(|e| self.blame(e))?;
            let judged = Instant::now();
            match said {
                Said::Facts(facts) => {
                    self.judge_facts(&facts)?;
                    self.answer(observer.facts(&facts), None)?;
                }
                Said::Frame(head) => {
                    let seen = self.judge_frame(head)?;
                    self.answer(Flow::More, Some(Command::Credit))?;
                    self.answer(observer.frame(seen), None)?;
                }
                Said::Report(report) => return self.judge_report(report),
                Said::Failed(error) => return Err(WorkError::Decode(tidy(error))),
                Said::Exited { signal, status } => return Err(self.obituary(signal, status)),
                Said::Ready(_) => return Err(lied("it was ready twice")),
            }
            // The worker is not charged for the time that the detectors take, within reason.
            deadline = (deadline + judged.elapsed()).min(end);
        }
    }

    fn answer(&mut self, flow: Flow, also: Option<Command>) -> Result<(), WorkError> {
        let stop = (flow == Flow::Enough).then_some(Command::Stop);
        self.stopped |= stop.is_some();
        for command in also.into_iter().chain(stop) {
            match wire::nudge(self.worker.socket(), command as u8) {
                // A worker that has just ended is judged by its last words, which are still to be read.
                Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return Err(lied("it sends and does not listen")),
                Err(error) => return Err(WorkError::Crashed(error.to_string())),
            }
        }
        Ok(())
    }

    fn judge_facts(&mut self, facts: &Facts) -> Result<(), WorkError> {
        let limits = &self.request.limits;
        let (width, height) = (facts.width, facts.height);
        if self.facts.replace(facts.clone()).is_some() {
            return Err(lied("facts came twice"));
        }
        if width > limits.max_side
            || height > limits.max_side
            || u64::from(width) * u64::from(height) > limits.max_pixels
        {
            return Err(lied(&format!("{width} × {height} pixels, which its limits do not allow")));
        }
        if !is_kind_of(facts.kind, self.request.format) {
            return Err(lied(&format!(
                "{:?}, which {:?} cannot be",
                facts.kind, self.request.format
            )));
        }
        if facts.kind != MediaKind::Audio && (width == 0 || height == 0) {
            return Err(lied("a picture without pixels"));
        }
        Ok(())
    }

    fn judge_frame(&mut self, head: Head) -> Result<Seen, WorkError> {
        let Some(facts) = &self.facts else {
            return Err(lied("a frame came before the facts"));
        };
        if facts.kind == MediaKind::Audio {
            return Err(lied("a picture of sound"));
        }
        if self.frames >= u64::from(self.request.limits.max_frames) {
            return Err(lied("more frames than its limits allow"));
        }
        if head.pts_ms < self.last_pts_ms {
            return Err(lied("frames out of order"));
        }
        if head.sizes.len() != self.request.renditions.len() {
            return Err(lied("another number of pictures than was asked for"));
        }
        judge_measures(&head.measures)?;
        judge_silence(&self.request.measure, facts, &head.measures)?;
        let mut offset = self.ring.offset(self.frames);
        let mut renditions = Vec::with_capacity(head.sizes.len());
        for (&(width, height), wanted) in head.sizes.iter().zip(&self.request.renditions) {
            let image = self.copy_out(width, height, wanted, offset)?;
            offset += image.data().len() as u64;
            renditions.push(image);
        }
        self.frames += 1;
        self.last_pts_ms = head.pts_ms;
        Ok(Seen { pts_ms: head.pts_ms, measures: head.measures, renditions })
    }

    /// Copies one picture: the worker could still change the ring, but never the copy.
    fn copy_out(
        &self,
        width: u32,
        height: u32,
        wanted: &Rendition,
        offset: u64,
    ) -> Result<RgbImage, WorkError> {
        let fits = match wanted.fit {
            Fit::Stretch => (width, height) == (wanted.width, wanted.height),
            Fit::Within => width <= wanted.width && height <= wanted.height,
        };
        // Each picture fits its share of the slot, so all offsets stay within the slot.
        if !fits || width == 0 || height == 0 {
            return Err(lied(&format!("a picture of {width} × {height}, asked for {wanted:?}")));
        }
        let length = width as usize * height as usize * 3;
        let mut data = vec![0; length];
        let mut done = 0;
        while done < length {
            let rest = data.get_mut(done..).unwrap_or_default();
            match wire::retry(|| pread(&self.memory, &mut *rest, offset + done as u64)) {
                Ok(0) | Err(_) => return Err(lied("pixels outside its memory")),
                Ok(count) => done += count,
            }
        }
        RgbImage::new(width, height, data).ok_or_else(|| lied("a picture without pixels"))
    }

    fn judge_report(&self, report: Report) -> Result<Report, WorkError> {
        let Some(facts) = &self.facts else {
            return Err(lied("a report came before the facts"));
        };
        let handed = report.seen.checked_add(report.skipped);
        if report.seen != self.frames
            || handed.is_none_or(|n| n > u64::from(self.request.limits.max_frames))
        {
            return Err(lied("its count of frames is not ours"));
        }
        // What cannot be decoded is an error; only sound has nothing to look at.
        if self.frames == 0 && facts.kind != MediaKind::Audio && !self.stopped {
            return Err(lied("it decoded a picture and shows none"));
        }
        let odd = |decoder: &VideoDecoder| {
            !decoder.is_sound() || (decoder.hardware && !self.request.hardware)
        };
        if report.tally.decoder.as_ref().is_some_and(odd) {
            return Err(lied("it names a decoder that it cannot have"));
        }
        Ok(report)
    }

    fn blame(&self, error: LinkError) -> WorkError {
        match error {
            LinkError::TimedOut => WorkError::TimedOut(self.millis()),
            LinkError::Closed => WorkError::Crashed("its zygote died too".to_owned()),
            LinkError::Garbled(what) => lied(&what),
            LinkError::Io(error) => WorkError::Crashed(error.to_string()),
        }
    }

    fn obituary(&self, signal: Option<i32>, status: Option<i32>) -> WorkError {
        match (signal, status) {
            (Some(libc::SIGXCPU), _) => WorkError::TimedOut(self.millis()),
            (Some(libc::SIGSYS), _) => {
                WorkError::Crashed("signal 31, for a system call that it may not make".to_owned())
            }
            (Some(signal), _) => WorkError::Crashed(format!("signal {signal}")),
            (None, Some(status)) => WorkError::Crashed(format!("status {status}")),
            (None, None) => WorkError::Crashed("cause unknown".to_owned()),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX)
    }
}

fn judge_measures(measures: &Measures) -> Result<(), WorkError> {
    let sharpness = measures.blur_variance.is_none_or(|v| v.is_finite() && v >= 0.0);
    let likelihood = measures.text_likelihood.is_none_or(|v| (0.0..=1.0).contains(&v));
    let quality = measures.pdq.is_none_or(|p| p.quality <= 100);
    let (most, bytes) = MAX_QR;
    let codes =
        measures.qr.len() <= most && measures.qr.iter().map(String::len).sum::<usize>() <= bytes;
    let text = measures.words.as_ref().is_none_or(|w| w.text.len() <= MAX_TEXT);
    if sharpness && likelihood && quality && codes && text {
        Ok(())
    } else {
        Err(lied("measurements that cannot be"))
    }
}

/// Whether a format can hold this kind of medium: a still decoder gives pictures, a stream decoder video or sound.
fn is_kind_of(kind: MediaKind, format: Format) -> bool {
    if format.is_still() {
        matches!(kind, MediaKind::Image | MediaKind::Animation)
    } else {
        matches!(kind, MediaKind::Video | MediaKind::Audio)
    }
}

/// Whether all that was asked for was measured: a worker that keeps quiet on words or codes would hide them. A missing
/// PDQ hash needs no look here, for a frame without one fails the detector.
fn judge_silence(plan: &Plan, facts: &Facts, measures: &Measures) -> Result<(), WorkError> {
    let (long, short) = (facts.width.max(facts.height), facts.width.min(facts.height));
    // Sharpness needs 3 pixels of the short side at its working size. Pages of a TIFF may be smaller than its facts.
    let thin = u64::from(short) * u64::from(quality::WORKING_SIDE)
        < 4 * u64::from(long.max(quality::WORKING_SIDE));
    let sharpness =
        !plan.blur || measures.blur_variance.is_some() || thin || facts.format == Format::Tiff;
    let gated = measures.ocr_gated && matches!(plan.ocr, Ocr::Gated(_));
    let words = plan.ocr == Ocr::Off
        || (measures.text_likelihood.is_some()
            && (measures.words.is_some() || gated || measures.ocr_failed.is_some()));
    if sharpness && words { Ok(()) } else { Err(lied("less than was asked for")) }
}

fn lied(what: &str) -> WorkError {
    WorkError::Lied(tidy_text(what))
}

/// A worker's words may end in a log or on a page: short and without control characters.
fn tidy(error: DecodeError) -> DecodeError {
    use DecodeError::*;
    match error {
        Unsupported(text) => Unsupported(tidy_text(&text)),
        Damaged(text) => Damaged(tidy_text(&text)),
        TooLarge(text) => TooLarge(tidy_text(&text)),
        Missing(text) => Missing(tidy_text(&text)),
        Encrypted(text) => Encrypted(tidy_text(&text)),
        Lost(text) => Lost(tidy_text(&text)),
        Unfit(text) => Unfit(tidy_text(&text)),
    }
}

fn tidy_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Words;

    fn facts(format: Format, width: u32, height: u32) -> Facts {
        let kind = MediaKind::Image;
        Facts { kind, format, width, height, duration_ms: None, frames: Some(1) }
    }

    #[test]
    fn a_still_is_a_picture_and_a_stream_is_video_or_sound() {
        use MediaKind::{Animation, Audio, Image, Video};
        for (format, kinds) in [
            (Format::Jpeg, [Image, Animation]),
            (Format::Avif, [Image, Animation]),
            (Format::Mp4, [Video, Audio]),
        ] {
            for kind in [Image, Animation, Video, Audio] {
                assert_eq!(is_kind_of(kind, format), kinds.contains(&kind), "{kind:?} {format:?}");
            }
        }
    }

    #[test]
    fn silence_on_words_that_were_asked_for_is_a_lie() {
        let facts = facts(Format::Png, 640, 480);
        let plan = |ocr| Plan { ocr, ..Plan::default() };
        let said = |likelihood, ocr_gated, read: bool, failed: bool| Measures {
            text_likelihood: likelihood,
            ocr_gated,
            words: read.then(Words::default),
            ocr_failed: failed.then(|| "no time".to_owned()),
            ..Measures::default()
        };
        for (ocr, measures, honest) in [
            (Ocr::Off, Measures::default(), true),
            (Ocr::Gated(50), Measures::default(), false),
            (Ocr::Gated(50), said(Some(0.1), true, false, false), true),
            (Ocr::Gated(50), said(None, true, false, false), false),
            (Ocr::Gated(50), said(Some(0.9), false, true, false), true),
            (Ocr::Gated(50), said(Some(0.9), false, false, true), true),
            (Ocr::Always, said(Some(0.1), true, false, false), false),
        ] {
            let judged = judge_silence(&plan(ocr), &facts, &measures);
            assert_eq!(judged.is_ok(), honest, "{ocr:?} {measures:?}");
        }
    }

    #[test]
    fn sharpness_may_be_missing_of_a_sliver_only() {
        let plan = Plan { blur: true, ..Plan::default() };
        let judge = |w, h| judge_silence(&plan, &facts(Format::Png, w, h), &Measures::default());
        assert!(judge(640, 480).is_err() && judge(5, 5).is_err());
        assert!(judge(2, 640).is_ok() && judge(8000, 20).is_ok());
    }
}
