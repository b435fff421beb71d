//! What people are told who may hurt themselves: a sentence and an address, in their language.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The built-in texts.
const BUILT_IN: &str = include_str!("../../assets/help.toml");

/// Help by language.
#[derive(Clone, Debug)]
pub struct Help(BTreeMap<String, Line>);

/// One sentence and where to go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// For the reader.
    text: String,
    /// A page with helplines.
    url: String,
}

impl Help {
    /// The help in a file, or the built-in one.
    ///
    /// # Errors
    /// Where the file cannot be read, is not of the form, or has no English text, which everybody else gets.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else { return Self::parse(BUILT_IN) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the help {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot use the help {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let lines: BTreeMap<String, Line> = toml::from_str(text)
            .context("write `[en]` with `text` and `url`, and the like for each language")?;
        anyhow::ensure!(
            lines.contains_key("en"),
            "it has no `[en]`, which every other language falls back to"
        );
        Ok(Self(lines))
    }

    /// The help in a language, else in English.
    pub fn line(&self, language: &str) -> Option<&Line> {
        let base = language.split(['-', '_']).next().unwrap_or_default();
        [language, base, "en"].into_iter().find_map(|l| self.0.get(l))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    #[test]
    fn help_comes_in_the_readers_language_else_in_english() {
        let help = Help::open(None).unwrap();
        for (asked, start) in
            [("fr-CA", "Si vous"), ("sw", "Ikiwa"), ("de", "If you"), ("", "If you")]
        {
            assert!(help.line(asked).unwrap().text.starts_with(start), "{asked}");
        }
        assert!(
            Help::parse("[fr]\ntext = 'a'\nurl = 'b'").unwrap_err().to_string().contains("[en]")
        );
    }
}
