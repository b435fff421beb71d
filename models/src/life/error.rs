//! Why a bundle, a key or a change of stage is refused.

use std::path::{Path, PathBuf};

use crate::ModelError;

/// What went wrong, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifeError {
    /// A file could not be read or written.
    #[error("{what} {}: {error}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// A file that is no bundle, or not one that may be used.
    #[error("{} is not a bundle that can be installed:\n  {}", path.display(), problems.join("\n  "))]
    Bundle {
        /// The file.
        path: PathBuf,
        /// One sentence each.
        problems: Vec<String>,
    },
    /// A key cannot be used.
    #[error("{0}")]
    Key(String),
    /// The state cannot be used.
    #[error(
        "{} cannot be used: {detail}; the state before the last change is beside it, in {}: look at both, and copy that one over this one",
        path.display(),
        super::state::BACKUP
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// What was asked for may not be done now.
    #[error("{0}")]
    Refused(String),
    /// The model does not answer on this device as its maker's golden vectors say.
    #[error(
        "{model} on {engine} does not answer as its golden vectors say ({} of {cases} differ):\n  {}",
        problems.len(),
        problems.join("\n  ")
    )]
    Parity {
        /// `name@version`.
        model: String,
        /// On which engine.
        engine: String,
        /// How many pictures there are.
        cases: usize,
        /// What differs, a line for each picture.
        problems: Vec<String>,
    },
    /// The model itself.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl LifeError {
    /// Wraps an I/O error with what was tried on which path.
    pub(crate) fn file(what: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::File { what, path: path.to_owned(), error: error.to_string() }
    }

    /// A bundle with one mistake.
    pub(crate) fn bundle(path: &Path, problem: impl Into<String>) -> Self {
        Self::Bundle { path: path.to_owned(), problems: vec![problem.into()] }
    }
}
