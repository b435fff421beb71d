//! What the tests share: where the reference data lies, and media of our own making.
#![forbid(unsafe_code)]

pub mod authenticator;
pub mod axe;
pub mod browser;
pub mod edge;
pub mod endpoint;
pub mod foreign;
pub mod hook;
pub mod hub;
pub mod issuer;
pub mod manifest;
pub mod media;
pub mod mosquitto;
pub mod mount;
pub mod nginx;
pub mod ops;
pub mod postgres;
pub mod power;
pub mod provider;
pub mod relay;
pub mod samples;
pub mod service;
pub mod shared;
pub mod tiny;
pub mod trip;
pub mod wan;
pub mod weir;

/// The SHA-256 of bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
