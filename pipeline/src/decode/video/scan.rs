//! First pass: the table of access units of the video stream that a viewer would see.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;
use gstreamer_video as video;

use super::container::{self, Patch, Promise};
use super::convert::Orientation;
use super::demux::{Demux, End, Tracks, Units, lock};
use super::unit::Syntax;
use super::words::Words;
use crate::decode::{DecodeError, Unseen};

/// Most access units over all streams; two hours at 120 frames a second have 864,000.
pub const MAX_UNITS: usize = 1_000_000;

/// Most frames that follow a frame in time and come before it in the file: 16 (H.264, A.3.1; H.265, A.4.2), and twice
/// that where each field is a unit of its own.
const MAX_REORDER: usize = 32;

/// Longest step in nanoseconds from the last frame before a jump to the first behind it.
const MAX_STEP: i64 = 1_000_000_000;

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
    /// Whether the container ended with an error, or before what it promises, or its times mix.
    pub damaged: bool,
    /// What is not among the units.
    pub unseen: BTreeSet<Unseen>,
    /// What text tracks say.
    pub words: String,
    /// What is read in place of edit lists, so that all footage is among the units.
    pub edits: Arc<[Patch]>,
}

/// What a file turned out to be.
pub enum Scanned {
    /// Moving pictures.
    Video(Scan),
    /// Sound.
    Audio(Sound),
}

/// A file with sound and without moving pictures.
#[derive(Clone, Debug, Default)]
pub struct Sound {
    /// How long it is.
    pub duration_ms: Option<u64>,
    /// Whether the container has less than it promises.
    pub damaged: bool,
    /// What there is beside the sound.
    pub unseen: BTreeSet<Unseen>,
    /// What text tracks say.
    pub words: String,
}

#[derive(Default)]
struct Stream {
    name: String,
    units: Vec<Unit>,
    caps: Option<gst::Caps>,
    syntax: Option<Syntax>,
    orientation: Orientation,
    /// Whether units outside of what is shown count as shown.
    all: bool,
    /// Time given to the last unit, for units without one; before `offset`.
    last: i64,
    /// What is added to the container's times, which have jumped back so far.
    offset: i64,
    /// The latest times of shown units, falling; at most `MAX_REORDER`.
    latest: Vec<i64>,
    /// Whether times are so much out of order that units of different stretches mix.
    jumbled: bool,
}

struct Collect {
    streams: Mutex<Vec<Stream>>,
    words: Mutex<Words>,
    max_units: usize,
    full: AtomicBool,
    /// Whether units outside of what is shown count as shown: an edit list is set aside.
    all: bool,
}

impl Units for Collect {
    fn unit(&self, stream: &str, sample: &gst::Sample) -> Result<(), gst::FlowError> {
        let mut streams = lock(&self.streams);
        if streams.iter().map(|s| s.units.len()).sum::<usize>() >= self.max_units {
            self.full.store(true, Ordering::Relaxed);
            return Err(gst::FlowError::Eos);
        }
        let stream = entry(&mut streams, stream);
        stream.all = self.all;
        stream.add(sample);
        Ok(())
    }

