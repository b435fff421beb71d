//! ID tokens: the checks of OpenID Connect Core 1.0, section 3.1.3.7.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Algorithm, Key};

/// Why a token is not believed: for the log and the journal.
pub type Lie = &'static str;

/// Bytes of a token: some carry the groups of a large company.
const MOST: usize = 64 << 10;

/// Seconds by which clocks may differ.
const LEEWAY_S: f64 = 60.0;

/// Seconds after which a token is not a fresh one: as long as a flow may take.
const FRESH_S: f64 = super::flow::LIFE_S;

/// Characters of a subject, as the standard bounds it.
const SUBJECT: usize = 255;

/// A token whose signature is yet to be checked.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// By which algorithm it says that it is signed, and by which key.
    pub alg: Algorithm,
    pub kid: Option<String>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// What is looked at. What is there twice is refused: it could be read in two ways.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    azp: Option<String>,
    acr: Option<Value>,
    amr: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Whose token is expected.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// What says that several factors were seen, beside `mfa` among the means.
    pub acr_values: &'a [String],
    /// Seconds since 1970.
    pub now: f64,
}

/// Who it is about, after every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The provider's name of them.
    pub subject: String,
    /// Whether the provider says that it saw several factors.
    pub several: bool,
}

/// Whether a provider may call somebody so.
pub(crate) fn is_subject(text: &str) -> bool {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    !text.trim().is_empty() && text.len() <= SUBJECT && plain
}

impl<'a> Token<'a> {
    /// Takes one apart.
    pub fn read(text: &'a str) -> Result<Self, Lie> {
        const NONE: Lie = "this is no ID token";
        if text.len() > MOST {
            return Err("its ID token is longer than any");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(NONE)?;
        let (header, payload) = signed.split_once('.').ok_or(NONE)?;
        let octets = |part: &str| BASE64URL.decode(part).map_err(|_| NONE);
        let header: Header = serde_json::from_slice(&octets(header)?).map_err(|_| NONE)?;
        if header.crit.is_some() {
            return Err("its ID token asks for something that nobody here knows");
        }
        // Tokens for other ends (at+jwt, logout+jwt) are by the same keys.
        if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")) {
            return Err("its token is for something else");
        }
        let alg = Algorithm::read(&header.alg)
            .ok_or("its ID token is not signed by RS256, PS256, ES256 or EdDSA")?;
        let (payload, signature) = (octets(payload)?, octets(signature)?);
        Ok(Self { alg, kid: header.kid, signed, payload, signature })
    }

    /// Holds it against the key and against what is expected.
    pub fn check(&self, key: &Key, expected: &Expected<'_>) -> Result<Person, Lie> {
        if !key.verify(self.alg, self.signed.as_bytes(), &self.signature) {
            return Err("the signature of its ID token does not hold");
        }
        let claims: Claims = serde_json::from_slice(&self.payload)
            .map_err(|_| "its ID token lacks something, or has it twice")?;
        claims.check(expected)
    }
}

impl Claims {
    fn check(self, expected: &Expected<'_>) -> Result<Person, Lie> {
        if self.iss != expected.issuer {
            return Err("its ID token is by another issuer");
        }
        let (ours, alone) = match &self.aud {
            Audience::One(one) => (one == expected.client_id, true),
            Audience::Many(all) => {
                (all.iter().any(|one| one == expected.client_id), all.len() == 1)
            }
        };
        if !ours {
            return Err("its ID token is for another client");
        }
        if self.azp.as_ref().map_or(!alone, |azp| azp != expected.client_id) {
            return Err("its ID token was asked for by another client");
        }
        if self.exp <= expected.now - LEEWAY_S {
            return Err("its ID token has expired");
        }
        let early = |at: f64| at > expected.now + LEEWAY_S;
        if early(self.iat) || self.nbf.is_some_and(early) {
            return Err("its ID token is from the future: see that both clocks are right");
        }
        if self.iat < expected.now - FRESH_S - LEEWAY_S {
            return Err("its ID token is an old one");
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err("its ID token is of another login");
        }
        if !is_subject(&self.sub) {
            return Err("its ID token names nobody");
        }
        let listed = |value: &Value, word: &str| {
            value.as_array().is_some_and(|all| all.iter().any(|one| one == word))
        };
        let mfa = self.amr.as_ref().is_some_and(|amr| listed(amr, "mfa"));
        let acr = self.acr.as_ref().and_then(Value::as_str);
        let said = acr.is_some_and(|acr| expected.acr_values.iter().any(|own| own == acr));
        Ok(Person { subject: self.sub, several: mfa || said })
    }
}
