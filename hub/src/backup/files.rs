//! Files and folders that are whole, and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::Error;

/// Names the path in an error.
pub(super) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
}

/// A folder that only this user opens, with those above it.
pub(super) fn folder(path: &Path) -> Result<(), Error> {
    at(path, fs::DirBuilder::new().recursive(true).mode(0o700).create(path))
}

/// A new file that only this user reads.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    at(path, made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())))
}

/// Makes what a folder lists last.
pub(super) fn sync(path: &Path) -> Result<(), Error> {
    at(path, File::open(path).and_then(|folder| folder.sync_all()))
}

/// Copies what is in a folder, with the rights of each file; a link is refused.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    folder(to)?;
    for entry in at(from, fs::read_dir(from))? {
        let entry = at(from, entry)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = at(&path, entry.file_type())?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file() {
            at(&path, fs::copy(&path, &target))?;
        } else {
            return Err(Error::Invalid(format!(
                "{} is a link: a cluster with tablespaces is not restored by this command, see Postgres's own documentation",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Whether there is nothing at a path, or an empty folder.
pub(super) fn is_vacant(path: &Path) -> Result<bool, Error> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => at(path, Err(error)),
    }
}
