//! TLS 1.3 by rustls with ring. The files are looked at again and again: a renewed certificate is in force for the next
//! connection, and those that are open stay.

use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::{config, secret};

/// How often the files are looked at.
const TICK: Duration = Duration::from_secs(2);

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    files: config::Tls,
    current: RwLock<Arc<CertifiedKey>>,
    /// The state of the files when they were last read.
    seen: Mutex<Stamp>,
}

/// Device, inode, length and time of change of both files: what changes when they do.
type Stamp = [Option<(u64, u64, u64, i64, i64)>; 2];

impl Certificate {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// Where one is missing, unusable, or not the other's; where others may read the key.
    pub fn open(files: &config::Tls) -> anyhow::Result<Arc<Self>> {
        let seen = Mutex::new(stamp(files));
        let current = RwLock::new(Arc::new(load(files)?));
        Ok(Arc::new(Self { files: files.clone(), current, seen }))
    }

    /// What shakes hands with it.
    ///
    /// # Errors
    /// Never, as long as ring knows TLS 1.3.
    pub fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again where they changed. What cannot be used is told once, and the old certificate stays.
    fn reload(&self) {
        let now = stamp(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match load(&self.files) {
            Ok(loaded) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                tracing::info!("the new certificate is in force");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the new certificate cannot be used; the old one stays");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Looks after the files until the service is told to end.
pub async fn run(certificate: Option<Arc<Certificate>>, mut stop: watch::Receiver<bool>) {
    let Some(certificate) = certificate else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let certificate = Arc::clone(&certificate);
        if let Err(error) = tokio::task::spawn_blocking(move || certificate.reload()).await {
            tracing::error!(%error, "looking after the certificate failed");
        }
    }
}

fn load(files: &config::Tls) -> anyhow::Result<CertifiedKey> {
    let name = secret::path(&files.certificate).display().to_string();
    let pem = secret::read_public(&files.certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.with_context(|| format!("{name} is no certificate in PEM"))?;
    ensure!(!chain.is_empty(), "{name} has no certificate in PEM");
    let key_name = secret::path(&files.key).display().to_string();
    let key = PrivateKeyDer::from_pem_slice(&secret::read(&files.key)?)
        .with_context(|| format!("{key_name} has no private key in PEM"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .with_context(|| format!("{key_name} is not the key of {name}, or of a kind unknown here"))
}

fn stamp(files: &config::Tls) -> Stamp {
    [&files.certificate, &files.key].map(|file| {
        let state = std::fs::metadata(secret::path(file)).ok()?;
        Some((state.dev(), state.ino(), state.len(), state.mtime(), state.mtime_nsec()))
    })
}
