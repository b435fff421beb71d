//! A box as the hub sees it, by whichever way it came.

use domain::journal::BoxId;
use tokio::sync::mpsc;

use crate::frame::{Down, Up};
use crate::link::Path;
use crate::quic::{Asker, Fetching};

/// Frames that may wait between a transport and the hub; behind them the transport stops reading.
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
    pub up: mpsc::Receiver<Up>,
    /// What it is told.
    pub down: mpsc::Sender<Down>,
    /// By which it can be asked; nothing over MQTT.
    pub asker: Option<Asker>,
    /// What it fetches; nothing over MQTT.
    pub fetches: Option<mpsc::Receiver<Fetching>>,
}
