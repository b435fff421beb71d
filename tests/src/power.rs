//! A power cut without a machine to cut: what the disk was not told to keep is gone.
//!
//! A small library is loaded before libc into the service. At each fsync or fdatasync that succeeds it copies the file, as
//! it then is, to a second folder: that is what the disk has. [`Power::cut`], after the process was killed, puts each file
//! back to its last copy and empties those without one. Names survive, pages do not: what a file system with ordered
//! metadata leaves after a cut. A file is known by its inode and its time of birth, so that a rename changes nothing.
//!
//! [`Power::lie`] makes the disk say that it synced and do nothing: the negative control.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// The library. In C: it stands in for functions of libc, and is built in a blink.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int lies(void) {
    char path[4096];
    const char *shadow = getenv("POWER_SHADOW");
    if (!shadow) return 0;
    snprintf(path, sizeof path, "%s/lie", shadow);
    return access(path, F_OK) == 0;
}

static void keep(int fd) {
    const char *shadow = getenv("POWER_SHADOW");
    struct statx now;
    if (!shadow || statx(fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_INO | STATX_MODE, &now)) return;
    if (!S_ISREG(now.stx_mode)) return;
    char self[64], part[4096], whole[4096], buffer[65536];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    snprintf(whole, sizeof whole, "%s/%llu-%lld-%u", shadow, (unsigned long long)now.stx_ino,
             (long long)now.stx_btime.tv_sec, now.stx_btime.tv_nsec);
    snprintf(part, sizeof part, "%s.%d", whole, (int)gettid());
    int from = open(self, O_RDONLY | O_CLOEXEC);
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t count = -1;
    if (from >= 0 && to >= 0)
        while ((count = read(from, buffer, sizeof buffer)) > 0)
            if (write(to, buffer, count) != count) abort();
    if (count != 0) abort();
    close(from);
    close(to);
    // Whole or not at all, also when the process is killed in here.
    if (rename(part, whole)) abort();
}

static int sync_by(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (lies()) return 0;
    int outcome = real(fd);
    if (outcome == 0) keep(fd);
    return outcome;
}

int fsync(int fd) { return sync_by("fsync", fd); }
int fdatasync(int fd) { return sync_by("fdatasync", fd); }
"#;

/// What the disk has of a data folder.
pub struct Power {
    data: PathBuf,
    shadow: PathBuf,
    library: PathBuf,
}

impl Power {
    /// For a data folder that is still empty; builds the library in `dir`.
    ///
    /// # Panics
    /// Where there is no C compiler.
    pub fn new(dir: &Path, data: &Path) -> Self {
        let (source, library) = (dir.join("power.c"), dir.join("power.so"));
        let shadow = dir.join("shadow");
        std::fs::create_dir_all(&shadow).expect("the folder can be made");
        std::fs::write(&source, SHIM).expect("it can be written");
        let built = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .arg("-ldl")
            .output()
            .expect("there is a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { data: data.to_owned(), shadow, library }
    }

    /// What the service's environment needs.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("POWER_SHADOW", &self.shadow)]
    }

    /// From now on the disk says that it synced and does nothing.
    ///
    /// # Panics
    /// Where the file system fails.
    pub fn lie(&self) {
        std::fs::write(self.shadow.join("lie"), "").expect("it can be written");
    }

    /// How many files the disk has.
    ///
    /// # Panics
    /// Where the file system fails.
    pub fn synced(&self) -> usize {
        std::fs::read_dir(&self.shadow).expect("it can be read").count()
    }

    /// Drops what was not synced. The service must have ended. How many files lost something.
    ///
    /// # Panics
    /// Where the file system fails.
    pub fn cut(&self) -> usize {
        let mut changed = 0;
        let mut folders = vec![self.data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("it can be read") {
                let entry = entry.expect("it can be read");
                let kind = entry.file_type().expect("it has a type");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    changed += usize::from(self.put_back(&entry.path()));
                }
            }
        }
        changed
    }

    fn put_back(&self, path: &Path) -> bool {
        let meta = path.metadata().expect("it is there");
        let born = meta.created().expect("the file system keeps the time of birth");
        let born = born.duration_since(UNIX_EPOCH).expect("born after 1970");
        let name = format!("{}-{}-{}", meta.ino(), born.as_secs(), born.subsec_nanos());
        let durable = std::fs::read(self.shadow.join(name)).unwrap_or_default();
        if durable == std::fs::read(path).expect("it can be read") {
            return false;
        }
        // In place: a new file would be another one to the next cut.
        std::fs::write(path, durable).expect("it can be written");
        true
    }
}
