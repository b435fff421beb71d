//! A decoder in another process, as the worker of an item sees it. What carries its messages is the sandbox's business.

use std::time::Duration;

use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::prelude::*;

use super::chain::Codec;
use super::decoder::{Shape, Task, rank_of, time_of};

/// The line to a decoder in another process. Units are put in from a streaming thread while answers are waited for in
/// another.
pub trait Distant: Send + Sync {
    /// The element that decodes a codec there; `None` where none does.
    fn element(&self, codec: Codec) -> Option<&str>;
    /// Begins; nothing was put in before.
    ///
    /// # Errors
    /// `Lost`.
    fn begin(&self, codec: Codec, task: &Task) -> Result<(), Lost>;
    /// Puts a unit in; `caps` are given with the first one, and where they change. Waits while there is no room.
    ///
    /// # Errors
    /// `Lost`.
    fn put(&self, rank: u32, caps: Option<&str>, bytes: &[u8]) -> Result<(), Lost>;
    /// That was the last unit.
    fn end(&self);
    /// The next answer, if one comes in time.
    ///
    /// # Errors
    /// `Lost`.
    fn next(&self, wait: Duration) -> Result<Option<Answer>, Lost>;
    /// Nothing more is wanted: whoever waits to put a unit in is sent away.
    fn close(&self);
}

/// Nothing more comes from the other process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Lost {
    /// Why.
    pub why: String,
    /// It is well and cannot do this item; otherwise it is gone, hangs or makes no sense.
    pub unfit: bool,
}

impl Lost {
    /// The process is of no use any more.
    pub fn gone(why: impl Into<String>) -> Self {
        Self { why: why.into(), unfit: false }
    }

    /// It cannot do this item.
    pub fn unfit(why: impl Into<String>) -> Self {
        Self { why: why.into(), unfit: true }
    }
}

/// What the other process says.
#[derive(Clone, Debug)]
pub enum Answer {
    /// What the output turned out to be; before the first frame, and where it changes.
    Shape(Shape),
    /// A wanted frame.
    Frame(Picture),
    /// All frames have come; with what the decoder complained of.
    Done(Option<String>),
}

/// A frame that came from elsewhere: planar 4:2:0, as `caps` say.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its rank.
    pub rank: u32,
    /// Its caps, as GStreamer writes them.
    pub caps: String,
    /// Whether the decoder could not read all of it.
    pub corrupted: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// A frame that a decoder here has made, its rows packed as its caps have it; `None` where it is not what it says.
    pub fn of(sample: &gst::Sample) -> Option<Self> {
        let (buffer, caps) = (sample.buffer()?, sample.caps()?);
        let info = video::VideoInfo::from_caps(caps).ok()?;
        let frame = video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
        let mut bytes = vec![0; info.size()];
        for plane in 0..info.n_planes() {
            let at = usize::try_from(plane).ok()?;
            let rows = usize::try_from(info.comp_height(u8::try_from(plane).ok()?)).ok()?;
            let (from, to) = (*frame.plane_stride().get(at)?, *info.stride().get(at)?);
            let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
            let into = bytes.get_mut(*info.offset().get(at)?..)?;
            let source = frame.plane_data(plane).ok()?.chunks(from.max(1));
            for (into, source) in into.chunks_mut(to.max(1)).zip(source).take(rows) {
                let count = into.len().min(source.len());
                into.get_mut(..count)?.copy_from_slice(source.get(..count)?);
            }
        }
        let corrupted = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
        // Of the caps only what tells the layout: fields of memory mean nothing elsewhere.
        let caps = info.to_caps().ok()?.to_string();
        Some(Self { rank: rank_of(buffer.pts()?), caps, corrupted, bytes })
    }

    /// The same as if a decoder here had made it; `None` where its caps are none.
    pub(super) fn into_sample(self) -> Option<gst::Sample> {
        let caps: gst::Caps = self.caps.parse().ok()?;
        let mut buffer = gst::Buffer::from_mut_slice(self.bytes);
        let buffer_ref = buffer.get_mut()?;
        buffer_ref.set_pts(time_of(self.rank));
        if self.corrupted {
            buffer_ref.set_flags(gst::BufferFlags::CORRUPTED);
        }
        Some(gst::Sample::builder().caps(&caps).buffer(&buffer).build())
    }
}

/// The codec of these caps, if it is one that hardware knows.
pub(super) fn codec_of(caps: &gst::CapsRef) -> Option<Codec> {
    let is = |codec: &Codec| {
        codec.caps().parse::<gst::Caps>().is_ok_and(|known| caps.can_intersect(&known))
    };
    Codec::ALL.into_iter().find(is)
}
