//! One input to one verdict.

use std::cell::Cell;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use domain::profile::Profile;
use domain::{Context, Evidence, Failure, Format, Policy, Sampling};
use pipeline::hls;
use pipeline::inspect::{Inspection, Inspector, Submission, Trials, Watch};
use pipeline::sandbox::{Item, Role};
use pipeline::sniff::sniff;

use super::inputs::Input;
use super::slots::Slots;
use super::verdict::{TimingsView, Verdict};
use crate::inference::{Cited, Inference};
use crate::profile::{self, Effort};

/// The largest file that is read whatever the profile says, in bytes: it is held in memory while it is judged.
const MAX_BYTES: u64 = 1 << 30;

/// As much of a file as tells its format.
const HEAD_BYTES: u64 = 64 << 10;

/// A profile made ready: detectors, policy and caption.
pub struct Judge {
    inspector: Inspector,
    engine: Option<Cited>,
    policy: Policy,
    max_bytes: u64,
    caption: Option<String>,
    context: Context,
    decode_threads: u32,
    decoders: Slots,
}

/// What a judge is made of.
pub struct Setup<'a> {
    /// Detectors, limits and policy.
    pub profile: Profile,
    /// Files of listed hashes beside the profile's own.
    pub banks: &'a [PathBuf],
    /// The kind of place the items would appear in; empty when not told.
    pub surface: &'a str,
    /// Judged with every input.
    pub caption: Option<&'a str>,
    /// Items that are decoded at once.
    pub jobs: usize,
    /// On what models are to run.
    pub inference: Inference,
}

/// How far an input is looked at, and by what demands.
pub struct Demands<'a> {
    /// Detectors that must see everything.
    pub required: &'a [String],
    /// The largest stretch of a time line that may go unseen, in milliseconds.
    pub max_gap_ms: u64,
    /// Whether what is known settles a rejection, so that the rest is left out.
    pub settled: &'a dyn Fn(&Evidence) -> bool,
}

impl Judge {
    /// Reads the banks, loads the models and starts the sandbox.
    pub fn new(setup: Setup<'_>, first: Option<&Input>) -> anyhow::Result<Self> {
        let Setup { profile, banks, surface, caption, jobs, inference } = setup;
        let known = &profile.surfaces;
        anyhow::ensure!(
            surface.is_empty() || known.is_empty() || known.iter().any(|s| s == surface),
            "the profile `{}` knows no surface `{surface}`; write one of {}",
            profile.name,
            known.join(", ")
        );
        let effort = Effort::whole(jobs, inference);
        let (inspector, in_use) = profile::inspector(&profile, banks, effort, role(first))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            inspector,
            engine: in_use.cited(),
            max_bytes: profile.limits.max_bytes.min(MAX_BYTES),
            policy: profile.policy,
            caption: caption.map(str::to_owned),
            context: Context { surface: surface.to_owned(), language: String::new() },
            // With fewer items than cores, a video's decoder takes the cores that would idle.
            decode_threads: (cores / jobs).max(1) as u32,
            decoders: Slots::new(jobs),
        })
    }

    /// The profile's policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The verdict on one input; whatever goes wrong is a verdict too. Waits for its turn among `jobs` that read and
    /// decode; the models come after that.
    pub fn judge(&self, input: &Input) -> Verdict {
        let demands = Demands {
            required: self.policy.required(),
            max_gap_ms: self.policy.max_gap_ms(),
            settled: &|evidence| self.policy.settled(evidence),
        };
        let (inspection, start) = self.look(input, &demands);
        self.verdict(name(input), inspection, start)
    }

    /// What the detectors see of one input, and when that began; its turn comes as for [`Judge::judge`].
    pub fn look(&self, input: &Input, demands: &Demands<'_>) -> (Inspection, Instant) {
        let slot = Cell::new(Some(self.decoders.take()));
        let decoded = || drop(slot.take());
        let start = Instant::now();
        let inspection = match input {
            Input::Caption => self.inspect(None, &[], None, demands, &decoded),
            Input::File(path) => {
                let name = name(input);
                let name = name.as_deref();
                match read(path, self.max_bytes) {
                    Ok((item, unseen)) => self.inspect(name, &[item], unseen, demands, &decoded),
                    Err(unread) => self.inspect(name, &[], Some(unread), demands, &decoded),
                }
            }
        };
        (inspection, start)
    }

    /// Looks at caption and media; `unseen` is a file that could not even be read, whose caption is judged all the same,
    /// or what belongs to the file and is not judged with it.
    fn inspect(
        &self,
        file: Option<&str>,
        media: &[Item],
        unseen: Option<Failure>,
        demands: &Demands<'_>,
        decoded: &dyn Fn(),
    ) -> Inspection {
        let submission = Submission {
            caption: self.caption.as_deref(),
            name: file,
            context: self.context.clone(),
            media,
        };
        let watch = Watch {
            required: demands.required,
            sampling: Sampling::usual(demands.max_gap_ms),
            settled: demands.settled,
            lists: None,
            trials: Trials::NONE,
            decode_threads: self.decode_threads,
            decoded,
            progress: &|_| {},
        };
        let mut inspection = self.inspector.inspect(&submission, &watch);
        inspection.evidence.failures.extend(unseen);
        inspection
    }

    fn verdict(&self, file: Option<String>, inspection: Inspection, start: Instant) -> Verdict {
        let deciding = Instant::now();
        let decision = self.policy.decide(&inspection.evidence);
        let ms = |d: std::time::Duration| (d.as_secs_f64() * 1e5).round() / 100.0;
        let timings = TimingsView {
            decode: ms(inspection.timings.decode),
            detect: ms(inspection.timings.detect),
            decide: ms(deciding.elapsed()),
            total: ms(start.elapsed()),
        };
        Verdict::new(file, decision, inspection, self.engine.clone(), timings)
    }
}

