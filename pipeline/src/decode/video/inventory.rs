//! What GStreamer has on this machine, for people: read in a process of its own, for the plugins of hardware load drivers.

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};

use super::chain::{Chain, Codec, Installed, Part};
use super::registry;
use crate::decode::DecodeError;

/// What GStreamer has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its version, such as `1.22.0`; `None` where it does not start.
    pub gstreamer: Option<String>,
    /// Why it does not start.
    pub problem: Option<String>,
    /// The plugins that were tried.
    pub plugins: Vec<Plugin>,
    /// The elements that decode or convert pictures.
    pub installed: Installed,
}

/// A plugin that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name: `libgstNAME.so`.
    pub name: String,
    /// The package that has it.
    pub package: String,
    /// Whether no video can be decoded without it.
    pub required: bool,
    /// Why it cannot be loaded.
    pub problem: Option<String>,
}

/// Plugins of decoders in hardware and of what goes with them, with the package that has them.
const HARDWARE: [(&str, &str); 6] = [
    ("nvvideo4linux2", "nvidia-l4t-gstreamer"),
    ("nvvidconv", "nvidia-l4t-gstreamer"),
    ("nvcodec", "gstreamer1.0-plugins-bad"),
    ("va", "gstreamer1.0-plugins-bad"),
    ("video4linux2", "gstreamer1.0-plugins-good"),
    ("v4l2codecs", "gstreamer1.0-plugins-bad"),
];

/// Reads it. With `hardware` the plugins that talk to drivers are loaded as well, which a broken driver may not survive.
pub fn read(hardware: bool) -> Inventory {
    let folder = match registry::start() {
        Ok(folder) => folder,
        Err(error) => {
            return Inventory { problem: Some(error.detail().to_owned()), ..Inventory::default() };
        }
    };
    let try_one = |name: &str, package: &str, required| Plugin {
        name: name.to_owned(),
        package: package.to_owned(),
        required,
        problem: registry::plug(&folder, name).err(),
    };
    let mut plugins: Vec<_> = registry::ALLOWED
        .iter()
        .map(|allowed| try_one(allowed.plugin, allowed.package, allowed.required))
        .collect();
    if hardware {
        plugins.extend(HARDWARE.iter().map(|(name, package)| try_one(name, package, false)));
    }
    let (major, minor, micro, _) = gst::version();
    Inventory {
        gstreamer: Some(format!("{major}.{minor}.{micro}")),
        problem: None,
        plugins,
        installed: elements(),
    }
}

/// Loads all plugins, in the process of the decoders in hardware.
///
/// # Errors
/// Where GStreamer itself does not start. A plugin that is missing shows when a chain is built.
pub fn load() -> Result<(), DecodeError> {
    let folder = registry::start()?;
    let allowed = registry::ALLOWED.iter().map(|allowed| allowed.plugin);
    for name in allowed.chain(HARDWARE.iter().map(|(name, _)| *name)) {
        if let Err(error) = registry::plug(&folder, name) {
            tracing::debug!(error, "a plugin is not here");
        }
    }
    Ok(())
}

/// Whether all elements of a chain can be made.
pub fn can_build(chain: &Chain) -> bool {
    let mut names = std::iter::once(&chain.decoder).chain(&chain.then);
    names.all(|name| gst::ElementFactory::make(name).build().is_ok())
}

/// Elements that decode or convert pictures, whatever their rank.
fn elements() -> Installed {
    let caps: Vec<(Codec, gst::Caps)> = Codec::ALL
        .into_iter()
        .filter_map(|codec| Some((codec, codec.caps().parse().ok()?)))
        .collect();
    let registry = gst::Registry::get();
    let factories = registry.features(gst::ElementFactory::static_type());
    let parts = factories.into_iter().filter_map(|feature| {
        let factory = feature.downcast::<gst::ElementFactory>().ok()?;
        let class = factory.metadata("klass").unwrap_or_default();
        let decodes = class.contains("Decoder");
        let is_part = decodes || class.contains("Converter") || class.contains("Scaler");
        let is_part = is_part || factory.name() == "cudadownload";
        let takes = |(codec, caps): &(Codec, gst::Caps)| {
            (decodes && factory.can_sink_any_caps(caps)).then_some(*codec)
        };
        let part = Part {
            rank: u32::try_from(i32::from(factory.rank())).unwrap_or(0),
            takes: caps.iter().filter_map(takes).collect(),
        };
        is_part.then(|| (factory.name().to_string(), part))
    });
    Installed(parts.collect())
}
