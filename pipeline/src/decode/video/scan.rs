//! First pass: the table of access units of the video stream that a viewer would see.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer_video as video;

use super::convert::Orientation;
use super::demux::{Demux, End, Tracks, Units, lock};
use super::skipped;
use super::unit::Syntax;
use crate::decode::DecodeError;

/// Most access units over all streams; two hours at 120 frames a second have 864,000.
const MAX_UNITS: usize = 1_000_000;

/// One access unit, in decode order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// When it is shown, in nanoseconds on the time line, whose 0 is the first frame shown.
    pub time: i64,
    /// How long it is shown, 0 where the container does not say.
    pub duration: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// Whether no other unit needs it.
    pub disposable: bool,
    /// For a key unit: whether nothing that follows reaches back before it.
    pub closed: bool,
    /// Whether an edit list or a cut leaves it out of what is shown.
    pub hidden: bool,
    /// Set-up data that the decoder always needs.
    pub header: bool,
    /// Temporal layer.
    pub layer: u8,
}

/// What the first pass found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Name of the chosen stream.
    pub stream: String,
    /// Its units in decode order.
    pub units: Vec<Unit>,
    /// Its caps: codec, and perhaps size.
    pub caps: gst::Caps,
    /// How the picture has to be turned.
    pub orientation: Orientation,
    /// End of the time line in nanoseconds.
    pub end: i64,
    /// Whether the container ended with an error.
    pub damaged: bool,
}

/// What a file turned out to be.
pub enum Scanned {
    /// Moving pictures.
    Video(Scan),
    /// Sound only, and how many milliseconds of it.
    Audio(Option<u64>),
}

#[derive(Default)]
struct Stream {
    name: String,
    units: Vec<Unit>,
    caps: Option<gst::Caps>,
    syntax: Option<Syntax>,
    orientation: Orientation,
    /// Time given to the last unit, for units without one.
    last: i64,
}

#[derive(Default)]
struct Collect {
    streams: Mutex<Vec<Stream>>,
}

impl Units for Collect {
    fn unit(&self, stream: &str, sample: &gst::Sample) -> Result<(), gst::FlowError> {
        let mut streams = lock(&self.streams);
        if streams.iter().map(|s| s.units.len()).sum::<usize>() >= MAX_UNITS {
            return Err(gst::FlowError::Eos);
        }
        entry(&mut streams, stream).add(sample);
        Ok(())
    }

    fn orientation(&self, stream: &str, tag: &str) {
        entry(&mut lock(&self.streams), stream).orientation = Orientation::from_tag(tag);
    }
}

fn entry<'a>(streams: &'a mut Vec<Stream>, name: &str) -> &'a mut Stream {
    let at = streams.iter().position(|s| s.name == name).unwrap_or(streams.len());
    if at == streams.len() {
        streams.push(Stream { name: name.into(), ..Stream::default() });
    }
    &mut streams[at]
}

impl Stream {
    fn add(&mut self, sample: &gst::Sample) {
        let Some(buffer) = sample.buffer() else { return };
        if let Some(caps) = sample.caps()
            && self.caps.as_deref() != Some(caps)
        {
            self.syntax = Some(Syntax::from_caps(caps));
            // The first caps name the stream; later ones may only change its size.
            self.caps.get_or_insert_with(|| caps.to_owned());
        }
        let syntax = self.syntax.unwrap_or(Syntax::Other);
        let kind = buffer.map_readable().map(|b| syntax.look(&b)).unwrap_or_default();
        let (time, hidden) = self.time(sample, buffer);
        let flagged = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let key = kind.key.unwrap_or(flagged) && !kind.header;
        if !kind.header {
            self.last = time;
        }
        self.units.push(Unit {
            time,
            duration: buffer.duration().map_or(0, gst::ClockTime::nseconds),
            key,
            disposable: kind.disposable && !key,
            closed: kind.closed,
            hidden: hidden || kind.header || kind.hidden,
            header: kind.header,
            layer: kind.layer,
        });
    }

    /// Time on the running time line, and whether the unit lies outside what is shown.
    fn time(&self, sample: &gst::Sample, buffer: &gst::BufferRef) -> (i64, bool) {
        let counted = || {
            let step = self.units.last().map_or(0, |u| u.duration.max(1));
            self.last.saturating_add(i64::try_from(step).unwrap_or(0))
        };
        let Some(time) = buffer.pts().or_else(|| buffer.dts()) else { return (counted(), false) };
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let Some(segment) = segment else { return (signed(time.nseconds()), false) };
        let hidden = segment.to_running_time(time).is_none();
        let time = match segment.to_running_time_full(time) {
            Some(gst::Signed::Positive(t)) => signed(t.nseconds()),
            Some(gst::Signed::Negative(t)) => -signed(t.nseconds()),
            None => counted(),
        };
        (time, hidden)
    }

