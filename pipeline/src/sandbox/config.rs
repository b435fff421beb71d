//! What a sandbox may spend, and how strong it must be.

use std::path::PathBuf;

use domain::Format;
use serde::{Deserialize, Serialize};

use crate::decode::video::chain::{Chain, Codec};

/// How well workers are fenced in; each level includes those before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// No worker has been started.
    None,
    /// seccomp allow-list and resource limits.
    #[default]
    Floor,
    /// Landlock as well: the kernel denies the whole file tree a second time.
    Landlock,
    /// User, network and IPC namespaces of its own as well.
    Namespaces,
}

/// Which codecs a zygote holds, so that a photo never pays for GStreamer's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Pictures and animations, Tesseract.
    Stills,
    /// Video and sound: GStreamer.
    Streams,
}

impl Role {
    /// The role whose codecs read `format`.
    pub fn of(format: Format) -> Self {
        if format.is_stream() { Self::Streams } else { Self::Stills }
    }

    /// Its name on the command line and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stills => "stills",
            Self::Streams => "streams",
        }
    }
}

/// Settings of a `Sandbox`.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The program that holds the codecs; `None` looks at `WEIR_SANDBOX`, beside the running executable, and in
    /// `../libexec/weir/`.
    pub program: Option<PathBuf>,
    /// Address space of a worker in bytes.
    pub memory_bytes: u64,
    /// CPU time in seconds of a worker on a still.
    pub cpu_s_still: u64,
    /// CPU time in seconds of a worker on a video or sound, over all its threads.
    pub cpu_s_stream: u64,
    /// Wall-clock limit of a worker on a still, in milliseconds; time in the observer does not count.
    pub wall_ms_still: u64,
    /// Wall-clock limit of a worker on a video or sound.
    pub wall_ms_stream: u64,
    /// How long an item waits for a zygote to start, in milliseconds. The zygote goes on starting after that.
    pub start_ms: u64,
    /// Workers kept forked and locked down ahead of need, for each zygote; 1 to 16.
    pub spare: usize,
    /// How far zygotes and workers give way to other processes (nice value); 0 not at all.
    pub nice: u8,
    /// The least level; workers that reach less get no bytes.
    pub require: Level,
    /// Chains of decoders in hardware by codec; with none, all is decoded by cores.
    pub hardware: Vec<(Codec, Chain)>,
    /// Tesseract's names of the languages that OCR reads, for example `eng`.
    pub ocr_languages: Vec<String>,
    /// Folder of Tesseract's `*.traineddata`; `None` leaves the choice to the library.
    pub tessdata: Option<PathBuf>,
}

impl Default for SandboxConfig {
    /// 1 GiB, 10 s CPU (24 s over all threads of a video decoder), 10 s wall for stills and 12 s for streams, 3 s to start: 15 s at the very most.
    fn default() -> Self {
        Self {
            program: None,
            memory_bytes: 1 << 30,
            cpu_s_still: 10,
            cpu_s_stream: 24,
            wall_ms_still: 10_000,
            wall_ms_stream: 12_000,
            start_ms: 3_000,
            spare: 2,
            nice: 0,
            require: Level::Floor,
            hardware: Vec::new(),
            ocr_languages: vec!["eng".to_owned()],
            tessdata: None,
        }
    }
}

impl SandboxConfig {
    pub(super) fn cpu_s(&self, role: Role) -> u64 {
        match role {
            Role::Stills => self.cpu_s_still,
            Role::Streams => self.cpu_s_stream,
        }
    }

    pub(super) fn wall_ms(&self, role: Role) -> u64 {
        match role {
            Role::Stills => self.wall_ms_still,
            Role::Streams => self.wall_ms_stream,
        }
    }
}

/// What a zygote is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Which codecs to load.
    pub role: Role,
    /// Address space of a worker in bytes.
    pub memory_bytes: u64,
    /// CPU time of a worker in seconds.
    pub cpu_s: u64,
    /// Workers to keep ready.
    pub spare: usize,
    /// How far to give way to other processes.
    pub nice: u8,
    /// Languages of OCR.
    pub ocr_languages: Vec<String>,
    /// Folder of Tesseract's data.
    pub tessdata: Option<PathBuf>,
}
