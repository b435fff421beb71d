//! Decoders in hardware: one long-lived process holds them, for drivers take their time to start and need devices, which no
//! worker of an item may open. It is handed parsed units and never a file.
//!
//! ```text
//! weir ──control──▶ weir-sandbox hardware ◀──units, frames── worker of an item
//! ```
//!
//! # Messages
//! Postcard over `SOCK_SEQPACKET`, one message a packet, as in [`super::wire`].
//!
//! | from | to | message |
//! |---|---|---|
//! | host | hardware | first [`Outfit`], then [`Call::Session`] with \[socket, units, frames\] for each item |
//! | hardware | host | [`Ready`] once |
//! | worker | hardware | [`Asked`] on the item's socket |
//! | hardware | worker | [`Answered`] on it |
//!
//! Units lie in a memfd of [`UNIT_SLOTS`] × [`UNIT_BYTES`], frames in one of [`FRAME_SLOTS`] × [`FRAME_BYTES`], both sealed against
//! growing and shrinking: number *n* of either lies in slot *n* modulo their count. Who reads copies first, and tells that the slot
//! is free by [`Answered::Room`] or [`Asked::Took`]. Neither side believes the other: sizes and numbers are checked.

mod link;
mod server;
mod session;

use serde::{Deserialize, Serialize};

pub(super) use link::Link;
pub use server::{HARDWARE, main};

use crate::decode::video::chain::{Chain, Codec};
use crate::decode::video::decoder::{Shape, Task};

/// Units that may be on their way.
pub(super) const UNIT_SLOTS: u32 = 4;
/// Most bytes of a unit; key frames of 8K at high rates have a few million.
pub(super) const UNIT_BYTES: u64 = 8 << 20;
/// Frames that may be on their way.
pub(super) const FRAME_SLOTS: u32 = 3;
/// Most bytes of a frame: 4:2:0 of 20 million pixels. Hardware scales before.
pub(super) const FRAME_BYTES: u64 = 32 << 20;

/// What the process is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outfit {
    /// The chain of each codec.
    pub chains: Vec<(Codec, Chain)>,
    /// How far to give way to other processes.
    pub nice: u8,
}

/// A codec, and the element that decodes it.
pub(super) type Decodes = (Codec, String);

/// What it says then: what it decodes, or why there is nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ready(pub Result<Vec<Decodes>, String>);

/// What it is told from then on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Call {
    /// An item's session begins; its descriptors come with the message.
    Session,
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    /// Once, first.
    Begin(Codec, Box<Task>),
    /// The next unit lies in its slot.
    Unit { rank: u32, caps: Option<String>, bytes: u64 },
    /// That was the last one.
    End,
    /// A frame's slot is free.
    Took,
}

/// What the process answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answered {
    /// A unit's slot is free.
    Room,
    /// What the output turned out to be.
    Shape(Shape),
    /// The next wanted frame lies in its slot.
    Frame { rank: u32, caps: String, corrupted: bool, bytes: u64 },
    /// All frames have come; with what the decoder complained of.
    Done(Option<String>),
    /// It cannot be done.
    Refused(String),
}
