//! What has to be unsafe: setting the environment before any thread exists, and the clock of spent CPU time.
#![expect(
    unsafe_code,
    reason = "GStreamer is configured through the environment; std has no CPU clock"
)]

use std::time::Duration;

/// Sets what GStreamer reads once, in `gst_init`.
///
/// Does nothing once another thread runs and `gst_init` has been called by someone else: the caller checks.
pub(super) fn configure() {
    for (key, value) in SETTINGS {
        // SAFETY: called from `preload`, which runs once, in the single-threaded zygote; in tests before any
        // GStreamer call, where no other thread touches the environment.
        unsafe { std::env::set_var(key, value) };
    }
}

/// What is set, and why.
const SETTINGS: [(&str, &str); 6] = [
    // No helper process that scans plugins, no cache file, no search: `registry` loads what we need by path.
    ("GST_REGISTRY_FORK", "no"),
    ("GST_REGISTRY_UPDATE", "no"),
    ("GST_REGISTRY_DISABLE", "yes"),
    ("GST_PLUGIN_PATH_1_0", ""),
    ("GST_PLUGIN_SYSTEM_PATH_1_0", ""),
    // Machine code made at run time needs memory that is writable and executable, which the sandbox refuses.
    ("ORC_CODE", "backup"),
];

/// The names of what is set.
#[cfg(test)]
pub(super) const KEYS: [&str; 6] =
    [SETTINGS[0].0, SETTINGS[1].0, SETTINGS[2].0, SETTINGS[3].0, SETTINGS[4].0, SETTINGS[5].0];

/// CPU time that this process has spent, over all threads.
pub(super) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local of the right type; the clock id is one that always exists.
    if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
