//! Which decoder a worker of one item takes: by cores, for it can open no device.

use gstreamer as gst;

use super::chain::SOFTWARE;

use crate::decode::DecodeError;

/// Decoders of the libav plugin that may be used.
pub(super) const LIBAV: &[&str] = &[
    "avdec_h264",
    "avdec_h265",
    "avdec_vp8",
    "avdec_vp9",
    "avdec_mpegvideo",
    "avdec_mpeg2video",
    "avdec_mpeg4",
    "avdec_h263",
    "avdec_h263p",
    "avdec_flv",
    "avdec_mjpeg",
    "avdec_prores",
    "avdec_msmpeg4v1",
    "avdec_msmpeg4v2",
    "avdec_msmpeg4",
    "avdec_wmv1",
    "avdec_wmv2",
    "avdec_wmv3",
    "avdec_vc1",
    "avdec_vp6f",
    "avdec_dnxhd",
    "avdec_dvvideo",
];

/// The first decoder for the stream, set to use so many threads.
pub(super) fn decoder(caps: &gst::Caps, threads: u32) -> Result<gst::Element, DecodeError> {
    let found = SOFTWARE
        .iter()
        .flat_map(|names| names.iter())
        .filter_map(|name| gst::ElementFactory::find(name))
        .find(|factory| factory.can_sink_any_caps(caps));
    let Some(factory) = found else {
        return Err(DecodeError::Unsupported(format!("video codec {}", codec_name(caps))));
    };
    let element = factory
        .create()
        .build()
        .map_err(|e| DecodeError::Missing(format!("decoder {}: {e}", factory_name(&factory))))?;
    for property in ["max-threads", "threads", "n-threads"] {
        use gstreamer::prelude::*;
        if element.find_property(property).is_some() {
            element.set_property_from_str(property, &threads.max(1).to_string());
            break;
        }
    }
    Ok(element)
}

fn factory_name(factory: &gst::ElementFactory) -> String {
    use gstreamer::prelude::*;
    factory.name().to_string()
}

/// The media type of a stream, for messages.
pub(super) fn codec_name(caps: &gst::CapsRef) -> String {
    caps.structure(0).map_or_else(|| "of no type".into(), |s| s.name().to_string())
}
