//! One process for one directory.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// Takes the directory; it is let go when the file is closed, whichever way the process ends.
pub(crate) fn take(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(Error::io("read", &path))?;
            return Err(Error::InUse { dir: dir.to_owned(), pid: pid.trim().to_owned() });
        }
        Err(errno) => return Err(Error::sys("lock", &path)(errno)),
    }
    let pid = format!("{:<20}\n", std::process::id());
    file.rewind()
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}
