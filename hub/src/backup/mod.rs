//! Backups of the hub, and the way back: `weir-hub backup` and `weir-hub restore`.
//!
//! # Layout of a folder of backups
//! ```text
//! DIR/20261122T083000.125000Z/   one backup, whole or not there at all; the name is when it began, UTC
//!     base/               the cluster, by pg_basebackup, with Postgres's own manifest of checksums
//!     hub/                the files that the hub runs by: settings, keys, authority, broker
//!     manifest.json       see [`Manifest`]
//! DIR/wal/                       what Postgres has written since, by pg_receivewal: makes any moment after a backup reachable
//! ```
//! Why so: docs/adr/0013-backups-by-postgres-own-tools.md.

mod files;
mod manifest;
mod restore;
mod take;
mod tools;

pub use manifest::{Manifest, Moment};
pub use restore::{Restored, restore};
pub use take::{Plan, Taken, follow, take};

/// The folder of one backup that holds the cluster.
const BASE: &str = "base";

/// That which holds the hub's files.
const HUB: &str = "hub";

/// What Postgres has written, beside the backups.
const WAL: &str = "wal";

/// What a backup is called until it is whole.
const PARTIAL: &str = ".partial-";
