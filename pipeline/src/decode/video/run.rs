//! Second pass: only the planned units go to the decoder, only the planned frames come out of it.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_video as video;

use super::convert::Converter;
use super::decoder::{Decoder, Inlet, Shape, Task, rank_of};
use super::demux::{Demux, Units, lock};
use super::distant::{Answer, Distant, Lost, codec_of};
use super::plan::Plan;
use super::scan::Scan;
use super::sys;
use crate::decode::{DecodeError, Facts, Flow, Frame, Limits, Need, Sink, VideoDecoder};

/// CPU time over all threads after which decoding stops and the tally tells how far it came: below the worker's limit.
const CPU_BUDGET: Duration = Duration::from_secs(20);

/// Wall-clock time after which it stops likewise, so that what was seen is not lost to the host's limit.
pub(super) const WALL_BUDGET: Duration = Duration::from_secs(7);

/// A run out of which no frame comes for so long is given up.
const STALL: Duration = Duration::from_secs(5);

/// What came of a run.
pub(super) struct Outcome {
    /// Units whose frames the sink got, in order of time.
    pub looked: Vec<usize>,
    /// Whether something did not decode as it should.
    pub damaged: bool,
    /// Whether the sink said that it has enough.
    pub stopped: bool,
    /// What made the frames.
    pub decoder: VideoDecoder,
}

/// Where units go: into a decoder here or elsewhere.
enum Way {
    Here(Inlet),
    There { distant: Arc<dyn Distant>, caps: Mutex<Option<gst::Caps>> },
}

impl Way {
    fn put(&self, rank: u32, sample: &gst::Sample) -> Result<(), gst::FlowError> {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else {
            return Ok(());
        };
        match self {
            Self::Here(inlet) => inlet.put(rank, caps, buffer),
            Self::There { distant, caps: told } => {
                let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                let mut told = lock(told);
                let changed = told.as_deref() != Some(caps);
                let words = changed.then(|| caps.to_string());
                if changed {
                    *told = Some(caps.to_owned());
                }
                let put = distant.put(rank, words.as_deref(), &bytes);
                put.map_err(|_| gst::FlowError::Eos)
            }
        }
    }

    fn end(&self) {
        match self {
            Self::Here(inlet) => inlet.end(),
            Self::There { distant, .. } => distant.end(),
        }
    }
}

/// Feeds the planned units to the decoder.
struct Feeder {
    way: Arc<Way>,
    stream: String,
    feed: Vec<bool>,
    rank: Vec<u32>,
    next: Mutex<usize>,
    last: usize,
}

impl Units for Feeder {
    fn unit(&self, stream: &str, sample: &gst::Sample) -> Result<(), gst::FlowError> {
        if stream != self.stream {
            return Ok(());
        }
        let at = {
            let mut next = lock(&self.next);
            *next += 1;
            *next - 1
        };
        if self.feed.get(at) == Some(&true) {
            self.way.put(self.rank.get(at).copied().unwrap_or(0), sample)?;
        }
        if at >= self.last {
            self.end(stream);
            return Err(gst::FlowError::Eos);
        }
        Ok(())
    }

    fn end(&self, stream: &str) {
        if stream == self.stream {
            self.way.end();
        }
    }
}

/// Where frames come from.
enum Source {
    Here(Decoder),
    There { distant: Arc<dyn Distant>, element: String, shape: Shape, done: Option<Option<String>> },
}

impl Source {
    /// A decoder elsewhere where there is one for the codec, else one here.
    fn open(job: &Job<'_>, task: &Task) -> Result<(Self, Way), DecodeError> {
        let codec = codec_of(&job.scan.caps);
        let there = job.distant.zip(codec).and_then(|(distant, codec)| {
            Some((distant, codec, distant.element(codec)?.to_owned()))
        });
        let Some((distant, codec, element)) = there else {
            let decoder = Decoder::by_cores(task, &job.scan.caps)?;
            let way = Way::Here(decoder.inlet());
            return Ok((Self::Here(decoder), way));
        };
        distant.begin(codec, task).map_err(lost)?;
        let way = Way::There { distant: Arc::clone(distant), caps: Mutex::default() };
        let (distant, shape) = (Arc::clone(distant), Shape::default());
        let source = Self::There { distant, element, shape, done: None };
        Ok((source, way))
    }

