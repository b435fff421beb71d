//! The certificates that a node shows: of the API and QUIC, and towards the broker. Made at the start, good for a year, and made anew when a
//! third of that is left, for as long as the node runs. Each handshake shows the newest; what is connected stays so.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sync::identity::{Certified, HUB_NAME, IdentityError, Own};

use crate::Error;
use crate::authority::{self, Issuer};

/// How often they are looked at.
const TICK: Duration = Duration::from_secs(3600);

/// A node's certificates. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Signs them.
    pub issuer: Arc<Issuer>,
    /// Of the API and QUIC.
    pub server: Own,
    /// Towards the broker.
    pub client: Own,
}

impl Certificates {
    /// Makes the first ones.
    ///
    /// # Errors
    /// Where the authority cannot be read, or a name is none.
    pub fn open(config: &authority::Config) -> Result<Self, Error> {
        let issuer = Arc::new(Issuer::open(config)?);
        let own = |made| Own::new(made).map_err(unusable);
        let (server, client) = (own(issuer.server()?)?, own(client(&issuer)?)?);
        Ok(Self { issuer, server, client })
    }

    /// Makes those anew that are due at this time, in seconds since 1970; how many.
    ///
    /// # Errors
    /// Where one cannot be made: the old one is shown on.
    pub fn renew(&self, now: i64) -> Result<usize, Error> {
        let mut renewed = 0;
        if self.server.is_due(now) {
            self.server.replace(self.issuer.server()?).map_err(unusable)?;
            renewed += 1;
        }
        if self.client.is_due(now) {
            self.client.replace(client(&self.issuer)?).map_err(unusable)?;
            renewed += 1;
        }
        Ok(renewed)
    }

    /// Renews them for as long as it is polled.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(TICK).await;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            match self.renew(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) {
                Ok(0) => {}
                Ok(renewed) => tracing::info!(renewed, "this node's certificates were made anew"),
                Err(error) => {
                    tracing::error!(%error, "this node's certificates cannot be made anew; an hour from now it is tried again");
                }
            }
        }
    }
}

fn client(issuer: &Issuer) -> Result<Certified, Error> {
    issuer.authority.client(HUB_NAME).map_err(unusable)
}

fn unusable(error: IdentityError) -> Error {
    Error::Invalid(format!("this node's certificate: {error}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::http::server;

    fn certificates() -> Certificates {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] =
            ["authority.pem", "authority.key"].map(|name| folder.path().join(name));
        let (pem, private) = sync::identity::Authority::create("test").unwrap();
        std::fs::write(&certificate, pem).unwrap();
        std::fs::write(&key, private).unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let config = authority::Config { names, certificate, key, told: Default::default() };
        Certificates::open(&config).unwrap()
    }

    fn connector(of: &Certificates) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(of.issuer.authority.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    async fn call(stream: &mut TlsStream<TcpStream>) {
        let request = b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n";
        stream.write_all(request).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 204");
        // To the end of the head: there is no body.
        let mut last = [0; 4];
        while &last != b"\r\n\r\n" {
            last.rotate_left(1);
            stream.read_exact(&mut last[3..]).await.unwrap();
        }
    }

    fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    #[tokio::test]
    async fn the_api_shows_a_new_certificate_in_time_and_cuts_nobody_off() {
        let certificates = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(async || axum::http::StatusCode::NO_CONTENT);
        let tls = server::tls(&certificates.server).unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(server::serve(listener, router, Some(tls), stopped));
        let connect = async || {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            // A connector of its own: one that is known is not shown the certificate again.
            connector(&certificates).connect(name, stream).await.unwrap()
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let in_days = |days: i64| i64::try_from(now.as_secs()).unwrap() + days * 24 * 3600;
        let mut open = connect().await;
        call(&mut open).await;
        assert_eq!(certificates.renew(in_days(200)).unwrap(), 0);
        assert_eq!(shown(&connect().await), shown(&open));
        assert_eq!(certificates.renew(in_days(300)).unwrap(), 2);
        let mut next = connect().await;
        assert_ne!(shown(&next), shown(&open));
        call(&mut next).await;
        call(&mut open).await;
        drop((open, next));
        stop.send_replace(true);
        serving.await.unwrap();
    }
}
