//! Policies and hash lists as they were released: signed by a key that no hub holds.

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::Address;
use crate::journal::Code;

const LABEL: &[u8] = b"weir release 1\0";
const KEY_LABEL: &[u8] = b"weir release key 1\0";

/// What was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseKind {
    /// A policy, as `weir check --policy` takes it. Its name is that of the profile whose policy it replaces.
    Policy,
    /// A hash list, as `--bank` takes it.
    Bank,
}

/// A policy or hash list, to whom it may be told, and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What it is.
    pub kind: ReleaseKind,
    /// Its name.
    pub name: Code,
    /// Only rises: a box refuses one that is not above what it has.
    pub version: u64,
    /// To whom it may be told.
    pub to: Address,
    /// The file, TOML. Empty: what was released to that address is withdrawn.
    pub text: String,
}

impl Release {
    /// Whether it takes back what was released before, so that what stands behind it is in force again.
    pub fn withdraws(&self) -> bool {
        self.text.is_empty()
    }
}

/// A release and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// [`Release`], postcard.
    pub bytes: Vec<u8>,
    /// Ed25519 by the release key over `"weir release 1" 0x00 ‖ bytes`, 64 bytes.
    pub signature: Vec<u8>,
}

/// A release that is not to be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRelease {
    /// Not signed by the release key.
    #[error("it is not signed by the release key that this box trusts")]
    Signature,
    /// Not the layout of a release.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Released {
    /// Signs a release.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no release brings about.
    pub fn sign(release: &Release, key: &Ed25519KeyPair) -> Result<Self, BadRelease> {
        let bytes = postcard::to_stdvec(release).map_err(|e| BadRelease::Damaged(e.to_string()))?;
        let signature = key.sign(&[LABEL, &bytes].concat()).as_ref().to_vec();
        Ok(Self { bytes, signature })
    }

    /// The release, if it is signed by this key (Ed25519, 32 bytes).
    ///
    /// # Errors
    /// Where it is not, or is damaged.
    pub fn open(&self, key: &[u8]) -> Result<Release, BadRelease> {
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&[LABEL, &self.bytes].concat(), &self.signature)
            .map_err(|_| BadRelease::Signature)?;
        self.look()
    }

    /// The release as it says of itself, whoever signed it: for showing, not for acting upon.
    ///
    /// # Errors
    /// Where it is damaged.
    pub fn look(&self) -> Result<Release, BadRelease> {
        match postcard::take_from_bytes(&self.bytes) {
            Ok((release, [])) => Ok(release),
            Ok((_, rest)) => Err(BadRelease::Damaged(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(BadRelease::Damaged(error.to_string())),
        }
    }
}

impl super::Rotate {
    /// Another release key, signed by the one that boxes trust.
    pub fn release(key: [u8; 32], old: &Ed25519KeyPair) -> Self {
        let signature = old.sign(&[KEY_LABEL, &key].concat()).as_ref().to_vec();
        Self { of: super::KeyUse::Release, key: crate::journal::Sha256(key), signature }
    }

    /// Whether the old release key (Ed25519, 32 bytes) signed it.
    pub fn is_by(&self, old: &[u8]) -> bool {
        let signed = [KEY_LABEL, &self.key.0].concat();
        UnparsedPublicKey::new(&ED25519, old).verify(&signed, &self.signature).is_ok()
    }
}
