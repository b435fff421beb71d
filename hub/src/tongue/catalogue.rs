//! What is written in the other languages: `locales/CODE.toml`, the English text on the left. Embedded, and read once.
//!
//! A text is one line, or a table with `one` and `other` where it has a number `{n}`. Placeholders stand in `{}`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::Tongue;

/// A text in another language.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    /// One form.
    Plain(String),
    /// By number.
    Forms { one: String, other: String },
}

type Entries = HashMap<String, Entry>;

const FRENCH: &str = include_str!("../../locales/fr.toml");
const SWAHILI: &str = include_str!("../../locales/sw.toml");
const AMHARIC: &str = include_str!("../../locales/am.toml");

/// A file that cannot be read has nothing; a test reads each.
static ALL: LazyLock<[Entries; 3]> = LazyLock::new(|| {
    [FRENCH, SWAHILI, AMHARIC].map(|file| toml::from_str(file).unwrap_or_default())
});

fn entries(tongue: Tongue) -> Option<&'static Entries> {
    match tongue {
        Tongue::English => None,
        Tongue::French => Some(&ALL[0]),
        Tongue::Swahili => Some(&ALL[1]),
        Tongue::Amharic => Some(&ALL[2]),
    }
}

/// A text in this language, and its English.
pub(super) fn find(tongue: Tongue, english: &str) -> Option<(&'static str, &'static Entry)> {
    let (english, entry) = entries(tongue)?.get_key_value(english)?;
    Some((english, entry))
}
