//! What the reference data's MANIFEST.csv promises about its files.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::path::{Path, PathBuf};

/// One file of the reference data.
#[derive(Debug)]
pub struct Entry {
    /// Path below the data folder.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What the file is for.
    pub purpose: String,
    /// What is expected of it, in the manifest's own words.
    pub expected: String,
}

impl Entry {
    /// Whether the reference decoders read it whole.
    pub fn decodes(&self) -> bool {
        self.expected.contains("decodes=yes")
    }

    /// The value of `key=` in what is expected.
    pub fn value(&self, key: &str) -> Option<&str> {
        let at = self.expected.find(&format!(" {key}="))?;
        let rest = self.expected.get(at + key.len() + 2..)?;
        rest.split([' ', ';', '\'']).next()
    }

    /// The number behind `key=`.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.parse().ok()
    }

    /// The upright size of a picture: the stored one, turned where the EXIF orientation says so.
    pub fn upright(&self) -> Option<(u64, u64)> {
        let (w, h) = (self.number("w")?, self.number("h")?);
        let turned = self.number("exif_orientation").is_some_and(|o| (5..=8).contains(&o));
        Some(if turned { (h, w) } else { (w, h) })
    }
}

/// All files of the data but licences and tables, in the manifest's order.
///
/// # Panics
/// When the manifest cannot be read.
pub fn entries(data: &Path) -> Vec<Entry> {
    let mut reader =
        csv::Reader::from_path(data.join("MANIFEST.csv")).expect("MANIFEST.csv is there");
    let head = reader.headers().expect("MANIFEST.csv has a head line").clone();
    let column = |name: &str| head.iter().position(|h| h == name).expect("the column is there");
    let (path, purpose, expected) = (column("path"), column("purpose"), column("expected"));
    let rows = reader.records().map(|row| {
        let row = row.expect("MANIFEST.csv is well formed");
        Entry {
            name: row[path].to_owned(),
            path: data.join(&row[path]),
            purpose: row[purpose].to_owned(),
            expected: row[expected].to_owned(),
        }
    });
    rows.collect()
}
