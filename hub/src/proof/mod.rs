//! A proof of one entry of a box's journal, usually a decision: that the box signed it, and that the hub countersigned that.
//! Whoever has the file and the hub's public key checks it without a network.
//!
//! # Format, `weir-proof/1`
//! A JSON object with exactly these keys, at most 8 MiB. Hex is of 64 digits, base64 is the standard's, padded.
//!
//! | key | type | |
//! |---|---|---|
//! | `format` | text | `weir-proof/1` |
//! | `box`, `epoch`, `lane`, `seq` | UUID; 16 hex digits; `critical` or `bulk`; number | the entry's place |
//! | `previous` | hex | the chain before the entry; 64 zeros before the first |
//! | `record` | base64 | the entry (layout: `domain::journal`) |
//! | `following` | list of base64 | the entries behind it, up to the checkpoint's head of this lane; at most 4,096 |
//! | `checkpoint` | `bytes`, `signature`: base64 | signed by the device (`domain::journal`) |
//! | `device_key` | hex | Ed25519, the box's public key |
//! | `receipt` | `at_ms`: number; `signature`: base64 | the hub's word over the checkpoint (`sync::frame::Receipt`) |
//! | `hub_key` | hex or null | Ed25519, the hub's public key by which the receipt is; null where the hub does not know it any more |
//!
//! # What holds when it holds
//! 1. `chain = SHA-256(0x00 ‖ previous ‖ record)`, from `previous` over `record` and all of `following`, is the head that the
//!    checkpoint names for this lane. Each record says itself that it stands where it is counted.
//! 2. The checkpoint names this box and epoch, and is signed by `device_key`.
//! 3. The receipt is over this checkpoint, by `hub_key`. The hub gives one only after it has verified the signature by the key under
//!    which the box enrolled, and found every head on the chain that it computed itself.
//!
//! # What it rests on
//! On the hub's key alone, which the reader has to have from elsewhere. Certificates are not kept by the hub, so none is in here: that
//! `device_key` is this box's is the hub's word (3), unless the reader has that key from the box.
//! What an entry means is read from its bytes by whoever verifies; the document says nothing of it. Side records (captions, texts) are
//! never in it; the entry's commitment to one is. The entries that follow may be of other submissions and tenants.

mod fields;
mod make;
mod reading;
mod verify;

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use domain::journal::{BoxId, Epoch, Lane, Millis, NotSha256, Seq, Sha256};
use serde::{Deserialize, Serialize};

use crate::Error;

pub(crate) use fields::lane_of;
pub use make::{NotMade, decision, make};
pub use reading::{Decision, Meaning, Stood};
pub use verify::{BadProof, Trust, Verified, verify};

/// The only format so far.
pub const FORMAT: &str = "weir-proof/1";

/// Most bytes of a document: 4,096 entries of a kibibyte and a half each, in base64.
pub const MOST_BYTES: u64 = 8 << 20;

/// Most entries between the one that is proved and the head of the checkpoint. A box signs one every thousand or so.
pub const MOST_FOLLOWING: u64 = 4096;

/// The public half of an Ed25519 key, in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(Sha256);

impl PublicKey {
    /// Its 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// That of a row or of a key of ours.
    ///
    /// # Errors
    /// Where it has not 32 bytes.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = <[u8; 32]>::try_from(bytes);
        let bytes = bytes.map_err(|_| Error::Damaged("a key that has not 32 bytes".to_owned()))?;
        Ok(Self(Sha256(bytes)))
    }
}

impl From<[u8; 32]> for PublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Sha256(bytes))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// No key in hex.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key is 64 hexadecimal digits, as `weir-hub key list` prints them")]
pub struct NotKey;

impl FromStr for PublicKey {
    type Err = NotKey;

    fn from_str(text: &str) -> Result<Self, NotKey> {
        text.parse().map(Self).map_err(|_: NotSha256| NotKey)
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The box.
    pub of: BoxId,
    /// The life of its database.
    pub epoch: Epoch,
    /// The lane.
    pub lane: Lane,
    /// The number.
    pub seq: Seq,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, epoch, lane, seq } = self;
        write!(
            f,
            "entry {} of lane {}, epoch {epoch}, of box {of}",
            seq.0,
            fields::lane_word(*lane)
        )
    }
}

/// The document. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// [`FORMAT`].
    pub format: String,
    /// The box.
    #[serde(rename = "box")]
    pub of: BoxId,
    /// The life of its database.
    #[serde(with = "fields::epoch")]
    pub epoch: Epoch,
    /// The lane.
    #[serde(with = "fields::lane")]
    pub lane: Lane,
    /// The place in it.
    pub seq: Seq,
    /// The chain before the entry.
    pub previous: Sha256,
    /// The entry.
    #[serde(with = "fields::base64")]
    pub record: Vec<u8>,
    /// The entries behind it, up to the checkpoint's head.
    #[serde(with = "fields::records")]
    pub following: Vec<Vec<u8>>,
    /// What the device signed.
    pub checkpoint: Checkpoint,
    /// The device's public key.
    pub device_key: PublicKey,
    /// The hub's word over it.
    pub receipt: Receipt,
    /// By which key that is, where the hub knows.
    pub hub_key: Option<PublicKey>,
}

/// A checkpoint in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// As the device signed them.
    #[serde(with = "fields::base64")]
    pub bytes: Vec<u8>,
    /// By the device, 64 bytes.
    #[serde(with = "fields::base64")]
    pub signature: Vec<u8>,
}

/// A receipt in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// By the hub's clock.
    pub at_ms: Millis,
    /// By the hub, 64 bytes.
    #[serde(with = "fields::base64")]
    pub signature: Vec<u8>,
}

impl Proof {
    /// Where the entry stands, by the document's own word.
    pub fn place(&self) -> Place {
        Place { of: self.of, epoch: self.epoch, lane: self.lane, seq: self.seq }
    }

    /// The document.
    ///
    /// # Errors
    /// Where it would be larger than a document may be.
    pub fn write(&self) -> Result<String, BadProof> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| BadProof::Format(error.to_string()))?;
        text.push('\n');
        if text.len() as u64 > MOST_BYTES { Err(BadProof::Large) } else { Ok(text) }
    }

    /// Reads a document. Nothing of it is believed yet.
    ///
    /// # Errors
    /// [`BadProof::Large`], [`BadProof::Newer`], [`BadProof::Format`].
    pub fn read(bytes: &[u8]) -> Result<Self, BadProof> {
        /// What every later format keeps.
        #[derive(Deserialize)]
        struct Named {
            format: String,
        }
        if bytes.len() as u64 > MOST_BYTES {
            return Err(BadProof::Large);
        }
        let strange = |error: serde_json::Error| BadProof::Format(printable(&error.to_string()));
        let Named { format } = serde_json::from_slice(bytes).map_err(strange)?;
        if format != FORMAT {
            return Err(BadProof::Newer(printable(&format)));
        }
        serde_json::from_slice(bytes).map_err(strange)
    }

    /// Reads a file, of which no more is taken in than a document may have.
    ///
    /// # Errors
    /// Where it cannot be read; inside, as [`Proof::read`].
    pub fn open(file: &Path) -> std::io::Result<Result<Self, BadProof>> {
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Self::read(&bytes))
    }
}

/// What somebody else wrote, for a terminal: short, and without anything that moves a cursor.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
