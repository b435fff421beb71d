//! The messages between host, zygote and worker: postcard over `SOCK_SEQPACKET`, one message a packet.
//!
//! | from | to | message |
//! |---|---|---|
//! | host | zygote | first `Settings`, then one byte for each further worker wanted |
//! | zygote | host | `Handover`, with \[worker's socket, worker's pidfd\] where it is `Worker` |
//! | worker | host | `Said::Ready` once locked down, then as [`Said`] has it |
//! | host | worker | [`Order`] with \[item, ring\], and where it has a line to decoders in hardware \[socket, units, frames\], then bytes of [`Command`] |
//! | zygote | host | `Said::Exited` on the worker's socket, when it has reaped the worker |
//!
//! The ring is a memfd of `slots × slot_bytes`, sealed against growing and shrinking. Frame *n* (from 0) lies in slot
//! *n* mod `slots`: its renditions one after the other, packed. The worker may be `slots` frames ahead; each
//! `Command::Credit` allows one more.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::config::Level;
use super::hardware::Decodes;
use super::protocol::{Report, Request};
use crate::decode::{DecodeError, Facts};
use crate::measure::{Measures, qr};

/// Most bytes of one message. The kernel's default socket buffer holds three of them.
pub(super) const MAX_MESSAGE: usize = 64 << 10;
/// Most bytes of the text that OCR read in one frame, so that a message stays within its bound.
pub(super) const MAX_TEXT: usize = 32 << 10;
/// Most QR codes reported for one frame, and most bytes of all of them.
pub(super) const MAX_QR: (usize, usize) = (qr::MOST_CODES, qr::MOST_BYTES);
/// Frames that a worker may be ahead of the host.
pub(super) const SLOTS: u32 = 3;
/// Most bytes of the ring: three frames of three pictures at 2,000 × 2,000.
pub(super) const MAX_RING: u64 = 128 << 20;

/// Where pixels go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ring {
    /// Number of slots.
    pub slots: u32,
    /// Bytes of one slot.
    pub slot_bytes: u64,
}

impl Ring {
    /// The ring that frames of this request need; `None` when it would be larger than `MAX_RING`.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let mut slot_bytes = 0u64;
        for rendition in &request.renditions {
            let pixels = u64::from(rendition.width).checked_mul(u64::from(rendition.height))?;
            slot_bytes = slot_bytes.checked_add(pixels.checked_mul(3)?)?;
        }
        let ring = Self { slots: SLOTS, slot_bytes };
        (slot_bytes <= MAX_RING / u64::from(SLOTS)).then_some(ring)
    }

    /// Bytes of the whole ring; never 0, for an empty file cannot be sealed usefully.
    pub(super) fn bytes(&self) -> u64 {
        (u64::from(self.slots) * self.slot_bytes).max(1)
    }

    /// Where frame `number` begins.
    pub(super) fn offset(&self, number: u64) -> u64 {
        number % u64::from(self.slots.max(1)) * self.slot_bytes
    }
}

/// The work for one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// What the caller wants.
    pub request: Request,
    /// Where pixels go.
    pub ring: Ring,
    /// What the decoders in hardware decode; their socket and memory come behind item and ring where there are any.
    pub hardware: Vec<Decodes>,
}

/// What a worker says (`Exited` is its zygote's).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// Locked down to this level and waiting for an order.
    Ready(Level),
    /// Facts on the medium: once, before any frame.
    Facts(Facts),
    /// A frame lies in its slot.
    Frame(Head),
    /// The end.
    Report(Report),
    /// The decoder says no: the end.
    Failed(DecodeError),
    /// The worker is gone: by this signal, or with this status.
    Exited { signal: Option<i32>, status: Option<i32> },
}

/// A frame without its pixels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// Position on the time line.
    pub pts_ms: u64,
    /// What the worker measured.
    pub measures: Measures,
    /// Width and height of each rendition.
    pub sizes: Vec<(u32, u32)>,
}

/// What a zygote hands to the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Handover {
    /// A worker; its socket and pidfd come with the message.
    Worker,
    /// None can be made, and why.
    Failed(String),
}

/// One byte from the host to a working worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// One more frame may be sent.
    Credit = 1,
    /// Enough seen: send the report.
    Stop = 2,
}

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The time is over.
    #[error("nothing came in time")]
    TimedOut,
    /// The other side is gone.
    #[error("the other side is gone")]
    Closed,
    /// The message makes no sense.
    #[error("{0}")]
    Garbled(String),
    /// The kernel refuses.
    #[error(transparent)]
    Io(#[from] Errno),
}

/// A connected pair of packet sockets.
pub(super) fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Most descriptors that go with a message.
const MAX_FDS: usize = 5;

/// Sends one message with up to five descriptors.
pub(super) fn tell<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<(), LinkError> {
    let bytes = postcard::to_stdvec(message).map_err(|e| LinkError::Garbled(e.to_string()))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(LinkError::Garbled(format!("a message of {} bytes", bytes.len())));
    }
    let done = if fds.is_empty() {
        retry(|| send(&socket, &bytes, SendFlags::NOSIGNAL))
    } else {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(LinkError::Garbled("too many descriptors".to_owned()));
        }
        retry(|| sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL))
    };
    match done {
        Ok(_) => Ok(()),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(LinkError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// Sends one byte, and does not wait where the socket is full.
pub(super) fn nudge(socket: impl AsFd, byte: u8) -> rustix::io::Result<()> {
    retry(|| send(&socket, &[byte], SendFlags::NOSIGNAL | SendFlags::DONTWAIT)).map(drop)
}

/// Sends one message, and drops it where the socket is full or closed.
pub(super) fn tell_if_room<T: Serialize>(socket: impl AsFd, message: &T) {
    if let Ok(bytes) = postcard::to_stdvec(message) {
        let _ = send(&socket, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }
}

/// Waits for one message without descriptors; any that are sent along are closed by the kernel.
pub(super) fn hear<T: DeserializeOwned>(
    socket: impl AsFd,
    deadline: Option<Instant>,
) -> Result<T, LinkError> {
    wait(&socket, deadline)?;
    let mut buffer = vec![0; MAX_MESSAGE];
    let (_, length) = loop {
        match recv(&socket, &mut *buffer, RecvFlags::TRUNC) {
            // Said once, when the other side ended with words of ours unread; its own last words come after.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    parse(&buffer, length)
}

/// Waits for one message with its descriptors.
pub(super) fn hear_with_fds<T: DeserializeOwned>(
    socket: impl AsFd,
    deadline: Option<Instant>,
) -> Result<(T, Vec<OwnedFd>), LinkError> {
    wait(&socket, deadline)?;
    let mut buffer = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut into = [IoSliceMut::new(&mut buffer)];
        match recvmsg(&socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR | Errno::CONNRESET) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((parse(&buffer, got.bytes)?, fds))
}

/// Waits until `socket` has something to read, or is closed.
fn wait(socket: &impl AsFd, deadline: Option<Instant>) -> Result<(), LinkError> {
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let timeout = left.map(timespec);
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Err(LinkError::TimedOut),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn parse<T: DeserializeOwned>(buffer: &[u8], length: usize) -> Result<T, LinkError> {
    if length == 0 {
        return Err(LinkError::Closed);
    }
    let bytes = buffer
        .get(..length)
        .ok_or_else(|| LinkError::Garbled(format!("a message of {length} bytes")))?;
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(LinkError::Garbled(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(LinkError::Garbled(error.to_string())),
    }
}

/// Calls again when a signal interrupts.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
