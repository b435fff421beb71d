//! The few calls for which Rust has no safe form.
#![expect(
    unsafe_code,
    reason = "fork, exit without destructors, and read-only maps of sealed files"
)]

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Exit status of a worker that panicked, as the Rust runtime itself has it.
pub(super) const PANICKED: i32 = 101;

/// Forks and runs `child` in the new process, which ends with the status that `child` gives.
///
/// # Errors
/// When the process has more than one thread (a lock held by another one would never be released in the child), or fork fails.
pub(super) fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: `single_threaded` is checked when the zygote starts and it starts no thread, so the child has
    // every lock and heap in a sound state.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let status = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
            exit_now(status)
        }
        pid => Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no process id")),
    }
}

/// Ends the process at once: no destructor of a C library runs.
pub(super) fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` touches nothing of ours.
    unsafe { libc::_exit(status) }
}

/// Moves this process into user and network namespaces of its own, and an IPC namespace where that may be.
///
/// # Errors
/// Where the kernel or its policy does not allow unprivileged namespaces.
pub(super) fn unshare_namespaces() -> rustix::io::Result<()> {
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNET;
    // SAFETY: unsound only with `FILES`, which is not among the flags.
    let with_ipc = unsafe { rustix::thread::unshare_unsafe(flags | UnshareFlags::NEWIPC) };
    // A hardened service may make no IPC namespace; the filter allows workers no System V IPC in any case.
    // SAFETY: as above.
    with_ipc.or_else(|_| unsafe { rustix::thread::unshare_unsafe(flags) })
}

/// A read-only map of a sealed file: its bytes can change no more, so a plain slice of them is sound.
#[derive(Debug)]
pub(super) struct Map {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapped bytes never change and the map belongs to no thread.
unsafe impl Send for Map {}
// SAFETY: as above; all access is reading.
unsafe impl Sync for Map {}

impl Map {
    /// Maps all of `file`.
    ///
    /// # Errors
    /// When the file is not sealed against writing and shrinking, or cannot be mapped.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let seals = fcntl_get_seals(file)?;
        if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK) {
            return Err(io::Error::other("the file is not sealed"));
        }
        let len = usize::try_from(fstat(file)?.st_size).map_err(io::Error::other)?;
        if len == 0 {
            return Ok(Self { at: NonNull::dangling(), len });
        }
        // SAFETY: a fresh map at an address of the kernel's choice overlaps nothing.
        let at = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0)
        }?;
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mmap gave null"))?;
        Ok(Self { at, len })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `at` is valid for `len` bytes until drop, and the seals keep them from changing.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: this map is ours, and no slice of it outlives `self`.
            let _ = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.len) };
        }
    }
}
