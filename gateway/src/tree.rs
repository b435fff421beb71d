//! File trees of tests' own, for readers that take the root of one.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

/// A tree with these files: path and text.
pub fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}
