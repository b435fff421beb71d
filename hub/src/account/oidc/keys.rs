//! A provider's keys (JWKS, RFC 7517), and what they signed (RFC 7515, 7518, 8037): RS256, PS256, ES256 and EdDSA. A secret is no key here, and no
//! signature is none.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// An algorithm that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// Reads its name.
    pub fn read(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// The only algorithm that it is for, where the provider says so.
    alg: Option<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// The point, uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The members of a JWK that matter here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that can check a token. Others (encryption, other curves) are passed over: sets hold many kinds.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(bytes).map_err(|_| "its keys are no JWKS".to_owned())?;
    let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::read).collect();
    match keys.is_empty() {
        true => Err("it has no key for RS256, PS256, ES256 or EdDSA".into()),
        false => Ok(keys),
    }
}

/// The key that a token names; without a name the only one that could have signed it.
pub(super) fn find<'a>(keys: &'a [Key], alg: Algorithm, kid: Option<&str>) -> Option<&'a Key> {
    let fits = |key: &&Key| key.does(alg) && (kid.is_none() || key.kid.as_deref() == kid);
    let mut found = keys.iter().filter(fits);
    // Of two it would be a guess.
    found.next().filter(|_| found.next().is_none())
}

impl Key {
    fn read(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let signs = jwk.r#use.as_deref().is_none_or(|r#use| r#use == "sig");
        let verifies = jwk.key_ops.is_none_or(|all| all.iter().any(|one| one == "verify"));
        let octets = |part: &Option<String>| BASE64URL.decode(part.as_ref()?).ok();
        let word = |part: &Option<String>| octets(part).filter(|bytes| bytes.len() == 32);
        // Some put a zero before a number, which is none of its digits.
        let number = |part: &Option<String>| {
            let bytes = octets(part)?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            Some(bytes[zeros..].to_vec())
        };
        let kind = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                Kind::Rsa(RsaPublicKeyComponents { n: number(&jwk.n)?, e: number(&jwk.e)? })
            }
            ("EC", Some("P-256")) => {
                Kind::P256([&[4], word(&jwk.x)?.as_slice(), word(&jwk.y)?.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => Kind::Ed25519(word(&jwk.x)?),
            _ => return None,
        };
        (signs && verifies).then_some(Self { kid: jwk.kid, alg: jwk.alg, kind })
    }

    /// Whether it is for this algorithm: by its kind, and by its provider's word.
    fn does(&self, alg: Algorithm) -> bool {
        let kind = match alg {
            Algorithm::Rs256 | Algorithm::Ps256 => matches!(self.kind, Kind::Rsa(_)),
            Algorithm::Es256 => matches!(self.kind, Kind::P256(_)),
            Algorithm::EdDsa => matches!(self.kind, Kind::Ed25519(_)),
        };
        kind && self.alg.as_deref().is_none_or(|own| Algorithm::read(own) == Some(alg))
    }

    /// Whether it signed this, by that algorithm. RSA keys have 2048 to 8192 bits.
    pub fn verify(&self, alg: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.kind, alg) {
            (Kind::Rsa(key), Algorithm::Rs256) => {
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            (Kind::Rsa(key), Algorithm::Ps256) => {
                key.verify(&RSA_PSS_2048_8192_SHA256, signed, signature)
            }
            (Kind::P256(key), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed, signature)
            }
            (Kind::Ed25519(key), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, signature)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(keys: &[Value]) -> Result<Vec<Key>, String> {
        read(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_key_is_for_what_its_kind_and_its_provider_say() {
        let word = BASE64URL.encode([1; 32]);
        let rsa = json!({ "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB" });
        let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": word });
        let point = json!({ "kty": "EC", "crv": "P-256", "kid": "b", "x": word, "y": word });
        let with = |key: &Value, name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        let keys = set(&[rsa.clone(), ed.clone(), point.clone()]).unwrap_or_default();
        let finds = |alg, kid| find(&keys, alg, kid).is_some();
        // One name for two kinds is none too few.
        assert!(finds(Algorithm::Rs256, Some("a")) && finds(Algorithm::EdDsa, Some("a")));
        assert!(finds(Algorithm::Ps256, None) && finds(Algorithm::Es256, Some("b")));
        assert!(!finds(Algorithm::Es256, Some("a")) && !finds(Algorithm::Rs256, Some("c")));
        let twice = set(&[rsa.clone(), rsa.clone()]).unwrap_or_default();
        assert!(find(&twice, Algorithm::Rs256, Some("a")).is_none(), "it would be a guess");
        let bound = set(&[with(&rsa, "alg", json!("PS256"))]).unwrap_or_default();
        assert!(find(&bound, Algorithm::Rs256, None).is_none());
        assert!(find(&bound, Algorithm::Ps256, None).is_some());
        for bad in [
            json!({ "kty": "oct", "k": word }),
            with(&rsa, "use", json!("enc")),
            with(&rsa, "key_ops", json!(["sign"])),
            with(&rsa, "n", json!("!")),
            with(&ed, "crv", json!("Ed448")),
            with(&ed, "x", json!("AQAB")),
            with(&point, "crv", json!("P-384")),
            with(&point, "y", json!("AQAB")),
            json!("nonsense"),
        ] {
            assert!(set(std::slice::from_ref(&bad)).is_err(), "{bad}");
        }
        assert!(read(b"<html>").is_err() && set(&[]).is_err());
        for name in ["none", "HS256", "RS512", "ES384", "rs256", ""] {
            assert_eq!(Algorithm::read(name), None, "{name}");
        }
    }
}
