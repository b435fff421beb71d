//! What a box fetches from the hub in pieces: bytes that are named by their hash, such as a bundle of a model.
//!
//! # Layout
//! A QUIC stream in both directions for each fetch, opened by the box: one frame (four bytes of length, little-endian, then one byte
//! that numbers the kind and a body in postcard) and its end. The hub answers with one frame, the head, and behind it the bytes from the
//! offset on, to the end of the stream. A break costs nothing but what was not written yet: the box asks on from there.
//!
//! # Invariants
//! - Numbers are never used twice; a hub refuses a kind that it does not know.
//! - Who fetched holds the whole against the hash before anything is done with it: what comes over is believed to be nothing.
//! - A box has one fetch under way. It goes behind everything that the hub says.

use domain::journal::{Code, Sha256};
use serde::{Deserialize, Serialize};

use crate::frame::{BadFrame, body, framed};

/// Fetches that a box has under way at once.
pub const MOST_FETCHES: usize = 1;

/// Most bytes of a blob: models of a gigabyte are larger than any that runs on a box.
pub const MOST_BLOB_BYTES: u64 = 1 << 30;

/// The hub has no such bytes, or not any more.
pub const UNKNOWN: &str = "unknown_blob";

/// What a box wants of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// SHA-256 of the whole.
    pub sha256: Sha256,
    /// From which byte on.
    pub offset: u64,
}

impl Fetch {
    /// The bytes of the frame.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no fetch brings about.
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        framed(1, self)
    }

    /// Reads a frame; `None` is one of a later release.
    ///
    /// # Errors
    /// Where it is cut or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, BadFrame> {
        let (kind, rest) = bytes.split_first().ok_or_else(BadFrame::empty)?;
        match kind {
            1 => Ok(Some(body(rest)?)),
            _ => Ok(None),
        }
    }
}

/// What goes before the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The whole has so many bytes; those from the offset on follow.
    Bytes(u64),
    /// Nothing follows.
    Refused(Code),
}

impl Head {
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Bytes(bytes) => framed(1, bytes),
            Self::Refused(code) => framed(2, code),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, BadFrame> {
        let (kind, rest) = bytes.split_first().ok_or_else(BadFrame::empty)?;
        match kind {
            1 => Ok(Self::Bytes(body(rest)?)),
            2 => Ok(Self::Refused(body(rest)?)),
            _ => Err(BadFrame::unknown(*kind)),
        }
    }
}

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfetched {
    /// The hub says why not.
    #[error("the hub refuses: {}", .0.as_str())]
    Refused(Code),
    /// The connection broke, or nothing came for too long: to be asked on.
    #[error("{0}")]
    Broken(String),
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Written down by hand from the module's head and postcard's specification.
    #[test]
    fn frames_have_these_bytes_and_read_back_with_what_a_later_release_adds() {
        let fetch = Fetch { sha256: Sha256([7; 32]), offset: 300 };
        let mut bytes = [&[1u8][..], &[7; 32], &[0xac, 2]].concat();
        assert_eq!(fetch.encode().unwrap(), bytes);
        bytes.push(9);
        assert_eq!(Fetch::decode(&bytes).unwrap(), Some(fetch));
        assert!(Fetch::decode(&bytes[..33]).is_err(), "cut");
        assert_eq!(Fetch::decode(&[2, 1]).unwrap(), None);
        assert!(Fetch::decode(&[]).is_err() && Head::decode(&[]).is_err());
        assert_eq!(Head::Bytes(300).encode().unwrap(), [1, 0xac, 2]);
        let refused = Head::Refused("no".parse().unwrap());
        assert_eq!(refused.encode().unwrap(), b"\x02\x02no");
        assert_eq!(Head::decode(b"\x02\x02no").unwrap(), refused);
        assert!(Head::decode(&[3]).is_err());
    }
}
