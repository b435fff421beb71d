//! Small files of the kernel's, read with care: any may be absent, empty, or say something else than it should.

use std::path::{Path, PathBuf};

/// Entries of a folder that are read at most.
const ENTRIES: usize = 256;

/// Folders (and links to such) below `parent` whose names begin with `prefix`, sorted.
pub(super) fn folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
    let mut folders: Vec<_> = ours.map(|e| e.path()).take(ENTRIES).collect();
    folders.sort();
    folders
}

/// A word or a short line; `None` where there is none.
pub(super) fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(40).collect();
    (!text.is_empty()).then_some(text)
}

/// A whole number that is not negative.
pub(super) fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

/// The last part of a path, without what is no text.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().chars().take(40).collect())
}
