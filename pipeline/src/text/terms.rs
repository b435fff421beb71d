//! Term lists: words and phrases with a category and a severity, as TOML.
//!
//! ```toml
//! name = "en"
//! version = "1"
//! language = "en"
//!
//! [[entries]]
//! category = "profanity"          # slug of domain::Category
//! severity = "low"                # slug of domain::Severity
//! match = "prefix"                # word (the default; plural allowed), exact, prefix, suffix, substring
//! terms = ["shit"]
//! exceptions = ["shitake"]        # words in which the match is no finding
//! ```

use domain::{Category, Severity};
use serde::Deserialize;

use super::TextError;
use super::fold::fold;

/// Longest term in folded characters, so that a term's state fits 64 bits even when its `f` is spelled `ph`.
pub const MAX_TERM_CHARS: usize = 63;

/// The lists that ship with Weir: name and TOML source.
pub const SHIPPED: [(&str, &str); 5] = [
    ("en", include_str!("../../../profiles/terms/en.toml")),
    ("fr", include_str!("../../../profiles/terms/fr.toml")),
    ("sw", include_str!("../../../profiles/terms/sw.toml")),
    ("am", include_str!("../../../profiles/terms/am.toml")),
    ("safety", include_str!("../../../profiles/terms/safety.toml")),
];

/// Where in a word a term may sit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// The whole word or phrase, a plural ending (`s`, `es`, `z`) allowed.
    #[default]
    Word,
    /// The whole word or phrase as it stands.
    Exact,
    /// The beginning of a word.
    Prefix,
    /// The end of a word.
    Suffix,
    /// Anywhere in a word.
    Substring,
}

impl Match {
    /// Whether a word must begin where the term begins.
    pub fn needs_start(self) -> bool {
        matches!(self, Self::Word | Self::Exact | Self::Prefix)
    }

    /// Whether a word must end where the term ends.
    pub fn needs_end(self) -> bool {
        matches!(self, Self::Word | Self::Exact | Self::Suffix)
    }
}

/// Terms that share a category, a severity and a way of matching.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What kind of harm.
    pub category: Category,
    /// How grave.
    pub severity: Severity,
    /// Where in a word.
    #[serde(default, rename = "match")]
    pub position: Match,
    /// Words or phrases in any spelling; they are folded like the text.
    pub terms: Vec<String>,
    /// Words that contain a term and are harmless.
    #[serde(default)]
    pub exceptions: Vec<String>,
}

/// A named, versioned list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermList {
    /// Name, shown in findings as `terms-<name>@<version>`.
    pub name: String,
    /// Version.
    pub version: String,
    /// BCP 47 language, `mul` for several.
    pub language: String,
    /// The terms.
    pub entries: Vec<Entry>,
}

impl TermList {
    /// Reads a list; `origin` names it in errors.
    ///
    /// # Errors
    /// Bad TOML, an unknown category or severity, or terms that are empty or too long once folded, all of them named.
    pub fn parse(origin: &str, source: &str) -> Result<Self, TextError> {
        let list: Self = toml::from_str(source)
            .map_err(|e| TextError::List { origin: origin.to_owned(), detail: e.to_string() })?;
        let bad: Vec<_> = list
            .entries
            .iter()
            .flat_map(|e| e.terms.iter().chain(&e.exceptions))
            .filter(|t| !(1..=MAX_TERM_CHARS).contains(&fold(t.trim()).units.len()))
            .map(|t| format!("{t:?}"))
            .collect();
        if bad.is_empty() {
            return Ok(list);
        }
        Err(TextError::List {
            origin: origin.to_owned(),
            detail: format!(
                "terms must have 1 to {MAX_TERM_CHARS} characters after folding; correct {}",
                bad.join(", ")
            ),
        })
    }

    /// `terms-<name>@<version>`, the `model` of findings.
    pub fn model(&self) -> String {
        format!("terms-{}@{}", self.name, self.version)
    }
}
