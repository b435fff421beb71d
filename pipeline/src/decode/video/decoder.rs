//! A decoder with what is around it: units in, wanted frames out, scaled where that is cheap. It runs in the worker of an
//! item, by cores, or in the process of the decoders in hardware.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use gstreamer_video as video;
use serde::{Deserialize, Serialize};

use super::chain::{Chain, Codec};
use super::convert::Orientation;
use super::demux::{lock, make};
use super::scan::pixel_aspect;
use super::{registry, select};
use crate::decode::{DecodeError, Limits, Need};

/// The decoder sees frame numbers in order of presentation, this far apart, instead of the file's own times: whatever
/// these do (jump back, repeat, be absent), a frame that comes out names the unit that went in.
const TICK: u64 = 10_000_000;

/// Bytes of units that may wait for the decoder.
const WAITING_BYTES: u64 = 8 << 20;

/// What a decoder is told before its first unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The stream's caps, as GStreamer writes them.
    pub caps: String,
    /// Ranks of the frames that are wanted, rising.
    pub ranks: Vec<u32>,
    /// Sizes at which they will be looked at.
    pub need: Need,
    /// Bounds on their size.
    pub limits: Limits,
    /// How they will be turned.
    pub orientation: Orientation,
}

/// What the decoder's output turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Upright size at full resolution, pixels square.
    pub upright: (u32, u32),
    /// Size to convert to, before turning.
    pub scaled: (u32, u32),
    /// Set when a limit is passed.
    pub too_large: Option<String>,
}

/// The decoder with what is around it. Stops when dropped.
pub struct Decoder {
    /// The name of the element that decodes.
    element: String,
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
    /// A decoder by cores, in the worker of an item.
    pub(super) fn by_cores(task: &Task, caps: &gst::Caps) -> Result<Self, DecodeError> {
        let mut elements = vec![select::decoder(caps, task.need.threads)?];
        elements.extend(registry::converters()?);
        Self::around(task, caps, None, elements)
    }

    /// A decoder of this chain. A parser stands before it, for hardware takes one form of each codec alone.
    ///
    /// # Errors
    /// Where an element is missing or refuses the stream.
    pub fn of(chain: &Chain, codec: Codec, task: &Task) -> Result<Self, DecodeError> {
        let mut elements = vec![make(&chain.decoder)?];
        for name in &chain.then {
            elements.push(make(name)?);
        }
        let parser = codec.parser().map(make).transpose()?;
        Self::around(task, &caps(&task.caps)?, parser, elements)
    }

    /// `elements` begin with the decoder.
    fn around(
        task: &Task,
        caps: &gst::Caps,
        parser: Option<gst::Element>,
        elements: Vec<gst::Element>,
    ) -> Result<Self, DecodeError> {
        let source = app::AppSrc::builder()
            .format(gst::Format::Time)
            .caps(caps)
            .block(true)
            .max_bytes(WAITING_BYTES)
            .build();
        let filter = make("capsfilter")?;
        let sink = app::AppSink::builder().sync(false).max_buffers(2).build();
        sink.set_property("enable-last-sample", false);
        let pipeline = gst::Pipeline::new();
        let mut chain = vec![source.upcast_ref()];
        chain.extend(&parser);
        chain.extend(&elements);
        chain.extend([&filter, sink.upcast_ref()]);
        pipeline
            .add_many(&chain)
            .and_then(|()| gst::Element::link_many(&chain))
            .map_err(|e| DecodeError::Unsupported(format!("{}: {e}", select::codec_name(caps))))?;
        let shape = Arc::new(Mutex::new(Shape::default()));
        if let Some(pad) = elements.first().and_then(|decoder| decoder.static_pad("src")) {
            let framer = Framer {
                shape: Arc::clone(&shape),
                filter,
                need: task.need.clone(),
                limits: task.limits,
                orientation: task.orientation,
                caps: caps.clone(),
                wanted: Wanted::new(task.ranks.clone()),
            };
            let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
            pad.add_probe(mask, move |_, info| framer.probe(info));
        }
        let factory = elements.first().and_then(|decoder| decoder.factory());
        let element = factory.map(|factory| factory.name().to_string()).unwrap_or_default();
        let decoder = Self { element, pipeline, source, sink, shape };
        decoder.pipeline.set_state(gst::State::Playing).map_err(|_| {
            DecodeError::Unsupported(format!(
                "{}: the decoder refuses it",
                select::codec_name(caps)
            ))
        })?;
        Ok(decoder)
    }

    /// The name of the element that decodes.
    pub(super) fn element(&self) -> &str {
        &self.element
    }

    /// Where units go in.
    pub fn inlet(&self) -> Inlet {
        Inlet(self.source.clone())
    }

    /// The next wanted frame, if one comes in time.
    pub fn next(&self, wait: Duration) -> Option<gst::Sample> {
        let wait = gst::ClockTime::try_from(wait).unwrap_or(gst::ClockTime::ZERO);
        self.sink.try_pull_sample(wait)
    }

    /// What its output turned out to be so far.
    pub fn shape(&self) -> Shape {
        lock(&self.shape).clone()
    }

    /// Whether all frames have come.
    pub fn is_done(&self) -> bool {
        self.sink.is_eos()
    }

    /// What it complained of.
    pub fn error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(e.error().to_string()),
            _ => None,
        }
    }
}

/// Where units go into a decoder; waits while it has enough of them.
#[derive(Clone)]
pub struct Inlet(app::AppSrc);

impl Inlet {
    /// Puts a unit in, of a stream of these caps.
    ///
    /// # Errors
    /// Once the decoder is stopped.
    pub fn put(
        &self,
        rank: u32,
        caps: &gst::CapsRef,
        mut buffer: gst::Buffer,
    ) -> Result<(), gst::FlowError> {
        if self.0.caps().as_deref() != Some(caps) {
            self.0.set_caps(Some(&caps.to_owned()));
        }
        let buffer_ref = buffer.make_mut();
        buffer_ref.set_pts(time_of(rank));
        buffer_ref.set_dts(None);
        buffer_ref.set_duration(gst::ClockTime::from_nseconds(TICK));
        self.0.push_buffer(buffer).map(drop)
    }

    /// That was the last unit.
    pub fn end(&self) {
        // Refused only while the run is being stopped.
        let _ = self.0.end_of_stream();
    }
}

fn caps(text: &str) -> Result<gst::Caps, DecodeError> {
    text.parse().map_err(|_| DecodeError::Unsupported("a stream of unreadable caps".into()))
}

/// Ranks that are looked at, in order, and how far we are.
struct Wanted {
    ranks: Vec<u32>,
    met: Mutex<usize>,
}

impl Wanted {
    fn new(ranks: Vec<u32>) -> Self {
        Self { ranks, met: Mutex::default() }
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
    orientation: Orientation,
    /// What the container says.
    caps: gst::Caps,
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
        let (n, d) = pixel_aspect(info, &self.caps);
        let stored = (info.width(), info.height());
        let square = square(stored, (n, d));
        let upright = self.orientation.turn(square);
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

/// The time under which a decoder sees a rank.
pub(super) fn time_of(rank: u32) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::from(rank) * TICK)
}

/// The rank of a frame of this time.
pub fn rank_of(pts: gst::ClockTime) -> u32 {
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
