//! The families of decoders as data: their elements, the ways from each to memory, and where both come from.
//!
//! Sources: NVIDIA's guide to accelerated GStreamer for Jetson Linux 36, and the element lists of GStreamer 1.18 to 1.26.

use super::{Chain, Codec, Family, Installed, Lack, Memory, way};

/// A way from a decoder to system memory.
#[derive(Debug)]
pub(super) struct Way {
    /// Where the decoder leaves its pictures.
    pub memory: Memory,
    /// What they go through.
    pub elements: &'static [&'static str],
}

const fn by(memory: Memory, elements: &'static [&'static str]) -> Way {
    Way { memory, elements }
}

/// A family: its decoders by codec, and its ways, the best first.
#[derive(Debug)]
pub(super) struct Route {
    pub family: Family,
    decoders: &'static [(Codec, &'static [&'static str])],
    ways: &'static [Way],
}

/// One element where GStreamer has it (1.22 and later), two where it is older, as on JetPack 5 and 6.
const CORES_NEW: Way = by(Memory::System, &["videoconvertscale"]);
const CORES_OLD: Way = by(Memory::System, &["videoconvert", "videoscale"]);

/// Decoders in software in the order in which they are tried: the first that is present and takes the caps wins.
pub const SOFTWARE: &[&[&str]] = &[
    &["dav1ddec", "av1dec"],
    crate::decode::video::select::LIBAV,
    &["vp8dec", "vp9dec", "theoradec"],
];

/// All families, in the order in which they are tried.
pub(super) const ROUTES: &[Route] = &[
    Route {
        family: Family::Jetson,
        // One element for all; what it takes differs by board. Its Motion JPEG needs a mode of its own: left to the cores.
        decoders: &[
            (Codec::H264, &["nvv4l2decoder"]),
            (Codec::H265, &["nvv4l2decoder"]),
            (Codec::Vp8, &["nvv4l2decoder"]),
            (Codec::Vp9, &["nvv4l2decoder"]),
            (Codec::Av1, &["nvv4l2decoder"]),
            (Codec::Mpeg2, &["nvv4l2decoder"]),
            (Codec::Mpeg4, &["nvv4l2decoder"]),
        ],
        ways: &[by(Memory::Nvmm, &["nvvidconv"])],
    },
    Route {
        family: Family::Nvidia,
        decoders: &[
            (Codec::H264, &["nvh264dec", "nvh264sldec"]),
            (Codec::H265, &["nvh265dec", "nvh265sldec"]),
            (Codec::Vp8, &["nvvp8dec", "nvvp8sldec"]),
            (Codec::Vp9, &["nvvp9dec", "nvvp9sldec"]),
            (Codec::Av1, &["nvav1dec"]),
            (Codec::Mpeg2, &["nvmpeg2videodec", "nvmpegvideodec"]),
            (Codec::Mpeg4, &["nvmpeg4videodec"]),
            (Codec::Mjpeg, &["nvjpegdec"]),
        ],
        ways: &[
            by(Memory::Cuda, &["cudaconvertscale", "cudadownload"]),
            by(Memory::Cuda, &["cudaconvert", "cudascale", "cudadownload"]),
        ],
    },
    Route {
        family: Family::Va,
        decoders: &[
            (Codec::H264, &["vah264dec"]),
            (Codec::H265, &["vah265dec"]),
            (Codec::Vp8, &["vavp8dec"]),
            (Codec::Vp9, &["vavp9dec"]),
            (Codec::Av1, &["vaav1dec"]),
            (Codec::Mpeg2, &["vampeg2dec"]),
            (Codec::Mjpeg, &["vajpegdec"]),
        ],
        // Its decoders also give pictures in system memory, and the cores then scale them.
        ways: &[by(Memory::Va, &["vapostproc"]), CORES_NEW, CORES_OLD],
    },
    Route {
        family: Family::V4l2,
        // Stateful decoders first; `sl` are those of boards whose hardware keeps no state.
        decoders: &[
            (Codec::H264, &["v4l2h264dec", "v4l2slh264dec"]),
            (Codec::H265, &["v4l2h265dec", "v4l2slh265dec"]),
            (Codec::Vp8, &["v4l2vp8dec", "v4l2slvp8dec"]),
            (Codec::Vp9, &["v4l2vp9dec", "v4l2slvp9dec"]),
            (Codec::Av1, &["v4l2av1dec", "v4l2slav1dec"]),
            (Codec::Mpeg2, &["v4l2mpeg2dec", "v4l2slmpeg2dec"]),
            (Codec::Mpeg4, &["v4l2mpeg4dec"]),
        ],
        ways: &[CORES_NEW, CORES_OLD],
    },
    Route {
        family: Family::Software,
        decoders: &[
            (Codec::H264, &["avdec_h264"]),
            (Codec::H265, &["avdec_h265"]),
            (Codec::Vp8, &["avdec_vp8", "vp8dec"]),
            (Codec::Vp9, &["avdec_vp9", "vp9dec"]),
            (Codec::Av1, &["dav1ddec", "av1dec"]),
            (Codec::Mpeg2, &["avdec_mpegvideo", "avdec_mpeg2video"]),
            (Codec::Mpeg4, &["avdec_mpeg4"]),
            (Codec::Mjpeg, &["avdec_mjpeg"]),
            (Codec::Theora, &["theoradec"]),
        ],
        ways: &[CORES_NEW, CORES_OLD],
    },
];

impl Route {
    /// Its decoders of a codec; none where the family has no hardware for it.
    pub(super) fn decoders(&self, codec: Codec) -> &'static [&'static str] {
        self.decoders.iter().find(|(of, _)| *of == codec).map_or(&[], |(_, names)| names)
    }

