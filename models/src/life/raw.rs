//! The list of a bundle's members, `bundle.toml`: what is signed.

use serde::{Deserialize, Serialize};

use super::bundle::{GOLDEN, LIST, MANIFEST, MOST_PICTURES, WEIGHTS};
use crate::manifest::Pin;

/// The layout that this release writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Most bytes of a text member.
pub(super) const TEXT_BYTES: u64 = 1 << 20;
/// Most bytes of a golden picture.
const PICTURE_BYTES: u64 = 16 << 20;
/// Most bytes of the weights: 2 GiB, the limit of an ONNX file.
const WEIGHTS_BYTES: u64 = 2 << 30;

/// A bundle's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub format: u32,
    pub name: String,
    pub version: String,
    #[serde(rename = "member")]
    pub members: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Member {
    pub(super) fn pin(&self) -> Pin {
        Pin { sha256: self.sha256.clone(), bytes: self.bytes }
    }
}

impl List {
    /// Reads a list whose signature holds.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Vec<String>> {
        let text = std::str::from_utf8(text).map_err(|_| vec![format!("{LIST} is no text")])?;
        let list: Self = toml::from_str(text).map_err(|error| vec![format!("{LIST}: {error}")])?;
        let problems = list.problems();
        if problems.is_empty() { Ok(list) } else { Err(problems) }
    }

    /// The member called `file`.
    pub(super) fn member(&self, file: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.file == file)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.format != FORMAT {
            problems.push(format!(
                "it has format {}, and this release reads format {FORMAT}: upgrade first",
                self.format
            ));
        }
        for file in [MANIFEST, WEIGHTS, GOLDEN] {
            if self.member(file).is_none() {
                problems.push(format!("it has no {file}"));
            }
        }
        let pictures = self.members.iter().filter(|m| m.file.ends_with(".png")).count();
        if !(1..=MOST_PICTURES).contains(&pictures) {
            problems.push(format!("it has {pictures} golden pictures, not 1 to {MOST_PICTURES}"));
        }
        for (n, member) in self.members.iter().enumerate() {
            let Some(most) = most_bytes(&member.file) else {
                problems.push(format!("{:?} is no name that a member may have", member.file));
                continue;
            };
            if member.bytes > most {
                problems.push(format!(
                    "{} has {} bytes, at most {most} are taken",
                    member.file, member.bytes
                ));
            }
            if self.members.iter().take(n).any(|other| other.file == member.file) {
                problems.push(format!("{} stands in it twice", member.file));
            }
        }
        problems
    }
}

/// Most bytes of a member of this name; `None` where there is no such member. Only these names are ever written, so that no
/// name leads out of the folder.
fn most_bytes(file: &str) -> Option<u64> {
    match file {
        MANIFEST | GOLDEN => Some(TEXT_BYTES),
        WEIGHTS => Some(WEIGHTS_BYTES),
        _ => {
            let stem = file.strip_suffix(".png")?;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let fine = (1..=64).contains(&stem.len()) && stem.chars().all(plain);
            fine.then_some(PICTURE_BYTES)
        }
    }
}
