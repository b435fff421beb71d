//! The box's side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::journal::Lane;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::answers::Answers;
use super::fetcher::Fetcher;
use super::{CLOSED, Congestion, PROTOCOL, read, transport, write};
use crate::batch::Batch;
use crate::frame::{Down, Up};
use crate::identity::{Certified, HUB_NAME, IdentityError, Own, client};
use crate::request::{MOST_REQUESTS, Requests};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Frames that may wait for a stream. Batches are bounded by the link's window; these are few and large, or many and small.
const QUEUE: usize = 64;

/// Opens connections to a hub.
pub struct Client {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Arc<QuicClientConfig>,
    answers: Answers,
    latest: watch::Sender<Option<quinn::Connection>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The address is none, or its name is not known.
    #[error("the address {0} is not known: {1}")]
    Address(String, String),
    /// Nothing came back.
    #[error("no answer over UDP")]
    Silent,
    /// The box's certificate has run out: it needs a new one.
    #[error("the hub says that this box's certificate has run out")]
    Expired,
    /// The hub refused, or is another.
    #[error("{0}")]
    Refused(String),
}

/// What happens on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The hub said something.
    Heard(Down),
    /// Every stream takes a frame again.
    Room,
    /// The connection is gone: [`Connection::failure`] says why.
    Ended,
}

/// A connection to the hub.
#[derive(Debug)]
pub struct Connection {
    inner: quinn::Connection,
    critical: mpsc::Sender<Vec<u8>>,
    bulk: mpsc::Sender<Vec<u8>>,
    pub(super) control: mpsc::Sender<Vec<u8>>,
    down: mpsc::Receiver<Down>,
    tasks: JoinSet<()>,
    congestion: Congestion,
}

impl Client {
    /// A client for a box with its certificate. Needs a runtime.
    ///
    /// # Errors
    /// Where the certificate cannot be used, or no socket can be opened.
    pub fn new(authority: &CertificateDer<'static>, own: Certified) -> Result<Self, IdentityError> {
        let unusable = |detail: String| IdentityError::Unusable { what: "the QUIC client", detail };
        let tls = client(authority, &Own::new(own)?, PROTOCOL)?;
        let tls = QuicClientConfig::try_from(tls).map_err(|e| unusable(e.to_string()))?;
        // Both kinds of addresses where the machine has them.
        let endpoint = [SocketAddr::from(([0u16; 8], 0)), SocketAddr::from(([0u8; 4], 0))]
            .into_iter()
            .find_map(|address| Endpoint::client(address).ok())
            .ok_or_else(|| unusable("no UDP socket can be opened".into()))?;
        Ok(Self {
            endpoint,
            tls: Arc::new(tls),
            answers: Answers::default(),
            latest: watch::Sender::new(None),
        })
    }

