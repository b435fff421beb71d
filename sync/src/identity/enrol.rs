//! How a box asks for its certificate: two HTTPS calls of the hub's API.
//!
//! `GET /v1/authority` gives the authority's certificate (PEM) to anybody. `POST /v1/enrol` and `POST /v1/renew` take and give JSON, see
//! [`Ask`] and [`Granted`].

use std::collections::BTreeMap;
use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::journal::{BoxId, Sha256};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{IdentityError, Token, request, tls};

/// What a box sends. JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// Certificate request, DER in base64.
    pub request: String,
    /// The token's secret in base64; absent in a renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Release of the box.
    pub release: String,
    /// What people call the box; the hub shows it. At most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the hub answers. JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The box's certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// Public key of the hub's own signatures (Ed25519), base64.
    pub hub_key: String,
    /// Public key by which policies and hash lists are signed before they get to the hub (Ed25519), base64; absent where the fleet has
    /// none, and then no release is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_key: Option<String>,
    /// `host:port` of the hub for QUIC, best first.
    pub quic: Vec<String>,
    /// `host:port` of the broker for MQTT over TLS, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<String>,
    /// `https://host:port` of the hub's API, best first: for renewals.
    pub hubs: Vec<String>,
    /// The tenants that the box is to serve, each with the secret (32 bytes, base64) by which its authors are named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, String>,
}

/// Why a box got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Keys and certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No hub of the token could be reached.
    #[error("{hub} cannot be reached: {detail}; is the address right, and TCP open to it?")]
    Unreachable {
        /// Which.
        hub: String,
        /// Why.
        detail: String,
    },
    /// Somebody else answers at the address.
    #[error(
        "{hub} does not show the certificate that the token names: something between here and the hub answers in its place, or the token is of another hub"
    )]
    Stranger {
        /// Which.
        hub: String,
    },
    /// The hub said no.
    #[error("{hub} refused: {detail}")]
    Refused {
        /// Which.
        hub: String,
        /// Its words.
        detail: String,
    },
}

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of an answer.
const MOST_BYTES: u64 = 64 * 1024;

/// Asks the hubs of a token, one after the other, for a box's first certificate. Blocks.
///
/// # Errors
/// The last hub's, where none granted it.
pub fn enrol(
    token: &Token,
    of: BoxId,
    device_key: &[u8],
    name: Option<&str>,
    release: &str,
) -> Result<Granted, EnrolError> {
    let ask = Ask {
        request: BASE64_STANDARD.encode(request(of, device_key)?),
        secret: Some(BASE64_STANDARD.encode(token.secret)),
        release: release.to_owned(),
        name: name.map(str::to_owned),
    };
    first(&token.hubs, |hub| {
        let authority = authority(hub, token)?;
        post(hub, "/v1/enrol", &authority, &ask)
    })
}

/// Asks for a new certificate in place of the one that runs out, or has. Blocks.
///
/// # Errors
/// The last hub's, where none granted it.
pub fn renew(
    hubs: &[String],
    authority: &CertificateDer<'static>,
    of: BoxId,
    device_key: &[u8],
    release: &str,
) -> Result<Granted, EnrolError> {
    let request = BASE64_STANDARD.encode(request(of, device_key)?);
    let ask = Ask { request, secret: None, release: release.to_owned(), name: None };
    first(hubs, |hub| post(hub, "/v1/renew", authority, &ask))
}

fn first(
    hubs: &[String],
    call: impl Fn(&str) -> Result<Granted, EnrolError>,
) -> Result<Granted, EnrolError> {
    let mut last = EnrolError::Identity(IdentityError::Token);
    for hub in hubs {
        match call(hub.trim_end_matches('/')) {
            Ok(granted) => return Ok(granted),
            // The hub's own word: another one would say the same, and the token may be used up.
            Err(error @ EnrolError::Refused { .. }) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The authority's certificate, believed for its hash alone.
fn authority(hub: &str, token: &Token) -> Result<CertificateDer<'static>, EnrolError> {
    let unreachable = |detail: String| EnrolError::Unreachable { hub: hub.to_owned(), detail };
    let tls = TlsConfig::builder().disable_verification(true).build();
    let mut answer = agent(tls)
        .get(format!("{hub}/v1/authority"))
        .call()
        .map_err(|error| unreachable(error.to_string()))?;
    let stranger = || EnrolError::Stranger { hub: hub.to_owned() };
    let pem = answer
        .body_mut()
        .with_config()
        .limit(MOST_BYTES)
        .read_to_string()
        .map_err(|_| stranger())?;
    let certificate = tls::certificate(&pem).map_err(|_| stranger())?;
    match Sha256::of(&certificate) == token.authority {
        true => Ok(certificate),
        false => Err(stranger()),
    }
}

fn agent(tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .new_agent()
}

fn post(
    hub: &str,
    path: &str,
    authority: &CertificateDer<'static>,
    ask: &Ask,
) -> Result<Granted, EnrolError> {
    let unreachable = |detail: String| EnrolError::Unreachable { hub: hub.to_owned(), detail };
    let root = Certificate::from_der(authority).to_owned();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
    let body = serde_json::to_string(ask).map_err(|error| unreachable(error.to_string()))?;
    let mut answer = agent(tls)
        .post(format!("{hub}{path}"))
        .header("content-type", "application/json")
        .send(body)
        .map_err(|error| unreachable(error.to_string()))?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .with_config()
        .limit(MOST_BYTES)
        .read_to_string()
        .map_err(|error| unreachable(error.to_string()))?;
    if status.is_success() {
        return serde_json::from_str(&text).map_err(|error| unreachable(error.to_string()));
    }
    // problem+json
    let detail = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|problem| {
            problem["detail"].as_str().or(problem["title"].as_str()).map(str::to_owned)
        })
        .unwrap_or_else(|| format!("status {status}"));
    match status.is_server_error() {
        true => Err(unreachable(detail)),
        false => Err(EnrolError::Refused { hub: hub.to_owned(), detail }),
    }
}
