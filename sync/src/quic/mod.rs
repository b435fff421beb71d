//! Frames over QUIC: the way that is tried first.
//!
//! # Streams
//! The box opens one stream in both directions for everything but batches, and one towards the hub for the batches of each lane. Each
//! frame has its length before it (four bytes, little-endian). The streams of the critical lane and of control go before that of
//! bulk, so that a finding that cannot wait overtakes a backlog also within the connection.
//!
//! The hub opens one more stream in both directions for each request ([`crate::request`]), bulk's equal.
//!
//! The box opens one for each blob that it fetches ([`crate::blob`]); what comes over it goes behind all that the hub says.
//!
//! A connection is the session: what was under way when it ends is not waited for. It moves with the box's address.

mod answers;
mod asker;
mod client;
#[cfg(test)]
mod fetch_tests;
mod fetcher;
mod fetching;
#[cfg(test)]
mod request_tests;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, CubicConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::frame::MOST_FRAME_BYTES;

pub use asker::Asker;
pub use client::{Client, Connection, Event, Failure};
pub use fetcher::{Fetched, Fetcher};
pub use fetching::Fetching;
pub use server::Server;

/// The protocol's name in the handshake.
pub const PROTOCOL: &[u8] = b"weir/1";

/// A path without any packet for so long is dead: two keep-alives, and what was sent again of them, got no answer.
const IDLE: Duration = Duration::from_secs(35);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Most bytes of one stream that a receiver holds: twice the product of 20 Mbit/s and 200 ms.
const STREAM_BYTES: u32 = 1024 * 1024;
/// The same of all streams of a connection. One for each lane, one for control and one for an answer, so that no stream takes the room of another: what is written counts
/// against it even while something more urgent goes out first. Boxes send one answer at a time.
const CONNECTION_BYTES: u32 = 4 * STREAM_BYTES;

/// Says why a connection was closed.
const CLOSED: VarInt = VarInt::from_u32(0);
const MISUSED: VarInt = VarInt::from_u32(1);

/// How a sender paces itself. Cubic is fair to others and takes each loss for congestion; BBR keeps the pace where a share
/// of all packets is lost whatever one does (measured at 5 % loss and 200 ms: 37 s against 24 minutes for a million rows).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// For paths that lose little.
    Cubic,
    /// For paths that lose more than one packet in a hundred.
    Bbr,
}

/// `bidirectional` streams may be opened by the other side.
fn transport(congestion: Congestion, bidirectional: u32) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(bidirectional))
        .max_concurrent_uni_streams(VarInt::from_u32(2))
        .stream_receive_window(VarInt::from_u32(STREAM_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_BYTES))
        .send_window(u64::from(2 * CONNECTION_BYTES))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(None);
    if let Ok(idle) = IdleTimeout::try_from(IDLE) {
        config.max_idle_timeout(Some(idle));
    }
    match congestion {
        Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
        Congestion::Bbr => config.congestion_controller_factory(Arc::new(BbrConfig::default())),
    };
    Arc::new(config)
}

/// Writes a frame.
async fn write(stream: &mut quinn::SendStream, frame: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(std::io::Error::other)?;
    stream.write_u32_le(length).await?;
    stream.write_all(frame).await.map_err(std::io::Error::other)
}

/// Reads a frame; `None` at the end of the stream.
async fn read(stream: &mut quinn::RecvStream) -> std::io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u32_le().await {
        Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length == 0 || length > MOST_FRAME_BYTES {
        return Err(std::io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = Vec::new();
    // As it comes: a length alone makes nobody hold a megabyte.
    let read = (&mut *stream).take(length as u64).read_to_end(&mut frame).await?;
    match read == length {
        true => Ok(Some(frame)),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}
