//! Plans on disk: one file each, with what it was made for and a hash before it. A file is written aside, synced and
//! renamed, so that a power cut leaves the old state or the new one; whatever else may have happened to it, the hash tells.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, FlockOperation, access, flock};
use serde::{Deserialize, Serialize};

use super::key::Key;
use super::workplace::{self, Workplace};
use crate::ModelError;
use crate::file::replace;
use crate::library::digest_of;

/// Begins every file.
const MAGIC: &[u8; 8] = b"WEIRPLAN";

/// Bytes of a header at most.
const HEADER: u32 = 64 << 10;

/// Bytes of a plan at most.
const PLAN: u64 = 4 << 30;

/// What stands before a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    key: Key,
    sha256: String,
    bytes: u64,
    built_at: u64,
    seconds: f64,
}

/// A plan that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// What it was made for, when (Unix seconds) and how long that took (seconds); `None` where it cannot be read.
    pub made: Option<(Key, u64, f64)>,
}

/// What [`Plans::prune`] has removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pruned {
    /// Files that are gone.
    pub paths: Vec<PathBuf>,
    /// Bytes that they took.
    pub bytes: u64,
}

/// The folder of plans.
#[derive(Clone, Debug)]
pub struct Plans {
    dir: PathBuf,
}

impl Plans {
    /// The plans in `dir`, which is made when the first is kept.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the plan of a key belongs.
    pub fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(key.file_name())
    }

    /// Waits until nobody else builds this plan, and keeps others from it until the lock is dropped.
    pub(super) fn lock(&self, key: &Key) -> Result<File, ModelError> {
        self.make_dir()?;
        let path = self.dir.join(format!("{}.lock", key.file_name()));
        let failed = |error: io::Error| ModelError::file("cannot lock", &path, &error);
        let file = File::create(&path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }

    /// A folder of one build's own, removed with it.
    pub(super) fn workplace(&self, key: &Key) -> Result<Workplace, ModelError> {
        // Where it cannot be made, the build goes on elsewhere and its plan stays in memory.
        let _ = self.make_dir();
        let timings = format!("timings-{}-{}", key.tensorrt, key.capability);
        Workplace::new(&self.dir, &timings)
            .map_err(|error| ModelError::file("cannot make a folder in", &self.dir, &error))
    }

    /// Whether plans can be kept.
    ///
    /// # Errors
    /// Why not.
    pub fn writable(&self) -> Result<(), ModelError> {
        let here = self.dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("."));
        let failed = |error: io::Error| ModelError::file("cannot write below", here, &error);
        if !here.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        access(here, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| failed(error.into()))
    }

    /// The plan of a key; `None` where there is none, or none that holds.
    pub(super) fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, ModelError> {
        let path = self.path(key);
        match open(&path) {
            Ok((header, plan))
                if header.key == *key && digest_of(&plan).sha256 == header.sha256 =>
            {
                Ok(Some(plan))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() != io::ErrorKind::InvalidData => {
                Err(ModelError::file("cannot read", &path, &error))
            }
            _ => Ok(None),
        }
    }

    /// Keeps a plan.
    pub(super) fn write(&self, key: &Key, plan: &[u8], took: Duration) -> Result<(), ModelError> {
        self.make_dir()?;
        let path = self.path(key);
        let header = Header {
            key: key.clone(),
            sha256: digest_of(plan).sha256,
            bytes: plan.len() as u64,
            built_at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            seconds: took.as_secs_f64(),
        };
        let header = serde_json::to_vec(&header).unwrap_or_default();
        let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
        let length = length.to_le_bytes();
        let parts = [MAGIC.as_slice(), &length, &header, plan];
        // For whoever may run the service: there is nothing secret in a plan.
        replace(&path, &parts, 0o644)
            .map_err(|error| ModelError::file("cannot write", &path, &error))
    }

    pub(super) fn remove(&self, key: &Key) -> Result<(), ModelError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ModelError::file("cannot remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// All that is kept, by name.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Kept>, ModelError> {
        let failed = |error: io::Error| ModelError::file("cannot read", &self.dir, &error);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut kept = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "plan") {
                continue;
            }
            let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let made = header(&path).ok().map(|h| (h.key, h.built_at, h.seconds));
            kept.push(Kept { path, bytes, made });
        }
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(kept)
    }

    /// Removes every plan that `wanted` does not want, locks without a plan, and what builds that were cut off left.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn prune(&self, wanted: impl Fn(&Key) -> bool) -> Result<Pruned, ModelError> {
        let mut pruned = Pruned::default();
        for kept in self.list()? {
            if kept.made.as_ref().is_some_and(|(key, ..)| wanted(key)) {
                continue;
            }
            fs::remove_file(&kept.path)
                .map_err(|error| ModelError::file("cannot remove", &kept.path, &error))?;
            pruned.bytes += kept.bytes;
            pruned.paths.push(kept.path);
        }
        self.sweep();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if let Some(plan) = name.strip_suffix(".lock")
                && !self.dir.join(plan).exists()
                && File::open(&path)
                    .is_ok_and(|f| flock(&f, FlockOperation::NonBlockingLockExclusive).is_ok())
            {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(pruned)
    }

    /// Removes what builds that were cut off left.
    pub(super) fn sweep(&self) {
        workplace::sweep(&self.dir);
    }

    fn make_dir(&self) -> Result<(), ModelError> {
        fs::create_dir_all(&self.dir)
            .map_err(|error| ModelError::file("cannot make", &self.dir, &error))
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn header(path: &Path) -> io::Result<Header> {
    read_header(&mut File::open(path)?)
}

fn read_header(file: &mut File) -> io::Result<Header> {
    let (mut magic, mut length) = ([0; 8], [0; 4]);
    let short = |_| damaged("it is too short");
    file.read_exact(&mut magic).map_err(short)?;
    file.read_exact(&mut length).map_err(short)?;
    let length = u32::from_le_bytes(length);
    if magic != *MAGIC || length > HEADER {
        return Err(damaged("it is no plan"));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(short)?;
    serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))
}

fn open(path: &Path) -> io::Result<(Header, Vec<u8>)> {
    let mut file = File::open(path)?;
    let header = read_header(&mut file)?;
    if header.bytes > PLAN {
        return Err(damaged("its plan is too large"));
    }
    let mut plan = Vec::new();
    // One byte more than there should be tells of what follows.
    file.take(header.bytes + 1).read_to_end(&mut plan)?;
    if plan.len() as u64 != header.bytes {
        return Err(damaged("its plan has another length"));
    }
    Ok((header, plan))
}
