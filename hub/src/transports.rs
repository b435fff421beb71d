//! How boxes reach the hub. Each transport hands over a [`Peer`] for every box that has shown its certificate; what it says from
//! then on is the session's business.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;
use sync::Peer;
use sync::quic::Server;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::renewal::Certificates;
use crate::session::Sessions;

/// Boxes that have shown their certificate and wait for a session; behind them transports take in no more.
const ARRIVALS: usize = 64;

/// Where transports hand over the boxes that have connected.
pub type Arrivals = mpsc::Sender<Peer>;

/// A place for transports, and who waits at it.
pub fn arrivals() -> (Arrivals, mpsc::Receiver<Peer>) {
    mpsc::channel(ARRIVALS)
}

/// Listens for boxes over QUIC, with the node's own certificate.
///
/// # Errors
/// Where the address is taken.
pub fn quic(listen: SocketAddr, own: &Certificates) -> anyhow::Result<Server> {
    let socket = UdpSocket::bind(listen)
        .with_context(|| format!("quic.listen: cannot listen on UDP {listen}"))?;
    Ok(Server::renewing(socket, own.issuer.authority.certificate(), &own.server)?)
}

/// Serves whoever arrives until it is time to stop; then what was handed in is still committed.
pub async fn serve(
    sessions: Arc<Sessions>,
    mut arrivals: mpsc::Receiver<Peer>,
    mut stop: watch::Receiver<bool>,
) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = running.join_next() => {}
            peer = arrivals.recv() => match peer {
                Some(peer) => {
                    let sessions = Arc::clone(&sessions);
                    running.spawn(async move { sessions.serve(peer).await });
                }
                None => break,
            },
        }
    }
    // Dropping a session ends its connection; the ingest finishes what it holds.
    running.shutdown().await;
}