    /// Fetches over whichever connection there is.
    pub fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.latest.subscribe())
    }

    /// Who answers the hub's requests; without anybody each is refused.
    pub fn answering(mut self, requests: Arc<dyn Requests>) -> Self {
        self.answers.set(requests);
        self
    }

    /// Connects to `host:port`, trying each of its addresses.
    ///
    /// # Errors
    /// See [`Failure`]; the last address's.
    pub async fn connect(&self, hub: &str, congestion: Congestion) -> Result<Connection, Failure> {
        let failed = |e: std::io::Error| Failure::Address(hub.to_owned(), e.to_string());
        let local = self.endpoint.local_addr().map_err(failed)?;
        let addresses = tokio::net::lookup_host(hub).await.map_err(failed)?;
        let mut last = Failure::Address(hub.to_owned(), "it has no address".to_owned());
        for address in addresses {
            // A socket of the newer kind reaches the older addresses in their mapped form.
            let address = match (local, address) {
                (SocketAddr::V6(_), SocketAddr::V4(v4)) => {
                    SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
                }
                (SocketAddr::V4(_), SocketAddr::V6(_)) => continue,
                _ => address,
            };
            match self.to(address, congestion).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn to(&self, address: SocketAddr, congestion: Congestion) -> Result<Connection, Failure> {
        let mut config = ClientConfig::new(Arc::clone(&self.tls) as _);
        config.transport_config(transport(congestion, MOST_REQUESTS as u32));
        let connecting = self
            .endpoint
            .connect_with(config, address, HUB_NAME)
            .map_err(|error| Failure::Address(address.to_string(), error.to_string()))?;
        let inner = tokio::time::timeout(HANDSHAKE, connecting)
            .await
            .map_err(|_| Failure::Silent)?
            .map_err(|error| failure(&error))?;
        let opened = Connection::open(inner, congestion, self.answers.clone());
        let opened = tokio::time::timeout(HANDSHAKE, opened).await;
        let opened = opened.map_err(|_| Failure::Silent)?.map_err(|error| failure(&error))?;
        self.latest.send_replace(Some(opened.inner.clone()));
        Ok(opened)
    }

    /// Other addresses are in use now: connections go on from a new socket.
    ///
    /// # Errors
    /// Where none can be opened.
    pub fn rebind(&self) -> std::io::Result<()> {
        let local = self.endpoint.local_addr()?;
        let any = match local {
            SocketAddr::V4(_) => SocketAddr::from(([0u8; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
        };
        self.endpoint.rebind(std::net::UdpSocket::bind(any)?)
    }

    /// Ends all connections, and waits until the hub was told.
    pub async fn close(self) {
        self.endpoint.close(CLOSED, b"");
        self.endpoint.wait_idle().await;
    }
}

/// TLS's alert of a certificate that has run out (RFC 8446, section 6), as a QUIC error.
const CERTIFICATE_EXPIRED: u8 = 45;

fn failure(error: &ConnectionError) -> Failure {
    match error {
        ConnectionError::ConnectionClosed(close)
            if close.error_code == quinn::TransportErrorCode::crypto(CERTIFICATE_EXPIRED) =>
        {
            Failure::Expired
        }
        ConnectionError::TimedOut => Failure::Silent,
        other => Failure::Refused(other.to_string()),
    }
}

impl Connection {
    async fn open(
        inner: quinn::Connection,
        congestion: Congestion,
        answers: Answers,
    ) -> Result<Self, ConnectionError> {
        let mut tasks = JoinSet::new();
        let (send, mut receive) = inner.open_bi().await?;
        let control = writer(&mut tasks, send, 1);
        let critical = writer(&mut tasks, inner.open_uni().await?, 1);
        let bulk = writer(&mut tasks, inner.open_uni().await?, 0);
        let (told, down) = mpsc::channel(QUEUE);
        tasks.spawn(async move {
            while let Ok(Some(frame)) = read(&mut receive).await {
                match Down::decode(&frame) {
                    Ok(Some(down)) => {
                        if told.send(down).await.is_err() {
                            return;
                        }
                    }
                    // Of a later release.
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the hub says what is no frame");
                        return;
                    }
                }
            }
        });
        tasks.spawn(answers.serve(inner.clone()));
        Ok(Self { inner, critical, bulk, control, down, tasks, congestion })
    }

    /// Sends a frame, once its stream has room.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn send(&self, up: &Up) -> Result<(), Failure> {
        let gone = || Failure::Refused("the connection ended".to_owned());
        let stream = match up {
            Up::Batch(bytes) => match Batch::place(bytes) {
                Some((_, Lane::Critical, _)) => &self.critical,
                _ => &self.bulk,
            },
            _ => &self.control,
        };
        stream.send(up.encode().map_err(|_| gone())?).await.map_err(|_| gone())
    }

    /// Whether a bulk batch can be sent without waiting.
    pub fn has_room(&self) -> bool {
        self.bulk.capacity() > 0 && self.critical.capacity() > 0 && self.control.capacity() > 0
    }

    /// What the hub says next. Where room is asked for, comes back with [`Event::Room`] once every stream takes a frame again.
    pub async fn next(&mut self, room: bool) -> Event {
        let room = async {
            if !room {
                return std::future::pending().await;
            }
            // Where a stream is gone, so is what the hub says: the other branch tells.
            for stream in [&self.bulk, &self.critical, &self.control] {
                if stream.reserve().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            down = self.down.recv() => down.map_or(Event::Ended, Event::Heard),
            () = room => Event::Room,
        }
    }

    /// The share of packets that was lost, once enough were lost or sent to tell: three, that one is not judged by a mishap.
    pub fn loss(&self) -> Option<f64> {
        let path = self.inner.stats().path;
        (path.sent_packets >= 200 || path.lost_packets >= 3)
            .then(|| path.lost_packets as f64 / path.sent_packets as f64)
    }

    /// How it paces itself.
    pub fn congestion(&self) -> Congestion {
        self.congestion
    }

    /// Round-trip time.
    pub fn rtt(&self) -> Duration {
        self.inner.rtt()
    }

    /// Bytes of UDP payload sent and received so far.
    pub fn bytes(&self) -> (u64, u64) {
        let stats = self.inner.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    /// Why it ended. The hub looks at the box's certificate when the box is connected already, so that this, too, may be
    /// [`Failure::Expired`].
    pub fn failure(&self) -> Failure {
        match self.inner.close_reason() {
            Some(reason) => failure(&reason),
            None => Failure::Refused("the hub ended it".to_owned()),
        }
    }

    /// Ends it.
    pub fn close(mut self) {
        self.inner.close(CLOSED, b"");
        self.tasks.abort_all();
    }
}

/// A task that writes what comes to a stream, in order.
fn writer(
    tasks: &mut JoinSet<()>,
    mut stream: quinn::SendStream,
    priority: i32,
) -> mpsc::Sender<Vec<u8>> {
    let (sender, mut frames) = mpsc::channel::<Vec<u8>>(QUEUE);
    tasks.spawn(async move {
        // Fails only on a stream that is closed, which the first write tells.
        let _ = stream.set_priority(priority);
        while let Some(frame) = frames.recv().await {
            if write(&mut stream, &frame).await.is_err() {
                return;
            }
        }
        let _ = stream.finish();
    });
    sender
}

#[cfg(test)]
impl Connection {
    /// The certificate that the hub showed.
    pub(super) fn shown(&self) -> CertificateDer<'static> {
        let identity = self.inner.peer_identity().and_then(|it| it.downcast().ok());
        identity.and_then(|chain: Box<Vec<_>>| chain.first().cloned()).unwrap_or(vec![].into())
    }
}
