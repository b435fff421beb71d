//! TLS between box and hub: version 1.3, both sides with certificates of the hub's authority, rustls with ring.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::journal::BoxId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{IdentityError, Own, unusable};

/// The name by which boxes know a hub, whatever its address.
pub const HUB_NAME: &str = "weir-hub";

/// A certificate with those that lead to the authority, and its key.
#[derive(Debug)]
pub struct Certified {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Belongs to the leaf.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Certified {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Certified {
    /// The certificates and the key as PEM, for a server of another make, such as the broker.
    pub fn pem(&self) -> [String; 2] {
        let certificates = self.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        let label = match self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        [certificates, pem(label, self.key.secret_der())]
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (n, letter) in BASE64_STANDARD.encode(der).chars().enumerate() {
        if n > 0 && n % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text + &format!("\n-----END {label}-----\n")
}

/// The first certificate of a PEM text.
pub(super) fn certificate(pem: &str) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| unusable("the certificate")(e.to_string()))
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.clone())
        .map_err(|e| unusable("the authority's certificate")(e.to_string()))?;
    Ok(Arc::new(roots))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The hub's side: whoever has no certificate of the authority's is refused.
///
/// # Errors
/// Where key or certificate cannot be used.
pub fn server(
    authority: &CertificateDer<'static>,
    own: &Own,
    protocol: &[u8],
) -> Result<ServerConfig, IdentityError> {
    let failed = |error: Error| unusable("the protocol")(error.to_string());
    let boxes = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider())
        .build()
        .map_err(|e| unusable("the authority's certificate")(e.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(boxes)
        .with_cert_resolver(Arc::new(own.clone()));
    config.alpn_protocols = vec![protocol.to_vec()];
    // What is sent in the first flight could be replayed.
    config.max_early_data_size = 0;
    Ok(config)
}

/// The side of a box, or of a hub node at the broker.
///
/// # Errors
/// Where key or certificate cannot be used.
pub fn client(
    authority: &CertificateDer<'static>,
    own: &Own,
    protocol: &[u8],
) -> Result<ClientConfig, IdentityError> {
    let failed = |error: Error| unusable("the protocol")(error.to_string());
    let hub = WebPkiServerVerifier::builder_with_provider(roots(authority)?, provider())
        .build()
        .map_err(|e| unusable("the authority's certificate")(e.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyClock(hub)))
        .with_client_cert_resolver(Arc::new(own.clone()));
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Verifies the hub as usual, but for the time: the box's clock may be wrong by years, and it would be cut off from the hub, which
/// could tell it. The authority is the hub's own and signs nothing else; one that is not trusted any more is replaced.
#[derive(Debug)]
struct AnyClock(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyClock {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = |time| {
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time)
        };
        match at(now) {
            Err(Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) => at(lifetime(end_entity)?),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// A time within the life of a certificate.
fn lifetime(der: &CertificateDer<'_>) -> Result<UnixTime, Error> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = certificate.validity();
    let [from, to] = [validity.not_before.timestamp(), validity.not_after.timestamp()];
    let middle = u64::try_from(from.midpoint(to)).unwrap_or_default();
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(middle)))
}

/// The box that a certificate names, its serial number (big-endian), and from when to when it is good (seconds since 1970). What it says
/// is only worth as much as the handshake that verified it.
///
/// # Errors
/// Where it is no certificate of a box.
pub fn named(der: &CertificateDer<'_>) -> Result<(BoxId, Vec<u8>, [i64; 2]), IdentityError> {
    let bad = |detail: String| unusable("the box's certificate")(detail);
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| bad(e.to_string()))?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let of = name
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| bad("its common name is no box".to_owned()))?;
    let validity = certificate.validity();
    let life = [validity.not_before.timestamp(), validity.not_after.timestamp()];
    Ok((of, certificate.raw_serial().to_vec(), life))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::identity::Authority;

    #[test]
    fn the_hub_is_believed_by_boxes_whose_clock_is_wrong_by_years_and_nobody_else_is() {
        let [ours, other] = [0, 1].map(|_| {
            let (certificate, key) = Authority::create("test").unwrap();
            Authority::open(&certificate, &key).unwrap()
        });
        let inner = WebPkiServerVerifier::builder_with_provider(
            roots(ours.certificate()).unwrap(),
            provider(),
        );
        let verifier = AnyClock(inner.build().unwrap());
        let name = ServerName::try_from(HUB_NAME).unwrap();
        let seen = |authority: &Authority, name: &ServerName<'_>, seconds: u64| {
            let chain = authority.server(&[]).unwrap().chain;
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            verifier.verify_server_cert(&chain[0], &chain[1..], name, &[], at).is_ok()
        };
        for seconds in [0, UnixTime::now().as_secs(), 4_000_000_000] {
            assert!(seen(&ours, &name, seconds), "{seconds}");
            assert!(!seen(&other, &name, seconds), "{seconds}");
        }
        assert!(!seen(&ours, &ServerName::try_from("another").unwrap(), 0));
    }
}
