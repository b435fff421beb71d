//! What box and hub say to each other.
//!
//! # Layout
//! One byte that numbers the kind, then its body: a batch as [`crate::batch`] lays it out, anything else in postcard. On a QUIC
//! stream four bytes of length (little-endian) go before each frame. Over MQTT a frame is one message, with four bytes before it that
//! name the session: the box draws a number for each hello, the hub answers under it, and what goes under another one is
//! passed over. A connection needs none: nothing outlives it.
//!
//! # Invariants
//! - Numbers are never used twice; a kind that is not known is passed over, so that a later release may say more.
//! - A body may get further fields at its end: bytes behind those that are known are passed over.
//! - Any frame may come late, twice or never: only what the chain covers moves a cursor.

use domain::directive::{Place, SignedDirective};
use domain::journal::{Code, Epoch, Head, Lane, Seq, Sha256, SignedCheckpoint};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::batch::{HEADER_BYTES, MOST_RAW_BYTES};

/// Most bytes of a frame: a batch that does not compress, and some room.
pub const MOST_FRAME_BYTES: usize = MOST_RAW_BYTES + HEADER_BYTES + 4096;

/// Up to where a lane is known, and the chain there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The life of the box's database.
    pub epoch: Epoch,
    /// Lane, last entry, chain behind it.
    pub head: Head,
}

impl Cursor {
    /// Epoch and lane: which flow this is about.
    pub fn flow(&self) -> (Epoch, Lane) {
        (self.epoch, self.head.lane)
    }
}

/// How a lane stands on the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// The life of the database.
    pub epoch: Epoch,
    /// What was pruned: entries up to here are not on the box any more.
    pub base: Head,
    /// The last entry.
    pub head: Head,
}

/// A box says who it is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Release of the box, for people.
    pub release: String,
    /// The newest schema of entries that it writes.
    pub schema: u16,
    /// Every lane of every epoch that it still has, oldest epoch first.
    pub lanes: Vec<LaneState>,
}

/// Entries that a box has no more and the hub does not have: it was restored from a copy older than what boxes keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// What the hub has.
    pub from: Cursor,
    /// Where the box's entries begin.
    pub to: Head,
}

/// How far a box has come with the hub's directives: what comes behind is wanted. Said when it connects, when it has taken all that
/// came, and when it misses something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The last one taken of every lane that the box knows. A lane that is not named was never heard of, and is wanted from its start.
    pub places: Vec<Place>,
    /// Whether to tell everything behind these places once more; else what was told is still on its way.
    pub anew: bool,
}

/// Box to hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up {
    /// First on every connection.
    Hello(Hello),
    /// Entries: see [`crate::batch`].
    Batch(Vec<u8>),
    /// Where the lanes have come to, signed by the device.
    Checkpoint(SignedCheckpoint),
    /// Entries that nobody has any more.
    Hole(Hole),
    /// How far the box has come with the hub's directives.
    Follow(Follow),
}

/// Why the hub does not take a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It does not follow on what the hub has.
    Gap,
    /// Written by a newer release than the hub's, which reads up to `schema`. The box keeps it, and asks again later.
    Newer {
        /// What the hub reads.
        schema: u16,
    },
    /// It does not hold; the code says what of it.
    Damaged(Code),
    /// The hub has no room now, or its database is away.
    Busy {
        /// When to ask again.
        after_ms: u32,
    },
}

/// A batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nak {
    /// What the hub has of that lane.
    pub cursor: Cursor,
    /// Why.
    pub why: Refusal,
}

/// The hub's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Release of the hub, for people.
    pub release: String,
    /// What it has of every lane named, in the same order; number 0 where nothing.
    pub cursors: Vec<Cursor>,
    /// Most bytes that may be under way on all lanes together.
    pub credit: u32,
}

/// The hub's word that it verified a box's checkpoint, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// SHA-256 of the checkpoint's bytes.
    pub checkpoint: Sha256,
    /// Milliseconds since 1970 by the hub's clock.
    pub at: i64,
    /// Ed25519 by the hub's key over [`Receipt::signed_bytes`], 64 bytes.
    pub signature: Vec<u8>,
}

/// Goes before what is signed, so that a receipt is a signature over nothing else.
const RECEIPT_LABEL: &[u8] = b"weir checkpoint receipt 1\0";

impl Receipt {
    /// What the hub signs: label, hash of the checkpoint, time in milliseconds (little-endian).
    pub fn signed_bytes(checkpoint: Sha256, at: i64) -> Vec<u8> {
        [RECEIPT_LABEL, &checkpoint.0, &at.to_le_bytes()].concat()
    }

