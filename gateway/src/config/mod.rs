//! The settings of `weir serve`, checked once, every mistake at once. Key by key in docs/serve.md.

mod layer;
mod pick;
mod raw;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use domain::Problems;
use domain::journal::TenantId;
use ipnet::IpNet;

pub use layer::{Layer, Origin};
use pick::Pick;
pub use pick::Shown;
pub use raw::Raw;
pub use tenant::{Jwks, Jwt, Tenant, Webhook};

use crate::cli::ServeArguments;
use crate::inference::{Inference, Wish};
use crate::paths;

/// Where the service listens unless told otherwise: this machine only.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The tenant of a box that was told of no other.
pub const DEFAULT_TENANT: &str = "default";

/// The settings of the service.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Folder of database, spool and secrets.
    pub data: PathBuf,
    /// Items judged at once.
    pub workers: usize,
    /// On what models run.
    pub inference: Inference,
    /// How long work in hand may take after SIGTERM.
    pub drain: Duration,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Names under which the service may be called, besides addresses of this machine.
    pub hosts: Vec<String>,
    /// Who may.
    pub auth: Auth,
    /// The root of the tree in which the kernel's files on heat, load and clocks lie.
    pub sensors_root: PathBuf,
    /// Whether decoders in hardware are used where there are any.
    pub hardware_decoders: bool,
    /// Bounds.
    pub limits: Limits,
    /// How media are fetched by address.
    pub fetch: Fetch,
    /// Certificate and key; without them the service speaks plain HTTP.
    pub tls: Option<Tls>,
    /// The virus scanner.
    pub clamav: Option<Clamav>,
    /// How long what is kept.
    pub retention: Retention,
    /// Copies of the database.
    pub snapshots: Snapshots,
    /// When a version of a model is withdrawn without anybody's doing.
    pub models: Models,
    /// Whom the box serves.
    pub tenants: BTreeMap<TenantId, Tenant>,
}

/// Who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whether calls need a credential.
    pub required: bool,
}

/// Bounds on what is taken at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections.
    pub max_connections: usize,
    /// Calls a second from one address without a credential (FEATURES S5).
    pub anonymous_per_second: u32,
    /// Calls a second under one credential.
    pub credential_per_second: u32,
    /// Submissions that may wait to be judged.
    pub queue: u64,
    /// Bytes that the spool may hold.
    pub spool_bytes: u64,
    /// How long the head of a request may take, the wait on an idle connection and the handshake of TLS included.
    pub head: Duration,
    /// How long a body may take to arrive.
    pub body: Duration,
}

/// How media are fetched by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Networks that are not public and may be asked all the same.
    pub allow: Vec<IpNet>,
    /// How long one medium may take.
    pub timeout: Duration,
}

/// How long what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Decided submissions.
    pub submissions: Duration,
    /// Whole addresses of those who submit (FEATURES M5).
    pub addresses: Duration,
    /// Messages that were delivered, or given up.
    pub messages: Duration,
    /// Entries of the journal that the hub has.
    pub journal: Duration,
}

/// Copies of the database (FEATURES M9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// How often; never without.
    pub every: Option<Duration>,
    /// How many stay.
    pub keep: usize,
}

/// When a version of a model is withdrawn without anybody's doing (docs/models.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Models {
    /// How far its share of submissions that are not approved may lie from that of the version that it is held against.
    pub max_drift: f64,
    /// On so many submissions it may fail.
    pub max_errors: u64,
    /// So many first verdicts of an active version are watched.
    pub watch: u64,
}

/// Files of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the service's certificate first, then those between it and a root.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// The virus scanner's daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clamav {
    /// Where it listens.
    pub socket: Socket,
    /// How long one scan may take.
    pub timeout: Duration,
}

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Path of a socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

/// Reads the settings of a command line.
///
/// # Errors
/// Every mistake of every source at once.
pub fn load(arguments: &ServeArguments) -> anyhow::Result<(Config, Vec<Shown>)> {
    let flags = Layer::flags(Raw {
        listen: arguments.listen.clone(),
        data: arguments.data.as_ref().map(|d| d.to_string_lossy().into_owned()),
        profile: arguments.profile.clone(),
        ..Raw::default()
    });
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut layers = vec![flags, Layer::environment(variables)];
    if let Some(path) = &arguments.config {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        layers.push(Layer::file(path, &text));
    }
    let from = arguments.config.as_deref().map_or("the settings".into(), Path::to_string_lossy);
    build(layers).map_err(|problems| anyhow::anyhow!("{from} cannot be used:\n{problems}"))
}

