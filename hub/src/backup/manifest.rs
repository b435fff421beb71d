//! What a backup says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use domain::journal::Sha256;
use serde::{Deserialize, Serialize};

use super::{BASE, HUB, PARTIAL};
use crate::Error;

/// The file in a backup's folder.
const FILE: &str = "manifest.json";

/// The layout of [`Manifest`].
const FORMAT: u32 = 1;

/// A moment in UTC, to the microsecond. Written so that the order of the texts is that of the moments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(String);

/// A backup, as its `manifest.json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// The release of the hub that made it.
    pub release: String,
    /// The schema of its tables.
    pub schema: i32,
    /// Major version of Postgres: only this one can run it.
    pub postgres: u32,
    /// When it began, by the database's clock.
    pub started_at: Moment,
    /// When it was whole: the earliest moment to which it can be brought.
    pub finished_at: Moment,
    /// The hub's role and database.
    pub user: String,
    /// See `user`.
    pub dbname: String,
    /// SHA-256 of Postgres's own manifest, which has the checksums of the cluster's files.
    pub base: Sha256,
    /// SHA-256 of each of the hub's files.
    pub files: BTreeMap<String, Sha256>,
}

impl FromStr for Moment {
    type Err = String;

    /// Reads `2026-11-22T08:30:00Z`, with up to six digits of a second's fraction.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no moment: write UTC as 2026-11-22T08:30:00Z or 2026-11-22T08:30:00.125Z"
            )
        };
        let bare = text.strip_suffix('Z').ok_or_else(wrong)?;
        let (seconds, fraction) = bare.split_once('.').unwrap_or((bare, "0"));
        let pattern = "dddd-dd-ddTdd:dd:dd";
        let fits = seconds.len() == pattern.len()
            && seconds.bytes().zip(pattern.bytes()).all(|(is, should)| match should {
                b'd' => is.is_ascii_digit(),
                other => is == other,
            });
        let digits = fraction.bytes().all(|b| b.is_ascii_digit());
        if !fits || !digits || !(1..=6).contains(&fraction.len()) {
            return Err(wrong());
        }
        Ok(Self(format!("{seconds}.{fraction:0<6}Z")))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Moment {
    /// As Postgres reads it before it knows any names of time zones.
    pub(super) fn setting(&self) -> String {
        self.0.replace('T', " ").replace('Z', "+00")
    }

    /// As the name of a folder.
    pub(super) fn name(&self) -> String {
        self.0.replace(['-', ':'], "")
    }
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    /// Writes it into a backup's folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| Error::Invalid(error.to_string()))?;
        super::files::write(&path, text.as_bytes())
    }

    fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let broken = |why: String| Error::Invalid(format!("{}: {why}", path.display()));
        let bytes = fs::read(&path).map_err(|error| broken(error.to_string()))?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(broken(format!(
                "format {other}, this release reads {FORMAT}: restore with the release that made it"
            ))),
        }
    }

    /// All backups of a folder, oldest first.
    ///
    /// # Errors
    /// Where the folder or a manifest cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<(PathBuf, Self)>, Error> {
        let cannot = |error| Error::Invalid(format!("cannot read {}: {error}", dir.display()));
        let mut all = Vec::new();
        for entry in fs::read_dir(dir).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let partial =
                path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(PARTIAL));
            if !partial && path.join(FILE).is_file() {
                let manifest = Self::read(&path)?;
                all.push((path, manifest));
            }
        }
        all.sort_by(|a, b| a.1.finished_at.cmp(&b.1.finished_at));
        Ok(all)
    }

    /// Whether a backup's files are those that it was made of; the cluster's own are Postgres's to check.
    pub(super) fn check(&self, folder: &Path) -> Result<(), Error> {
        let hub = self.files.iter().map(|(name, hash)| (folder.join(HUB).join(name), hash));
        let base = (folder.join(BASE).join("backup_manifest"), &self.base);
        for (path, hash) in hub.chain([base]) {
            match fs::read(&path) {
                Ok(bytes) if Sha256::of(&bytes) == *hash => {}
                Ok(_) => {
                    let path = path.display();
                    return Err(Error::Damaged(format!("{path} is not what was backed up")));
                }
                // The keys are the hub's alone; who runs the database need not read them.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(Error::Invalid(format!("{}: {error}", path.display()))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn moments_are_ordered_as_they_are_written() {
        let moment = |text: &str| text.parse::<Moment>();
        let early = moment("2026-11-22T08:30:00Z").unwrap();
        let late = moment("2026-11-22T08:30:00.05Z").unwrap();
        assert!(early < late && late < moment("2026-11-22T08:30:00.5Z").unwrap());
        assert_eq!(late.to_string(), "2026-11-22T08:30:00.050000Z");
        assert_eq!(late.name(), "20261122T083000.050000Z");
        for wrong in
            ["2026-11-22 08:30:00Z", "2026-11-22T08:30:00", "yesterday", "2026-11-22T08:30:00.Z"]
        {
            assert!(moment(wrong).unwrap_err().contains("write UTC"), "{wrong}");
        }
    }
}