    /// Whether it is by the hub of this key (Ed25519, 32 bytes).
    pub fn verify(&self, hub_key: &[u8]) -> bool {
        let signed = Self::signed_bytes(self.checkpoint, self.at);
        UnparsedPublicKey::new(&ED25519, hub_key).verify(&signed, &self.signature).is_ok()
    }
}

/// Hub to box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// The answer to a hello.
    Welcome(Welcome),
    /// Committed up to here. Cumulative.
    Ack(Cursor),
    /// Not taken.
    Nak(Nak),
    /// The hub has another chain at this place: two journals share one name.
    Fork(Cursor),
    /// A checkpoint holds.
    Receipt(Receipt),
    /// This box may not: revoked or quarantined.
    Refused(Code),
    /// The next one of a lane that the box follows. Its receipt is an entry of the box's journal.
    Directive(SignedDirective),
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame: {0}")]
pub struct BadFrame(String);

impl BadFrame {
    pub(crate) fn empty() -> Self {
        Self("it is empty".into())
    }

    pub(crate) fn unknown(kind: u8) -> Self {
        Self(format!("kind {kind} is not known here"))
    }
}

impl From<postcard::Error> for BadFrame {
    fn from(error: postcard::Error) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn framed(kind: u8, body: &impl Serialize) -> Result<Vec<u8>, BadFrame> {
    Ok(postcard::to_extend(body, vec![kind])?)
}

/// Further fields of a later release may follow.
pub(crate) fn body<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadFrame> {
    Ok(postcard::take_from_bytes(bytes)?.0)
}

impl Up {
    /// The frame's bytes.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no frame brings about.
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Hello(hello) => framed(1, hello),
            Self::Batch(bytes) => Ok([&[2], bytes.as_slice()].concat()),
            Self::Checkpoint(checkpoint) => framed(3, checkpoint),
            Self::Hole(hole) => framed(4, hole),
            Self::Follow(places) => framed(5, places),
        }
    }

    /// Reads a frame; `None` is one of a later release, to be passed over.
    ///
    /// # Errors
    /// Where it is cut or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, BadFrame> {
        let (kind, rest) = bytes.split_first().ok_or_else(BadFrame::empty)?;
        Ok(Some(match kind {
            1 => Self::Hello(body(rest)?),
            2 => Self::Batch(rest.to_vec()),
            3 => Self::Checkpoint(body(rest)?),
            4 => Self::Hole(body(rest)?),
            5 => Self::Follow(body(rest)?),
            _ => return Ok(None),
        }))
    }
}

impl Down {
    /// The frame's bytes.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no frame brings about.
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Welcome(welcome) => framed(1, welcome),
            Self::Ack(cursor) => framed(2, cursor),
            Self::Nak(nak) => framed(3, nak),
            Self::Fork(cursor) => framed(4, cursor),
            Self::Receipt(receipt) => framed(5, receipt),
            Self::Refused(reason) => framed(6, reason),
            Self::Directive(directive) => framed(7, directive),
        }
    }

    /// Reads a frame; `None` is one of a later release, to be passed over.
    ///
    /// # Errors
    /// Where it is cut or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, BadFrame> {
        let (kind, rest) = bytes.split_first().ok_or_else(BadFrame::empty)?;
        Ok(Some(match kind {
            1 => Self::Welcome(body(rest)?),
            2 => Self::Ack(body(rest)?),
            3 => Self::Nak(body(rest)?),
            4 => Self::Fork(body(rest)?),
            5 => Self::Receipt(body(rest)?),
            6 => Self::Refused(body(rest)?),
            7 => Self::Directive(body(rest)?),
            _ => return Ok(None),
        }))
    }
}

impl LaneState {
    /// The lane's number and the epoch: which flow this is about.
    pub fn flow(&self) -> (Epoch, Lane) {
        (self.epoch, self.head.lane)
    }
}