    fn words(&self, sample: &gst::Sample) {
        lock(&self.words).add(sample);
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
        let hidden = hidden || kind.header || kind.hidden;
        let time = if hidden { time.saturating_add(self.offset) } else { self.place(time, key) };
        self.units.push(Unit {
            time,
            duration: buffer.duration().map_or(0, gst::ClockTime::nseconds),
            key,
            disposable: kind.disposable && !key,
            closed: kind.closed,
            hidden,
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
        // Without its edit list a track with reordered frames reaches beyond its length, where the segment ends.
        let Some(segment) = segment.filter(|_| !self.all) else {
            return (signed(time.nseconds()), false);
        };
        let hidden = segment.to_running_time(time).is_none();
        let time = match segment.to_running_time_full(time) {
            Some(gst::Signed::Positive(t)) => signed(t.nseconds()),
            Some(gst::Signed::Negative(t)) => -signed(t.nseconds()),
            None => counted(),
        };
        (time, hidden)
    }

    /// Puts a shown unit behind all that decoding needs no more: a key unit that does not come later than what was
    /// shown before starts a stretch of its own, which would otherwise lie unseen beneath the frames of another.
    fn place(&mut self, time: i64, key: bool) -> i64 {
        let mut placed = time.saturating_add(self.offset);
        if key
            && let Some(latest) = self.latest.first()
            && placed <= *latest
        {
            let step = match self.units.last().map_or(0, |u| signed(u.duration)) {
                0 => 40_000_000,
                ns => ns.min(MAX_STEP),
            };
            placed = latest.saturating_add(step);
            self.offset = placed.saturating_sub(time);
        }
        let later = self.latest.partition_point(|t| *t > placed);
        self.jumbled |= later >= MAX_REORDER;
        self.latest.insert(later, placed);
        self.latest.truncate(MAX_REORDER);
        placed
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
/// equals; what the others show is unseen, and so is what lies behind `max_units`.
pub fn scan(file: &Arc<File>, max_units: usize) -> Result<Scanned, DecodeError> {
    let mut promise = container::read(file);
    let edits: Arc<[Patch]> = std::mem::take(&mut promise.edits).into();
    let collect = Arc::new(Collect {
        streams: Mutex::default(),
        words: Mutex::default(),
        max_units,
        full: AtomicBool::default(),
        all: !edits.is_empty(),
    });
    let units = Arc::clone(&collect) as Arc<dyn Units>;
    let demux = Demux::new(Arc::clone(file), Arc::clone(&edits), units)?;
    demux.start()?;
    let end = demux.wait();
    let (tracks, claimed) = (demux.tracks(), demux.claimed());
    drop(demux);
    let mut streams = std::mem::take(&mut *lock(&collect.streams));
    let words = std::mem::take(&mut *lock(&collect.words));
    let unseen = unseen(&promise, &tracks, words.more);
    let left_out = promise.pictures > tracks.video + tracks.unknown_of("video/");
    let short = promise.cut_short || (promise.claims && is_short(claimed, tracks.reach));
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
        let duration_ms = claimed.and_then(|d| u64::try_from(d.as_millis()).ok());
        let sound = Sound { duration_ms, damaged: short, unseen, words: words.text };
        return without_pictures(&tracks, sound, end);
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
        damaged: end != End::Eos || short || stream.jumbled || collect.full.load(Ordering::Relaxed),
        unseen,
        words: words.text,
        edits,
    };
    scan.normalise();
    // The last frame may stay on show long after the others; containers rarely tell its own length, so that the plan
    // must not take it for one among many.
    let claimed = claimed.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    if claimed.saturating_sub(scan.end) > LONG_TAIL {
        scan.end = claimed;
    }
    Ok(Scanned::Video(scan))
}

/// What the file has beside the one stream of pictures that is looked at.
fn unseen(promise: &Promise, tracks: &Tracks, more_words: bool) -> BTreeSet<Unseen> {
    let mut unseen = promise.unseen.clone();
    let found = tracks.video + tracks.unknown_of("video/");
    if promise.pictures > found || tracks.pictures() > 1 {
        unseen.insert(Unseen::Track);
    }
    if tracks.cover {
        unseen.insert(Unseen::Cover);
    }
    if more_words || tracks.unread_words() > 0 || promise.words > tracks.words {
        unseen.insert(Unseen::Words);
    }
    unseen
}

/// Whether a file ends long before the time that its header claims: more than rounding and a last frame's length.
fn is_short(claimed: Option<Duration>, reach: u64) -> bool {
    let Some(claimed) = claimed else { return false };
    claimed.saturating_sub(Duration::from_nanos(reach)) > SHORT + claimed / 20
}

/// The least by which a file must end early to count as cut short; a twentieth of its length comes on top.
const SHORT: Duration = Duration::from_secs(1);

/// What a file without a video stream that could be read is.
fn without_pictures(tracks: &Tracks, mut sound: Sound, end: End) -> Result<Scanned, DecodeError> {
    let encrypted =
        |name: &&String| ["cenc", "cbcs", "-enc"].iter().any(|mark| name.contains(mark));
    if let Some(name) = tracks.unknown.iter().find(encrypted) {
        return Err(DecodeError::Encrypted(format!("stream of type {name}")));
    }
    if let Some(name) = tracks.unknown.iter().find(|n| n.starts_with("video/")) {
        return Err(DecodeError::Unsupported(format!("video codec {name}")));
    }
    if tracks.video == 0 && tracks.audio + tracks.unknown_of("audio/") > 0 {
        if tracks.beside_sound() {
            sound.unseen.insert(Unseen::Track);
        }
        return Ok(Scanned::Audio(sound));
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

/// A claimed end so far behind the last frame is worth a look at that frame; less is rounding.
const LONG_TAIL: i64 = 200_000_000;

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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    /// Units of 40 ms with these times in ms, `true` for those at which decoding can start.
    fn stream(units: impl IntoIterator<Item = (u64, bool)>) -> Stream {
        super::super::preload().unwrap();
        let caps = gst::Caps::new_empty_simple("video/x-dv");
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let mut stream = Stream::default();
        for (ms, key) in units {
            let mut buffer = gst::Buffer::from_slice([0u8; 4]);
            let inner = buffer.get_mut().unwrap();
            inner.set_pts(gst::ClockTime::from_mseconds(ms));
            inner.set_duration(gst::ClockTime::from_mseconds(40));
            if !key {
                inner.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            stream
                .add(&gst::Sample::builder().buffer(&buffer).caps(&caps).segment(&segment).build());
        }
        stream
    }

    fn times(stream: &Stream) -> Vec<i64> {
        stream.units.iter().map(|u| u.time / 1_000_000).collect()
    }

    #[test]
    fn a_stretch_whose_time_jumps_back_is_put_behind_what_came_before() {
        let stretch = || (0..25).map(|i| (i * 40, i % 10 == 0));
        let jumps = stream(stretch().chain(stretch()).chain(stretch()));
        assert_eq!(times(&jumps), (0..75).map(|i| i * 40).collect::<Vec<_>>());
        assert!(!jumps.jumbled);
        let still = stream((0..10).map(|_| (0, true)));
        assert_eq!(times(&still), (0..10).map(|i| i * 40).collect::<Vec<_>>());
    }

    #[test]
    fn frames_reordered_as_codecs_do_keep_their_times() {
        let order = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        let clip = stream(order.into_iter().map(|ms| (ms, matches!(ms, 0 | 320))));
        assert_eq!(times(&clip), order.map(u64::cast_signed));
        assert!(!clip.jumbled);
    }

    #[test]
    fn stretches_that_mix_within_a_group_are_told() {
        let stretch = || (0..50).map(|i| (i * 40, false));
        assert!(!stream(stretch()).jumbled);
        assert!(stream(stretch().chain(stretch())).jumbled);
    }
}
