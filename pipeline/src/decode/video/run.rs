//! Second pass: only the planned units go to the decoder, only the planned frames come out of it.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;

use super::convert::Converter;
use super::demux::{Demux, Units, lock, make};
use super::plan::Plan;
use super::scan::{Scan, pixel_aspect};
use super::{registry, select, sys};
use crate::decode::{DecodeError, Facts, Flow, Frame, Limits, Need, Sink};

/// The decoder sees frame numbers in order of presentation, this far apart, instead of the file's own times: whatever
/// these do (jump back, repeat, be absent), a frame that comes out names the unit that went in.
const TICK: u64 = 10_000_000;

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
}

/// Feeds the planned units to the decoder.
struct Feeder {
    source: app::AppSrc,
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
            let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else {
                return Ok(());
            };
            if self.source.caps().as_deref() != Some(caps) {
                self.source.set_caps(Some(&caps.to_owned()));
            }
            self.source.push_buffer(self.renumber(buffer, at))?;
        }
        if at >= self.last {
            self.end(stream);
            return Err(gst::FlowError::Eos);
        }
        Ok(())
    }

    fn end(&self, stream: &str) {
        if stream == self.stream {
            // Refused only while the run is being stopped.
            let _ = self.source.end_of_stream();
        }
    }
}

impl Feeder {
    fn renumber(&self, mut buffer: gst::Buffer, at: usize) -> gst::Buffer {
        let rank = self.rank.get(at).copied().unwrap_or(0);
        let buffer_ref = buffer.make_mut();
        buffer_ref.set_pts(gst::ClockTime::from_nseconds(u64::from(rank) * TICK));
        buffer_ref.set_dts(None);
        buffer_ref.set_duration(gst::ClockTime::from_nseconds(TICK));
        buffer
    }
}

/// What the decoder's output turned out to be.
#[derive(Clone, Default)]
struct Shape {
    /// Upright size at full resolution, pixels square.
    upright: (u32, u32),
    /// Size to convert to, before turning.
    scaled: (u32, u32),
    /// Set when a limit is passed.
    too_large: Option<String>,
}

/// The decoder with what is around it.
struct Decoder {
    pipeline: gst::Pipeline,
    source: app::AppSrc,
    sink: app::AppSink,
    shape: Arc<Mutex<Shape>>,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Cannot fail downwards; joins the streaming threads.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Decoder {
    fn new(scan: &Scan, need: &Need, limits: &Limits, wanted: Wanted) -> Result<Self, DecodeError> {
        let source = app::AppSrc::builder()
            .format(gst::Format::Time)
            .caps(&scan.caps)
            .block(true)
            .max_bytes(8 << 20)
            .build();
        let decoder = select::decoder(&scan.caps, need.threads)?;
        let convert = registry::converters()?;
        let filter = make("capsfilter")?;
        let sink = app::AppSink::builder().sync(false).max_buffers(2).build();
        sink.set_property("enable-last-sample", false);
        let pipeline = gst::Pipeline::new();
        let mut chain = vec![source.upcast_ref(), &decoder];
        chain.extend(&convert);
        chain.extend([&filter, sink.upcast_ref()]);
        pipeline.add_many(&chain).and_then(|()| gst::Element::link_many(&chain)).map_err(|e| {
            DecodeError::Unsupported(format!("{}: {e}", select::codec_name(&scan.caps)))
        })?;
        let shape = Arc::new(Mutex::new(Shape::default()));
        if let Some(pad) = decoder.static_pad("src") {
            let framer = Framer {
                shape: Arc::clone(&shape),
                filter,
                need: need.clone(),
                limits: *limits,
                scan: scan.clone_head(),
                wanted,
            };
            let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
            pad.add_probe(mask, move |_, info| framer.probe(info));
        }
        Ok(Self { pipeline, source, sink, shape })
    }
}

/// Ranks that are looked at, in order, and how far we are.
#[derive(Clone)]
pub(super) struct Wanted {
    ranks: Arc<Vec<u32>>,
    met: Arc<Mutex<usize>>,
}

impl Wanted {
    fn new(ranks: Vec<u32>) -> Self {
        Self { ranks: Arc::new(ranks), met: Arc::default() }
    }

    /// Whether a frame is a target, or stands for one that did not come.
    fn takes(&self, rank: u32) -> bool {
        let mut met = lock(&self.met);
        let before = *met;
        *met += self.ranks[*met..].partition_point(|r| *r <= rank);
        *met > before
    }
}

/// Watches what leaves the decoder: sets the size on new caps, lets only wanted frames pass.
struct Framer {
    shape: Arc<Mutex<Shape>>,
    filter: gst::Element,
    need: Need,
    limits: Limits,
    scan: Scan,
    wanted: Wanted,
}

impl Framer {
    fn probe(&self, info: &gst::PadProbeInfo) -> gst::PadProbeReturn {
        if let Some(gst::EventView::Caps(event)) = info.event().map(|e| e.view()) {
            if let Ok(info) = video::VideoInfo::from_caps(event.caps()) {
                self.reshape(&info);
            }
        } else if let Some(buffer) = info.buffer() {
            let rank = buffer.pts().map(rank_of);
            if !rank.is_some_and(|rank| self.wanted.takes(rank)) {
                return gst::PadProbeReturn::Drop;
            }
        }
        gst::PadProbeReturn::Ok
    }

