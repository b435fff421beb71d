//! Policy as data: TOML with CEL conditions.

/// A checked policy.
#[derive(Debug)]
pub struct Policy {}
