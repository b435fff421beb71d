//! The journal of a box: what happened, in an order that cannot be altered unseen.
//!
//! # Format, schema 1
//! One journal per box. Two **lanes** (0 critical, 1 bulk), each gapless from 1 with its own chain. An **epoch** (random,
//! 64 bits) names one life of the box's database; a new one starts at 1 in both lanes.
//!
//! *Record*, postcard (integers as LEB128 varints, signed ones zigzag first, options and enums by a leading number,
//! byte strings and lists by a leading length):
//!
//! | field | type | |
//! |---|---|---|
//! | schema | u16 | 1 |
//! | box | 16 bytes | UUID |
//! | epoch | u64 | |
//! | lane | u8 | |
//! | seq | u64 | from 1 |
//! | at | i64 | milliseconds since 1970, by the box's clock |
//! | kind | u16 | which [`Body`] |
//! | actor | [`Actor`] | who acted |
//! | subject | [`Subject`] | what it is about |
//! | side | option of 32 bytes | commitment to the side record |
//! | body | bytes | the body of that kind, postcard |
//!
//! *Chain*: `chain = SHA-256(0x00 ‖ previous ‖ record)`, from 32 zero bytes ([`link`]).
//! *Side record*: salt (32 random bytes) and bytes, kept beside the entry; `commitment = SHA-256(salt ‖ bytes)`. Erasing
//! it leaves entry and chain as they are.
//! *Checkpoint*: box, epoch, at, heads of all lanes (postcard), signed by the device's Ed25519 key over
//! `"weir journal checkpoint 1" 0x00 ‖ bytes`.
//!
//! # Invariants
//! - No body holds free text: words are [`Code`]s, people are numbers.
//! - Kinds and the order of enum members never change; `tests.rs` holds golden bytes.
//! - `at` says nothing about order; only (epoch, lane, seq) does.

mod body;
mod chain;
mod code;
mod ids;
mod record;
#[cfg(test)]
mod tests;

pub use body::{
    Accepted, AcceptedIn, Acted, Appealed, BankChanged, BlobDeleted, Body, Carried, Decided,
    Directed, Distrusted, EpochBegan, EpochCause, Erased, Fetched, FlagSet, Hashed, JobChange,
    JobNote, KeyChanged, MediaNote, ModelChanged, NotifyFailed, PdqNote, PolicyInForce, Reported,
    StandingNote,
};
pub use chain::{BadCheckpoint, Checkpoint, GENESIS, Head, Side, SignedCheckpoint, link};
pub use code::{Code, NotCode, TenantId};
pub use ids::{
    AuthorNumber, BoxId, Epoch, EventId, ItemId, Lane, Millis, NotSha256, Seq, Sha256, SubmissionId,
};
pub use record::{Actor, NotRecord, Parts, Record, SCHEMA, Subject};
