//! A labelled folder.
//!
//! # Layout
//! Either `labels.csv` in the folder, with a head line and the columns `file` (a path below the folder, or any path) and
//! `label`, others being passed over; then only what it lists is evaluated. Or sub-folders named for the label of all that
//! lies below them, at any depth: `good/…`, `spam/…`, and `sexual/minors/…` for a category of two parts. Names that begin
//! with a dot are passed over there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use super::label::{Meaning, Vocabulary};
use crate::check::inputs::{Input, expand};

/// The table of labels.
const TABLE: &str = "labels.csv";
/// Mistakes that are listed one by one; of the rest the number is told.
const MAX_LISTED: usize = 20;

/// One thing to evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name below the folder, lossily as UTF-8.
    pub file: String,
    /// Its label.
    pub label: String,
}

/// What lies in the folder.
#[derive(Debug)]
pub struct Items {
    /// The items, in the order of the table or of their names.
    pub all: Vec<Item>,
    /// What each label says.
    pub labels: BTreeMap<String, Meaning>,
}

impl Items {
    /// Reads a labelled folder.
    ///
    /// # Errors
    /// Where there is nothing to evaluate, and all unknown labels, unlabelled and missing files at once.
    pub fn read(dir: &Path, vocabulary: &Vocabulary) -> anyhow::Result<Self> {
        ensure!(dir.is_dir(), "{} is not a folder", dir.display());
        let table = dir.join(TABLE);
        let all = if table.is_file() { listed(dir, &table)? } else { found(dir, vocabulary)? };
        ensure!(
            !all.is_empty(),
            "nothing to evaluate in {}: put files into sub-folders named for their label (good, bad, …), or list them in \
             {TABLE}",
            dir.display()
        );
        let mut labels = BTreeMap::new();
        let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
        for item in &all {
            match vocabulary.meaning(&item.label) {
                Some(meaning) => drop(labels.insert(item.label.clone(), meaning)),
                None => *unknown.entry(item.label.clone()).or_default() += 1,
            }
        }
        ensure!(unknown.is_empty(), "{}", vocabulary.complaint(&unknown));
        Ok(Self { all, labels })
    }
}

/// The files of the table.
fn listed(dir: &Path, table: &Path) -> anyhow::Result<Vec<Item>> {
    let at = || format!("cannot read {}", table.display());
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(table).with_context(at)?;
    let head = reader.headers().with_context(at)?.clone();
    let column = |name: &str| {
        head.iter().position(|h| h.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name))
    };
    let (Some(file), Some(label)) = (column("file"), column("label")) else {
        bail!("{} needs a head line with the columns `file` and `label`", table.display());
    };
    let (mut items, mut mistakes, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for record in reader.records() {
        let record = record.with_context(at)?;
        let line = record.position().map_or(0, csv::Position::line);
        let (file, label) = (record.get(file).unwrap_or(""), record.get(label).unwrap_or(""));
        let path = dir.join(file);
        if file.is_empty() || label.is_empty() {
            mistakes.push(format!("line {line}: write both a file and its label"));
        } else if !seen.insert(path.clone()) {
            mistakes.push(format!("line {line}: {file:?} is listed twice"));
        } else if !path.is_file() {
            mistakes.push(format!("line {line}: there is no file {file:?}"));
        } else {
            items.push(Item { path, file: file.to_owned(), label: label.to_lowercase() });
        }
    }
    ensure!(mistakes.is_empty(), "{} has mistakes:\n{}", table.display(), list(&mistakes));
    Ok(items)
}