/// What the hub has of a lane of which it has nothing.
pub fn nothing(epoch: Epoch, lane: Lane) -> Cursor {
    Cursor { epoch, head: Head { lane, seq: Seq(0), chain: domain::journal::GENESIS } }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use domain::journal::GENESIS;

    use domain::directive::Address;

    use super::*;

    fn head(seq: u64) -> Head {
        Head { lane: Lane::Bulk, seq: Seq(seq), chain: GENESIS }
    }

    /// Written down by hand from the module's table and postcard's specification.
    #[test]
    fn frames_have_these_bytes() {
        let state = LaneState { epoch: Epoch(300), base: head(0), head: head(2) };
        let hello = Hello { release: "1".into(), schema: 1, lanes: vec![state] };
        let zeros = [0u8; 32];
        let expected = [&[1u8, 1, b'1', 1, 1, 0xac, 2, 1, 0][..], &zeros, &[1, 2], &zeros].concat();
        assert_eq!(Up::Hello(hello).encode().unwrap(), expected);
        assert_eq!(Up::Batch(vec![7, 8]).encode().unwrap(), [2, 7, 8]);
        let cursor = Cursor { epoch: Epoch(300), head: head(5) };
        let ack = [&[2u8, 0xac, 2, 1, 5][..], &zeros].concat();
        assert_eq!(Down::Ack(cursor).encode().unwrap(), ack);
        let nak = Down::Nak(Nak { cursor, why: Refusal::Busy { after_ms: 200 } });
        let bytes = [&[3u8, 0xac, 2, 1, 5][..], &zeros, &[3, 0xc8, 1]].concat();
        assert_eq!(nak.encode().unwrap(), bytes);
        let place = Place { epoch: Epoch(300), to: Address::Fleet, seq: Seq(5) };
        let follow = Follow { places: vec![place], anew: true };
        assert_eq!(Up::Follow(follow).encode().unwrap(), [5, 1, 0xac, 2, 0, 5, 1]);
        let directive = SignedDirective { bytes: vec![9], signatures: vec![vec![8]] };
        assert_eq!(Down::Directive(directive).encode().unwrap(), [7, 1, 9, 1, 1, 8]);
    }

    #[test]
    fn every_frame_reads_back_also_with_what_a_later_release_adds() {
        let cursor = Cursor { epoch: Epoch(1), head: head(1) };
        let signed = SignedCheckpoint { bytes: vec![1], signature: vec![2; 64] };
        let ups = [
            Up::Hello(Hello { release: "r".into(), schema: 1, lanes: vec![] }),
            Up::Checkpoint(signed),
            Up::Hole(Hole { from: cursor, to: head(9) }),
            Up::Follow(Follow { places: vec![], anew: false }),
        ];
        for up in ups {
            let mut bytes = up.encode().unwrap();
            assert!(Up::decode(&bytes[..bytes.len() - 1]).is_err(), "cut");
            bytes.push(77);
            assert_eq!(Up::decode(&bytes).unwrap(), Some(up));
        }
        let damaged = Refusal::Damaged("chain".parse().unwrap());
        let downs = [
            Down::Welcome(Welcome { release: "r".into(), cursors: vec![cursor], credit: 9 }),
            Down::Ack(cursor),
            Down::Nak(Nak { cursor, why: damaged }),
            Down::Fork(cursor),
            Down::Receipt(Receipt { checkpoint: GENESIS, at: -1, signature: vec![3; 64] }),
            Down::Refused("revoked".parse().unwrap()),
            Down::Directive(SignedDirective { bytes: vec![1], signatures: vec![vec![2]] }),
        ];
        for down in downs {
            let mut bytes = down.encode().unwrap();
            assert!(Down::decode(&bytes[..bytes.len() - 1]).is_err(), "cut");
            bytes.push(77);
            assert_eq!(Down::decode(&bytes).unwrap(), Some(down));
        }
        assert_eq!(Up::decode(&[200, 1]).unwrap(), None);
        assert_eq!(Down::decode(&[200, 1]).unwrap(), None);
        assert!(Up::decode(&[]).is_err() && Down::decode(&[]).is_err());
    }

    #[test]
    fn a_receipt_holds_for_one_checkpoint_one_time_and_one_hub() {
        use ring::signature::{Ed25519KeyPair, KeyPair as _};
        let [ours, other] = [1u8, 2].map(|seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]));
        let (ours, other) = (ours.unwrap(), other.unwrap());
        let (checkpoint, at) = (Sha256::of(b"checkpoint"), 1_700_000_000_000i64);
        // Written down by hand: the label, a zero, the hash, the time.
        let signed =
            [&b"weir checkpoint receipt 1\0"[..], &checkpoint.0, &at.to_le_bytes()].concat();
        let signature = ours.sign(&signed).as_ref().to_vec();
        let receipt = Receipt { checkpoint, at, signature };
        assert!(receipt.verify(ours.public_key().as_ref()));
        assert!(!receipt.verify(other.public_key().as_ref()));
        assert!(!receipt.verify(&[]));
        assert!(!Receipt { at: at + 1, ..receipt.clone() }.verify(ours.public_key().as_ref()));
        let another = Receipt { checkpoint: Sha256::of(b"another"), ..receipt };
        assert!(!another.verify(ours.public_key().as_ref()));
    }
}