    /// The chain of this family, or what it lacks.
    pub(super) fn chain(&self, codec: Codec, installed: &Installed) -> Result<Chain, Lack> {
        let names = self.decoders(codec);
        let there = self.fit(names, codec, installed);
        let Some(decoder) = there.first() else {
            return Err(match names.iter().find(|name| installed.has(name)) {
                Some(decoder) => Lack::Codec { decoder: (*decoder).to_owned() },
                None => Lack::Decoder { elements: names.iter().map(|n| (*n).to_owned()).collect() },
            });
        };
        let decoder = (*decoder).to_owned();
        match way(self.ways, installed) {
            Ok(way) => Ok(Chain {
                family: self.family,
                decoder,
                memory: way.memory,
                then: way.elements.iter().map(|name| (*name).to_owned()).collect(),
            }),
            Err(missing) => Err(Lack::Converter { decoder, missing }),
        }
    }

    /// Decoders that take the codec, in the order in which they are tried.
    fn fit(
        &self,
        names: &[&'static str],
        codec: Codec,
        installed: &Installed,
    ) -> Vec<&'static str> {
        match self.family {
            // Workers take them in this order whatever their rank.
            Family::Software => {
                names.iter().copied().filter(|name| installed.takes(name, codec)).collect()
            }
            _ => installed.decoders(names, codec),
        }
    }
}

/// Device nodes without which a family's hardware is not there or cannot be reached, any one of each row, and the group
/// that may open them. A trailing `*` stands for a number.
pub fn nodes(family: Family) -> &'static [(&'static [&'static str], &'static str)] {
    match family {
        // JetPack 5 and 6; JetPack 4 and before had the first alone.
        Family::Jetson => &[
            (&["nvhost-ctrl", "nvhost-ctrl-gpu", "nvhost-gpu"], "video"),
            (&["nvmap"], "video"),
            (&["v4l2-nvdec", "nvhost-nvdec"], "video"),
        ],
        Family::Nvidia => &[(&["nvidia*"], ""), (&["nvidiactl"], ""), (&["nvidia-uvm"], "")],
        Family::Va => &[(&["dri/renderD*"], "render")],
        Family::V4l2 => &[(&["video*"], "video")],
        Family::Software => &[],
    }
}

/// The packages that have these elements, each once: Debian's names, for Jetson those of JetPack.
pub fn packages<'n>(elements: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut packages: Vec<String> = Vec::new();
    for element in elements {
        let package = package(element);
        if !packages.iter().any(|known| known == package) {
            packages.push(package.to_owned());
        }
    }
    packages
}

fn package(element: &str) -> &'static str {
    const GOOD: &str = "gstreamer1.0-plugins-good";
    const BAD: &str = "gstreamer1.0-plugins-bad";
    match element {
        "nvv4l2decoder" | "nvvidconv" => "nvidia-l4t-gstreamer",
        "videoconvertscale" | "videoconvert" | "videoscale" | "theoradec" => {
            "gstreamer1.0-plugins-base"
        }
        "vp8dec" | "vp9dec" => GOOD,
        "dav1ddec" => "gstreamer1.0-plugins-rs",
        name if name.starts_with("avdec_") => "gstreamer1.0-libav",
        // Plugin v4l2codecs; stateful ones are of plugin video4linux2.
        name if name.starts_with("v4l2sl") => BAD,
        name if name.starts_with("v4l2") => GOOD,
        _ => BAD,
    }
}
