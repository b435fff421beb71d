//! The spool: bytes of media on disk until nobody needs them.
//!
//! Layout: `spool/new/NAME` while it is being written, `spool/blobs/NAME` when it is whole and synced. NAME is a UUIDv7
//! in 32 hexadecimal digits. A file under `new` at the start is what a crash left and goes.
//!
//! Invariant: what [`Upload::finish`] returns survives a power cut. The bytes are synced before the rename, and the folder
//! after it; the folder's sync is shared by all uploads that wait for one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ring::digest::{Context, SHA256};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// As much of a body as is kept in memory before it is written: a photo is written at once, a video in pieces.
const PIECE: usize = 512 << 10;

/// As many first bytes as tell a format.
const HEAD: usize = 4 << 10;

/// Why bytes could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// More bytes than the tenant's profile allows.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    /// No room: on the disk, or under the cap of the spool.
    #[error("the spool is full")]
    Full,
    /// The disk failed.
    #[error("cannot {doing} in the spool: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

impl SpoolError {
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing, error },
        }
    }
}

/// Bytes that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Name of the file.
    pub name: String,
    /// Hash of the bytes.
    pub sha256: [u8; 32],
    /// Their number.
    pub bytes: u64,
    /// What their first bytes say.
    pub format: domain::Format,
    /// When the last of them had arrived.
    pub arrived: Instant,
}

/// The folder. Cheap to clone.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    new: PathBuf,
    blobs: PathBuf,
    used: AtomicU64,
    cap: u64,
    folder: File,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Who waits for the next sync of the folder.
    next: Vec<oneshot::Sender<()>>,
    /// Whether somebody is at it.
    running: bool,
}

