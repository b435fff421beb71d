//! `weir`: the edge moderation gateway.
fn main() {}
