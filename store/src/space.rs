//! Room on the disk: who is refused when it runs out, and with what the accepted is finished.
//!
//! A full disk makes SQLite's log refuse INSERT, DELETE and checkpoint alike. So new work is refused while there is still
//! room for the old ([`Error::Full`] below `reserve_bytes` or above `max_bytes`), and where the disk fills up all the same, a
//! ballast file is given up and the writes are tried once more.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;

use crate::{Config, Error};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// Watches the room.
pub(crate) struct Space {
    dir: PathBuf,
    soft_pages: u64,
    reserve_bytes: u64,
    ballast_bytes: u64,
    /// Whether the ballast lies on the disk.
    held: bool,
    /// Whether new work is refused; shared with whoever wants to refuse earlier.
    tight: Arc<AtomicBool>,
}

impl Space {
    pub fn new(dir: &Path, config: &Config) -> Self {
        let mut space = Self {
            dir: dir.to_owned(),
            soft_pages: config.max_bytes / PAGE,
            reserve_bytes: config.reserve_bytes,
            ballast_bytes: config.ballast_bytes,
            held: false,
            tight: Arc::new(AtomicBool::new(false)),
        };
        space.held = space.lay_ballast().is_ok();
        space
    }

    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.tight)
    }

    /// Pages beyond which SQLite itself refuses: the cap for new work, and a ballast's worth to finish the old.
    pub fn hard_pages(config: &Config) -> u64 {
        config.max_bytes / PAGE + config.ballast_bytes.div_ceil(PAGE)
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    fn lay_ballast(&self) -> Result<(), Error> {
        let path = self.ballast();
        if fs::metadata(&path).is_ok_and(|m| m.len() == self.ballast_bytes) {
            return Ok(());
        }
        // Not zeros: some file systems store nothing for those.
        let bytes = vec![0xa5; usize::try_from(self.ballast_bytes).unwrap_or(0)];
        let laid = fs::write(&path, bytes).and_then(|()| fs::File::open(&path)?.sync_all());
        if laid.is_err() {
            // A part of a ballast only takes room away.
            let _ = fs::remove_file(&path);
        }
        laid.map_err(Error::io("write", &path))
    }

    /// Whether there is room for new work.
    pub fn admits(&mut self, conn: &Connection) -> Result<bool, Error> {
        let stat =
            rustix::fs::statvfs(&self.dir).map_err(Error::sys("ask the room on", &self.dir))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let used = (pragma("page_count")? - pragma("freelist_count")?).cast_unsigned();
        // With the ballast gone there must be room to lay it again, and as much to work with.
        let wanted =
            self.reserve_bytes + if self.held { 0 } else { self.ballast_bytes.saturating_mul(2) };
        let roomy = free >= wanted && used < self.soft_pages;
        if roomy && !self.held {
            self.held = self.lay_ballast().is_ok();
        }
        self.tight.store(!roomy, Ordering::Relaxed);
        Ok(roomy)
    }

    /// Gives up the ballast; false where it is gone already.
    pub fn relieve(&mut self) -> bool {
        self.tight.store(true, Ordering::Relaxed);
        let had = std::mem::replace(&mut self.held, false);
        had && fs::remove_file(self.ballast()).is_ok()
    }
}
