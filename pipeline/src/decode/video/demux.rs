//! Container → access units: one GStreamer run over the item, nothing decoded.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;

use super::container::Patch;
use super::{select, words};
use crate::decode::DecodeError;

/// How much is read at once where the demuxer does not say how much it wants.
const CHUNK: u32 = 64 * 1024;
/// A run over the container in which nothing is read for so long is given up: the item is in memory, and some damaged
/// files leave the demuxer waiting without a word.
const STALL: Duration = Duration::from_secs(2);

/// What takes the access units. Called on a streaming thread.
pub(super) trait Units: Send + Sync + 'static {
    /// One unit of the video stream with this name, in decode order; an error ends the run. Names are the same in
    /// every run over a file, the order in which streams turn up is not.
    fn unit(&self, stream: &str, sample: &gst::Sample) -> Result<(), gst::FlowError>;
    /// One unit of a stream of words.
    fn words(&self, _sample: &gst::Sample) {}
    /// The orientation of a stream, as the container says.
    fn orientation(&self, _stream: &str, _tag: &str) {}
    /// That was the last unit of the stream.
    fn end(&self, _stream: &str) {}
}

/// What the container has besides units.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    /// Number of video streams, in the container's order.
    pub video: usize,
    /// Number of sound streams.
    pub audio: usize,
    /// Media types that nothing here reads.
    pub unknown: Vec<String>,
    /// Number of streams of words that are read.
    pub words: usize,
    /// Other media types that are read and are neither moving pictures, sound nor words.
    pub others: Vec<String>,
    /// Whether a picture lies among the tags, such as a cover.
    pub cover: bool,
    /// Latest time in nanoseconds at which any stream has something.
    pub reach: u64,
}

/// Types of streams that players lay over the picture, and that nothing here reads.
const UNREAD_WORDS: [&str; 7] = [
    "text/",
    "subpicture/",
    "subtitle/",
    "closedcaption/",
    "application/x-teletext",
    "application/x-subtitle",
    "application/ttml",
];

impl Tracks {
    /// Number of streams that nothing here reads and whose type begins like this.
    pub fn unknown_of(&self, prefix: &str) -> usize {
        self.unknown.iter().filter(|name| name.starts_with(prefix)).count()
    }

    /// Number of streams of moving or still pictures, read or not.
    pub fn pictures(&self) -> usize {
        let images = self.others.iter().filter(|name| name.starts_with("image/")).count();
        self.video + images + self.unknown_of("video/") + self.unknown_of("image/")
    }

    /// Number of streams of words that are not read.
    pub fn unread_words(&self) -> usize {
        let unread = |name: &&String| UNREAD_WORDS.iter().any(|start| name.starts_with(start));
        self.others.iter().chain(&self.unknown).filter(unread).count()
    }

