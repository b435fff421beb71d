//! Named regular expressions from the configuration, tried on the text as it was written.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::TextError;

/// Largest compiled program of one pattern in bytes; `regex` runs in time linear in text × program.
const MAX_PROGRAM_BYTES: usize = 256 * 1024;

/// One pattern as configured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternConfig {
    /// Name, shown in findings as `pattern:<name>`; letters, digits, `-` and `_`.
    pub name: String,
    /// The expression, in the syntax of the `regex` crate; case is ignored.
    pub regex: String,
}

/// Compiled patterns.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(Vec<(String, Regex)>);

impl Patterns {
    /// Compiles all patterns, or names every bad one.
    pub fn new(configs: &[PatternConfig]) -> Result<Self, TextError> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for PatternConfig { name, regex } in configs {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || !name.chars().all(plain) {
                bad.push(format!("{name:?}: a name has letters, digits, - and _ only"));
                continue;
            }
            let built = RegexBuilder::new(regex)
                .case_insensitive(true)
                .size_limit(MAX_PROGRAM_BYTES)
                .dfa_size_limit(4 * MAX_PROGRAM_BYTES)
                .build();
            match built {
                Ok(compiled) => good.push((name.clone(), compiled)),
                Err(e) => bad.push(format!("{name}: {e}")),
            }
        }
        if bad.is_empty() { Ok(Self(good)) } else { Err(TextError::Patterns(bad)) }
    }

    /// Name and first match of every pattern that matches.
    pub fn find<'t>(&self, text: &'t str) -> impl Iterator<Item = (&str, &'t str)> {
        self.0.iter().filter_map(move |(name, re)| Some((name.as_str(), re.find(text)?.as_str())))
    }
}
