//! Sandboxed workers: untrusted bytes are decoded in processes that can do nothing else.
//!
//! ```text
//! weir (Sandbox) ──control──▶ weir-sandbox stills   ──fork──▶ one locked-down worker per item
//!                └─control──▶ weir-sandbox streams  ──fork──▶ one locked-down worker per item
//! ```
//!
//! Where there are decoders in hardware, a process of their own holds them ([`hardware`]), and workers hand it parsed units.
//!
//! The two zygotes start when first needed, load their codecs once, deny themselves files and network, and
//! always keep a few workers forked and locked down ahead of need. A worker gets the item as a sealed memfd,
//! answers over its own socket ([`wire`]) and puts pixels into a memfd of fixed size; it serves one item and
//! ends. The host copies everything out before it looks at it, and believes nothing.

mod config;
pub mod hardware;
mod host;
mod item;
pub mod protocol;
mod sys;
mod wire;
pub mod worker;

pub use config::{Level, Role, SandboxConfig, Settings};
pub use host::{Sandbox, Told, inventory};
pub use item::Item;
