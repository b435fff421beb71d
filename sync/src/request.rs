//! What the hub asks of one box, and is answered at once or not at all: what the journal does not carry.
//!
//! # Layout
//! A QUIC stream in both directions for each request, opened by the hub: one frame (four bytes of length, little-endian, then one byte
//! that numbers the kind and a body in postcard) and its end. The box answers with one frame, the head, and behind it the body as it
//! is, to the end of the stream. Nothing of it goes over MQTT: a broker would keep it, and others could read it there.
//!
//! # Invariants
//! - Numbers are never used twice. A box refuses a kind that it does not know with `unknown_request`; the connection goes on.
//! - Neither side holds more than [`MOST_BODY_BYTES`] of an answer, nor more than [`MOST_REQUESTS`] requests of a connection.
//! - An answer is sent beside the backlog of bulk, and behind everything critical.

use domain::journal::{Code, Millis, SubmissionId, TenantId};
use serde::{Deserialize, Serialize};

use crate::frame::{BadFrame, body, framed};

/// Requests that a box has in hand at once; the hub refuses further ones at once.
pub const MOST_REQUESTS: usize = 4;

/// Most bytes of an answer: findings of the longest video, many times over.
pub const MOST_BODY_BYTES: usize = 8 << 20;

/// Most bytes of a policy that is tried out: several times the largest that there is.
pub const MOST_POLICY_BYTES: usize = 256 << 10;

/// A request that is not known.
pub const UNKNOWN: &str = "unknown_request";

/// An answer that is longer than it may be.
pub const TOO_LARGE: &str = "too_large";

/// What the hub asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// All that is known of a submission, as JSON.
    Findings(SubmissionId),
    /// A small picture of one of its media.
    Preview(Preview),
    /// What was written beside its media.
    Text(SubmissionId),
    /// What a technician would send on: state, sensors, settings, log; of no person. JSON.
    Support,
    /// What another policy would have decided on what was seen: counts, as JSON.
    Replay(Replay),
}

/// Which policy is tried out on what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// On whose submissions.
    pub tenant: TenantId,
    /// The policy, or a whole profile, in TOML; at most [`MOST_POLICY_BYTES`].
    pub policy: String,
    /// Handed in since then, by the box's clock.
    pub since: Millis,
}

/// Of what a picture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The submission.
    pub submission: SubmissionId,
    /// Index of the medium.
    pub index: u16,
    /// The moment on its time line, in milliseconds; a few of them where none is named.
    pub at_ms: Option<u64>,
}

impl Ask {
    /// The kind in a word, as it is logged.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Findings(_) => "findings",
            Self::Preview(_) => "preview",
            Self::Text(_) => "text",
            Self::Support => "support",
            Self::Replay(_) => "replay",
        }
    }

    /// The submission that it is about.
    pub fn submission(&self) -> Option<SubmissionId> {
        match self {
            Self::Findings(id) | Self::Text(id) => Some(*id),
            Self::Preview(preview) => Some(preview.submission),
            Self::Support | Self::Replay(_) => None,
        }
    }

    /// The request's bytes.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no request brings about.
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Findings(id) => framed(1, id),
            Self::Preview(preview) => framed(2, preview),
            Self::Text(id) => framed(3, id),
            Self::Support => framed(4, &()),
            Self::Replay(replay) => framed(5, replay),
        }
    }

    /// Reads a request; `None` is one of a later release.
    ///
    /// # Errors
    /// Where it is cut or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, BadFrame> {
        let (kind, rest) = bytes.split_first().ok_or_else(BadFrame::empty)?;
        Ok(Some(match kind {
            1 => Self::Findings(body(rest)?),
            2 => Self::Preview(body(rest)?),
            3 => Self::Text(body(rest)?),
            4 => Self::Support,
            5 => Self::Replay(body(rest)?),
            _ => return Ok(None),
        }))
    }
}

/// What goes before an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// So many bytes of this type follow.
    Body(Described),
    /// Nothing follows.
    Refused(Code),
}

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Described {
    pub content_type: String,
    pub bytes: u64,
}

