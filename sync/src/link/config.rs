//! How the link paces itself.

use std::time::Duration;

/// How the link paces itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// Release of this box, told to the hub.
    pub release: String,
    /// Most bytes under way for one lane. Twice the product of 20 Mbit/s and 400 ms.
    pub window_bytes: usize,
    /// How long a few bulk entries wait for more while others are under way: until these are acknowledged, in all likelihood. The slower the hub, the
    /// larger the batches, and the less each entry costs it.
    pub linger: Duration,
    /// Without progress for so long, the hub is asked anew where it stands, and gets everything behind that again.
    pub retry_quic: Duration,
    /// The same where nothing else would notice a loss.
    pub retry_mqtt: Duration,
    /// For so long a gap is complained about once: later complaints are of batches sent before.
    pub quiet: Duration,
    /// How long a hub that is too old is left alone.
    pub newer: Duration,
    /// How often the journal is told what was acknowledged. What it does not know is sent again after a crash, and dropped.
    pub keep_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            window_bytes: 2 * 1024 * 1024,
            linger: Duration::from_millis(500),
            retry_quic: Duration::from_secs(30),
            retry_mqtt: Duration::from_secs(10),
            quiet: Duration::from_secs(2),
            newer: Duration::from_secs(60),
            keep_every: Duration::from_secs(1),
        }
    }
}