    fn reshape(&self, info: &video::VideoInfo) {
        let (n, d) = pixel_aspect(info, &self.scan.caps);
        let stored = (info.width(), info.height());
        let square = square(stored, (n, d));
        let upright = self.scan.orientation.turn(square);
        let too_large = too_large(stored, &self.limits).or_else(|| too_large(square, &self.limits));
        let scale = self.need.least_scale(upright.0, upright.1).clamp(0.0, 1.0);
        let scaled = (at_scale(square.0, scale), at_scale(square.1, scale));
        let mut caps = gst::Caps::builder("video/x-raw").field("format", "I420");
        if info.format() != video::VideoFormat::I420 {
            // It has to be converted anyway, so it is scaled with it.
            let side = |n: u32, stored: u32| i32::try_from(n.min(stored)).unwrap_or(i32::MAX);
            caps = caps
                .field("width", side(scaled.0, stored.0))
                .field("height", side(scaled.1, stored.1));
        }
        self.filter.set_property("caps", caps.build());
        *lock(&self.shape) = Shape { upright, scaled, too_large };
    }
}

fn rank_of(pts: gst::ClockTime) -> u32 {
    u32::try_from((pts.nseconds() + TICK / 2) / TICK).unwrap_or(u32::MAX)
}

/// Size with square pixels: the side that the shape stretches grows, none shrinks.
fn square((width, height): (u32, u32), (n, d): (u32, u32)) -> (u32, u32) {
    let stretch = |side: u32, by: u32, of: u32| {
        u32::try_from(u64::from(side) * u64::from(by) / u64::from(of)).unwrap_or(u32::MAX)
    };
    if n >= d { (stretch(width, n, d), height) } else { (width, stretch(height, d, n)) }
}

fn at_scale(side: u32, scale: f64) -> u32 {
    ((f64::from(side) * scale).ceil() as u32).clamp(1, side.max(1))
}

/// Says which limit a size passes.
pub(super) fn too_large((width, height): (u32, u32), limits: &Limits) -> Option<String> {
    let pixels = u64::from(width) * u64::from(height);
    let over = width.max(height) > limits.max_side || pixels > limits.max_pixels;
    over.then(|| {
        format!(
            "{width} × {height} pixels; the limits are {} a side and {} in all",
            limits.max_side, limits.max_pixels
        )
    })
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
    let ranks = plan.targets.iter().map(|t| rank[*t]).collect();
    let decoder = Decoder::new(scan, job.need, job.limits, Wanted::new(ranks))?;
    let feeder = Arc::new(Feeder {
        source: decoder.source.clone(),
        stream: scan.stream.clone(),
        last: plan.feed.iter().rposition(|f| *f).unwrap_or(0),
        feed: plan.feed.clone(),
        rank,
        next: Mutex::new(0),
    });
    let demux = Demux::new(Arc::clone(job.file), Arc::clone(&scan.edits), feeder)?;
    let run = Ordered { decoder, demux };
    run.decoder.pipeline.set_state(gst::State::Playing).map_err(|_| {
        DecodeError::Unsupported(format!(
            "{}: the decoder refuses it",
            select::codec_name(&scan.caps)
        ))
    })?;
    run.demux.start()?;
    collect(&run, job, &by_time, facts, sink)
}

/// Fields drop in this order: the decoder stops before the demuxer, whose threads may wait for room in it.
struct Ordered {
    decoder: Decoder,
    demux: Demux,
}

fn collect(
    run: &Ordered,
    job: &Job<'_>,
    by_time: &[usize],
    facts: &mut Option<Facts>,
    sink: &mut dyn Sink,
) -> Result<Outcome, DecodeError> {
    let (scan, planned) = (job.scan, job.plan.targets.len());
    let mut out = Outcome { looked: Vec::new(), damaged: scan.damaged, stopped: false };
    let mut converter = Converter::default();
    let mut moved = Instant::now();
    let mut ended = false;
    let (started, spent) = (Instant::now(), sys::cpu_time());
    loop {
        let sample = run.decoder.sink.try_pull_sample(gst::ClockTime::from_mseconds(100));
        let shape = lock(&run.decoder.shape).clone();
        if let Some(message) = shape.too_large {
            return Err(DecodeError::TooLarge(message));
        }
        let Some(sample) = sample else {
            let failed = decoder_error(&run.decoder.pipeline);
            let done = run.decoder.sink.is_eos();
            out.damaged |= failed.is_some();
            if !ended && run.demux.error().is_some() {
                (ended, out.damaged) = (true, true);
                let _ = run.decoder.source.end_of_stream();
            }
            if done || failed.is_some() || moved.elapsed() > STALL {
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
    Ok(out)
}

fn decoder_error(pipeline: &gst::Pipeline) -> Option<String> {
    let message = pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(e) => Some(e.error().to_string()),
        _ => None,
    }
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
