//! Whether a box is there.

use serde::{Deserialize, Serialize};

use crate::link::Path;

/// What is retained at a box's state topic. The last will says the same with `online` false, so that a box that
/// was killed or cut off is seen to be away after one and a half keep-alives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether it is connected to the broker.
    pub online: bool,
    /// When it said so, in milliseconds since 1970 by the box's clock; in a last will, when it had connected.
    pub at: i64,
    /// Release of the box.
    pub release: String,
    /// By which way its journal goes: `quic`, `mqtt` or nothing.
    pub path: Option<String>,
}

impl Presence {
    pub(super) fn online(release: &str, path: Option<Path>) -> Self {
        let path = path.map(|path| match path {
            Path::Quic => "quic".to_owned(),
            Path::Mqtt => "mqtt".to_owned(),
        });
        Self { online: true, at: now(), release: release.to_owned(), path }
    }

    pub(super) fn offline(release: &str) -> Self {
        Self { online: false, at: now(), release: release.to_owned(), path: None }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn now() -> i64 {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    i64::try_from(now).unwrap_or_default()
}
