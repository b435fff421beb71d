//! What makes a hub this hub: the authority that signs certificates, the names it goes by, and what boxes are told of it. All
//! nodes of a hub share the files.

use std::path::{Path, PathBuf};

use sync::identity::{Authority, Certified};

use crate::Error;

/// Where the authority lies, and what the hub is called.
#[derive(Clone, Debug)]
pub struct Config {
    /// Host names and addresses by which this node is called: they go into its certificate.
    pub names: Vec<String>,
    /// The authority's certificate, PEM.
    pub certificate: PathBuf,
    /// The authority's key, PEM.
    pub key: PathBuf,
    /// What boxes are told.
    pub told: Told,
}

/// Where boxes find the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `host:port` for QUIC, best first.
    pub quic: Vec<String>,
    /// `https://host:port` of the API, best first.
    pub hubs: Vec<String>,
    /// `host:port` of the broker.
    pub mqtt: Option<String>,
    /// Public half of the key that signs policies and hash lists: Ed25519, base64.
    pub release_key: Option<String>,
}

/// An authority that was read, ready to sign.
#[derive(Debug)]
pub struct Issuer {
    /// Signs.
    pub authority: Authority,
    /// Its certificate, PEM.
    pub pem: String,
    /// What boxes are told.
    pub told: Told,
    names: Vec<String>,
}

impl Issuer {
    /// Reads the authority's files.
    ///
    /// # Errors
    /// Where one is missing or is not what it should be; names it.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let (pem, key) = (read(&config.certificate)?, read(&config.key)?);
        let authority = Authority::open(&pem, &key).map_err(|error| {
            let (pem, key) = (config.certificate.display(), config.key.display());
            Error::Invalid(format!("the authority in {pem} and {key}: {error}"))
        })?;
        Ok(Self { authority, pem, told: config.told.clone(), names: config.names.clone() })
    }

    /// A key and a certificate for this node.
    ///
    /// # Errors
    /// Where a name is none.
    pub fn server(&self) -> Result<Certified, Error> {
        self.authority.server(&self.names).map_err(|error| {
            Error::Invalid(format!("names: no certificate for {}: {error}", self.names.join(", ")))
        })
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::Invalid(format!(
            "cannot read {}: {error}; `weir-hub init` makes the authority, and every node of the hub has the same",
            path.display()
        ))
    })
}
