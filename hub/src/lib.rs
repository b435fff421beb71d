//! The hub: journals of many boxes into one Postgres, and what people ask of them.
//!
//! A box's batches go through [`session`] to [`ingest`], which commits them and only then acknowledges. docs/hub.md tells of the
//! tables and of what holds.
#![forbid(unsafe_code)]

pub mod account;
pub mod alarm;
pub mod approval;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod blob;
pub mod broker;
mod checkpoint;
pub mod cli;
pub mod config;
mod copy;
pub mod database;
pub mod directives;
pub mod enrolment;
pub mod error;
pub mod flags;
pub mod fleet;
pub mod http;
pub mod ingest;
pub mod init;
pub mod life;
pub mod lists;
pub mod models;
mod pdq;
pub mod presence;
mod projection;
pub mod proof;
mod reason;
pub mod receipt;
mod renewal;
pub mod requests;
pub mod review;
pub mod rollout;
pub mod schema;
pub mod screens;
mod serve;
pub mod session;
pub mod tenant;
pub mod token;
pub mod tongue;
mod transports;
pub mod verdicts;
pub mod verify;

pub use database::{Database, Pool};
pub use error::Error;
pub use ingest::Ingest;