    /// Pixels of a frame, 0 where the container does not say.
    fn area(&self) -> i64 {
        let Some(s) = self.caps.as_ref().and_then(|c| c.structure(0)) else { return 0 };
        let side = |name| i64::from(s.get::<i32>(name).unwrap_or(0));
        side("width") * side("height")
    }
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Reads the whole container once. Of several video streams the largest counts, as in ffmpeg, and the first by name of
/// equals.
pub fn scan(file: &Arc<File>) -> Result<Scanned, DecodeError> {
    let collect = Arc::new(Collect::default());
    let demux = Demux::new(Arc::clone(file), Arc::clone(&collect) as Arc<dyn Units>)?;
    demux.start()?;
    let end = demux.wait();
    let (tracks, claimed) = (demux.tracks(), demux.claimed());
    drop(demux);
    let mut streams = std::mem::take(&mut *lock(&collect.streams));
    let left_out = skipped::tracks(file, tracks.video + tracks.unknown_of("video/"));
    let best = streams
        .drain(..)
        .filter(|s| s.units.iter().any(|u| !u.header))
        .max_by(|a, b| a.area().cmp(&b.area()).then_with(|| b.name.cmp(&a.name)));
    let Some(stream) = best else {
        if left_out {
            return Err(DecodeError::Unsupported(
                "a video track that the demuxer leaves out".into(),
            ));
        }
        return without_pictures(&tracks, claimed, end);
    };
    let Some(caps) = stream.caps else {
        return Err(DecodeError::Damaged("a video stream without a type".into()));
    };
    let mut scan = Scan {
        stream: stream.name,
        units: stream.units,
        caps,
        orientation: stream.orientation,
        end: 0,
        damaged: end != End::Eos || left_out,
    };
    scan.normalise();
    Ok(Scanned::Video(scan))
}

/// What a file without a video stream that could be read is.
fn without_pictures(
    tracks: &Tracks,
    claimed: Option<Duration>,
    end: End,
) -> Result<Scanned, DecodeError> {
    let encrypted =
        |name: &&String| ["cenc", "cbcs", "-enc"].iter().any(|mark| name.contains(mark));
    if let Some(name) = tracks.unknown.iter().find(encrypted) {
        return Err(DecodeError::Encrypted(format!("stream of type {name}")));
    }
    if let Some(name) = tracks.unknown.iter().find(|n| n.starts_with("video/")) {
        return Err(DecodeError::Unsupported(format!("video codec {name}")));
    }
    if tracks.video == 0 && tracks.audio + tracks.unknown_of("audio/") > 0 {
        return Ok(Scanned::Audio(claimed.and_then(|d| u64::try_from(d.as_millis()).ok())));
    }
    if !tracks.unknown.is_empty() {
        let names = tracks.unknown.join(", ");
        return Err(DecodeError::Unsupported(format!("streams of type {names}")));
    }
    Err(DecodeError::Damaged(match end {
        End::Error(message) => message,
        End::Stalled => "the demuxer came to a standstill".into(),
        End::Eos => "no pictures and no sound in it".into(),
    }))
}

impl Scan {
    /// Puts the time line's 0 at the first frame shown, finds its end, resolves temporal layers, and makes sure that
    /// decoding can start somewhere.
    fn normalise(&mut self) {
        let top = self.units.iter().map(|u| u.layer).max().unwrap_or(0);
        for unit in &mut self.units {
            // A frame that its own layer does not need may still be needed by a higher one.
            unit.disposable &= unit.layer == top;
        }
        if self.units.iter().all(|u| u.hidden) {
            self.units.iter_mut().for_each(|u| u.hidden = u.header);
        }
        if !self.units.iter().any(|u| u.key)
            && let Some(first) = self.units.iter_mut().find(|u| !u.header)
        {
            first.key = true;
        }
        let shown = || self.units.iter().filter(|u| !u.hidden);
        let start = shown().map(|u| u.time).min().unwrap_or(0);
        let last = shown().max_by_key(|u| u.time).copied().unwrap_or_default();
        let frame = match last.duration {
            0 => self.usual_duration(),
            ns => signed(ns),
        };
        self.end = last.time.saturating_sub(start).saturating_add(frame);
        self.units.iter_mut().for_each(|u| u.time = u.time.saturating_sub(start));
    }

    /// One frame's time, from the frame rate that the stream claims; else 40 ms.
    fn usual_duration(&self) -> i64 {
        let rate = self.caps.structure(0).and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        match rate {
            Some(r) if r.numer() > 0 && r.denom() > 0 => {
                i64::from(r.denom()) * 1_000_000_000 / i64::from(r.numer())
            }
            _ => 40_000_000,
        }
    }

    /// All but the table of units.
    pub fn clone_head(&self) -> Self {
        Self { units: Vec::new(), caps: self.caps.clone(), stream: self.stream.clone(), ..*self }
    }

    /// Number of frames that are shown.
    pub fn frames(&self) -> u64 {
        self.units.iter().filter(|u| !u.hidden).count() as u64
    }

    /// Width, height that the stream claims before decoding, where it does.
    pub fn claimed_size(&self) -> Option<(u32, u32)> {
        let s = self.caps.structure(0)?;
        let side = |name| u32::try_from(s.get::<i32>(name).ok()?).ok();
        Some((side("width")?, side("height")?))
    }
}

/// Shape of the pixels as the stream claims, for decoders that do not pass it on.
pub(super) fn pixel_aspect(info: &video::VideoInfo, caps: &gst::CapsRef) -> (u32, u32) {
    let claimed = caps.structure(0).and_then(|s| s.get::<gst::Fraction>("pixel-aspect-ratio").ok());
    let par = match (info.par(), claimed) {
        (par, Some(claimed)) if par.numer() == par.denom() => claimed,
        (par, _) => par,
    };
    match (u32::try_from(par.numer()), u32::try_from(par.denom())) {
        // Shapes beyond 1:16 are no display's.
        (Ok(n), Ok(d))
            if n > 0 && d > 0 && n <= d.saturating_mul(16) && d <= n.saturating_mul(16) =>
        {
            (n, d)
        }
        _ => (1, 1),
    }
}