impl Spool {
    /// Opens or makes the folder and removes what a crash left half written. It may hold `cap` bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(data: &Path, cap: u64) -> io::Result<Self> {
        let (new, blobs) = (data.join("spool/new"), data.join("spool/blobs"));
        for folder in [&new, &blobs] {
            std::fs::create_dir_all(folder)?;
        }
        for left in std::fs::read_dir(&new)? {
            std::fs::remove_file(left?.path())?;
        }
        let folder = File::open(&blobs)?;
        folder.sync_all()?;
        let spool = Self(Arc::new(Inner {
            new,
            blobs,
            used: AtomicU64::new(0),
            cap,
            folder,
            waiting: Mutex::default(),
        }));
        let names = spool.names()?;
        let sizes = names.iter().filter_map(|name| Some(spool.path(name).metadata().ok()?.len()));
        spool.0.used.store(sizes.sum(), Ordering::Relaxed);
        Ok(spool)
    }

    /// Where a kept file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.blobs.join(name)
    }

    /// Names of all kept files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.0.blobs)?;
        names.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Bytes that it may hold.
    pub fn cap(&self) -> u64 {
        self.0.cap
    }

    /// Bytes kept.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Counts bytes that lie elsewhere as if they were kept here: they take the same room. They are never refused, for
    /// they come in the place of larger ones.
    pub fn charge(&self, bytes: u64) {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was charged is gone.
    pub fn discharge(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Starts an upload of at most `most` bytes.
    pub fn upload(&self, most: u64) -> Upload {
        Upload {
            spool: self.clone(),
            most,
            name: uuid::Uuid::now_v7().simple().to_string(),
            file: None,
            buffer: Vec::new(),
            head: Vec::new(),
            hash: Context::new(&SHA256),
            bytes: 0,
        }
    }

    /// Deletes a file; one that is gone already is no error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let bytes = path.metadata().map_or(0, |m| m.len());
        match std::fs::remove_file(&path) {
            Ok(()) => {
                self.0.used.fetch_sub(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until every rename that came before this call is on the disk.
    async fn sync_folder(&self) -> Result<(), SpoolError> {
        let (done, wait) = oneshot::channel();
        let start = {
            let mut waiting = self.waiting();
            waiting.next.push(done);
            !std::mem::replace(&mut waiting.running, true)
        };
        if start {
            let spool = self.clone();
            spawn_blocking(move || spool.sync_while_somebody_waits());
        }
        wait.await.map_err(|_| SpoolError::Io {
            doing: "sync the folder",
            error: io::Error::other("the service is ending"),
        })
    }

    fn sync_while_somebody_waits(&self) {
        loop {
            let now = {
                let mut waiting = self.waiting();
                waiting.running = !waiting.next.is_empty();
                std::mem::take(&mut waiting.next)
            };
            if now.is_empty() {
                return;
            }
            if let Err(error) = self.0.folder.sync_all() {
                lost(&error);
            }
            for done in now {
                // Who went away needs no answer.
                let _ = done.send(());
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // The list is sound after every statement.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failed fsync may have dropped pages that look clean afterwards: only a new process reads what the disk has.
fn lost(error: &io::Error) {
    tracing::error!(%error, "the disk lost what it was told to keep; ending, so that the service starts anew");
    std::process::abort();
}

/// Bytes on their way into the spool. Dropped before [`Upload::finish`], it leaves nothing.
pub struct Upload {
    spool: Spool,
    most: u64,
    name: String,
    file: Option<File>,
    buffer: Vec<u8>,
    head: Vec<u8>,
    hash: Context,
    bytes: u64,
}

impl Upload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// As soon as there are too many of them, or no room.
    pub async fn push(&mut self, chunk: &[u8]) -> Result<(), SpoolError> {
        let bytes = self.bytes + chunk.len() as u64;
        if bytes > self.most {
            return Err(SpoolError::TooLarge(self.most));
        }
        let used = self.spool.0.used.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        self.bytes = bytes;
        if used + chunk.len() as u64 > self.spool.0.cap {
            return Err(SpoolError::Full);
        }
        self.hash.update(chunk);
        if self.head.len() < HEAD {
            let more = HEAD - self.head.len();
            self.head.extend_from_slice(chunk.get(..more).unwrap_or(chunk));
        }
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= PIECE { self.write_out().await } else { Ok(()) }
    }

    async fn write_out(&mut self) -> Result<(), SpoolError> {
        let (file, path) = (self.file.take(), self.path());
        let buffer = std::mem::take(&mut self.buffer);
        let written =
            spawn_blocking(move || write(file, &path, buffer)).await.map_err(joined)??;
        (self.file, self.buffer) = (Some(written.0), written.1);
        Ok(())
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// Where there is no room, or the disk fails.
    pub async fn finish(mut self) -> Result<Kept, SpoolError> {
        let arrived = Instant::now();
        let (file, path) = (self.file.take(), self.path());
        let buffer = std::mem::take(&mut self.buffer);
        let target = self.spool.path(&self.name);
        let renamed = spawn_blocking(move || {
            let (file, _) = write(file, &path, buffer)?;
            match file.sync_data() {
                Err(error)
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                    ) =>
                {
                    lost(&error)
                }
                other => other.map_err(SpoolError::io("sync"))?,
            }
            std::fs::rename(&path, &target).map_err(SpoolError::io("rename"))
        });
        renamed.await.map_err(joined)??;
        self.spool.sync_folder().await?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        let format = pipeline::sniff::sniff(&self.head);
        // From here on the bytes count as kept.
        let (name, bytes) = (std::mem::take(&mut self.name), std::mem::take(&mut self.bytes));
        Ok(Kept { name, sha256, bytes, format, arrived })
    }

    fn path(&self) -> PathBuf {
        self.spool.0.new.join(&self.name)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        self.spool.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
        // It may never have been made, or been renamed just now; what is left over is swept at the next start.
        let _ = std::fs::remove_file(self.path());
        let _ = std::fs::remove_file(self.spool.path(&self.name));
    }
}

fn write(
    file: Option<File>,
    path: &Path,
    mut buffer: Vec<u8>,
) -> Result<(File, Vec<u8>), SpoolError> {
    let make = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_or_else(make, Ok).map_err(SpoolError::io("make a file"))?;
    file.write_all(&buffer).map_err(SpoolError::io("write"))?;
    buffer.clear();
    Ok((file, buffer))
}

fn joined(error: tokio::task::JoinError) -> SpoolError {
    SpoolError::Io { doing: "write", error: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn bytes_come_back_with_their_hash_and_format() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path(), 10_000_000).unwrap();
        let mut upload = spool.upload(10_000_000);
        let body: Vec<u8> = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[7; 3 * PIECE]].concat();
        for chunk in body.chunks(100_000) {
            upload.push(chunk).await.unwrap();
        }
        let kept = upload.finish().await.unwrap();
        assert_eq!(std::fs::read(spool.path(&kept.name)).unwrap(), body);
        let want = ring::digest::digest(&SHA256, &body);
        assert_eq!((&kept.sha256[..], kept.bytes), (want.as_ref(), body.len() as u64));
        assert_eq!(kept.format, domain::Format::Png);
        assert_eq!(spool.used(), body.len() as u64);
        assert_eq!(names(&data.path().join("spool/new")), [""; 0]);
        spool.delete(&kept.name).unwrap();
        spool.delete(&kept.name).unwrap();
        assert_eq!((spool.used(), spool.names().unwrap().len()), (0, 0));
    }

    #[tokio::test]
    async fn what_is_too_much_or_given_up_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path(), 2_000_000).unwrap();
        let mut large = spool.upload(1_000_000);
        large.push(&[0; 900_000]).await.unwrap();
        assert!(matches!(large.push(&[0; 200_000]).await, Err(SpoolError::TooLarge(1_000_000))));
        let mut other = spool.upload(1_500_000);
        other.push(&[0; 1_000_000]).await.unwrap();
        assert!(matches!(other.push(&[0; 400_000]).await, Err(SpoolError::Full)));
        drop((large, other));
        assert_eq!(spool.used(), 0);
        assert_eq!(names(&data.path().join("spool/new")), [""; 0]);
        // Room again.
        let mut small = spool.upload(10);
        small.push(b"abc").await.unwrap();
        small.finish().await.unwrap();
    }

    #[tokio::test]
    async fn many_uploads_share_the_sync_of_the_folder_and_all_are_kept() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path(), 1 << 30).unwrap();
        let uploads = (0..100u8).map(|i| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let mut upload = spool.upload(100);
                upload.push(&[i; 50]).await.unwrap();
                upload.finish().await.unwrap()
            })
        });
        for (i, upload) in uploads.collect::<Vec<_>>().into_iter().enumerate() {
            let kept = upload.await.unwrap();
            assert_eq!(std::fs::read(spool.path(&kept.name)).unwrap(), [i as u8; 50]);
        }
        // Whoever synced says so before it looks whether more has come.
        while spool.waiting().running {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_start_removes_what_was_half_written_and_counts_the_rest() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path(), 1 << 30).unwrap();
        let mut upload = spool.upload(100);
        upload.push(b"whole").await.unwrap();
        let kept = upload.finish().await.unwrap();
        std::fs::write(data.path().join("spool/new/half"), "half").unwrap();
        let spool = Spool::open(data.path(), 1 << 30).unwrap();
        assert_eq!((spool.names().unwrap(), spool.used()), (vec![kept.name], 5));
        assert_eq!(names(&data.path().join("spool/new")), [""; 0]);
    }
}
