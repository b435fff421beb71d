//! A small file system of its own, where mounting is permitted.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// A file system in memory; unmounted with this.
pub struct Mount(tempfile::TempDir);

impl Mount {
    /// One of this size, such as `64m`; `None` where mounting is not permitted.
    ///
    /// # Panics
    /// Where no folder can be made.
    pub fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte with a file of this name; how many bytes that were.
    ///
    /// # Panics
    /// Where it fails otherwise than by being full.
    pub fn fill(&self, name: &str) -> u64 {
        let path = self.path().join(name);
        let mut file = File::create(&path).expect("an empty file always fits");
        // Ever smaller pieces, so that nothing is left over.
        for size in [1 << 20, 64 << 10, 4 << 10, 1] {
            let piece = vec![1; size];
            loop {
                match file.write(&piece) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        path.metadata().expect("it is there").len()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
