//! The hub's certificate authority, and the requests that boxes make of it.

use domain::journal::BoxId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

use super::{Certified, IdentityError, tls::HUB_NAME, unusable};

/// How long the authority itself is good.
const AUTHORITY_DAYS: i64 = 20 * 365;

/// How long a box's certificate is good. A box renews at two thirds.
pub const BOX_DAYS: i64 = 90;

/// How long a hub's own certificate is good; a new one is made at each start, and in time before the end.
const HUB_DAYS: i64 = 365;

/// Certificates begin a day early: clocks differ.
const EARLY: Duration = Duration::days(1);

/// Signs the certificates of boxes, hub and broker.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// In DER.
    pub certificate: CertificateDer<'static>,
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// When it runs out, in seconds since 1970.
    pub expires: i64,
}

/// What a box asks for.
pub struct BoxRequest {
    params: CertificateSigningRequestParams,
    /// The box, by the request's common name.
    pub of: BoxId,
    /// The device key, 32 bytes of Ed25519.
    pub public_key: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl std::fmt::Debug for BoxRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoxRequest").field("of", &self.of).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority; gives its certificate and its key, both in PEM.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn create(name: &str) -> Result<(String, String), IdentityError> {
        let failed = |error: rcgen::Error| unusable("the new authority")(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = params(name, AUTHORITY_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Reads what [`Authority::create`] gave.
    ///
    /// # Errors
    /// Where either is no PEM of the kind.
    pub fn open(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let key =
            KeyPair::from_pem(key).map_err(|e| unusable("the authority's key")(e.to_string()))?;
        let der = super::tls::certificate(certificate)?;
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|e| unusable("the authority's certificate")(e.to_string()))?;
        Ok(Self { issuer, certificate: der })
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for a box.
    ///
    /// # Errors
    /// Where it cannot be signed.
    pub fn issue(&self, mut request: BoxRequest, days: i64) -> Result<Issued, IdentityError> {
        // Nothing that the request asks for goes in but its key.
        let mut params = params(&request.of.to_string(), days)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (serial, expires) = (serial_of(&params), params.not_after.unix_timestamp());
        request.params.params = params;
        let signed = request.params.signed_by(&self.issuer);
        let signed = signed.map_err(|e| IdentityError::Request(e.to_string()))?;
        Ok(Issued { certificate: signed.der().clone(), serial, expires })
    }

    /// A key and a certificate for a client of the hub's broker: hub nodes are known to it by the name [`HUB_NAME`].
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn client(&self, name: &str) -> Result<Certified, IdentityError> {
        let mut params = CertificateParams::default();
        within(&mut params, name, HUB_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.certify(&params)
    }

    /// A key and a certificate for a server of the hub's: itself or its broker. `names` are host names and addresses.
    ///
    /// # Errors
    /// Where a name is none, or no key can be made.
    pub fn server(&self, names: &[String]) -> Result<Certified, IdentityError> {
        let failed = |error: rcgen::Error| unusable("the server's certificate")(error.to_string());
        let mut names = names.to_vec();
        names.push(HUB_NAME.to_owned());
        let mut params = CertificateParams::new(names).map_err(failed)?;
        within(&mut params, HUB_NAME, HUB_DAYS)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.certify(&params)
    }

    fn certify(&self, params: &CertificateParams) -> Result<Certified, IdentityError> {
        let failed = |error: rcgen::Error| unusable("the hub's certificate")(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Certified { chain: vec![certificate.der().clone(), self.certificate.clone()], key })
    }
}

impl BoxRequest {
    /// Reads a request (DER) and sees that it was signed by the key that it names.
    ///
    /// # Errors
    /// Where it was not, names no box, or the key is of another kind than a device's.
    pub fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let refused = |detail: &str| IdentityError::Request(detail.to_owned());
        let params =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
                .map_err(|e| IdentityError::Request(e.to_string()))?;
        let of = match params.params.distinguished_name.get(&DnType::CommonName) {
            Some(DnValue::Utf8String(name)) => name.parse().ok(),
            _ => None,
        };
        let of = of.ok_or_else(|| refused("its common name is no box"))?;
        if *params.public_key.algorithm() != rcgen::PKCS_ED25519 {
            return Err(refused("the device key is not Ed25519"));
        }
        let public_key = params.public_key.der_bytes().to_vec();
        Ok(Self { params, of, public_key })
    }
}

/// A box's certificate request (DER), signed by its device key (PKCS#8).
///
/// # Errors
/// Where the key cannot be used.
pub fn request(of: BoxId, device_key: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let failed = |error: rcgen::Error| unusable("the device key")(error.to_string());
    let key = KeyPair::try_from(device_key).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&of.to_string());
    Ok(params.serialize_request(&key).map_err(failed)?.der().to_vec())
}

fn params(name: &str, days: i64) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    within(&mut params, name, days)?;
    Ok(params)
}

fn within(params: &mut CertificateParams, name: &str, days: i64) -> Result<(), IdentityError> {
    let mut serial = [0u8; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| unusable("a serial number")("no random numbers".into()))?;
    // Positive, and without a leading zero: it reads the same wherever it is written.
    serial[0] = serial[0] & 0x7f | 0x40;
    let now = OffsetDateTime::now_utc();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = now - EARLY + Duration::days(days.min(0));
    params.not_after = now + Duration::days(days);
    params.distinguished_name = common_name(name);
    params.use_authority_key_identifier_extension = true;
    Ok(())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
    names
}

fn serial_of(params: &CertificateParams) -> Vec<u8> {
    params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default()
}
