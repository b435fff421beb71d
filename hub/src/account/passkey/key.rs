//! Public keys of passkeys (COSE, RFC 9053), of the three kinds that are asked for.

use ciborium::Value;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use super::ceremony::{Wrong, cbor};

/// ECDSA on P-256, Ed25519, RSA: COSE's numbers, as browsers are asked for them.
pub const ALGORITHMS: [i32; 3] = [-7, -8, -257];

/// Labels of a key's parts.
const KIND: i64 = 1;
const ALGORITHM: i64 = 3;

/// Bytes of an RSA modulus: 2048 to 4096 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;

/// A public key.
#[derive(Debug)]
pub(super) enum Key {
    /// The point, uncompressed.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Key {
    /// Reads a COSE key; nothing may follow it.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Wrong> {
        const OTHER: Wrong = "its key is of a kind that was not asked for";
        let Value::Map(parts) = cbor(&mut bytes)? else { return Err("its key is no map") };
        if !bytes.is_empty() {
            return Err("something follows its key");
        }
        let part = |label: i64| {
            let mut found = parts.iter().filter(|(own, _)| *own == Value::from(label));
            // What is there twice could be read in two ways.
            found.next().filter(|_| found.next().is_none()).map(|(_, value)| value)
        };
        let number = |label| i64::try_from(part(label)?.as_integer()?).ok();
        let octets = |label| part(label)?.as_bytes().cloned().ok_or(OTHER).ok();
        let word = |label| octets(label).filter(|bytes| bytes.len() == 32).ok_or(OTHER);
        match (number(KIND), number(ALGORITHM), number(-1)) {
            (Some(2), Some(-7), Some(1)) => {
                Ok(Self::P256([&[4], word(-2)?.as_slice(), word(-3)?.as_slice()].concat()))
            }
            (Some(1), Some(-8), Some(6)) => Ok(Self::Ed25519(word(-2)?)),
            (Some(3), Some(-257), None) => {
                let n = octets(-1).filter(|n| MODULUS.contains(&n.len())).ok_or(OTHER)?;
                let e = octets(-2).filter(|e| e.len() <= 4).ok_or(OTHER)?;
                Ok(Self::Rsa(RsaPublicKeyComponents { n, e }))
            }
            _ => Err(OTHER),
        }
    }

    /// Whether it signed this.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Wrong> {
        let verified = match self {
            Self::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(signed, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
            Self::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
        };
        verified.map_err(|_| "its signature does not hold")
    }
}
