//! Sockets: accepts connections, bounds them, shakes hands where there is a certificate, speaks HTTP/1 and 2 on each, and
//! drains at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use super::patience::Patience;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 32 << 10;

/// Pause after a failed accept (out of file descriptors, say), so that it is not tried in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a silent HTTP/2 connection is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);

/// What a connection with TLS begins with (RFC 8446, section 5.1: a record of the handshake).
const HANDSHAKE: u8 = 22;

/// What is said to whoever speaks plain HTTP where TLS is expected.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 39\r\n\
    connection: close\r\n\r\nThis port speaks TLS: call it by https\n";

/// Address of the far end.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// How to serve.
pub struct Server {
    /// What answers.
    pub router: Router,
    /// Shakes hands; without it plain HTTP is spoken.
    pub tls: Option<TlsAcceptor>,
    /// Most connections at once.
    pub connections: usize,
    /// How long a handshake, and the head of a request, may take.
    pub head: Duration,
    /// How long calls in hand may take at the end.
    pub drain: Duration,
}

impl Server {
    /// Serves until `stop` says so, then lets calls in hand finish.
    pub async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.connections));
        let graceful = GracefulShutdown::new();
        let drain = self.drain;
        let server = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // With every place taken the new one is closed at once: the kernel's queue must not grow in its stead.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (server, watcher) = (Arc::clone(&server), graceful.watcher());
            tokio::spawn(async move {
                // A far end that goes away in the middle is its own business.
                if let Err(error) = server.connection(stream, peer, watcher).await {
                    tracing::debug!(error, %peer, "connection ended");
                }
                drop(place);
            });
        }
        drop(listener);
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("calls in hand were cut off: they took longer than the drain");
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
    ) -> Result<(), String> {
        // Answers are small and whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.talk(stream, peer, watcher).await };
        let hands = tokio::time::timeout(self.head, shake(tls, stream)).await;
        match hands.map_err(|_| "the handshake took too long")?.map_err(|e| e.to_string())? {
            Some(stream) => self.talk(stream, peer, watcher).await,
            None => Err("plain HTTP where TLS is spoken".to_owned()),
        }
    }

    async fn talk<S>(&self, stream: S, peer: SocketAddr, watcher: Watcher) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.router.clone().map_request(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(ConnectInfo(Peer(peer)));
            request
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_buf_size(HEAD_BYTES * 4);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(self.head)
            .max_header_list_size(HEAD_BYTES as u32);
        let stream = TokioIo::new(Patience::new(stream, self.head));
        let serving = builder.serve_connection(stream, TowerToHyperService::new(service));
        watcher.watch(serving.into_owned()).await.map_err(|error| error.to_string())
    }
}

/// Shakes hands; `None` for whoever does not speak TLS, who is told so.
async fn shake(
    tls: &TlsAcceptor,
    mut stream: TcpStream,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
        stream.write_all(PLAIN).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    tls.accept(stream).await.map(Some)
}
