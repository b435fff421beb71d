//! Lets calls in or not: host and origin, rate, credential.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::journal::{Actor, Code, ItemId, TenantId};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::App;
use super::body::Arrival;
use super::caller::{Caller, Scope};
use super::problem::{Outcome, Problem};
use crate::config::Config;
use crate::serve::server::Peer;

/// Lets calls in or not.
pub struct Gatekeeper {
    hosts: Vec<String>,
    proxies: Vec<ipnet::IpNet>,
    anonymous: DefaultKeyedRateLimiter<IpAddr>,
    known: DefaultKeyedRateLimiter<Credential>,
    /// Who calls where no credential is asked for.
    open: Option<Caller>,
}

impl Gatekeeper {
    /// As the settings say.
    pub fn new(config: &Config) -> Self {
        let quota = |n| Quota::per_second(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        let open = (!config.auth.required).then(|| config.tenants.keys().next().cloned()).flatten();
        Self {
            hosts: config.hosts.iter().map(|host| host.to_lowercase()).collect(),
            proxies: config.trusted_proxies.clone(),
            anonymous: RateLimiter::keyed(quota(config.limits.anonymous_per_second)),
            known: RateLimiter::keyed(quota(config.limits.credential_per_second)),
            open: open.map(local),
        }
    }

    /// Who calls where no credential is asked for.
    pub fn open(&self) -> Option<&Caller> {
        self.open.as_ref()
    }

    /// The address that calls: the peer's, or what a trusted proxy says of it.
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |ip: &IpAddr| self.proxies.iter().any(|net| net.contains(ip));
        let mut address = peer;
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .collect();
        // From the nearest hop outwards, as far as each hop is a proxy of ours.
        for hop in forwarded.into_iter().rev() {
            if !trusted(&address) {
                break;
            }
            let Ok(ip) = hop.trim().parse() else { break };
            address = ip;
        }
        address
    }

    /// Whether a name stands for this box.
    fn is_ours(&self, authority: &str) -> bool {
        let host = host_of(authority);
        host == "localhost" || host.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }

    /// Refuses calls that a browser was tricked into (DNS rebinding, cross-site requests).
    fn check_names(&self, uri: &Uri, headers: &HeaderMap) -> Outcome<()> {
        let text = |name| headers.get(name).and_then(|v: &header::HeaderValue| v.to_str().ok());
        let host = uri.authority().map(|a| a.as_str()).or_else(|| text(header::HOST));
        let Some(host) = host.filter(|_| headers.get_all(header::HOST).iter().count() <= 1) else {
            return Err(Problem::bad("host_missing", "send one Host header"));
        };
        if !self.is_ours(host) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host_foreign",
                "this box is not called so; add the name to `hosts` in its configuration",
            ));
        }
        match text(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if origin.split_once("://").is_some_and(|(_, o)| same(o, host)) => Ok(()),
            Some(_) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "origin_foreign",
                "calls from other sites' pages are refused",
            )),
        }
    }

    /// Names, and the rate of calls without a credential; the address that calls.
    ///
    /// # Errors
    /// 400, 403, 421 or 429.
    pub fn check(&self, peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> Outcome<IpAddr> {
        let address = self.address(peer, headers);
        self.check_names(uri, headers)?;
        if self.open.is_none() && !headers.contains_key(header::AUTHORIZATION) {
            self.check_rate(address)?;
        }
        Ok(address)
    }

    /// Counts a call without a credential that is known.
    ///
    /// # Errors
    /// 429 where there are too many from this address.
    pub fn check_rate(&self, address: IpAddr) -> Outcome<()> {
        self.anonymous.check_key(&address).map_err(|until| {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate", "too many calls from this address")
                .after(until.wait_time_from(DefaultClock::default().now()))
        })
    }

    /// Counts a call under a credential that is known.
    ///
    /// # Errors
    /// 429 where there are too many under it.
    pub fn check_credential(&self, credential: &Credential) -> Outcome<()> {
        self.known.check_key(credential).map_err(|until| {
            let detail = "too many calls under this credential";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "credential_rate", detail)
                .after(until.wait_time_from(DefaultClock::default().now()))
        })
    }

    /// Forgets addresses and credentials that have not called of late.
    pub fn forget(&self) {
        self.anonymous.retain_recent();
        self.known.retain_recent();
    }
}

/// Whose calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key.
    Key(ItemId),
    /// The bearer of tokens of one subject, by pseudonym.
    Person(TenantId, Code),
}

/// Whoever reaches the loopback interface where no credential is asked for has a shell on the box.
fn local(tenant: TenantId) -> Caller {
    Caller { tenant, actor: Actor::Console, scopes: Scope::ALL.into() }
}

fn same(origin: &str, host: &str) -> bool {
    origin.eq_ignore_ascii_case(host)
}

/// The host of `host:port`, in lower case; an IPv6 address without its brackets.
fn host_of(authority: &str) -> String {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(ip, _)| ip),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.trim_end_matches('.').to_lowercase()
}

/// The layer before every handler.
pub async fn layer(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let checked = app.gatekeeper.check(peer.0.ip(), request.uri(), request.headers());
    let address = match checked {
        Ok(address) => address,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(CallerAddress(address));
    request.extensions_mut().insert(Arrival(app.config.limits.body));
    next.run(request).await
}

/// The address that calls.
#[derive(Clone, Copy, Debug)]
pub struct CallerAddress(pub IpAddr);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    fn keeper() -> Gatekeeper {
        let (mut config, _) = crate::config::build(Vec::new()).unwrap();
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.hosts = vec!["Weir.example".into()];
        Gatekeeper::new(&config)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect::<HeaderMap>()
    }

    #[test]
    fn foreign_hosts_and_origins_are_refused() {
        let check = |pairs: &[(&'static str, &str)]| {
            keeper().check_names(&Uri::from_static("/v1/text"), &headers(pairs)).is_ok()
        };
        for host in
            ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "weir.example", "WEIR.example.:443"]
        {
            assert!(check(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "weir.example.evil.example",
            "localhost.evil.example",
            "",
            "localhost@evil.example",
        ] {
            assert!(!check(&[("host", host)]), "{host}");
        }
        assert!(!check(&[]));
        assert!(check(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]));
        for origin in ["http://evil.example", "null", "http://localhost:9090", "http://localhost"] {
            assert!(!check(&[("host", "localhost:8080"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn only_trusted_proxies_say_who_calls() {
        let address = |peer: &str, forwarded: &str| {
            keeper()
                .address(peer.parse().unwrap(), &headers(&[("x-forwarded-for", forwarded)]))
                .to_string()
        };
        assert_eq!(address("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(address("10.0.0.1", "203.0.113.9"), "203.0.113.9");
        // What a client puts in front is not believed.
        assert_eq!(address("10.0.0.1", "127.0.0.1, 203.0.113.9"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", "203.0.113.9, 10.2.2.2"), "203.0.113.9");
        assert_eq!(address("10.0.0.1", "nonsense"), "10.0.0.1");
    }
}