    /// The next wanted frame, if one comes in time.
    fn next(&mut self, wait: Duration) -> Result<Option<gst::Sample>, DecodeError> {
        match self {
            Self::Here(decoder) => Ok(decoder.next(wait)),
            Self::There { distant, shape, done, .. } => match distant.next(wait).map_err(lost)? {
                Some(Answer::Shape(new)) => {
                    *shape = new;
                    Ok(None)
                }
                Some(Answer::Frame(picture)) => {
                    let sample = picture.into_sample();
                    sample.map(Some).ok_or_else(|| lost(Lost::gone("it sends frames of no form")))
                }
                Some(Answer::Done(error)) => {
                    *done = Some(error);
                    Ok(None)
                }
                None => Ok(None),
            },
        }
    }

    /// What decodes.
    fn decoder(&self) -> VideoDecoder {
        match self {
            Self::Here(decoder) => {
                VideoDecoder { element: decoder.element().to_owned(), hardware: false }
            }
            Self::There { element, .. } => {
                VideoDecoder { element: element.clone(), hardware: true }
            }
        }
    }

    fn shape(&self) -> Shape {
        match self {
            Self::Here(decoder) => decoder.shape(),
            Self::There { shape, .. } => shape.clone(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Here(decoder) => decoder.is_done(),
            Self::There { done, .. } => done.is_some(),
        }
    }

    fn error(&self) -> Option<String> {
        match self {
            Self::Here(decoder) => decoder.error(),
            Self::There { done, .. } => done.clone().flatten(),
        }
    }

    /// What hardware did not do as it should the cores do again, so that no verdict hangs on the hardware's whims.
    fn perfect(&self, out: &Outcome, scan: &Scan) -> Result<(), DecodeError> {
        match self {
            Self::There { .. } if out.damaged && !scan.damaged => {
                let why = self.error().unwrap_or_else(|| "frames are missing or broken".into());
                Err(DecodeError::Unfit(why))
            }
            _ => Ok(()),
        }
    }

    /// A decoder elsewhere that says nothing any more hangs, and costs the item no more than another try.
    fn stalled(&self) -> Result<(), DecodeError> {
        match self {
            Self::Here(_) => Ok(()),
            Self::There { .. } => Err(lost(Lost::gone("it has said nothing for too long"))),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::There { distant, .. } = self {
            distant.close();
        }
    }
}

fn lost(Lost { why, unfit }: Lost) -> DecodeError {
    if unfit { DecodeError::Unfit(why) } else { DecodeError::Lost(why) }
}

/// What is to be decoded, and within which bounds.
pub(super) struct Job<'a> {
    pub file: &'a Arc<File>,
    pub scan: &'a Scan,
    pub plan: &'a Plan,
    pub need: &'a Need,
    pub limits: &'a Limits,
    /// Wall-clock time, usually `WALL_BUDGET`.
    pub wall: Duration,
    /// A decoder elsewhere.
    pub distant: Option<&'a Arc<dyn Distant>>,
}

/// Decodes what the plan asks for.
///
/// # Errors
/// `TooLarge` also when the time is over before there is a frame: of nothing seen there is nothing to tell.
pub(super) fn run(
    job: &Job<'_>,
    facts: &mut Option<Facts>,
    sink: &mut dyn Sink,
) -> Result<Outcome, DecodeError> {
    let Job { scan, plan, .. } = *job;
    let mut rank = vec![0u32; scan.units.len()];
    // Hidden units get a number as well: they are decoded.
    let mut by_time: Vec<usize> = (0..scan.units.len()).collect();
    by_time.sort_by_key(|i| (scan.units[*i].time, *i));
    for (number, i) in by_time.iter().enumerate() {
        rank[*i] = number as u32;
    }
    let task = Task {
        caps: scan.caps.to_string(),
        ranks: plan.targets.iter().map(|t| rank[*t]).collect(),
        need: job.need.clone(),
        limits: *job.limits,
        orientation: scan.orientation,
    };
    let (source, way) = Source::open(job, &task)?;
    let way = Arc::new(way);
    let feeder = Arc::new(Feeder {
        way: Arc::clone(&way),
        stream: scan.stream.clone(),
        last: plan.feed.iter().rposition(|f| *f).unwrap_or(0),
        feed: plan.feed.clone(),
        rank,
        next: Mutex::new(0),
    });
    let demux = Demux::new(Arc::clone(job.file), Arc::clone(&scan.edits), feeder)?;
    let mut run = Ordered { source, demux, way };
    run.demux.start()?;
    collect(&mut run, job, &by_time, facts, sink)
}

/// Fields drop in this order: the decoder stops before the demuxer, whose threads may wait for room in it.
struct Ordered {
    source: Source,
    demux: Demux,
    way: Arc<Way>,
}

fn collect(
    run: &mut Ordered,
    job: &Job<'_>,
    by_time: &[usize],
    facts: &mut Option<Facts>,
    sink: &mut dyn Sink,
) -> Result<Outcome, DecodeError> {
    let (scan, planned) = (job.scan, job.plan.targets.len());
    let decoder = run.source.decoder();
    let mut out = Outcome { looked: Vec::new(), damaged: scan.damaged, stopped: false, decoder };
    let mut converter = Converter::default();
    let mut moved = Instant::now();
    let mut ended = false;
    let (started, spent) = (Instant::now(), sys::cpu_time());
    loop {
        let sample = run.source.next(Duration::from_millis(100))?;
        let shape = run.source.shape();
        if let Some(message) = shape.too_large {
            return Err(DecodeError::TooLarge(message));
        }
        let Some(sample) = sample else {
            let failed = run.source.error();
            let done = run.source.is_done();
            out.damaged |= failed.is_some();
            if !ended && run.demux.error().is_some() {
                (ended, out.damaged) = (true, true);
                run.way.end();
            }
            let stalled = moved.elapsed() > STALL;
            if stalled && !done {
                run.source.stalled()?;
            }
            if done || failed.is_some() || stalled {
                out.damaged |= !done;
                break;
            }
            continue;
        };
        moved = Instant::now();
        let over =
            started.elapsed() > job.wall || sys::cpu_time().saturating_sub(spent) > CPU_BUDGET;
        if over {
            if out.looked.is_empty() {
                return Err(DecodeError::TooLarge("it takes too long to decode".into()));
            }
            // What was seen stands; the tally's gap says how much was not.
            out.stopped = true;
            break;
        }
        if let Some(mut facts) = facts.take() {
            (facts.width, facts.height) = shape.upright;
            if sink.facts(facts) == Flow::Enough {
                out.stopped = true;
                break;
            }
        }
        let Some((unit, image)) = picture(&sample, scan, by_time, shape.scaled, &mut converter)
        else {
            out.damaged = true;
            continue;
        };
        out.damaged |=
            sample.buffer().is_some_and(|b| b.flags().contains(gst::BufferFlags::CORRUPTED));
        out.looked.push(unit);
        let pts_ms = u64::try_from(scan.units[unit].time / 1_000_000).unwrap_or(0);
        if sink.frame(Frame { pts_ms, image }) == Flow::Enough {
            out.stopped = true;
            break;
        }
    }
    out.damaged |= !out.stopped && out.looked.len() < planned;
    run.source.perfect(&out, scan)?;
    Ok(out)
}

/// The unit that a decoded frame belongs to, and its pixels.
fn picture(
    sample: &gst::Sample,
    scan: &Scan,
    by_time: &[usize],
    size: (u32, u32),
    converter: &mut Converter,
) -> Option<(usize, models::RgbImage)> {
    let buffer = sample.buffer()?;
    let unit = *by_time.get(rank_of(buffer.pts()?) as usize)?;
    let info = video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let frame = video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    Some((unit, converter.convert(&frame, size, scan.orientation)?))
}
