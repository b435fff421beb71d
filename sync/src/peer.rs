//! A box as the hub sees it, by whichever way it came.

use domain::journal::{BoxId, Lane};
use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::frame::{Down, Up};
use crate::link::Path;
use crate::quic::{Asker, Fetching};

/// Frames of each urgency that may wait between a transport and the hub; behind them the transport stops reading that stream.
pub const QUEUE: usize = 64;

/// A connected box. It is gone when `up` ends; dropping both ends the connection.
#[derive(Debug)]
pub struct Peer {
    /// Who it is, by its certificate; over MQTT by its topic, which the broker guards by the certificate.
    pub of: BoxId,
    /// The serial number of the certificate that it showed, big-endian. Empty over MQTT, where it showed it to the broker.
    pub serial: Vec<u8>,
    /// By which way.
    pub path: Path,
    /// From where, for people.
    pub remote: String,
    /// What it says.
    pub up: UpReceiver,
    /// What it is told.
    pub down: mpsc::Sender<Down>,
    /// By which it can be asked; nothing over MQTT.
    pub asker: Option<Asker>,
    /// What it fetches; nothing over MQTT.
    pub fetches: Option<mpsc::Receiver<Fetching>>,
}

/// A transport's end of what a box says.
#[derive(Clone, Debug)]
pub struct UpSender {
    first: mpsc::Sender<Up>,
    bulk: mpsc::Sender<Up>,
}

/// The hub's end. Bulk batches are apart from everything else, so that nothing waits behind a backlog.
#[derive(Debug)]
pub struct UpReceiver {
    /// All but bulk batches, in the order in which the box said it.
    pub first: mpsc::Receiver<Up>,
    /// Bulk batches, in order.
    pub bulk: mpsc::Receiver<Up>,
}

/// Both ends.
pub fn up_channel() -> (UpSender, UpReceiver) {
    let (first, firsts) = mpsc::channel(QUEUE);
    let (bulk, bulks) = mpsc::channel(QUEUE);
    (UpSender { first, bulk }, UpReceiver { first: firsts, bulk: bulks })
}

impl UpSender {
    /// Hands a frame over, once there is room for one of its urgency; false where nobody listens any more.
    pub async fn send(&self, up: Up) -> bool {
        let is_bulk = match &up {
            Up::Batch(bytes) => Batch::place(bytes).is_some_and(|(_, lane, _)| lane == Lane::Bulk),
            _ => false,
        };
        let to = if is_bulk { &self.bulk } else { &self.first };
        to.send(up).await.is_ok()
    }

    /// Waits until nobody listens any more.
    pub async fn closed(&self) {
        self.first.closed().await;
    }
}

impl UpReceiver {
    /// The next frame, bulk batches last; `None` once the box is gone and everything is taken.
    pub async fn recv(&mut self) -> Option<Up> {
        tokio::select! {
            biased;
            Some(up) = self.first.recv() => Some(up),
            Some(up) = self.bulk.recv() => Some(up),
            else => None,
        }
    }
}
