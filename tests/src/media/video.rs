//! Short videos, encoded by GStreamer.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use gstreamer_video as gst_video;

use super::{Error, Picture};

/// How a video is encoded. All frames have the size of the first.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Frames a second.
    pub fps: u32,
    /// Number of frames.
    pub frames: u32,
    /// Most frames from one key frame to the next.
    pub key_frames: u32,
}

/// The bytes of an MP4 file (H.264 by x264) whose n-th frame is `frame(n)`.
///
/// # Errors
/// When the encoder is missing or fails; sizes must be even.
pub fn encode_mp4(clip: Clip, mut frame: impl FnMut(u32) -> Picture) -> Result<Vec<u8>, Error> {
    gst::init().map_err(fail)?;
    let directory = tempfile::tempdir().map_err(fail)?;
    let file = directory.path().join("clip.mp4");
    let launch = format!(
        "appsrc name=source ! videoconvert ! video/x-raw,format=I420 \
         ! x264enc threads=1 speed-preset=veryfast pass=quant quantizer=23 option-string=scenecut=0 key-int-max={} \
         ! h264parse ! mp4mux ! filesink location=\"{}\"",
        clip.key_frames,
        file.display()
    );
    let pipeline = gst::parse::launch(&launch)
        .map_err(fail)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| Error::Video("the description is not a pipeline".into()))?;
    let source = pipeline
        .by_name("source")
        .and_then(|element| element.downcast::<AppSrc>().ok())
        .ok_or_else(|| Error::Video("the pipeline has no source".into()))?;
    let first = frame(0);
    let (width, height) = (first.width, first.height);
    let rate = gst::Fraction::new(clip.fps as i32, 1);
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height)
        .fps(rate)
        .build()
        .map_err(fail)?;
    source.set_caps(Some(&info.to_caps().map_err(fail)?));
    source.set_format(gst::Format::Time);
    // Frames are made no faster than they are encoded, so that a long clip stays small in memory.
    source.set_block(true);
    source.set_max_bytes(8 * info.size() as u64);
    pipeline.set_state(gst::State::Playing).map_err(fail)?;
    let result = push_all(&source, &info, clip, first, frame).and_then(|()| finish(&pipeline));
    pipeline.set_state(gst::State::Null).map_err(fail)?;
    result?;
    std::fs::read(&file).map_err(|source| Error::File { path: file, source })
}

fn push_all(
    source: &AppSrc,
    info: &gst_video::VideoInfo,
    clip: Clip,
    first: Picture,
    mut frame: impl FnMut(u32) -> Picture,
) -> Result<(), Error> {
    let mut first = Some(first);
    for index in 0..clip.frames {
        let picture = first.take().unwrap_or_else(|| frame(index));
        let mut buffer = gst::Buffer::from_slice(padded(&picture, info.stride()[0] as usize));
        let time =
            |n: u32| gst::ClockTime::from_mseconds(u64::from(n) * 1000 / u64::from(clip.fps));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(index));
            buffer.set_duration(time(index + 1) - time(index));
        }
        source.push_buffer(buffer).map_err(fail)?;
    }
    source.end_of_stream().map_err(fail)?;
    Ok(())
}

/// GStreamer wants each row to start at a multiple of four bytes.
fn padded(picture: &Picture, stride: usize) -> Vec<u8> {
    let row = picture.width as usize * 3;
    let mut bytes = Vec::with_capacity(stride * picture.height as usize);
    for pixels in picture.rgb.chunks_exact(row) {
        bytes.extend_from_slice(pixels);
        bytes.resize(bytes.len() + stride - row, 0);
    }
    bytes
}

fn finish(pipeline: &gst::Pipeline) -> Result<(), Error> {
    let bus = pipeline.bus().ok_or_else(|| Error::Video("the pipeline has no bus".into()))?;
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds)
        .ok_or_else(|| Error::Video("the encoder did not end within a minute".into()))?;
    match message.view() {
        gst::MessageView::Error(error) => Err(Error::Video(error.error().to_string())),
        _ => Ok(()),
    }
}

fn fail(error: impl std::fmt::Display) -> Error {
    Error::Video(error.to_string())
}
