//! Frames over MQTT 5: the way where UDP is blocked, and presence and telemetry wherever a broker is.
//!
//! # Topics
//! | topic | written by | QoS | what |
//! |---|---|---|---|
//! | `weir/v1/{box}/up` | box | 1 | a message that any hub node may take: the hello |
//! | `weir/v1/{box}/up/{node}` | box | 1 | what follows, to the node that answered |
//! | `weir/v1/{box}/down` | hub | 1 | a message to the box; its response topic is the one above |
//! | `weir/v1/{box}/state` | box, or the broker by its last will | 1, retained | [`Presence`], JSON |
//! | `weir/v1/{box}/telemetry` | box | 0 | JSON of the box's own, lossy |
//! | `weir/v1/{box}/t/{tenant}/results` | box | 0 | decisions on a tenant's submissions, JSON, lossy |
//!
//! Hub nodes share `weir/v1/+/up` by a shared subscription, which hands each message to one of them. Only the first of a session may
//! go to any: a node that saw half of a lane would complain of gaps. The box is named by the topic; the broker lets it write
//! under no other, by the common name of its certificate ([`mosquitto`]).
//!
//! # A message
//! | at | bytes | field | |
//! |---|---|---|---|
//! | 0 | 4 | session | little-endian; drawn by the box for each hello |
//! | 4 | | frame | see [`crate::frame`] |
//!
//! Without a frame, from the hub: it does not know this session (it was idle for long, or one too many) and wants a hello.
//!
//! # What may be relied on
//! Nothing: a broker's PUBACK is not durability, its queues are bounded, and it may forget them. The link finds what is missing. So a
//! connection to the broker always begins clean, on both sides: nothing old comes back, and no client state outlives a connection that failed.

mod broker;
mod client;
pub mod mosquitto;
mod presence;
mod server;
mod session;
mod topic;

pub use broker::Broker;
pub use client::{Client, Event, Word};
pub use presence::Presence;
pub use server::{Config, News, Server};
pub use topic::tenant_name;

use crate::frame::MOST_FRAME_BYTES;

/// The protocol's name in the TLS handshake.
pub const PROTOCOL: &[u8] = b"mqtt";

/// Most bytes of a packet: a message, its topic and properties.
pub const MOST_PACKET_BYTES: usize = SESSION_BYTES + MOST_FRAME_BYTES + 1024;

const SESSION_BYTES: usize = 4;

/// A message of a session.
fn message(session: u32, frame: &[u8]) -> Vec<u8> {
    [&session.to_le_bytes(), frame].concat()
}

/// The session of a message, and its frame; `None` where it is none.
fn read(message: &[u8]) -> Option<(u32, &[u8])> {
    let (session, frame) = message.split_first_chunk::<SESSION_BYTES>()?;
    (frame.len() <= MOST_FRAME_BYTES).then_some((u32::from_le_bytes(*session), frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_session_and_a_frame() {
        assert_eq!(message(0x0102, &[9, 8]), [2, 1, 0, 0, 9, 8]);
        assert_eq!(read(&[2, 1, 0, 0, 9, 8]), Some((0x0102, &[9u8, 8][..])));
        assert_eq!(read(&[1, 0, 0, 0]), Some((1, &[][..])));
        assert_eq!(read(&[1, 0, 0]), None);
        assert_eq!(read(&vec![0; SESSION_BYTES + MOST_FRAME_BYTES + 1]), None);
    }
}
