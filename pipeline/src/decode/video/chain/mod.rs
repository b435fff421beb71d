//! Which elements a stream of pictures goes through on its way to plain memory: decoder, scaler, memory. Pure: chosen
//! from what is installed, so that every board stands in a table of tests.
//!
//! Families are tried in the order of [`Family`]; the first that has all of a chain wins. What is passed over says why, so
//! that nobody has to guess why a box with a decoder in hardware decodes by its cores.

mod route;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use route::{ROUTES, Way};
pub use route::{SOFTWARE, nodes, packages};

/// How pictures are compressed, as far as there is hardware for it or uploads have it every day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// MPEG-2 video.
    Mpeg2,
    /// MPEG-4 part 2.
    Mpeg4,
    /// Motion JPEG.
    Mjpeg,
    /// Theora.
    Theora,
}

impl Codec {
    /// All, the most usual first.
    pub const ALL: [Self; 9] = [
        Self::H264,
        Self::H265,
        Self::Vp9,
        Self::Av1,
        Self::Vp8,
        Self::Mpeg4,
        Self::Mpeg2,
        Self::Mjpeg,
        Self::Theora,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Mpeg2 => "MPEG-2",
            Self::Mpeg4 => "MPEG-4",
            Self::Mjpeg => "Motion JPEG",
            Self::Theora => "Theora",
        }
    }

    /// The parser that brings it into the form that decoders in hardware take.
    pub fn parser(self) -> Option<&'static str> {
        match self {
            Self::H264 => Some("h264parse"),
            Self::H265 => Some("h265parse"),
            Self::Vp9 => Some("vp9parse"),
            Self::Av1 => Some("av1parse"),
            Self::Mpeg2 => Some("mpegvideoparse"),
            Self::Mpeg4 => Some("mpeg4videoparse"),
            Self::Vp8 | Self::Mjpeg | Self::Theora => None,
        }
    }

    /// GStreamer's caps of it.
    pub fn caps(self) -> &'static str {
        match self {
            Self::H264 => "video/x-h264",
            Self::H265 => "video/x-h265",
            Self::Vp8 => "video/x-vp8",
            Self::Vp9 => "video/x-vp9",
            Self::Av1 => "video/x-av1",
            Self::Mpeg2 => "video/mpeg,mpegversion=2,systemstream=false",
            Self::Mpeg4 => "video/mpeg,mpegversion=4,systemstream=false",
            Self::Mjpeg => "image/jpeg",
            Self::Theora => "video/x-theora",
        }
    }
}

/// Where a decoder runs, the one that is tried first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// NVIDIA's decoder of a Jetson, by V4L2.
    Jetson,
    /// NVIDIA's decoder of a card, by CUDA.
    Nvidia,
    /// Intel's and AMD's, by VA-API.
    Va,
    /// Of boards whose kernel has a V4L2 driver for it.
    V4l2,
    /// The processor's own cores.
    Software,
}

impl Family {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jetson => "Jetson",
            Self::Nvidia => "NVIDIA card",
            Self::Va => "VA-API",
            Self::V4l2 => "V4L2",
            Self::Software => "software",
        }
    }
}

/// Where a decoder leaves its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// Memory that every program can read.
    System,
    /// Buffers of a Jetson's video hardware (`memory:NVMM`).
    Nvmm,
    /// Of a card (`memory:CUDAMemory`).
    Cuda,
    /// Surfaces of VA-API (`memory:VAMemory`).
    Va,
}

/// One element of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its rank: of two decoders of a family the higher one is taken.
    pub rank: u32,
    /// What its sink pads take; none for an element that is no decoder.
    pub takes: Vec<Codec>,
}

/// What the registry has, by name of the element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed(pub BTreeMap<String, Part>);

