//! A box between two of its hellos, as the hub sees it.

use std::future::Future;
use std::time::{Duration, Instant};

use domain::journal::BoxId;
use tokio::sync::mpsc;

use super::message;
use super::server::{Ack, UNACKED};
use crate::frame::{Down, Up};
use crate::link::Path;
use crate::peer::{Peer, QUEUE, UpSender, up_channel};

/// Frames of a box that may wait for a place in the hub's queue: as many as the broker leaves unacknowledged, so that none is dropped. A
/// hub that does not keep up holds the broker back, not the other way round.
const WAITING: usize = UNACKED as usize;

/// How long the hub's last word to a box may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A frame; the broker counts it as under way until this is dropped.
pub(super) struct Incoming {
    pub up: Up,
    pub ack: Ack,
}

/// A message to a box.
pub(super) struct Reply {
    pub of: BoxId,
    pub message: Vec<u8>,
}

impl Reply {
    /// Asks for a hello.
    pub fn unknown(of: BoxId, session: u32) -> Self {
        Self { of, message: message(session, &[]) }
    }
}

/// Ends when it is dropped.
pub(super) struct Session {
    number: u32,
    queue: mpsc::Sender<Incoming>,
    heard: Instant,
}

impl Session {
    /// The session, the peer that it is to the hub, and what carries between them.
    pub fn begin(
        of: BoxId,
        number: u32,
        remote: String,
        replies: mpsc::Sender<Reply>,
    ) -> (Self, Peer, impl Future<Output = ()> + Send + 'static) {
        let (queue, queued) = mpsc::channel(WAITING);
        let (up, ups) = up_channel();
        let (down, downs) = mpsc::channel(QUEUE);
        // The broker looked at the certificate.
        let (serial, path) = (Vec::new(), Path::Mqtt);
        let peer = Peer { of, serial, path, remote, up: ups, down, asker: None, fetches: None };
        let session = Self { number, queue, heard: Instant::now() };
        (session, peer, carry(queued, up, tell(of, number, downs, replies)))
    }

    pub fn is(&self, number: u32) -> bool {
        self.number == number && self.is_alive()
    }

    /// Whether the hub still listens to it.
    pub fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }

    /// When the box last said something.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Never waits. What finds no room, of a broker that hands over more than was asked of it, is dropped and acknowledged.
    pub fn hear(&mut self, incoming: Incoming) {
        self.heard = Instant::now();
        let _ = self.queue.try_send(incoming);
    }
}

/// Carries a box's frames to the hub and the hub's to the box, until either has done.
async fn carry(mut queued: mpsc::Receiver<Incoming>, up: UpSender, tell: impl Future<Output = ()>) {
    let hear = async {
        while let Some(Incoming { up: frame, ack: _ack }) = queued.recv().await {
            if !up.send(frame).await {
                return;
            }
        }
    };
    let mut tell = std::pin::pin!(tell);
    tokio::select! {
        () = hear => {}
        () = &mut tell => {}
        () = up.closed() => {
            // The hub has done with this box; its last word still goes out.
            let _ = tokio::time::timeout(LAST_WORD, tell).await;
        }
    }
}

async fn tell(
    of: BoxId,
    session: u32,
    mut downs: mpsc::Receiver<Down>,
    replies: mpsc::Sender<Reply>,
) {
    while let Some(frame) = downs.recv().await {
        let Ok(frame) = frame.encode() else { continue };
        if replies.send(Reply { of, message: message(session, &frame) }).await.is_err() {
            return;
        }
    }
}
