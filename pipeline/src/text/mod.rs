//! The `text` detector: term lists over folded text, and configured patterns.
//!
//! Labels: `term:<category>:<severity>`, `pattern:<name>`, and `text:truncated` when a text was longer than
//! [`fold::MAX_BYTES`] and its end was not looked at.

mod drawn;
pub mod fold;
mod join;
mod letters;
mod matcher;
pub mod pattern;
pub mod terms;
mod turned;

use std::path::PathBuf;

use domain::Finding;
use serde::Deserialize;
use thiserror::Error;

use matcher::Matcher;
pub use matcher::Work;
pub use pattern::PatternConfig;
use pattern::Patterns;
use terms::{SHIPPED, TermList};

/// The detector's name in findings and coverage.
pub const DETECTOR: &str = "text";

/// Why the detector cannot be built.
#[derive(Debug, Error)]
pub enum TextError {
    /// A list cannot be read from disk.
    #[error("cannot read the term list {path}: {source}; check the path under [text] files")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A list is not in the list format.
    #[error("term list {origin}: {detail}")]
    List {
        /// Which list.
        origin: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A list of that name is not shipped.
    #[error("no shipped term list is called {0:?}; there are en, fr, sw, am and safety")]
    UnknownList(String),
    /// The lists together are more than the automaton holds.
    #[error("the term lists cannot be compiled: {0}; load fewer or shorter lists")]
    TooLarge(String),
    /// Patterns that do not compile, every one of them.
    #[error("bad patterns: {}", .0.join("; "))]
    Patterns(Vec<String>),
}

/// What the detector looks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Shipped lists by name; all of them by default.
    pub lists: Vec<String>,
    /// Further lists by path.
    pub files: Vec<PathBuf>,
    /// Regular expressions.
    pub patterns: Vec<PatternConfig>,
}

impl Default for Config {
    fn default() -> Self {
        let lists = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { lists, files: Vec::new(), patterns: Vec::new() }
    }
}

impl Config {
    /// Reads and parses the lists that are named.
    ///
    /// # Errors
    /// The first list that is missing or malformed.
    pub fn load(&self) -> Result<Vec<TermList>, TextError> {
        let mut lists = Vec::new();
        for name in &self.lists {
            let shipped = SHIPPED.iter().find(|(n, _)| n == name);
            let (_, source) = shipped.ok_or_else(|| TextError::UnknownList(name.clone()))?;
            lists.push(TermList::parse(name, source)?);
        }
        for path in &self.files {
            let origin = path.display().to_string();
            let source = std::fs::read_to_string(path)
                .map_err(|source| TextError::Read { path: origin.clone(), source })?;
            lists.push(TermList::parse(&origin, &source)?);
        }
        Ok(lists)
    }
}

/// Finds listed terms and patterns in text. Immutable once built; share it between threads.
pub struct TextDetector {
    matcher: Matcher,
    patterns: Patterns,
}

impl TextDetector {
    /// Loads the lists and compiles everything.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn new(config: &Config) -> Result<Self, TextError> {
        let patterns = Patterns::new(&config.patterns)?;
        Ok(Self { matcher: Matcher::new(&config.load()?)?, patterns })
    }

    /// `name@version` of every list, in the order given.
    pub fn models(&self) -> Vec<String> {
        self.matcher.models().to_vec()
    }

    /// What is found in `text`: each term and each pattern at most once, gravest terms first. `media` is the index of
    /// the medium that the text was read from, `None` for the caption.
    pub fn scan(&self, text: &str, media: Option<usize>) -> Vec<Finding> {
        self.scan_counted(text, media).0
    }

    /// [`Self::scan`], with a count of the elementary steps that the matching took.
    pub fn scan_counted(&self, text: &str, media: Option<usize>) -> (Vec<Finding>, Work) {
        let folded = fold::fold(text);
        let mut work = Work::default();
        let hits = self.matcher.find(&folded.units, &mut work);
        let finding = |model: String, label: String, score: f32, matched: &str| Finding {
            detector: DETECTOR.to_owned(),
            model,
            label,
            score,
            span: None,
            bbox: None,
            media,
            text: (!matched.is_empty()).then(|| matched.to_owned()),
        };
        let mut findings: Vec<_> = hits
            .iter()
            .map(|hit| {
                let (model, label) = self.matcher.names(hit);
                let matched = text.get(hit.bytes.clone()).unwrap_or_default();
                finding(model.to_owned(), label.to_owned(), hit.score, matched)
            })
            .collect();
        let head = fold::head(text);
        findings.extend(self.patterns.find(head).map(|(name, matched)| {
            finding("patterns@config".to_owned(), format!("pattern:{name}"), 1.0, matched)
        }));
        if folded.truncated {
            findings.push(finding("fold@1".to_owned(), "text:truncated".to_owned(), 1.0, ""));
        }
        (findings, work)
    }
}

#[cfg(test)]
mod tests;
