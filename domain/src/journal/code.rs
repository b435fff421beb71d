//! Short machine-readable words: the only text that a journal body may hold.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Most bytes of a code: room for `name@version` of a policy, too little for a sentence of an author's.
pub const MOST_BYTES: usize = 96;

/// A word of 1 to 96 bytes out of `a-z A-Z 0-9 _ - . : / @ +`: a reason, a surface, `name@version` of a policy or
/// model. Never free text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Code(String);

/// A customer of a box: profile, keys, banks and limits hang on it. A [`Code`] of its own type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(Code);

/// A text that is no [`Code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no code: write 1 to {MOST_BYTES} characters out of letters, digits and `_-.:/@+`"
)]
pub struct NotCode(String);

impl Code {
    /// The word itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest code: what a code cannot hold becomes `_`, what is too long is cut.
    ///
    /// For words of operators (names of banks, reasons of policies), which are nearly always codes already.
    pub fn lossy(text: &str) -> Self {
        let mut code: String =
            text.chars().map(|c| if allowed(c) { c } else { '_' }).take(MOST_BYTES).collect();
        if code.is_empty() {
            code.push('_');
        }
        Self(code)
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.:/@+".contains(c)
}

impl FromStr for Code {
    type Err = NotCode;

    fn from_str(text: &str) -> Result<Self, NotCode> {
        if (1..=MOST_BYTES).contains(&text.len()) && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotCode(text.chars().take(MOST_BYTES).collect()))
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Code {
    /// Checks, so that bytes from elsewhere cannot bring a sentence in.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl TenantId {
    /// The word itself.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for TenantId {
    type Err = NotCode;

    fn from_str(text: &str) -> Result<Self, NotCode> {
        text.parse().map(Self)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_sentence_is_no_code_and_cannot_be_decoded_as_one() {
        for word in ["nsfw", "bank:tenant/7", "starter@1.0+a", "no_face"] {
            assert_eq!(word.parse::<Code>().unwrap().as_str(), word);
        }
        let long = "x".repeat(MOST_BYTES + 1);
        for text in ["", "two words", "naïve", "a\n", long.as_str()] {
            assert!(text.parse::<Code>().is_err(), "{text:?}");
            let bytes = postcard::to_stdvec(text).unwrap();
            assert!(postcard::from_bytes::<Code>(&bytes).is_err(), "{text:?}");
            let lossy = Code::lossy(text);
            assert_eq!(lossy.as_str().parse(), Ok(lossy));
        }
        assert_eq!(Code::lossy("bank:My list").as_str(), "bank:My_list");
    }
}
