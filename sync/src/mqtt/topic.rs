//! Names of topics: see the table of the module above.

use domain::journal::{BoxId, TenantId};

const BEGINS: &str = "weir/v1";

/// Where hub nodes find hellos.
pub(super) const ANY_UP: &str = "weir/v1/+/up";
/// Where boxes say how they are.
pub(super) const ANY_STATE: &str = "weir/v1/+/state";
/// Where boxes tell of their load.
pub(super) const ANY_TELEMETRY: &str = "weir/v1/+/telemetry";

/// What a topic is for, to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Up,
    State,
    Telemetry,
}

pub(super) fn up(of: BoxId) -> String {
    format!("{BEGINS}/{of}/up")
}

/// Where a node finds what is meant for it.
pub(super) fn any_up_to(node: &str) -> String {
    format!("{ANY_UP}/{node}")
}

pub(super) fn up_to(of: BoxId, node: &str) -> String {
    format!("{BEGINS}/{of}/up/{node}")
}

/// Whether a topic is one of the box's own towards a node: what a hub may ask it to write to.
pub(super) fn is_up_to(of: BoxId, topic: &str) -> bool {
    let node = topic.strip_prefix(&up(of)).and_then(|rest| rest.strip_prefix('/'));
    node.is_some_and(|node| {
        !node.is_empty() && node.len() <= 32 && node.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

pub(super) fn down(of: BoxId) -> String {
    format!("{BEGINS}/{of}/down")
}

pub(super) fn state(of: BoxId) -> String {
    format!("{BEGINS}/{of}/state")
}

pub(super) fn telemetry(of: BoxId) -> String {
    format!("{BEGINS}/{of}/telemetry")
}

/// Where subscribers of a tenant find its decisions.
pub(super) fn results(of: BoxId, tenant: &TenantId) -> String {
    format!("{BEGINS}/{of}/t/{}/results", tenant_name(tenant))
}

/// A tenant's name as a level of a topic and in a subscriber's certificate: `/` and `+` mean something in topics, so they are written as
/// in an address.
pub fn tenant_name(tenant: &TenantId) -> String {
    tenant.as_str().replace('/', "%2F").replace('+', "%2B")
}

/// Whose topic it is and what for; `None` where the hub has no use for it.
pub(super) fn read(topic: &[u8]) -> Option<(BoxId, Kind)> {
    let rest = std::str::from_utf8(topic).ok()?.strip_prefix(BEGINS)?.strip_prefix('/')?;
    let (of, rest) = rest.split_once('/')?;
    let kind = match rest.split('/').next()? {
        "up" => Kind::Up,
        "state" => Kind::State,
        "telemetry" => Kind::Telemetry,
        _ => return None,
    };
    Some((of.parse().ok()?, kind))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn topics_read_back_and_a_box_writes_to_none_but_its_own() {
        let of = BoxId(uuid::Uuid::from_u128(7));
        let base = format!("weir/v1/{of}");
        assert_eq!(up_to(of, "ab12"), format!("{base}/up/ab12"));
        assert_eq!(any_up_to("ab12"), "weir/v1/+/up/ab12");
        assert_eq!(read(up(of).as_bytes()), Some((of, Kind::Up)));
        assert_eq!(read(up_to(of, "ab12").as_bytes()), Some((of, Kind::Up)));
        assert_eq!(read(state(of).as_bytes()), Some((of, Kind::State)));
        assert_eq!(read(telemetry(of).as_bytes()), Some((of, Kind::Telemetry)));
        for other in ["weir/v1/x/up", "weir/v2/x", "", "weir/v1", &down(of)] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        let tenant = "acme/eu+1".parse().unwrap();
        assert_eq!(results(of, &tenant), format!("{base}/t/acme%2Feu%2B1/results"));
        assert!(is_up_to(of, &up_to(of, "ab12")));
        let other = BoxId(uuid::Uuid::from_u128(8));
        for topic in [up(of), up_to(of, ""), up_to(of, "+"), up_to(of, "a/b"), up_to(other, "ab")] {
            assert!(!is_up_to(of, &topic), "{topic}");
        }
    }
}
