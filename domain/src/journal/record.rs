//! One entry of the journal, and its bytes.

use serde::{Deserialize, Serialize};

use super::{
    AuthorNumber, Body, BoxId, Code, Epoch, ItemId, Lane, Millis, Seq, Sha256, SubmissionId,
};

/// The layout of [`Record`] and of every body in it. A change of either is a new number and a new decoder beside the old.
pub const SCHEMA: u16 = 1;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// The box itself: start, retention, retries.
    System,
    /// The judging machine.
    Machine,
    /// An API key.
    Key(ItemId),
    /// A person, by the pseudonym that the credential carries.
    Person(Code),
    /// Whoever has a shell on the box.
    Console,
    /// The technician's PIN on the status page.
    Technician,
    /// Somebody without a credential (reports).
    Anonymous,
    /// The hub: a signed directive, or a request over the connection of the box.
    Hub,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The box as a whole.
    Box,
    /// A submission.
    Submission(SubmissionId),
    /// An author.
    Author(AuthorNumber),
    /// A report, appeal, bank entry or API key.
    Item(ItemId),
    /// Bytes, by their hash.
    Media(Sha256),
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The box.
    pub of: BoxId,
    /// The life of its database.
    pub epoch: Epoch,
    /// The lane.
    pub lane: Lane,
    /// The place in the lane.
    pub seq: Seq,
    /// The box's clock when it was written; says nothing about order.
    pub at: Millis,
    /// Who acted.
    pub actor: Actor,
    /// What it is about.
    pub subject: Subject,
    /// Commitment to the side record, see [`super::Side`].
    pub side: Option<Sha256>,
    /// What happened.
    pub body: Body,
}

/// The bytes, in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    schema: u16,
    of: [u8; 16],
    epoch: u64,
    lane: u8,
    seq: u64,
    at: i64,
    kind: u16,
    actor: Actor,
    subject: Subject,
    side: Option<Sha256>,
    #[serde(borrow)]
    body: &'a [u8],
}

/// An entry's bytes taken apart, without a look into its body: for whoever sends entries and need not know every kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The box.
    pub of: BoxId,
    /// The life of its database.
    pub epoch: Epoch,
    /// The lane.
    pub lane: Lane,
    /// The place in the lane.
    pub seq: Seq,
    /// The box's clock when it was written.
    pub at: Millis,
    /// Which [`Body`].
    pub kind: u16,
    /// Who acted.
    pub actor: Actor,
    /// What it is about.
    pub subject: Subject,
    /// Commitment to the side record.
    pub side: Option<Sha256>,
    /// The body of that kind, postcard.
    pub body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes an entry of our schema apart.
    ///
    /// # Errors
    /// See [`NotRecord`].
    pub fn split(bytes: &'a [u8]) -> Result<Self, NotRecord> {
        let (schema, _) = postcard::take_from_bytes::<u16>(bytes)?;
        if schema != SCHEMA {
            return Err(NotRecord::Schema { found: schema });
        }
        let (wire, rest) = postcard::take_from_bytes::<Wire<'_>>(bytes)?;
        if !rest.is_empty() {
            return Err(NotRecord::Damaged(format!("{} bytes too many", rest.len())));
        }
        let lane = Lane::from_number(wire.lane)
            .ok_or_else(|| NotRecord::Damaged(format!("no lane {}", wire.lane)))?;
        Ok(Self {
            of: BoxId(uuid::Uuid::from_bytes(wire.of)),
            epoch: Epoch(wire.epoch),
            lane,
            seq: Seq(wire.seq),
            at: Millis(wire.at),
            kind: wire.kind,
            actor: wire.actor,
            subject: wire.subject,
            side: wire.side,
            body: wire.body,
        })
    }

    /// The bytes that the chain covers.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no parts bring about.
    pub fn join(&self) -> Result<Vec<u8>, NotRecord> {
        let wire = Wire {
            schema: SCHEMA,
            of: self.of.0.into_bytes(),
            epoch: self.epoch.0,
            lane: self.lane.number(),
            seq: self.seq.0,
            at: self.at.0,
            kind: self.kind,
            actor: self.actor.clone(),
            subject: self.subject,
            side: self.side,
            body: self.body,
        };
        Ok(postcard::to_stdvec(&wire)?)
    }
}

/// Bytes that are no record of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecord {
    /// Written by a later release.
    #[error("journal entry of schema {found}, this release reads up to {SCHEMA}: upgrade first")]
    Schema {
        /// The schema that it names.
        found: u16,
    },
    /// An event that this release does not know.
    #[error("journal entry of unknown kind {0}: upgrade first")]
    Kind(u16),
    /// Not the layout that the schema names.
    #[error("journal entry is damaged: {0}")]
    Damaged(String),
}

impl From<postcard::Error> for NotRecord {
    fn from(error: postcard::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Record {
    /// The bytes that the chain covers.
    ///
    /// # Errors
    /// Where postcard cannot write it, which no body of ours brings about.
    pub fn encode(&self) -> Result<Vec<u8>, NotRecord> {
        let parts = Parts {
            of: self.of,
            epoch: self.epoch,
            lane: self.lane,
            seq: self.seq,
            at: self.at,
            kind: self.body.kind(),
            actor: self.actor.clone(),
            subject: self.subject,
            side: self.side,
            body: &self.body.encode()?,
        };
        parts.join()
    }

    /// Reads what [`Record::encode`] wrote; bytes left over count as damage.
    ///
    /// # Errors
    /// See [`NotRecord`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotRecord> {
        let parts = Parts::split(bytes)?;
        Ok(Self {
            of: parts.of,
            epoch: parts.epoch,
            lane: parts.lane,
            seq: parts.seq,
            at: parts.at,
            actor: parts.actor,
            subject: parts.subject,
            side: parts.side,
            body: Body::decode(parts.kind, parts.body)?,
        })
    }
}
