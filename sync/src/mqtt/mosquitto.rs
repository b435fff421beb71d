//! How a Mosquitto is set up for Weir: what `weir-hub init` writes beside its certificates.
//!
//! There are two listeners. On that of the boxes the client's name is the common name of its certificate too, so that no box can
//! throw another out by taking its name. Hub nodes have one certificate name in common and need names of their own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use domain::journal::BoxId;

use super::MOST_PACKET_BYTES;
use crate::identity::HUB_NAME;

/// Messages under way to one client, unacknowledged. The usual 20 are little for a backlog over a slow path.
const INFLIGHT: usize = 100;
/// Messages and bytes that may wait for one client; what is more is dropped, and sent again by the link.
const QUEUED: usize = 20_000;
const QUEUED_BYTES: usize = 256 * 1024 * 1024;

/// Files of the broker, by absolute paths.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The authority's certificate, PEM.
    pub authority: &'a Path,
    /// The broker's own, with those that lead to the authority, PEM: [`crate::identity::Authority::server`].
    pub certificate: &'a Path,
    /// Its key, PEM.
    pub key: &'a Path,
    /// What [`acl`] gives.
    pub acl: &'a Path,
    /// A folder of its own, for retained messages.
    pub data: &'a Path,
}

/// Who may read and write what: boxes under the name of their certificate only, hub nodes by theirs, a tenant's subscribers the
/// tenant's decisions under its name. Names of boxes are UUIDs, those of tenants must not be. `user` begins each
/// section of a name, `%u` is the name that the certificate shows. Those that are `barred` may do nothing: a denial goes before every
/// pattern, and holds for connections that are open as soon as the broker has read it (SIGHUP).
pub fn acl<'a>(barred: impl IntoIterator<Item = &'a BoxId>) -> String {
    let mut text = format!(
        "# Written by weir-hub. A box may use its own topics only; what is not named here is forbidden.

user {HUB_NAME}
topic read weir/v1/+/up
topic read weir/v1/+/up/+
topic read weir/v1/+/state
topic read weir/v1/+/telemetry
topic read weir/v1/+/t/#
topic write weir/v1/+/down

pattern write weir/v1/%u/up
pattern write weir/v1/%u/up/+
pattern read weir/v1/%u/down
pattern write weir/v1/%u/state
pattern write weir/v1/%u/telemetry
pattern write weir/v1/%u/t/#
pattern read weir/v1/+/t/%u/#
"
    );
    for of in barred {
        let _ = write!(text, "\nuser {of}\ntopic deny #\n");
    }
    text
}

/// A `mosquitto.conf` that listens for boxes and for hub nodes.
pub fn configuration(boxes: SocketAddr, hub: SocketAddr, files: Files<'_>) -> String {
    let listener = |address: SocketAddr, names: bool| {
        format!(
            "listener {} {}
cafile {}
certfile {}
keyfile {}
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
use_username_as_clientid {names}
allow_anonymous false
max_topic_alias 0
",
            address.port(),
            address.ip(),
            files.authority.display(),
            files.certificate.display(),
            files.key.display(),
        )
    };
    format!(
        "# Written by weir-hub.
per_listener_settings false
acl_file {}
persistence true
persistence_location {}/
autosave_interval 60
max_inflight_messages {INFLIGHT}
max_queued_messages {QUEUED}
max_queued_bytes {QUEUED_BYTES}
max_packet_size {MOST_PACKET_BYTES}
persistent_client_expiration 1d
connection_messages true
log_type error
log_type warning
log_type notice
log_type information

# Boxes
{}
# Hub nodes
{}",
        files.acl.display(),
        files.data.display(),
        listener(boxes, true),
        listener(hub, false),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_open_to_whoever_comes() {
        let path = Path::new("/etc/weir-hub/broker");
        let files = Files { authority: path, certificate: path, key: path, acl: path, data: path };
        let address = SocketAddr::from(([0u8; 4], 8883));
        let text = configuration(address, SocketAddr::from(([127, 0, 0, 1], 8884)), files);
        for line in
            ["listener 8883 0.0.0.0", "listener 8884 127.0.0.1", "acl_file /etc/weir-hub/broker"]
        {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        let count = |line: &str| text.lines().filter(|l| *l == line).count();
        assert_eq!(count("require_certificate true"), 2);
        assert_eq!(count("use_identity_as_username true"), 2);
        assert_eq!(count("allow_anonymous false"), 2);
        let of = BoxId(uuid::Uuid::from_u128(7));
        let acl = acl([&of]);
        assert!(acl.ends_with(&format!("\nuser {of}\ntopic deny #\n")), "{acl}");
        let mut patterns = acl.lines().filter(|line| line.starts_with("pattern"));
        assert!(patterns.all(|line| line.contains("/%u/")), "no pattern without a name");
    }
}
