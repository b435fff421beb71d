//! Chains, side records and checkpoints: how a journal proves itself.

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{BoxId, Epoch, Lane, Millis, Seq, Sha256};

/// Goes before what is hashed into a chain, so that a link is no hash of anything else.
const LINK: &[u8] = &[0x00];

/// Goes before what is signed, so that a signature over a checkpoint is one over nothing else.
const CHECKPOINT: &[u8] = b"weir journal checkpoint 1\0";

/// What a lane starts from.
pub const GENESIS: Sha256 = Sha256([0; 32]);

/// The chain behind an entry: SHA-256(0x00 ‖ previous ‖ record).
pub fn link(previous: Sha256, record: &[u8]) -> Sha256 {
    Sha256::of_parts(&[LINK, &previous.0, record])
}

/// Bytes beside an entry that can be erased without breaking its proof: caption, text read, matched words, report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Random; without it short texts could be guessed from the commitment once they are erased.
    pub salt: [u8; 32],
    /// The text.
    pub bytes: Vec<u8>,
}

impl Side {
    /// What the entry carries: SHA-256(salt ‖ bytes).
    pub fn commitment(&self) -> Sha256 {
        Sha256::of_parts(&[&self.salt, &self.bytes])
    }
}

/// The end of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The lane.
    pub lane: Lane,
    /// Its last entry, 0 where there is none.
    pub seq: Seq,
    /// The chain behind that entry.
    pub chain: Sha256,
}

/// The heads of all lanes at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The box.
    pub of: BoxId,
    /// The life of its database.
    pub epoch: Epoch,
    /// The box's clock.
    pub at: Millis,
    /// One for each lane.
    pub heads: Vec<Head>,
}

/// A checkpoint as it is kept and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// The [`Checkpoint`] in postcard.
    pub bytes: Vec<u8>,
    /// Ed25519 by the device key over a label and the bytes, 64 bytes.
    pub signature: Vec<u8>,
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// Signed by another key, or altered.
    #[error("the signature is not by this device's key, or the checkpoint was altered")]
    Signature,
    /// No checkpoint in these bytes.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(String),
}

impl Checkpoint {
    /// Signs. Ed25519 needs no randomness, so that this stays a pure function.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no checkpoint brings about.
    pub fn sign(&self, key: &Ed25519KeyPair) -> Result<SignedCheckpoint, BadCheckpoint> {
        let bytes = postcard::to_stdvec(self).map_err(|e| BadCheckpoint::Damaged(e.to_string()))?;
        let signature = key.sign(&[CHECKPOINT, &bytes].concat()).as_ref().to_vec();
        Ok(SignedCheckpoint { bytes, signature })
    }
}

impl SignedCheckpoint {
    /// The checkpoint, if this device's key (32 bytes) signed it.
    ///
    /// # Errors
    /// See [`BadCheckpoint`].
    pub fn verify(&self, public_key: &[u8]) -> Result<Checkpoint, BadCheckpoint> {
        UnparsedPublicKey::new(&ED25519, public_key)
            .verify(&[CHECKPOINT, &self.bytes].concat(), &self.signature)
            .map_err(|_| BadCheckpoint::Signature)?;
        postcard::from_bytes(&self.bytes).map_err(|e| BadCheckpoint::Damaged(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use ring::signature::KeyPair as _;

    use super::*;

    fn key(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        let head = |lane, seq| Head { lane, seq: Seq(seq), chain: link(GENESIS, b"a") };
        Checkpoint {
            of: BoxId(uuid::Uuid::from_u128(7)),
            epoch: Epoch(9),
            at: Millis(1_700_000_000_000),
            heads: vec![head(Lane::Critical, 3), head(Lane::Bulk, 40)],
        }
    }

    #[test]
    fn a_link_is_the_hash_of_a_zero_byte_the_previous_link_and_the_record() {
        let mut bytes = vec![0u8; 33];
        bytes.extend_from_slice(b"record");
        assert_eq!(link(GENESIS, b"record"), Sha256::of(&bytes));
        assert_ne!(link(GENESIS, b"record"), link(Sha256::of(b"x"), b"record"));
    }

    #[test]
    fn a_checkpoint_is_believed_from_its_own_key_only_and_only_unaltered() {
        let signed = checkpoint().sign(&key(1)).unwrap();
        let public = key(1).public_key().as_ref().to_vec();
        assert_eq!(signed.verify(&public), Ok(checkpoint()));
        assert_eq!(signed.verify(key(2).public_key().as_ref()), Err(BadCheckpoint::Signature));
        for place in 0..signed.bytes.len() {
            let mut altered = signed.clone();
            altered.bytes[place] ^= 1;
            assert_eq!(altered.verify(&public), Err(BadCheckpoint::Signature));
        }
    }

    #[test]
    fn a_side_record_is_bound_by_its_salt() {
        let side = Side { salt: [1; 32], bytes: b"hello".to_vec() };
        let other = Side { salt: [2; 32], ..side.clone() };
        assert_ne!(side.commitment(), other.commitment());
        assert_eq!(side.commitment(), Sha256::of(&[&[1u8; 32][..], b"hello"].concat()));
    }
}