    /// Whether a file without pictures has anything but sound and words.
    pub fn beside_sound(&self) -> bool {
        let known = self.unknown_of("audio/") + self.unread_words();
        self.video > 0 || self.others.len() + self.unknown.len() > known
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the end of the file.
    Eos,
    /// With an error, in GStreamer's words.
    Error(String),
    /// Nothing moved for `STALL`.
    Stalled,
}

/// A run over a container.
pub(super) struct Demux {
    pipeline: gst::Pipeline,
    tracks: Arc<Mutex<Tracks>>,
    moved: Arc<AtomicU64>,
}

impl Demux {
    /// Sets up a run that gives the access units of all video streams to `units`. `patches` are read in
    /// place of what the file has.
    pub fn new(
        file: Arc<File>,
        patches: Arc<[Patch]>,
        units: Arc<dyn Units>,
    ) -> Result<Self, DecodeError> {
        let moved = Arc::new(AtomicU64::new(0));
        let tracks = Arc::new(Mutex::new(Tracks::default()));
        let source = source(file, patches, Arc::clone(&moved))?;
        let parse = make("parsebin")?;
        let pipeline = gst::Pipeline::new();
        let built =
            pipeline.add_many([source.upcast_ref(), &parse]).and_then(|()| source.link(&parse));
        built.map_err(|e| DecodeError::Damaged(format!("cannot set up the demuxer: {e}")))?;

        let seen = Arc::clone(&tracks);
        parse.connect("unknown-type", false, move |values| {
            if let Some(Ok(caps)) = values.get(2).map(|v| v.get::<gst::Caps>()) {
                lock(&seen).unknown.push(full_name(&caps));
            }
            None
        });
        let seen = Arc::clone(&tracks);
        pipeline.connect_deep_element_added(move |_, _, element| watch_tags(element, &seen));
        let (weak, seen) = (pipeline.downgrade(), Arc::clone(&tracks));
        parse.connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade() {
                attach(&pipeline, pad, &seen, &units);
            }
        });
        Ok(Self { pipeline, tracks, moved })
    }

    /// Starts the run.
    pub fn start(&self) -> Result<(), DecodeError> {
        match self.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(DecodeError::Damaged(self.error().unwrap_or_else(|| "no container".into())))
            }
        }
    }

    /// Waits until the run has ended.
    pub fn wait(&self) -> End {
        let Some(bus) = self.pipeline.bus() else { return End::Stalled };
        let mut last = (self.moved.load(Ordering::Relaxed), Instant::now());
        loop {
            let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
            match bus.timed_pop_filtered(gst::ClockTime::from_mseconds(100), &kinds) {
                Some(message) => match message.view() {
                    gst::MessageView::Error(e) => return End::Error(e.error().to_string()),
                    _ => return End::Eos,
                },
                None => {
                    let now = self.moved.load(Ordering::Relaxed);
                    if now != last.0 {
                        last = (now, Instant::now());
                    } else if last.1.elapsed() > STALL {
                        return End::Stalled;
                    }
                }
            }
        }
    }

    /// The error that the run has reported, if it has.
    pub fn error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(e) => Some(e.error().to_string()),
            _ => None,
        }
    }

    /// What the container has, as far as known by now.
    pub fn tracks(&self) -> Tracks {
        lock(&self.tracks).clone()
    }

    /// The length that the container claims.
    pub fn claimed(&self) -> Option<Duration> {
        self.pipeline.query_duration::<gst::ClockTime>().map(Duration::from)
    }
}

