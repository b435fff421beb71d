//! How replication stands.

use std::time::{Duration, Instant};

use crate::link::Path;

/// How replication stands, for status page, health and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// By which way the hub is reached; `None` while it is not.
    pub path: Option<Path>,
    /// Its address, or the broker's.
    pub hub: Option<String>,
    /// Whether the broker is there, where one is configured.
    pub broker: bool,
    /// Entries that the hub does not have, of the critical and the bulk lane.
    pub lag: [u64; 2],
    /// When the cursor last moved.
    pub acked: Option<Instant>,
    /// When there was last a connection.
    pub seen: Option<Instant>,
    /// Round-trip time.
    pub rtt: Option<Duration>,
    /// Receipts that the hub gave since the start.
    pub receipts: u64,
    /// Connections since the start.
    pub connections: u64,
    /// What keeps entries from the hub, as a word and in words for people.
    pub problem: Option<Problem>,
    /// Forks since the start: another journal goes under this box's name.
    pub forks: u64,
}

/// What is wrong between box and hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `unreachable`, `certificate_expired`, `refused`, `hub_too_old`, `damaged`, `journal`.
    pub code: &'static str,
    /// In words.
    pub detail: String,
}
