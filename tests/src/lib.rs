//! What the tests share: where the reference data lies, and media of our own making.
#![forbid(unsafe_code)]

pub mod endpoint;
pub mod hook;
pub mod manifest;
pub mod media;
pub mod mount;
pub mod nginx;
pub mod power;
pub mod samples;
pub mod service;
pub mod shared;
pub mod weir;