impl Drop for Demux {
    fn drop(&mut self) {
        // Cannot fail downwards; joins the streaming threads.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Random access over the item: the demuxer asks for ranges, nothing else is read.
fn source(
    file: Arc<File>,
    patches: Arc<[Patch]>,
    moved: Arc<AtomicU64>,
) -> Result<app::AppSrc, DecodeError> {
    let size =
        file.metadata().map_err(|e| DecodeError::Damaged(format!("cannot read: {e}")))?.len();
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let at = Arc::new(AtomicU64::new(0));
    let sought = Arc::clone(&at);
    let need = move |source: &app::AppSrc, wanted: u32| {
        moved.fetch_add(1, Ordering::Relaxed);
        let offset = at.load(Ordering::Relaxed);
        let left = (size as u64).saturating_sub(offset);
        let wanted = if wanted == u32::MAX { CHUNK } else { wanted };
        let mut bytes = vec![0; u64::from(wanted).min(left) as usize];
        if bytes.is_empty() || file.read_exact_at(&mut bytes, offset).is_err() {
            let _ = source.end_of_stream();
            return;
        }
        at.store(offset + bytes.len() as u64, Ordering::Relaxed);
        patches.iter().for_each(|patch| patch.apply(&mut bytes, offset));
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_offset(offset);
        }
        // Refused only while the run is being stopped.
        let _ = source.push_buffer(buffer);
    };
    Ok(app::AppSrc::builder()
        .format(gst::Format::Bytes)
        .stream_type(app::AppStreamType::RandomAccess)
        .size(size)
        .callbacks(
            app::AppSrcCallbacks::builder()
                .need_data(need)
                .seek_data(move |_, offset| {
                    sought.store(offset, Ordering::Relaxed);
                    true
                })
                .build(),
        )
        .build())
}

/// Notes pictures among the tags that reach an element. Tags are watched on their way, since parsers may keep those of
/// the file to themselves.
fn watch_tags(element: &gst::Element, tracks: &Arc<Mutex<Tracks>>) {
    for pad in element.sink_pads() {
        let seen = Arc::clone(tracks);
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Tag(tag)) = info.event().map(|e| e.view()) {
                lock(&seen).cover |= pictured(tag.tag());
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Whether a picture is among the tags.
fn pictured(tags: &gst::TagListRef) -> bool {
    tags.get::<gst::tags::Image>().is_some() || tags.get::<gst::tags::PreviewImage>().is_some()
}

/// Gives every stream an end: video to `units`, all else to nowhere.
fn attach(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    tracks: &Arc<Mutex<Tracks>>,
    units: &Arc<dyn Units>,
) {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let name = select::codec_name(&caps);
    let known = !lock(tracks).unknown.contains(&full_name(&caps));
    let video = known && (name.starts_with("video/") || name == "image/jpeg");
    watch(pad, tracks);
    let sink = if video {
        lock(tracks).video += 1;
        Some(unit_sink(&stream_name(pad), units).upcast())
    } else if words::Markup::of(&caps).is_some() {
        let mut tracks = lock(tracks);
        tracks.words += 1;
        let full = full_name(&caps);
        tracks.unknown.retain(|name| *name != full);
        Some(word_sink(units).upcast())
    } else {
        if name.starts_with("audio/") {
            lock(tracks).audio += 1;
        } else if known {
            lock(tracks).others.push(name.clone());
        }
        make("fakesink").ok().inspect(|sink| {
            sink.set_property("sync", false);
            sink.set_property("async", false);
        })
    };
    let linked = sink.and_then(|sink: gst::Element| {
        pipeline.add(&sink).ok()?;
        sink.sync_state_with_parent().ok()?;
        pad.link(&sink.static_pad("sink")?).ok()
    });
    if linked.is_none() {
        tracing::debug!(%name, "stream left out");
    }
}

/// Keeps the latest time that a stream comes to.
fn watch(pad: &gst::Pad, tracks: &Arc<Mutex<Tracks>>) {
    let tracks = Arc::clone(tracks);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer()
            && let Some(start) = buffer.pts().or_else(|| buffer.dts())
        {
            let end = start.saturating_add(buffer.duration().unwrap_or_default());
            let mut tracks = lock(&tracks);
            tracks.reach = tracks.reach.max(end.nseconds());
        }
        gst::PadProbeReturn::Ok
    });
}

/// The part of the stream id that the demuxer gives; what is before it is drawn by lot in each run.
fn stream_name(pad: &gst::Pad) -> Arc<str> {
    let id = pad.stream_id();
    id.as_ref().and_then(|id| id.rsplit_once('/')).map_or("", |(_, name)| name).into()
}

fn unit_sink(stream: &Arc<str>, units: &Arc<dyn Units>) -> app::AppSink {
    let (taker, tagger, ender) = (Arc::clone(units), Arc::clone(units), Arc::clone(units));
    let (taken, tagged, ended) = (Arc::clone(stream), Arc::clone(stream), Arc::clone(stream));
    let sink = app::AppSink::builder().sync(false).async_(false).max_buffers(4).build();
    sink.set_callbacks(
        app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                taker.unit(&taken, &sample).map(|()| gst::FlowSuccess::Ok)
            })
            .eos(move |_| ender.end(&ended))
            .build(),
    );
    if let Some(pad) = sink.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Tag(tag)) = info.event().map(|e| e.view())
                && let Some(value) = tag.tag().get::<gst::tags::ImageOrientation>()
            {
                tagger.orientation(&tagged, value.get());
            }
            gst::PadProbeReturn::Ok
        });
    }
    sink
}

fn word_sink(units: &Arc<dyn Units>) -> app::AppSink {
    let taker = Arc::clone(units);
    let sink = app::AppSink::builder().sync(false).async_(false).max_buffers(4).build();
    let callbacks = app::AppSinkCallbacks::builder().new_sample(move |sink| {
        taker.words(&sink.pull_sample().map_err(|_| gst::FlowError::Eos)?);
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
    sink
}

/// One element of the allow-list.
pub(super) fn make(name: &str) -> Result<gst::Element, DecodeError> {
    gst::ElementFactory::make(name)
        .build()
        .map_err(|_| DecodeError::Missing(format!("GStreamer element {name}")))
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The media type with what tells codecs of one type apart.
fn full_name(caps: &gst::CapsRef) -> String {
    let name = select::codec_name(caps);
    let original = caps.structure(0).and_then(|s| s.get::<&str>("original-media-type").ok());
    original.map_or(name.clone(), |original| format!("{name} ({original})"))
}
