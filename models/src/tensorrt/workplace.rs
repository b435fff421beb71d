//! The folder in which one build works. It is locked for as long as it is used, so that what a build that was cut off has
//! left behind can be told from it, and is removed by the next one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
use rustix::process::geteuid;
use tempfile::TempDir;

/// How names begin in the folder of plans, and where folders of others lie beside.
const PREFIXES: [&str; 2] = [".build-", ".weir-build-"];

/// A folder of one build's own, removed with this.
pub(super) struct Workplace {
    dir: TempDir,
    /// Where timings of layers are kept from one build to the next.
    timings: PathBuf,
    /// Unlocks when it is closed.
    _lock: File,
}

impl Workplace {
    /// A folder in `dir`, or where that may not be written among the temporary ones of the system. `timings` is the name of
    /// the file of timings, which stays in `dir`.
    ///
    /// # Errors
    /// Where neither can be had.
    pub(super) fn new(dir: &Path, timings: &str) -> io::Result<Self> {
        sweep(dir);
        match Self::make(dir, PREFIXES[0]) {
            Ok((own, lock)) => Ok(Self { dir: own, timings: dir.join(timings), _lock: lock }),
            Err(_) => {
                let elsewhere = std::env::temp_dir();
                sweep(&elsewhere);
                let (own, lock) = Self::make(&elsewhere, PREFIXES[1])?;
                Ok(Self { timings: own.path().join(timings), dir: own, _lock: lock })
            }
        }
    }

    fn make(dir: &Path, prefix: &str) -> io::Result<(TempDir, File)> {
        loop {
            let made = tempfile::Builder::new().prefix(prefix).tempdir_in(dir)?;
            match File::open(made.path()) {
                Ok(lock) => {
                    flock(&lock, FlockOperation::LockExclusive)?;
                    // Somebody may have swept it up before it was locked.
                    if made.path().is_dir() {
                        return Ok((made, lock));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where timings of layers are kept.
    pub(super) fn timings(&self) -> &Path {
        &self.timings
    }
}

/// Removes the folders in `dir` that builds have left which were cut off. What cannot be removed is in nobody's way.
pub(super) fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && is_left(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it is a folder of our own that nobody holds.
fn is_left(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = open(path, flags, Mode::empty()) else { return false };
    fstat(&folder).is_ok_and(|stat| stat.st_uid == geteuid().as_raw())
        && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
}
