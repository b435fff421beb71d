//! The ways to the hub.

/// By which way frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A connection that keeps order and loses nothing while it lives.
    Quic,
    /// Messages through a broker, which may lose, repeat and reorder them.
    Mqtt,
}
