//! The model directory: `<name>-<version>.onnx` for each model that is fetched, manifests of the operator's own, and
//! installed bundles ([`crate::life`]).
//!
//! A file is used only after its size and SHA-256 were found to be those that its manifest pins. The check is
//! remembered for as long as the file's device, inode, size and times stay the same.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ring::digest::{Context, SHA256};

use crate::file::hex;
use crate::manifest::Pin;
use crate::{Manifest, ModelError, life};

/// What tells one state of a file from another without reading it.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// The models on this box.
#[derive(Debug)]
pub struct Library {
    dir: PathBuf,
    verified: Mutex<HashMap<PathBuf, (Stamp, String)>>,
}

impl Library {
    /// The library in `dir`, which is made by the first fetch.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), verified: Mutex::default() }
    }

    /// The model directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the runnable file of a model lies or belongs: in its bundle where one is installed, else beside the others.
    pub fn path(&self, manifest: &Manifest) -> PathBuf {
        if self.is_bundled(manifest) {
            let place = life::folder(&self.dir, &manifest.name, &manifest.version);
            return place.join(life::bundle::WEIGHTS);
        }
        self.dir.join(manifest.file_name())
    }

    /// Whether the version was installed as a bundle.
    fn is_bundled(&self, manifest: &Manifest) -> bool {
        life::folder(&self.dir, &manifest.name, &manifest.version).is_dir()
    }

    fn missing(&self, manifest: &Manifest, path: PathBuf) -> ModelError {
        let (name, bundled) = (manifest.name.clone(), self.is_bundled(manifest));
        ModelError::Missing { name, bundled, path }
    }

    /// The runnable file of a model, verified.
    ///
    /// # Errors
    /// [`ModelError::Missing`] when it was not fetched, [`ModelError::Corrupt`] when it is not what the manifest
    /// pins; both name the command that helps. [`ModelError::File`] when it cannot be read.
    pub fn locate(&self, manifest: &Manifest) -> Result<PathBuf, ModelError> {
        let path = self.path(manifest);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.missing(manifest, path));
            }
            Err(error) => return Err(ModelError::file("cannot read", &path, &error)),
        };
        let stamp = stamp(&metadata);
        if let Some((seen, sha256)) = self.memo().get(&path)
            && *seen == stamp
            && manifest.runnable().any(|pin| pin.sha256 == *sha256)
        {
            return Ok(path);
        }
        let sha256 = self.verify(manifest)?;
        self.memo().insert(path.clone(), (stamp, sha256));
        Ok(path)
    }

    /// Reads the runnable file of a model and compares it with its manifest; gives its SHA-256. Remembers nothing.
    ///
    /// # Errors
    /// As [`Library::locate`].
    pub fn verify(&self, manifest: &Manifest) -> Result<String, ModelError> {
        let path = self.path(manifest);
        let found = match digest(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.missing(manifest, path));
            }
            Err(error) => return Err(ModelError::file("cannot read", &path, &error)),
        };
        if manifest.runnable().any(|pin| *pin == found) {
            return Ok(found.sha256);
        }
        let found = format!("it has {} bytes and SHA-256 {}", found.bytes, found.sha256);
        let (name, bundled) = (manifest.name.clone(), self.is_bundled(manifest));
        Err(ModelError::Corrupt { name, bundled, path, found })
    }

    /// A poisoned memo is still a memo: nothing panics while it is held.
    fn memo(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Stamp, String)>> {
        self.verified.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// Size and SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> std::io::Result<Pin> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0u64;
    loop {
        let count = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        context.update(chunk);
        bytes += count as u64;
    }
    Ok(Pin { sha256: hex(context.finish().as_ref()), bytes })
}

/// Size and SHA-256 of bytes in memory.
pub(crate) fn digest_of(bytes: &[u8]) -> Pin {
    Pin { sha256: hex(ring::digest::digest(&SHA256, bytes).as_ref()), bytes: bytes.len() as u64 }
}
