//! Sockets of the API: bounds them in number and time, shakes hands, drains at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sync::identity::Own;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tower::ServiceExt as _;

/// Connections at once; whoever comes beyond them is closed.
const CONNECTIONS: usize = 512;

/// How long a handshake, and the head of a request, may take.
const HEAD: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;

/// How long a connection lives, whatever happens on it: nobody keeps a place by reading slowly.
const LIFE: Duration = Duration::from_secs(300);

/// Pause after a failed accept (out of file descriptors, say), so that it is not tried in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Address of the far end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub SocketAddr);

/// TLS 1.3 with the node's certificate of the time; clients show none.
///
/// # Errors
/// Where there is no TLS 1.3.
pub(crate) fn tls(own: &Own) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(own.clone()));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` says so, then lets calls in hand finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // Closed at once: the kernel's queue must not grow in its stead.
            Ok((stream, _)) if connections.len() >= CONNECTIONS => drop(stream),
            Ok((stream, remote)) => {
                let (router, tls, stop) = (router.clone(), tls.clone(), stop.clone());
                connections.spawn(async move {
                    let life = connection(stream, remote, router, tls, stop);
                    match tokio::time::timeout(LIFE, life).await {
                        Ok(Ok(())) => {}
                        // A far end that goes away in the middle is its own business.
                        Ok(Err(error)) => tracing::debug!(error, %remote, "connection ended"),
                        Err(_) => tracing::debug!(%remote, "connection ended: its time is over"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    // Answers are small and whole; waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return talk(stream, remote, router, stop).await };
    let hands = tokio::time::timeout(HEAD, tls.accept(stream)).await;
    let stream = hands.map_err(|_| "the handshake took too long")?.map_err(|e| e.to_string())?;
    talk(stream, remote, router, stop).await
}

async fn talk<S>(
    stream: S,
    remote: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(Remote(remote));
        request
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        done = &mut serving => return done.map_err(|error| error.to_string()),
        _ = stop.wait_for(|stop| *stop) => serving.as_mut().graceful_shutdown(),
    }
    serving.await.map_err(|error| error.to_string())
}
