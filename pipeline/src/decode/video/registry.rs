//! What GStreamer may use: an explicit list of plugins, loaded by path before the sandbox closes, cut down to an
//! explicit list of elements. No element that opens a file or a socket is on it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::sys;
use crate::decode::DecodeError;

/// A plugin, the Debian package that has it, and the elements that stay of it.
pub(super) struct Allowed {
    pub plugin: &'static str,
    pub package: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    elements: &'static [&'static str],
}

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const LIBAV: &str = "gstreamer1.0-libav";
const CORE: &str = "libgstreamer1.0-0";

const fn needed(
    plugin: &'static str,
    package: &'static str,
    elements: &'static [&'static str],
) -> Allowed {
    Allowed { plugin, package, required: true, elements }
}

const fn wanted(
    plugin: &'static str,
    package: &'static str,
    elements: &'static [&'static str],
) -> Allowed {
    Allowed { plugin, package, required: false, elements }
}

/// All that may be plugged. Type finders of these plugins stay too.
pub(super) const ALLOWED: &[Allowed] = &[
    needed("coreelements", CORE, &["typefind", "capsfilter", "identity", "fakesink", "multiqueue"]),
    needed("typefindfunctions", BASE, &[]),
    needed("app", BASE, &["appsrc", "appsink"]),
    needed("playback", BASE, &["parsebin"]),
    // One plugin since GStreamer 1.22, two before: either will do, see `CONVERT`.
    wanted("videoconvertscale", BASE, &["videoconvertscale"]),
    wanted("videoconvert", BASE, &["videoconvert"]),
    wanted("videoscale", BASE, &["videoscale"]),
    needed("isomp4", GOOD, &["qtdemux"]),
    needed("matroska", GOOD, &["matroskademux"]),
    needed("avi", GOOD, &["avidemux"]),
    needed("mpegtsdemux", BAD, &["tsdemux"]),
    needed("mpegpsdemux", BAD, &["mpegpsdemux"]),
    needed("flv", GOOD, &["flvdemux"]),
    needed("ivfparse", BAD, &["ivfparse"]),
    needed("ogg", BASE, &["oggdemux"]),
    needed("theora", BASE, &["theoradec", "theoraparse"]),
    needed("videoparsersbad", BAD, PARSERS),
    needed("audioparsers", GOOD, AUDIO_PARSERS),
    needed("libav", LIBAV, super::select::LIBAV),
    wanted("vpx", GOOD, &["vp8dec", "vp9dec"]),
    wanted("aom", BAD, &["av1dec"]),
    wanted("dav1d", "gstreamer1.0-plugins-rs", &["dav1ddec"]),
    wanted("vorbis", BASE, &["vorbisparse"]),
    wanted("opusparse", BAD, &["opusparse"]),
    wanted("id3demux", GOOD, &["id3demux"]),
    wanted("apetag", GOOD, &["apedemux"]),
    wanted("wavparse", GOOD, &["wavparse"]),
    wanted("jpegformat", BAD, &["jpegparse"]),
];

/// Ways to scale and convert by cores, the better one first; one of them has to be there.
pub(super) const CONVERT: [&[&str]; 2] = [&["videoconvertscale"], &["videoconvert", "videoscale"]];

/// Elements of the core library itself, which `gst::Pipeline::new` makes.
const BUILT_IN: &[&str] = &["bin", "pipeline"];

const PARSERS: &[&str] = &[
    "h264parse",
    "h265parse",
    "mpegvideoparse",
    "mpeg4videoparse",
    "h263parse",
    "vp9parse",
    "av1parse",
    "vc1parse",
];

const AUDIO_PARSERS: &[&str] =
    &["aacparse", "ac3parse", "amrparse", "dcaparse", "flacparse", "mpegaudioparse"];

static LOADED: OnceLock<Result<(), DecodeError>> = OnceLock::new();

/// Starts GStreamer, loads the allowed plugins and drops every element that is not allowed.
///
/// Called in the single-threaded zygote, before fork and lock-down; later calls do nothing. No thread and no open
/// file is left behind.
///
/// # Errors
/// `Missing`, with the package to install.
pub fn preload() -> Result<(), DecodeError> {
    LOADED.get_or_init(load).clone()
}

fn load() -> Result<(), DecodeError> {
    let folder = start()?;
    for allowed in ALLOWED {
        if let Err(e) = plug(&folder, allowed.plugin)
            && allowed.required
        {
            return Err(DecodeError::Missing(format!("{e}; install {}", allowed.package)));
        }
    }
    converters()?;
    restrict();
    warm();
    Ok(())
}

/// Starts GStreamer without its search for plugins; the folder in which they lie.
pub(super) fn start() -> Result<PathBuf, DecodeError> {
    let missing = |what: String| DecodeError::Missing(what);
    let folder = plugin_folder();
    sys::configure();
    gst::init().map_err(|e| missing(format!("GStreamer does not start: {e}")))?;
    folder
        .or_else(plugin_folder)
        .ok_or_else(|| missing(format!("the folder of GStreamer's plugins; install {CORE}")))
}

/// Loads one plugin; why it cannot be, with its path.
pub(super) fn plug(folder: &Path, plugin: &str) -> Result<(), String> {
    let path = folder.join(format!("libgst{plugin}.so"));
    match gst::Plugin::load_file(&path) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// Elements that scale and convert by cores, to be linked in this order.
///
/// # Errors
/// `Missing`, with the package to install.
pub(super) fn converters() -> Result<Vec<gst::Element>, DecodeError> {
    let there = |way: &&&[&str]| way.iter().all(|name| gst::ElementFactory::find(name).is_some());
    let Some(way) = CONVERT.iter().find(there) else {
        return Err(DecodeError::Missing(format!(
            "GStreamer element videoconvertscale; install {BASE}"
        )));
    };
    way.iter().map(|name| super::demux::make(name)).collect()
}

/// The folder beside the GStreamer library that this process has loaded.
fn plugin_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|l| l.contains("/libgstreamer-1.0.so"))?;
    let library = PathBuf::from(line.get(line.find('/')?..)?);
    Some(library.parent()?.join("gstreamer-1.0"))
}

fn allowed_elements() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().flat_map(|a| a.elements).chain(BUILT_IN).copied()
}

/// Takes every feature but type finders and allowed elements out of the registry.
fn restrict() {
    let registry = gst::Registry::get();
    let stays = |feature: &gst::PluginFeature| {
        feature.is::<gst::TypeFindFactory>() || allowed_elements().any(|e| feature.name() == e)
    };
    for feature in registry.features_filtered(|f| !stays(f), false) {
        registry.remove_feature(&feature);
    }
}

/// Makes one of each element, so that what they set up or load on first use is there before the sandbox closes.
fn warm() {
    for name in allowed_elements() {
        drop(gst::ElementFactory::make(name).build());
    }
    // Seeds GLib's generator, which opens the kernel's on first use.
    let _ = gst::glib::random_int();
}
