//! `weir-hub`: the central hub.
#![forbid(unsafe_code)]

fn main() {}
