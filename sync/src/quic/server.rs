//! The hub's side.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fetching;
use super::{Asker, CLOSED, Congestion, MISUSED, PROTOCOL, read, transport, write};
use crate::blob::MOST_FETCHES;
use crate::frame::{Down, Up};
use crate::identity::{Certified, IdentityError, Own, named, server};
use crate::link::Path;
use crate::peer::{Peer, QUEUE, UpSender, up_channel};

/// Handshakes under way at once. From half of that on, strangers have to show that they receive at their address.
const HANDSHAKES: usize = 512;

/// How long a handshake, and the opening of the control stream behind it, may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Streams in both directions that a box may open: that of control, and one for each fetch.
const BIDIRECTIONAL: u32 = 1 + MOST_FETCHES as u32;

/// How long the hub's last word to a box may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Takes boxes' connections.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
}

impl Server {
    /// Listens on a socket. Needs a runtime.
    ///
    /// # Errors
    /// Where the certificate cannot be used, or the socket.
    pub fn new(
        socket: UdpSocket,
        authority: &CertificateDer<'static>,
        own: Certified,
    ) -> Result<Self, IdentityError> {
        Self::renewing(socket, authority, &Own::new(own)?)
    }

    /// The same with a certificate that may be replaced: each handshake shows the newest, and what is connected stays so.
    ///
    /// # Errors
    /// Where the socket cannot be used.
    pub fn renewing(
        socket: UdpSocket,
        authority: &CertificateDer<'static>,
        own: &Own,
    ) -> Result<Self, IdentityError> {
        let unusable = |detail: String| IdentityError::Unusable { what: "the QUIC server", detail };
        let tls = server(authority, own, PROTOCOL)?;
        let tls = QuicServerConfig::try_from(tls).map_err(|e| unusable(e.to_string()))?;
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(transport(Congestion::Cubic, BIDIRECTIONAL));
        config.max_incoming(HANDSHAKES);
        config.incoming_buffer_size(16 * 1024);
        config.incoming_buffer_size_total(4 * 1024 * 1024);
        let endpoint =
            Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
                .map_err(|e| unusable(e.to_string()))?;
        Ok(Self { endpoint })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the socket does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Hands over each box that connects, until told to stop; then ends all connections and waits until the boxes were told.
    pub async fn serve(self, peers: mpsc::Sender<Peer>, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { break };
                    let handshakes = tasks.len().saturating_sub(self.endpoint.open_connections());
                    if handshakes > HANDSHAKES / 2 && incoming.may_retry() {
                        // Fails only where it was validated already.
                        let _ = incoming.retry();
                        continue;
                    }
                    tasks.spawn(serve(incoming, peers.clone()));
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task of a connection ended");
                    }
                }
            }
        }
        self.endpoint.close(CLOSED, b"the hub stops");
        self.endpoint.wait_idle().await;
        tasks.shutdown().await;
    }
}

async fn serve(incoming: Incoming, peers: mpsc::Sender<Peer>) {
    let remote = incoming.remote_address();
    let opened = tokio::time::timeout(HANDSHAKE, async {
        let connection = incoming.accept()?.await?;
        let control = connection.accept_bi().await?;
        Ok::<_, quinn::ConnectionError>((connection, control))
    });
    let (connection, (send, receive)) = match opened.await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return tracing::info!(%remote, %error, "a handshake failed"),
        Err(_) => return tracing::info!(%remote, "a handshake took too long"),
    };
    let Some((of, serial)) = identity(&connection) else {
        connection.close(MISUSED, b"no certificate of a box");
        return tracing::warn!(%remote, "a certificate of ours names no box");
    };
    let (up, ups) = up_channel();
    let (down, downs) = mpsc::channel(QUEUE);
    let remote = remote.to_string();
    let (wants, fetches) = mpsc::channel(MOST_FETCHES);
    let fetches = Some(fetches);
    let (path, asker) = (Path::Quic, Some(Asker::new(connection.clone())));
    let peer = Peer { of, serial, path, remote, up: ups, down, asker, fetches };
    if peers.send(peer).await.is_err() {
        return connection.close(CLOSED, b"the hub stops");
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(listen(receive, up.clone()));
    tasks.spawn(fetching::listen(connection.clone(), wants));
    let lanes = async {
        // A stream a lane; more than two are not granted.
        while let Ok(stream) = connection.accept_uni().await {
            tasks.spawn(listen(stream, up.clone()));
        }
    };
    let mut tell = std::pin::pin!(tell(send, downs));
    tokio::select! {
        () = lanes => {}
        () = &mut tell => {}
        // The hub has done with this box, or is not there any more. Its last word still goes out.
        () = up.closed() => {
            let _ = tokio::time::timeout(LAST_WORD, tell).await;
        }
    }
    connection.close(CLOSED, b"");
    tasks.shutdown().await;
}

/// The box and the serial number of its certificate, which the handshake verified.
fn identity(connection: &quinn::Connection) -> Option<(domain::journal::BoxId, Vec<u8>)> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let (of, serial, _) = named(chain.first()?).ok()?;
    Some((of, serial))
}

/// Reads frames off a stream. A box that says what is no frame is not listened to any more.
async fn listen(mut stream: quinn::RecvStream, up: UpSender) {
    while let Ok(Some(frame)) = read(&mut stream).await {
        match Up::decode(&frame) {
            Ok(Some(frame)) => {
                if !up.send(frame).await {
                    return;
                }
            }
            // Of a later release.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "a box says what is no frame");
                let _ = stream.stop(MISUSED);
                return;
            }
        }
    }
}

async fn tell(mut stream: quinn::SendStream, mut down: mpsc::Receiver<Down>) {
    while let Some(frame) = down.recv().await {
        let Ok(frame) = frame.encode() else { continue };
        if write(&mut stream, &frame).await.is_err() {
            return;
        }
    }
    let _ = stream.finish();
    // Until the box has it all, or is gone.
    let _ = stream.stopped().await;
}
