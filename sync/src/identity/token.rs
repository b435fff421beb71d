//! What a box needs to be told to find its hub: one line that fits a QR code.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::journal::Sha256;
use serde::{Deserialize, Serialize};

use super::IdentityError;

/// Begins the text of every token of this layout.
const BEGINS: &str = "weir1.";

/// An enrolment token: `weir1.` and base64url of its fields in postcard.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// `https://host:port` of the hub's API, best first.
    pub hubs: Vec<String>,
    /// SHA-256 of the authority's certificate (DER).
    pub authority: Sha256,
    /// Good once.
    pub secret: [u8; 32],
}

impl Token {
    /// What the hub keeps of the secret.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.secret)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        write!(f, "{BEGINS}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("hubs", &self.hubs).finish_non_exhaustive()
    }
}

impl FromStr for Token {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bytes = text
            .trim()
            .strip_prefix(BEGINS)
            .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or(IdentityError::Token)?;
        match postcard::take_from_bytes::<Self>(&bytes) {
            Ok((token, [])) if !token.hubs.is_empty() => Ok(token),
            _ => Err(IdentityError::Token),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_token_survives_being_copied_and_does_not_show_its_secret() {
        let token = Token {
            hubs: vec!["https://hub.example:8443".into()],
            authority: Sha256::of(b"ca"),
            secret: [7; 32],
        };
        let text = token.to_string();
        assert!(text.starts_with("weir1."));
        assert_eq!(format!("  {text}\n").parse::<Token>().unwrap(), token);
        assert!(!format!("{token:?}").contains("7, 7"));
        for broken in ["", "weir1.", "weir2.AAAA", &text[..text.len() - 4], &text[6..]] {
            assert!(broken.parse::<Token>().is_err(), "{broken}");
        }
    }
}
