//! The life of a model: signed bundles, and the stages through which a version comes into use.
//!
//! ```text
//! <model directory>/
//!   trusted-keys                 public keys of those whose bundles are taken, one a line
//!   state.json                   which version is at which stage ([`state`])
//!   state.json.bak               the state before the last change
//!   installed/NAME@VERSION/      the members of a bundle, as they were signed ([`bundle`])
//! ```
//!
//! A version goes candidate → shadow → canary → active → retired. The models of the built-in catalogue, and those whose
//! manifests an operator put into the directory by hand, are active for as long as no installed version is.

pub mod bundle;
pub mod error;
pub mod golden;
mod install;
pub mod key;
mod raw;
pub mod roster;
pub mod state;
mod unpack;
pub mod version;

use std::path::{Path, PathBuf};

pub use bundle::Recipe;
pub use error::LifeError;
pub use golden::{Golden, Parity};
pub use install::{Installed, install};
pub use key::{PublicKey, SigningKey, Trusted};
pub use roster::{LeftOut, Roster, Trial};
pub use state::{Cause, Change, Control, Entry, Ledger, Stage, State};

/// The folder of installed bundles, below the model directory.
pub const INSTALLED: &str = "installed";

/// Where the members of a version lie. Neither names nor versions hold an `@`.
pub fn folder(dir: &Path, name: &str, version: &str) -> PathBuf {
    dir.join(INSTALLED).join(format!("{name}@{version}"))
}

/// The bytes of hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|n| u8::from_str_radix(text.get(n..n + 2)?, 16).ok()).collect()
}
