//! Weights come from a mirror folder or over HTTPS, are converted where they must be, and are put in place only when
//! their hash is the pinned one.
//!
//! A mirror is searched recursively by size, then by SHA-256: names do not matter. It may hold the runnable file, a
//! conversion that the manifest accepts, or the sources. The new file is written beside its place, synced, renamed,
//! and the folder synced, so that a power cut leaves the old file or the new.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::convert::convert;
use crate::library::{digest, digest_of};
use crate::manifest::{Manifest, Pin};
use crate::{Library, ModelError};

/// Time for one download, which at the slowest link we serve (64 kB/s) is 38 MB.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Folders below a mirror that are searched; deeper ones are links in a circle or not meant for us.
const MAX_DEPTH: usize = 16;

/// What a fetch is doing, for a progress line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A file was found in the mirror.
    Found(PathBuf),
    /// Bytes of a download.
    Download {
        /// Name of the source file.
        file: String,
        /// Bytes that have come.
        received: u64,
        /// Bytes that are to come in all.
        total: u64,
    },
    /// The sources are being converted.
    Convert,
}

impl Library {
    /// Brings the weights of a model into the model directory, unless they are there already; gives their path.
    /// With a mirror nothing is downloaded.
    ///
    /// # Errors
    /// [`ModelError::Fetch`] when they cannot be had, [`ModelError::Convert`] when the sources do not convert to
    /// the pinned file, [`ModelError::File`] when they cannot be written.
    pub fn fetch(
        &self,
        manifest: &Manifest,
        mirror: Option<&Path>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, ModelError> {
        if let Ok(path) = self.locate(manifest) {
            return Ok(path);
        }
        let bytes = match mirror {
            Some(mirror) => from_mirror(manifest, mirror, progress)?,
            None => from_sources(manifest, progress, |source, progress| {
                download(manifest, source, progress)
            })?,
        };
        place(self.dir(), &self.path(manifest), &bytes)?;
        self.locate(manifest)
    }
}

fn from_mirror(
    manifest: &Manifest,
    mirror: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, ModelError> {
    let files = walk(mirror)?;
    let take = |pin: &Pin, progress: &mut dyn FnMut(Progress)| {
        let path = search(&files, pin)?;
        let bytes = fs::read(&path).ok().filter(|bytes| digest_of(bytes) == *pin)?;
        progress(Progress::Found(path));
        Some(bytes)
    };
    if let Some(bytes) = take(&manifest.pin, progress) {
        return Ok(bytes);
    }
    let sources = from_sources(manifest, progress, |source, progress| {
        take(&source.pin, progress).ok_or_else(|| ModelError::Fetch {
            name: manifest.name.clone(),
            detail: format!(
                "the mirror {} holds neither a runnable file nor the source {} ({} bytes, SHA-256 {}); \
                 copy it there from {}",
                mirror.display(),
                source.file,
                source.pin.bytes,
                source.pin.sha256,
                source.url
            ),
        })
    });
    // Our own conversion is preferred; another one is accepted where the sources are absent.
    sources.or_else(|error| manifest.accept.iter().find_map(|pin| take(pin, progress)).ok_or(error))
}

fn from_sources(
    manifest: &Manifest,
    progress: &mut dyn FnMut(Progress),
    mut take: impl FnMut(
        &crate::manifest::Source,
        &mut dyn FnMut(Progress),
    ) -> Result<Vec<u8>, ModelError>,
) -> Result<Vec<u8>, ModelError> {
    let mut files = Vec::new();
    for source in &manifest.sources {
        files.push((source.file.as_str(), take(source, progress)?));
    }
    let bytes = match manifest.convert {
        None => files.pop().map(|(_, bytes)| bytes).ok_or_else(|| ModelError::Fetch {
            name: manifest.name.clone(),
            detail: "its manifest names no source; put the file in place by hand".into(),
        })?,
        Some(conversion) => {
            progress(Progress::Convert);
            let files: Vec<_> =
                files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
            convert(conversion, &files)
                .map_err(|detail| ModelError::Convert { name: manifest.name.clone(), detail })?
        }
    };
    let found = digest_of(&bytes);
    if found == manifest.pin {
        return Ok(bytes);
    }
    Err(ModelError::Convert {
        name: manifest.name.clone(),
        detail: format!(
            "gave {} bytes with SHA-256 {} where the manifest pins {} with {}",
            found.bytes, found.sha256, manifest.pin.bytes, manifest.pin.sha256
        ),
    })
}

fn download(
    manifest: &Manifest,
    source: &crate::manifest::Source,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, ModelError> {
    let failed = |detail: String| ModelError::Fetch {
        name: manifest.name.clone(),
        detail: format!(
            "{}: {detail}; on a site without internet use `weir models fetch {} --mirror DIR`",
            source.url, manifest.name
        ),
    };
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).https_only(true).build().into();
    let mut response = agent.get(&source.url).call().map_err(|error| failed(error.to_string()))?;
    // One byte more than expected tells a longer file from the right one.
    let mut reader = response.body_mut().as_reader().take(source.pin.bytes + 1);
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut buffer).map_err(|error| failed(error.to_string()))?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        bytes.extend_from_slice(chunk);
        progress(Progress::Download {
            file: source.file.clone(),
            received: bytes.len() as u64,
            total: source.pin.bytes,
        });
    }
    let found = digest_of(&bytes);
    if found == source.pin {
        return Ok(bytes);
    }
    Err(failed(format!(
        "gave {} bytes with SHA-256 {} where {} with {} are pinned",
        found.bytes, found.sha256, source.pin.bytes, source.pin.sha256
    )))
}

/// Files below `dir` with their sizes, in a stable order.
fn walk(dir: &Path) -> Result<Vec<(PathBuf, u64)>, ModelError> {
    let mut files = Vec::new();
    let mut folders = vec![(dir.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // The mirror itself must be readable; a folder within it need not be.
            Err(error) if depth == 0 => {
                return Err(ModelError::file("cannot read the mirror", &folder, &error));
            }
            Err(_) => continue,
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => files.push((path, metadata.len())),
                Ok(metadata) if metadata.is_dir() && depth < MAX_DEPTH => {
                    folders.push((path, depth + 1));
                }
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

fn search(files: &[(PathBuf, u64)], pin: &Pin) -> Option<PathBuf> {
    files
        .iter()
        .filter(|(_, bytes)| *bytes == pin.bytes)
        .find(|(path, _)| digest(path).is_ok_and(|found| found == *pin))
        .map(|(path, _)| path.clone())
}

fn place(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let failed = |error: std::io::Error| ModelError::file("cannot write", path, &error);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut temporary =
        tempfile::Builder::new().prefix(".fetch-").tempfile_in(dir).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    let mut permissions = temporary.as_file().metadata().map_err(failed)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    temporary.as_file().set_permissions(permissions).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}
