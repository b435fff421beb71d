//! A directive as it travels, and whom to believe.

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{Directive, NotDirective, Told};

const LABEL: &[u8] = b"weir directive 1\0";

/// A directive's bytes, and the signatures over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDirective {
    /// See the module.
    pub bytes: Vec<u8>,
    /// Ed25519, 64 bytes each: by the hub's key, and where that was replaced since, by the newer ones too, so that boxes that
    /// have not heard of it yet and boxes that never knew the old one believe alike.
    pub signatures: Vec<Vec<u8>>,
}

/// A directive that is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No signature is by the hub.
    #[error("it is not signed by this box's hub")]
    Unsigned,
    /// Not a directive.
    #[error(transparent)]
    Not(#[from] NotDirective),
}

impl SignedDirective {
    /// Signs a directive.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no order brings about.
    pub fn sign(directive: &Directive, key: &Ed25519KeyPair) -> Result<Self, NotDirective> {
        let bytes = directive.encode()?;
        let signatures = vec![Self::signature(&bytes, key)];
        Ok(Self { bytes, signatures })
    }

    /// A signature over a directive's bytes.
    pub fn signature(bytes: &[u8], key: &Ed25519KeyPair) -> Vec<u8> {
        key.sign(&[LABEL, bytes].concat()).as_ref().to_vec()
    }

    /// The directive, if the hub of this key (Ed25519, 32 bytes) signed it.
    ///
    /// # Errors
    /// Where it did not, or the bytes are no directive.
    pub fn open(&self, hub_key: &[u8]) -> Result<Told, Distrust> {
        let signed = [LABEL, &self.bytes].concat();
        let by = |signature: &Vec<u8>| {
            UnparsedPublicKey::new(&ED25519, hub_key).verify(&signed, signature).is_ok()
        };
        if !self.signatures.iter().any(by) {
            return Err(Distrust::Unsigned);
        }
        Ok(Told::decode(&self.bytes)?)
    }
}
