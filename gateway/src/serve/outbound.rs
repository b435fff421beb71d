//! Calls to others: to fetch media, to tell endpoints. An address that a client or a file names may point anywhere, so every
//! name is resolved once, checked, and connected to as it was checked; redirects are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// An HTTP client for addresses of strangers.
///
/// `allow` are networks that are not public and may be called all the same; `timeout` is for a whole call.
pub fn agent(allow: Vec<IpNet>, timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_connect(Some(timeout.min(Duration::from_secs(10))))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // A proxy from the environment would resolve names by itself, unchecked.
        .proxy(None)
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(
        config,
        DefaultConnector::default(),
        Guard { allow, inner: DefaultResolver::default() },
    )
}

/// Resolves, and gives only what may be called.
#[derive(Debug)]
struct Guard {
    allow: Vec<IpNet>,
    inner: DefaultResolver,
}

/// What a refused address is reported as.
pub const REFUSED: &str = "the address is not a public one";

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut checked = self.empty();
        for address in found.iter().filter(|a| self.may_call(a.ip())) {
            checked.push(*address);
        }
        if checked.is_empty() {
            return Err(ureq::Error::Other(REFUSED.into()));
        }
        Ok(checked)
    }
}

impl Guard {
    fn may_call(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_public(ip) || self.allow.iter().any(|net| net.contains(&ip))
    }
}

/// Whether an address is one of the public Internet's (IANA's registries of special-purpose addresses, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = matches!(a, 0 | 10 | 127)
        || (a == 100 && b & 0xc0 == 64)
        || (a == 169 && b == 254)
        || (a == 172 && b & 0xf0 == 16)
        || (a == 192 && b == 168)
        || (a == 198 && b & 0xfe == 18)
        || a >= 224
        || matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, ..] = ip.segments();
    // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address, which is where the call goes.
    let [.., hi, lo] = ip.segments();
    let embedded =
        |hi: u16, lo: u16| is_public_v4(Ipv4Addr::from((u32::from(hi) << 16) | u32::from(lo)));
    if ip.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return embedded(hi, lo);
    }
    if a == 0x2002 {
        return embedded(b, c);
    }
    // Global unicast, without protocol assignments (Teredo among them) and documentation.
    let unicast = a & 0xe000 == 0x2000;
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
    unicast && !special
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        let public = |ip: &str| is_public(ip.parse::<IpAddr>().unwrap().to_canonical());
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "172.32.0.1",
            "2606:4700::1111",
            "2002:101:101::1",
            "64:ff9b::808:808",
        ] {
            assert!(public(ip), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!public(ip), "{ip}");
        }
    }

    /// A server that answers one call and says whether one came.
    fn server(answer: &'static str) -> (u16, std::thread::JoinHandle<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let called = stream.read(&mut head).unwrap() > 0;
            let _ = stream.write_all(answer.as_bytes());
            called
        });
        (port, thread)
    }

    #[test]
    fn a_private_address_is_not_even_connected_to_unless_it_is_allowed() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/secret\r\ncontent-length: 0\r\n\r\n";
        let (port, thread) = server(answer);
        let url = format!("http://localhost:{port}/");
        let closed = agent(Vec::new(), Duration::from_secs(5));
        let refused = closed.get(&url).call().unwrap_err();
        assert!(refused.to_string().contains(REFUSED), "{refused}");
        for literal in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"] {
            let error = closed.get(format!("http://{literal}:{port}/")).call();
            assert!(error.is_err(), "{literal}");
        }
        // And a redirect is an answer, not an order.
        let open = agent(vec!["127.0.0.0/8".parse().unwrap()], Duration::from_secs(5));
        assert_eq!(open.get(&format!("http://127.0.0.1:{port}/")).call().unwrap().status(), 302);
        assert!(thread.join().unwrap());
    }
}
