//! Replication of a journal, without any input or output: what to read, what to send, what to believe.
//!
//! [`Link`] is the box's side: it is told what the journal holds and what the hub says, and answers with [`Act`]s. [`judge`] is the
//! hub's: it holds a batch against a cursor. Both take the time as an argument and are run in the tests against a channel
//! that loses, repeats and reorders, with either side killed at any step.
//!
//! # How a lane moves
//! - A cursor (epoch, lane, number, chain) says up to where the hub has committed. Nothing but the hub's ack moves it.
//! - After a connection the hub names its cursors; the box holds each against its own chain before it sends.
//! - Batches go out back to back, as many as window and credit allow. One that is lost shows as a gap: the hub names its
//!   cursor, the box goes back to it. What comes twice is dropped at the cursor.
//! - Critical lanes go first and have a window of their own, so that a backlog never holds them up.

mod config;
mod edge;
mod flow;
mod hub;
mod path;
#[cfg(test)]
mod simulation;

pub use config::Config;
pub use edge::{Act, Link};
pub use hub::{Judged, judge};
pub use path::Path;
