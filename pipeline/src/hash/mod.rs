//! Hashes of known media: bank files, and the search in them.

pub mod bank;
pub mod bank_file;
pub mod search;

pub use bank::{Bank, BankSet, Entry, Hit, Kind};
pub use bank_file::{BankError, ListHead};
