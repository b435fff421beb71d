//! Replication of a box's journal to the hub: what is sent, how it is proven, and by which way it goes.
//!
//! A journal is a trait ([`Journal`]): this crate knows no SQL. The protocol ([`link`]) does no input or output; transports carry its
//! frames. docs/sync.md tells the way of an entry from the box's commit to the hub's.
#![forbid(unsafe_code)]

pub mod batch;
pub mod blob;
mod columns;
pub mod directives;
pub mod driver;
pub mod frame;
pub mod identity;
pub mod journal;
pub mod link;
pub mod mqtt;
pub mod pause;
pub mod peer;
pub mod quic;
pub mod request;

pub use directives::Directives;
pub use journal::Journal;
pub use peer::Peer;
pub use request::Requests;

/// Most lanes that a box names in a hello: two for each life of its database.
pub const MOST_LANES: usize = 256;
