//! Sandboxed workers: untrusted bytes are decoded in processes that can do nothing else.

pub mod protocol;
