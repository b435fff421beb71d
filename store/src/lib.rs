//! All SQLite of a box: submissions, work, decisions, journal, lists, people's rows.
//!
//! One thread writes, in groups that share an fsync; a [`Reply`] comes after the COMMIT, so that whoever has an answer can
//! give one. Reads go through a small pool. The store knows no network, no HTTP and no files but its own.
//!
//! docs/store.md tells tables, invariants and what each file of the directory is for.
#![forbid(unsafe_code)]

mod access;
mod author;
mod bank;
mod blob;
mod bundle;
mod config;
mod decision;
mod directive;
mod effect;
mod endpoint;
mod erase;
mod error;
mod evidence;
mod fork;
mod head_file;
mod identity;
mod inquiry;
mod job;
mod journal;
mod lock;
mod memory;
mod open;
mod past;
mod penalty;
mod pin;
mod reply;
mod report;
mod retention;
mod rows;
mod ruling;
mod salvage;
mod schema;
mod snapshot;
mod space;
mod store;
mod submission;
mod txn;
mod verify;
mod writer;

pub use access::{ApiKey, NewKey};
pub use author::StrikeRow;
pub use bank::{BankEntry, Basis, Hash, NewBankEntry};
pub use blob::{Claim, path_in};
pub use config::{Clock, Config, Durability, OnFatal};
pub use decision::{DecisionRow, Earlier, MediaVerdict, SeenPdq, Settled, Tell, Verdict};
pub use directive::{Kept, LastDirected, Rematch};
pub use effect::{Again, Effect, EffectFailure, EffectKind, NewEffect};
pub use endpoint::GoneEndpoint;
pub use erase::Erasure;
pub use error::Error;
pub use evidence::{EvidenceRow, EvidenceState, Exhibit, MadeEvidence};
pub use job::{DeadLetter, Fate, JobKind, Lease, QueueDepth, Work};
pub use journal::{Acknowledged, LaneState, RawEntry};
pub use open::Opened;
pub use past::{First, Past, past};
pub use reply::Reply;
pub use report::{AppealRow, Hide, NewReport, ReportOutcome, ReportRow, Resolution};
pub use retention::Retained;
pub use ruling::Ruling;
pub use salvage::Salvaged;
pub use schema::{OLDEST_SQLITE, SCHEMA};
pub use snapshot::{Restored, restore, snapshot};
pub use store::Store;
pub use submission::{
    Acceptance, Filter, HIGHEST_PRIORITY, MOST_MEDIA, MediaRow, NewMedia, NewSubmission, State,
    StoredMedia, Submission,
};
pub use txn::{Place, SideKind};
pub use verify::{MOST_PROBLEMS, Verified, files_with, known_author, remains, verify};
