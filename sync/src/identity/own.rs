//! A certificate of the hub's own that is replaced while it is in use.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Certified, IdentityError, unusable};

/// The certificate that is shown from now on. Clones are the same one: after [`Own::replace`] each handshake shows the new one, wherever
/// it is; connections that are open live on.
#[derive(Clone, Debug)]
pub struct Own(Arc<RwLock<Shown>>);

#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// From when to when it is good, in seconds since 1970.
    life: [i64; 2],
}

impl Own {
    /// Shows this one at first.
    ///
    /// # Errors
    /// Where key or certificate cannot be used.
    pub fn new(certified: Certified) -> Result<Self, IdentityError> {
        Ok(Self(Arc::new(RwLock::new(Shown::new(certified)?))))
    }

    /// Shows another one from now on.
    ///
    /// # Errors
    /// Where key or certificate cannot be used; then the old one stays.
    pub fn replace(&self, certified: Certified) -> Result<(), IdentityError> {
        let shown = Shown::new(certified)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// Whether no more than a third of its life is left, at this time in seconds since 1970.
    pub fn is_due(&self, now: i64) -> bool {
        let [from, to] = self.0.read().unwrap_or_else(PoisonError::into_inner).life;
        to - now <= (to - from) / 3
    }

    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).key)
    }
}

impl Shown {
    fn new(certified: Certified) -> Result<Self, IdentityError> {
        let failed = |detail: String| unusable("its own certificate")(detail);
        let Certified { chain, key } = certified;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| failed(error.to_string()))?;
        let leaf = key.end_entity_cert().map_err(|error| failed(error.to_string()))?;
        let (_, leaf) =
            X509Certificate::from_der(leaf).map_err(|error| failed(error.to_string()))?;
        let validity = leaf.validity();
        let life = [validity.not_before.timestamp(), validity.not_after.timestamp()];
        Ok(Self { key: Arc::new(key), life })
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

    use super::*;
    use crate::identity::{Authority, HUB_NAME, tls};

    type Ends = (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>);

    fn leaf(certified: &Certified) -> CertificateDer<'static> {
        certified.chain[0].clone()
    }

    /// What each end was shown: the server's certificate, and the client's.
    fn shown((near, far): &Ends) -> [CertificateDer<'static>; 2] {
        let [server, client] =
            [near.get_ref().1.peer_certificates(), far.get_ref().1.peer_certificates()];
        [server, client].map(|chain| chain.unwrap()[0].clone().into_owned())
    }

    #[tokio::test]
    async fn each_handshake_shows_the_newest_and_what_is_open_lives_on() {
        let (certificate, key) = Authority::create("test").unwrap();
        let authority = Authority::open(&certificate, &key).unwrap();
        let [first, second] = [(); 2].map(|()| authority.server(&[]).unwrap());
        let [my_first, my_second] = [(); 2].map(|()| authority.client(HUB_NAME).unwrap());
        let (hub, node) = (Own::new(first.clone()).unwrap(), Own::new(my_first.clone()).unwrap());
        let root = authority.certificate();
        // Each was made with the certificate of its first days, as the hub's are.
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(root, &hub, b"test").unwrap()));
        let connector = TlsConnector::from(Arc::new(tls::client(root, &node, b"test").unwrap()));
        let connect = async || -> Ends {
            let (near, far) = tokio::io::duplex(1 << 16);
            let name = ServerName::try_from(HUB_NAME).unwrap();
            tokio::try_join!(connector.connect(name, near), acceptor.accept(far)).unwrap()
        };
        let mut open = connect().await;
        assert_eq!(shown(&open), [leaf(&first), leaf(&my_first)]);
        hub.replace(second.clone()).unwrap();
        node.replace(my_second.clone()).unwrap();
        assert_eq!(shown(&connect().await), [leaf(&second), leaf(&my_second)]);
        open.0.write_all(b"still here").await.unwrap();
        open.0.flush().await.unwrap();
        let mut heard = [0; 10];
        open.1.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still here");
        // What cannot be used is not shown.
        let mixed = Certified { chain: first.chain, key: my_first.key };
        assert!(hub.replace(mixed).is_err());
        assert_eq!(shown(&connect().await)[0], leaf(&second));
    }

    #[test]
    fn it_is_due_when_a_third_of_its_life_is_left() {
        let (certificate, key) = Authority::create("test").unwrap();
        let authority = Authority::open(&certificate, &key).unwrap();
        let own = Own::new(authority.server(&[]).unwrap()).unwrap();
        let day = 24 * 3600;
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        // Good from a day ago for a year from now on.
        let due = [0, 242, 244, 364, 400].map(|days| own.is_due(now + days * day));
        assert_eq!(due, [false, false, true, true, true]);
    }
}
