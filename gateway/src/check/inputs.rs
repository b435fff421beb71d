//! Turns the paths of the command line into the files to judge.

use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Folders nested deeper than this are not searched.
const MAX_DEPTH: u32 = 64;

/// One thing to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, or something that turned out not to be one.
    File(PathBuf),
    /// The caption alone.
    Caption,
}

/// The inputs in the order given; a folder's files in the order of their names, at any depth.
///
/// What is not there stays in the list, so that it gets a line that says so. Links inside folders are not
/// followed, so no loop and nothing outside the folder.
pub fn expand(paths: &[PathBuf], list: impl BufRead) -> std::io::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    let mut list = Some(list);
    for path in paths {
        if path.as_os_str() == "-" {
            if let Some(list) = list.take() {
                read_list(list, &mut inputs)?;
            }
        } else {
            expand_one(path, &mut inputs);
        }
    }
    Ok(inputs)
}

fn read_list(list: impl BufRead, inputs: &mut Vec<Input>) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStringExt as _;
    for line in list.split(b'\n') {
        let mut line = line?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.trim_ascii().is_empty() {
            expand_one(Path::new(&std::ffi::OsString::from_vec(line)), inputs);
        }
    }
    Ok(())
}

fn expand_one(path: &Path, inputs: &mut Vec<Input>) {
    if path.is_dir() {
        walk(path, 0, inputs);
    } else {
        inputs.push(Input::File(path.to_owned()));
    }
}

fn walk(dir: &Path, depth: u32, inputs: &mut Vec<Input>) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) if depth < MAX_DEPTH => entries,
        // Which says so when it is opened. A folder that cannot be read is an input that cannot be judged, never silence.
        _ => {
            inputs.push(Input::File(dir.to_owned()));
            return;
        }
    };
    let mut paths: Vec<_> =
        entries.flatten().map(|entry| (entry.path(), entry.file_type())).collect();
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in paths {
        match kind {
            Ok(kind) if kind.is_dir() => walk(&path, depth + 1, inputs),
            Ok(kind) if kind.is_file() => inputs.push(Input::File(path)),
            Ok(_) => tracing::info!(path = %path.display(), "passed over: neither file nor folder"),
            Err(_) => inputs.push(Input::File(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn folders_are_searched_in_order_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["b/2", "b/1", "a"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("b/loop")).unwrap();
        let found = expand(&[dir.path().to_owned()], std::io::empty()).unwrap();
        let want: Vec<_> =
            ["a", "b/1", "b/2"].iter().map(|n| Input::File(dir.path().join(n))).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_list_is_read_once_and_keeps_its_place_among_the_paths() {
        let list: &[u8] = b"one\r\n\n  \ntwo\xff\n";
        let paths = [PathBuf::from("zero"), "-".into(), "three".into(), "-".into()];
        let found = expand(&paths, list).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|i| match i {
                Input::File(p) => p.to_string_lossy().into_owned(),
                Input::Caption => unreachable!("no caption was given"),
            })
            .collect();
        assert_eq!(names, ["zero", "one", "two\u{fffd}", "three"]);
    }

    #[test]
    fn what_is_missing_stays_in_the_list() {
        let found = expand(&["/nonexistent/file".into()], std::io::empty()).unwrap();
        assert_eq!(found, [Input::File("/nonexistent/file".into())]);
    }
}
