//! The one call that has to be unsafe: the environment, before any thread exists.
#![expect(unsafe_code, reason = "GStreamer is configured through the environment only")]

/// Sets what GStreamer reads once, in `gst_init`.
///
/// Does nothing once another thread runs and `gst_init` has been called by someone else: the caller checks.
pub(super) fn configure() {
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
    for (key, value) in SETTINGS {
        // SAFETY: called from `preload`, which runs once, in the single-threaded zygote; in tests before any
        // GStreamer call, where no other thread touches the environment.
        unsafe { std::env::set_var(key, value) };
    }
}