impl Head {
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Body(described) => framed(1, described),
            Self::Refused(code) => framed(2, code),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, BadFrame> {
        let (kind, rest) = bytes.split_first().ok_or_else(BadFrame::empty)?;
        match kind {
            1 => Ok(Self::Body(body(rest)?)),
            2 => Ok(Self::Refused(body(rest)?)),
            _ => Err(BadFrame::unknown(*kind)),
        }
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The media type of the body.
    pub content_type: String,
    /// The body.
    pub bytes: Vec<u8>,
}

/// Never what is in it: it may show a person.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {}", self.bytes.len(), self.content_type)
    }
}

/// A box that answers requests. Calls block for as long as a disk or a decoder takes: they are made from threads of their own, two at
/// a time.
pub trait Requests: Send + Sync + 'static {
    /// Answers one.
    ///
    /// # Errors
    /// Why not, in a word.
    fn answer(&self, ask: &Ask) -> Result<Answer, Code>;
}

/// Why the hub has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The box says why not.
    #[error("the box refuses: {}", .0.as_str())]
    Refused(Code),
    /// As many requests as it may have are under way.
    #[error("the box has as many requests in hand as it may have")]
    Busy,
    /// Nothing, or not all, came in time.
    #[error("the box did not answer in time")]
    Silent,
    /// The connection ended meanwhile.
    #[error("the box went")]
    Gone,
    /// What came is no answer.
    #[error("the box answers what is no answer: {0}")]
    Misbehaved(String),
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn replay() -> Ask {
        let tenant = "shop".parse().unwrap();
        Ask::Replay(Replay { tenant, policy: "a=1".into(), since: Millis(-1) })
    }

    /// Written down by hand from the module's head and postcard's specification: a UUID is a string of 16 bytes.
    #[test]
    fn requests_and_heads_have_these_bytes() {
        let id = SubmissionId(uuid::Uuid::from_u128(0x0102));
        let uuid = [&[16u8][..], &[0; 14], &[1, 2]].concat();
        let bytes = |kind: u8, rest: &[u8]| [&[kind][..], &uuid, rest].concat();
        assert_eq!(Ask::Findings(id).encode().unwrap(), bytes(1, &[]));
        let preview = Preview { submission: id, index: 3, at_ms: Some(300) };
        assert_eq!(Ask::Preview(preview).encode().unwrap(), bytes(2, &[3, 1, 0xac, 2]));
        assert_eq!(Ask::Text(id).encode().unwrap(), bytes(3, &[]));
        assert_eq!(Ask::Support.encode().unwrap(), [4]);
        assert_eq!(replay().encode().unwrap(), b"\x05\x04shop\x03a=1\x01");
        let described = Described { content_type: "a/b".into(), bytes: 300 };
        assert_eq!(Head::Body(described).encode().unwrap(), b"\x01\x03a/b\xac\x02");
        let gone = "gone".parse().unwrap();
        assert_eq!(Head::Refused(gone).encode().unwrap(), b"\x02\x04gone");
    }

    #[test]
    fn every_request_reads_back_also_with_what_a_later_release_adds() {
        let id = SubmissionId(uuid::Uuid::from_u128(7));
        let preview = Preview { submission: id, index: 0, at_ms: None };
        let all = [Ask::Findings(id), Ask::Preview(preview), Ask::Text(id), Ask::Support, replay()];
        for ask in all {
            let mut bytes = ask.encode().unwrap();
            if ask != Ask::Support {
                assert!(Ask::decode(&bytes[..bytes.len() - 1]).is_err(), "cut");
            }
            bytes.push(9);
            assert_eq!(Ask::decode(&bytes).unwrap(), Some(ask));
        }
        assert_eq!(Ask::decode(&[200, 1]).unwrap(), None);
        assert!(Ask::decode(&[]).is_err() && Head::decode(&[]).is_err());
        assert!(Head::decode(&[3]).is_err());
    }
}