/// The files of the sub-folders.
fn found(dir: &Path, vocabulary: &Vocabulary) -> anyhow::Result<Vec<Item>> {
    let inputs = expand(&[dir.to_owned()], std::io::empty())?;
    let (mut items, mut bare) = (Vec::new(), Vec::new());
    for input in inputs {
        let Input::File(path) = input else { continue };
        let below = path.strip_prefix(dir).unwrap_or(&path);
        let parts: Vec<String> =
            below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let file = parts.join("/");
        if parts.iter().any(|part| part.starts_with('.')) {
            tracing::info!(file, "passed over: its name begins with a dot");
            continue;
        }
        match parts.as_slice() {
            [first, second, _, ..] => {
                let both = format!("{first}/{second}").to_lowercase();
                let label = match vocabulary.meaning(&both) {
                    Some(_) => both,
                    None => first.to_lowercase(),
                };
                items.push(Item { path, file, label });
            }
            [first, _] => {
                let label = first.to_lowercase();
                items.push(Item { path, file, label });
            }
            _ => bare.push(file),
        }
    }
    ensure!(
        bare.is_empty(),
        "without a label in {}; put them into sub-folders named for their label, or list them in {TABLE}:\n{}",
        dir.display(),
        list(&bare)
    );
    Ok(items)
}

fn list(lines: &[String]) -> String {
    let shown = lines.iter().take(MAX_LISTED).map(|line| format!("  {line}"));
    let more = lines.len().saturating_sub(MAX_LISTED);
    let more = (more > 0).then(|| format!("  and {more} more"));
    shown.chain(more).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use domain::profile::Profile;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        dir
    }

    fn read(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let vocabulary = Vocabulary::of([&Profile::embedded("starter")?])?;
        let items = Items::read(dir, &vocabulary)?;
        Ok(items.all.into_iter().map(|item| (item.file, item.label)).collect())
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(file, label)| ((*file).to_owned(), (*label).to_owned())).collect()
    }

    #[test]
    fn folders_are_labels_and_a_category_may_have_two_parts() {
        let dir =
            folder(&["Good/2024/a", "good/b", "sexual/minors/c", "sexual/d", ".git/x", "good/.x"]);
        let want = [
            ("Good/2024/a", "good"),
            ("good/b", "good"),
            ("sexual/d", "sexual"),
            ("sexual/minors/c", "sexual/minors"),
        ];
        assert_eq!(read(dir.path()).unwrap(), pairs(&want));
    }

    #[test]
    fn a_table_comes_before_folders_and_keeps_its_order() {
        let dir = folder(&["b.jpg", "good/a.jpg"]);
        let table = "\u{feff}Label,who,file\nspam,me,b.jpg\n good , you , good/a.jpg \n";
        std::fs::write(dir.path().join(TABLE), table).unwrap();
        let want = pairs(&[("b.jpg", "spam"), ("good/a.jpg", "good")]);
        assert_eq!(read(dir.path()).unwrap(), want);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let dir = folder(&["good/a", "cats/b", "cats/c", "dogs/d"]);
        let error = read(dir.path()).unwrap_err().to_string();
        for part in
            ["\"cats\" (2 items)", "\"dogs\" (1 item)", "scam_link", "sexual/minors", "good, safe"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        let bare = folder(&["a", "b", "good/c"]);
        let error = read(bare.path()).unwrap_err().to_string();
        assert!(error.contains("  a\n  b") && error.contains(TABLE), "{error}");
        let table = folder(&["good/a"]);
        std::fs::write(
            table.path().join(TABLE),
            "file,label\nx,good\ngood/a,good\ngood/a,spam\n,bad\n",
        )
        .unwrap();
        let error = read(table.path()).unwrap_err().to_string();
        assert!(error.contains("line 2: there is no file \"x\""), "{error}");
        assert!(
            error.contains("line 4") && error.contains("listed twice") && error.contains("line 5"),
            "{error}"
        );
        let empty = folder(&[]);
        assert!(read(empty.path()).unwrap_err().to_string().contains("sub-folders"));
        std::fs::write(empty.path().join(TABLE), "path,label\n").unwrap();
        assert!(read(empty.path()).unwrap_err().to_string().contains("`file` and `label`"));
    }
}