/// The path as given, lossily as UTF-8.
fn name(input: &Input) -> Option<String> {
    match input {
        Input::Caption => None,
        Input::File(path) => Some(path.to_string_lossy().into_owned()),
    }
}

/// Which half of the sandbox an input needs, by its first bytes; that for stills where they do not tell.
fn role(input: Option<&Input>) -> Role {
    let Some(Input::File(path)) = input else { return Role::Stills };
    let mut head = Vec::new();
    match open(path, MAX_BYTES).map(|file| file.take(HEAD_BYTES).read_to_end(&mut head)) {
        Ok(Ok(_)) => Role::of(sniff(&head)),
        _ => Role::Stills,
    }
}

/// Reads a regular file into a sealed memory file; a local HLS playlist together with its segments, and with a failure
/// where it offers more than is judged.
fn read(path: &Path, max_bytes: u64) -> Result<(Item, Option<Failure>), Failure> {
    let item = open(path, max_bytes)
        .and_then(|file| Ok(Item::from_reader(file, max_bytes)?))
        .map_err(|error| Failure {
            reason: "unreadable".into(),
            detail: format!("{error:#}"),
            media: Some(0),
            permanent: false,
        })?;
    if sniff(item.bytes()) == Format::Text && claims_media(path) {
        return Err(Failure {
            reason: "unsupported".into(),
            detail: "the name says picture, video or sound, and the content is text".into(),
            media: Some(0),
            permanent: true,
        });
    }
    if sniff(item.bytes()) != Format::Hls {
        return Ok((item, None));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let playlist = String::from_utf8_lossy(item.bytes());
    let failure = |detail: String, permanent| Failure {
        reason: "playlist".into(),
        detail,
        media: Some(0),
        permanent,
    };
    let stream = hls::assemble(&playlist, MAX_BYTES, &|name, range| segment(folder, name, range))
        .map_err(|error| failure(error.to_string(), error.is_permanent()))?;
    // Sealed memory that cannot be had is the host's matter.
    let item = Item::from_reader(stream.bytes.as_slice(), MAX_BYTES)
        .map_err(|error| failure(error.to_string(), false))?;
    Ok((item, unseen_variant(stream.unseen)))
}

/// Whether a name promises a medium: a page of script under such a name is an attack on whoever shows it.
fn claims_media(path: &Path) -> bool {
    const MEDIA: [&str; 26] = [
        "jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "ico",
        "mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "flv", "mpg", "mpeg", "mp3", "m4a", "ogg",
        "wav",
    ];
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    extension.is_some_and(|e| MEDIA.contains(&e.as_str()))
}

/// A segment beside the playlist; what is reached through a link may lie anywhere, so it is refused.
fn segment(folder: &Path, name: &str, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let path = folder.join(name);
    let (inside, path) = (folder.canonicalize()?, path.canonicalize()?);
    if !path.starts_with(&inside) {
        return Err(std::io::Error::other("the segment lies outside the playlist's folder"));
    }
    let file =
        open(&path, MAX_BYTES).map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => error,
            Err(error) => std::io::Error::other(error),
        })?;
    hls::part(file, range)
}

/// What a playlist offers beside the stream that is judged may show anything.
fn unseen_variant(count: usize) -> Option<Failure> {
    (count > 0).then(|| Failure {
        reason: "unseen_variant".into(),
        detail: format!(
            "one stream of the playlist was judged; {count} more variants, segments or clips were not looked at"
        ),
        media: Some(0),
        permanent: false,
    })
}

/// Opens a file only if it is a regular one: a pipe or device would never end.
fn open(path: &Path, max_bytes: u64) -> anyhow::Result<File> {
    let meta = std::fs::metadata(path).context("cannot open the file")?;
    anyhow::ensure!(!meta.is_dir(), "the folder cannot be read, or is nested too deeply");
    anyhow::ensure!(meta.is_file(), "not a regular file");
    anyhow::ensure!(
        meta.len() <= max_bytes,
        "the file has {} bytes; the profile allows {max_bytes}",
        meta.len()
    );
    File::open(path).context("cannot open the file")
}