/// Checks the layers, the strongest first.
///
/// # Errors
/// Every mistake at once.
pub fn build(layers: Vec<Layer>) -> Result<(Config, Vec<Shown>), Problems> {
    let mut pick = Pick::new(layers);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let listen: SocketAddr = pick.parsed("listen", |r| r.listen.clone(), LISTEN);
    let data = pick.or("data", |r| r.data.clone(), || paths::data_dir().display().to_string());
    let profile = pick.or("profile", |r| r.profile.clone(), || "starter".into());
    let workers = pick.or("workers", |r| r.workers, || cores);
    let drain = pick.or("drain_seconds", |r| r.drain_seconds, || 30);
    let config = Config {
        listen,
        data: data.into(),
        workers: workers as usize,
        inference: inference(&mut pick),
        drain: Duration::from_secs(drain),
        trusted_proxies: pick.networks("trusted_proxies", |r| r.trusted_proxies.clone()),
        hosts: pick.list("hosts", |r| r.hosts.clone()),
        auth: auth(&mut pick, listen),
        sensors_root: pick.or("sensors_root", |r| r.sensors_root.clone(), || "/".into()).into(),
        hardware_decoders: pick.or("decode.hardware", |r| r.decode_hardware, || false),
        limits: limits(&mut pick),
        fetch: Fetch {
            allow: pick.networks("fetch.allow", |r| r.fetch_allow.clone()),
            timeout: Duration::from_secs(pick.or("fetch.seconds", |r| r.fetch_seconds, || 30)),
        },
        tls: tls(&mut pick),
        clamav: clamav(&mut pick),
        retention: retention(&mut pick),
        snapshots: snapshots(&mut pick),
        models: Models {
            max_drift: pick.or("models.max_drift", |r| r.models_max_drift, || 0.1),
            max_errors: pick.or("models.max_errors", |r| r.models_max_errors, || 5),
            watch: pick.or("models.watch", |r| r.models_watch, || 1000),
        },
        tenants: tenant::all(&mut pick, &profile),
    };
    pick.finish(config)
}

fn inference(pick: &mut Pick) -> Inference {
    let name = pick.or("engine", |r| r.engine.clone(), || "auto".into());
    let required = pick.or("require_engine", |r| r.require_engine, || false);
    let found = Wish::NAMES.iter().find(|(known, _)| *known == name);
    let wish = found.map_or_else(
        || {
            pick.problem("engine", format!("`{name}` is no engine; write auto, cpu or tensorrt"));
            Wish::Auto
        },
        |(_, wish)| *wish,
    );
    if required && wish == Wish::Auto && found.is_some() {
        pick.problem(
            "require_engine",
            "`engine` leaves the choice open; write the one that is required",
        );
    }
    Inference { wish, required }
}

fn limits(pick: &mut Pick) -> Limits {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Limits {
        max_connections: pick.or("limits.max_connections", |r| r.max_connections, || 12_000)
            as usize,
        anonymous_per_second: small(pick.or(
            "limits.anonymous_per_second",
            |r| r.anonymous_per_second,
            || 100,
        )),
        credential_per_second: small(pick.or(
            "limits.credential_per_second",
            |r| r.credential_per_second,
            || 1000,
        )),
        queue: pick.or("limits.queue", |r| r.queue, || 10_000),
        spool_bytes: pick.or("limits.spool_bytes", |r| r.spool_bytes, || 8 << 30),
        head: Duration::from_secs(pick.or("limits.head_seconds", |r| r.head_seconds, || 20)),
        body: Duration::from_secs(pick.or("limits.body_seconds", |r| r.body_seconds, || 300)),
    }
}

fn retention(pick: &mut Pick) -> Retention {
    let days = |n: u64| Duration::from_secs(n * 24 * 3600);
    Retention {
        submissions: days(pick.or(
            "retention.submissions_days",
            |r| r.retention_submissions_days,
            || 90,
        )),
        addresses: days(pick.or("retention.addresses_days", |r| r.retention_addresses_days, || 30)),
        messages: days(pick.or("retention.messages_days", |r| r.retention_messages_days, || 14)),
        journal: days(pick.or("retention.journal_days", |r| r.retention_journal_days, || 7)),
    }
}

fn snapshots(pick: &mut Pick) -> Snapshots {
    let hours = pick.or("snapshot.every_hours", |r| r.snapshot_every_hours, || 24);
    let every = (hours > 0).then(|| Duration::from_secs(hours * 3600));
    Snapshots { every, keep: pick.or("snapshot.keep", |r| r.snapshot_keep, || 7) as usize }
}

fn auth(pick: &mut Pick, listen: SocketAddr) -> Auth {
    let local = listen.ip().is_loopback();
    let required = pick.or("auth.required", |r| r.auth_required, || !local);
    if !required && !local {
        pick.problem(
            "auth.required",
            format!("calls without a credential are taken on loopback only, and `listen` is {listen}; write `required = true`"),
        );
    }
    Auth { required }
}

fn tls(pick: &mut Pick) -> Option<Tls> {
    let certificate = pick.option("tls.certificate", |r| r.tls_certificate.clone());
    let key = pick.option("tls.key", |r| r.tls_key.clone());
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(Tls { certificate: certificate.into(), key: key.into() })
        }
        (None, None) => None,
        (Some(_), None) => {
            pick.problem("tls.key", "missing; write the file of the certificate's private key");
            None
        }
        (None, Some(_)) => {
            pick.problem("tls.certificate", "missing; write the file of the key's certificate");
            None
        }
    }
}

fn clamav(pick: &mut Pick) -> Option<Clamav> {
    let socket = pick.option("clamav.socket", |r| r.clamav_socket.clone());
    let seconds = pick.or("clamav.seconds", |r| r.clamav_seconds, || 30);
    let socket = socket?;
    let is_port = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
    let socket = if socket.starts_with('/') {
        Socket::Unix(socket.into())
    } else if socket.rsplit_once(':').is_some_and(is_port) {
        Socket::Tcp(socket)
    } else {
        pick.problem(
            "clamav.socket",
            format!("`{socket}` is neither a path nor host:port; write for example `/run/clamav/clamd.ctl`"),
        );
        return None;
    };
    Some(Clamav { socket, timeout: Duration::from_secs(seconds) })
}
