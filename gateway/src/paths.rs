//! Where things lie on a box.

use std::path::PathBuf;

/// The folder of model weights: `WEIR_MODELS`, else `models` in the data folder.
pub fn models_dir() -> PathBuf {
    std::env::var_os("WEIR_MODELS").map_or_else(|| data_dir().join("models"), PathBuf::from)
}

/// The data folder: `WEIR_DATA`, else `/var/lib/weir` where it exists, else the user's XDG data folder.
pub fn data_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("WEIR_DATA") {
        return dir.into();
    }
    let system = PathBuf::from("/var/lib/weir");
    if system.is_dir() {
        return system;
    }
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("weir")
}
