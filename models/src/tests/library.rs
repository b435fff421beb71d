//! Fetching and verifying.

use std::fs;

use super::{tiny_manifest, tiny_model};
use crate::{Library, ModelError};

#[test]
fn a_model_that_is_absent_names_the_command_that_fetches_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = Library::new(dir.path()).locate(&tiny_manifest()).unwrap_err();
    assert!(matches!(error, ModelError::Missing { .. }));
    assert!(error.to_string().contains("weir models fetch tiny"), "{error}");
}

#[test]
fn a_mirror_is_searched_by_content_under_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = dir.path().join("mirror");
    fs::create_dir_all(mirror.join("a/b")).unwrap();
    let mut wrong = tiny_model();
    wrong[0] ^= 1;
    fs::write(mirror.join("a/tiny.onnx"), &wrong).unwrap();
    fs::write(mirror.join("a/b/whatever.bin"), tiny_model()).unwrap();
    let library = Library::new(dir.path().join("models"));
    let path = library.fetch(&tiny_manifest(), Some(&mirror), &mut |_| ()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), tiny_model());
    assert_eq!(path, library.locate(&tiny_manifest()).unwrap());
    let left: Vec<_> = fs::read_dir(library.dir()).unwrap().collect();
    assert_eq!(left.len(), 1, "a temporary file is left: {left:?}");
}

#[test]
fn a_mirror_without_the_file_says_which_file_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::new(dir.path().join("models"));
    let error =
        library.fetch(&tiny_manifest(), Some(dir.path()), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("tiny.onnx") && error.contains(&tiny_manifest().pin.sha256), "{error}");
}

#[test]
fn an_accepted_conversion_is_taken_where_the_sources_are_absent() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = tiny_manifest();
    manifest.accept = vec![manifest.pin.clone()];
    manifest.pin.sha256 = "0".repeat(64);
    manifest.sources[0].pin = manifest.pin.clone();
    fs::write(dir.path().join("x"), tiny_model()).unwrap();
    let library = Library::new(dir.path().join("models"));
    let path = library.fetch(&manifest, Some(dir.path()), &mut |_| ()).unwrap();
    assert_eq!(fs::read(path).unwrap(), tiny_model());
}

#[test]
fn a_file_that_changes_after_its_check_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::new(dir.path());
    let path = library.path(&tiny_manifest());
    fs::write(&path, tiny_model()).unwrap();
    library.locate(&tiny_manifest()).unwrap();
    let mut bytes = tiny_model();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    // Renamed into place, as any careful writer does: another inode.
    fs::write(dir.path().join("new"), &bytes).unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    let error = library.locate(&tiny_manifest()).unwrap_err();
    assert!(matches!(error, ModelError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("weir models fetch tiny"), "{error}");
    assert!(library.verify(&tiny_manifest()).is_err());
}