impl Installed {
    /// Whether there is an element of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn takes(&self, name: &str, codec: Codec) -> bool {
        self.0.get(name).is_some_and(|part| part.takes.contains(&codec))
    }

    /// The decoders of a list that take the codec, the highest rank first, of equals the first of the list.
    fn decoders(&self, names: &[&'static str], codec: Codec) -> Vec<&'static str> {
        let mut found: Vec<_> = names.iter().copied().filter(|n| self.takes(n, codec)).collect();
        found.sort_by_key(|name| std::cmp::Reverse(self.0.get(*name).map_or(0, |part| part.rank)));
        found
    }
}

/// What pictures go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Where it decodes.
    pub family: Family,
    /// The decoder's element.
    pub decoder: String,
    /// Where its pictures lie.
    pub memory: Memory,
    /// Elements behind it, which scale, convert, and bring pictures to system memory.
    pub then: Vec<String>,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decoder)?;
        self.then.iter().try_for_each(|element| write!(f, " + {element}"))
    }
}

/// Why a family was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Lack {
    /// None of its decoders is installed.
    Decoder {
        /// What would do.
        elements: Vec<String>,
    },
    /// A decoder is there that does not take this codec.
    Codec {
        /// The decoder.
        decoder: String,
    },
    /// A decoder is there, and what brings its pictures to memory is not.
    Converter {
        /// The decoder.
        decoder: String,
        /// What is missing, of the way that misses the least.
        missing: Vec<String>,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decoder { elements } => write!(f, "no {}", elements.join(" or ")),
            Self::Codec { decoder } => write!(f, "{decoder} does not take it"),
            Self::Converter { decoder, missing } => {
                write!(f, "{decoder} is there without {}", missing.join(" and "))
            }
        }
    }
}

/// A family that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub family: Family,
    /// Why.
    #[serde(flatten)]
    pub lack: Lack,
    /// What to install for it: Debian's or JetPack's packages.
    pub packages: Vec<String>,
}

/// What was chosen for a codec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// For what.
    pub codec: Codec,
    /// What pictures go through; `None` where nothing installed decodes it.
    pub chain: Option<Chain>,
    /// Families before the one that was chosen, in order.
    pub passed_over: Vec<PassedOver>,
}

/// Chooses for a codec among all families.
pub fn choose(codec: Codec, installed: &Installed) -> Choice {
    choose_among(codec, installed, |_| true)
}

/// Chooses for a codec as a worker of one item does, which can reach no device.
pub fn choose_by_cores(codec: Codec, installed: &Installed) -> Choice {
    choose_among(codec, installed, |family| family == Family::Software)
}

fn choose_among(codec: Codec, installed: &Installed, may: impl Fn(Family) -> bool) -> Choice {
    let mut passed_over = Vec::new();
    for route in ROUTES.iter().filter(|route| may(route.family)) {
        let names = route.decoders(codec);
        if names.is_empty() {
            continue;
        }
        let lack = match route.chain(codec, installed) {
            Ok(chain) => return Choice { codec, chain: Some(chain), passed_over },
            Err(lack) => lack,
        };
        let packages = match &lack {
            Lack::Codec { .. } => Vec::new(),
            Lack::Decoder { elements } => packages(elements.iter().map(String::as_str)),
            Lack::Converter { missing, .. } => packages(missing.iter().map(String::as_str)),
        };
        passed_over.push(PassedOver { family: route.family, lack, packages });
    }
    Choice { codec, chain: None, passed_over }
}

/// Elements of the way from a decoder to memory that misses the least, or the first that misses nothing.
fn way<'w>(ways: &'w [Way], installed: &Installed) -> Result<&'w Way, Vec<String>> {
    let missing = |way: &&Way| {
        let lacks = way.elements.iter().filter(|name| !installed.has(name));
        lacks.map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    match ways.iter().find(|way| missing(way).is_empty()) {
        Some(way) => Ok(way),
        // Of equals the first: the better way.
        None => Err(ways.iter().map(|way| missing(&way)).min_by_key(Vec::len).unwrap_or_default()),
    }
}
