//! Bytes → findings: sniff, decode in sandboxed workers, sample, measure, detect.
//! Knows no HTTP, SQL or policy.
#![deny(unsafe_code)]

pub mod decode;
pub mod hash;
pub mod hls;
pub mod measure;
pub mod sandbox;
pub mod sniff;
pub mod text;
