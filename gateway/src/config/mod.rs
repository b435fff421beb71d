//! The settings of `weir serve`, checked once, every mistake at once. Key by key in docs/serve.md.

mod layer;
mod pick;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use domain::journal::TenantId;
use domain::{Problem, Problems, Profile};
use ipnet::IpNet;

pub use layer::{Layer, Origin};
use pick::Pick;
pub use pick::Shown;
pub use raw::Raw;
use raw::{RawTenant, RawWebhook};

use crate::cli::ServeArguments;
use crate::paths;

/// Where the service listens unless told otherwise: this machine only.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Reporters that hide a submission unless told otherwise: more than a quarrel between two, few enough to be quick.
const HIDE_REPORTS: u32 = 5;

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
    /// How long work in hand may take after SIGTERM.
    pub drain: Duration,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Names under which the service may be called, besides addresses of this machine.
    pub hosts: Vec<String>,
    /// Who may.
    pub auth: Auth,
    /// Bounds.
    pub limits: Limits,
    /// How media are fetched by address.
    pub fetch: Fetch,
    /// How long what is kept.
    pub retention: Retention,
    /// Copies of the database.
    pub snapshots: Snapshots,
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
    /// Submissions that may wait to be judged.
    pub queue: u64,
    /// Bytes that the spool may hold.
    pub spool_bytes: u64,
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

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Name or file of its profile.
    pub profile: String,
    /// Whether `held` is shown as `pending`.
    pub held_as_pending: bool,
    /// Whether the gate lets through what it does not know.
    pub gate_open: bool,
    /// So many different reporters hide a submission until a person has looked; 0 never.
    pub hide_reports: u32,
    /// File with help for people who may hurt themselves, by language; none is the built-in one.
    pub help: Option<PathBuf>,
    /// Who is told.
    pub webhooks: Vec<Webhook>,
}

/// An endpoint that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name in the failure log.
    pub name: String,
    /// Where.
    pub url: String,
    /// File of its secret, `whsec_…`.
    pub secret_file: PathBuf,
    /// Which events; none is all.
    pub events: Vec<String>,
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
        drain: Duration::from_secs(drain),
        trusted_proxies: pick.networks("trusted_proxies", |r| r.trusted_proxies.clone()),
        hosts: pick.list("hosts", |r| r.hosts.clone()),
        auth: auth(&mut pick, listen),
        limits: limits(&mut pick),
        fetch: Fetch {
            allow: pick.networks("fetch.allow", |r| r.fetch_allow.clone()),
            timeout: Duration::from_secs(pick.or("fetch.seconds", |r| r.fetch_seconds, || 30)),
        },
        retention: retention(&mut pick),
        snapshots: snapshots(&mut pick),
        tenants: tenants(&mut pick, &profile),
    };
    pick.finish(config)
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
        queue: pick.or("limits.queue", |r| r.queue, || 10_000),
        spool_bytes: pick.or("limits.spool_bytes", |r| r.spool_bytes, || 8 << 30),
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

fn tenants(pick: &mut Pick, profile: &str) -> BTreeMap<TenantId, Tenant> {
    let raw = pick
        .first(|r| r.tenants.clone())
        .unwrap_or_else(|| BTreeMap::from([(DEFAULT_TENANT.to_owned(), RawTenant::default())]));
    let mut tenants = BTreeMap::new();
    for (name, raw) in raw {
        let key = format!("tenant.{name}");
        let id = match name.parse::<TenantId>() {
            Ok(id) => id,
            Err(error) => {
                pick.problem(&key, error.to_string());
                continue;
            }
        };
        let profile = raw.profile.unwrap_or_else(|| profile.to_owned());
        if Profile::embedded_text(&profile).is_none() && !Path::new(&profile).is_file() {
            let known = Profile::names().join(", ");
            pick.problem(
                &format!("{key}.profile"),
                format!("`{profile}` is neither a built-in profile ({known}) nor a file"),
            );
        }
        let gate_open = match raw.gate_unknown.as_deref() {
            None | Some("closed" | "hold") => false,
            Some("open") => true,
            Some(other) => {
                pick.problem(
                    &format!("{key}.gate_unknown"),
                    format!("`{other}` is not known here; write open, closed or hold"),
                );
                false
            }
        };
        let hooks = raw.webhooks.into_iter().enumerate();
        let webhooks = hooks.filter_map(|(i, hook)| webhook(pick, &key, i, hook)).collect();
        let held_as_pending = raw.held_as_pending.unwrap_or(false);
        let hide_reports = raw.hide_reports.map_or(HIDE_REPORTS, |n| n as u32);
        let help = raw.help.map(PathBuf::from);
        tenants.insert(
            id,
            Tenant { profile, held_as_pending, gate_open, hide_reports, help, webhooks },
        );
    }
    tenants
}

fn webhook(pick: &mut Pick, tenant: &str, index: usize, raw: RawWebhook) -> Option<Webhook> {
    let key = format!("{tenant}.webhook[{}]", index + 1);
    let Some(url) = raw.url else {
        pick.problem(&key, "missing; write for example `url = \"https://example.org/hook\"`");
        return None;
    };
    let Some(secret_file) = raw.secret_file else {
        pick.problem(
            &key,
            "missing; write for example `secret_file = \"hook.secret\"` (a file with mode 0600 that holds `whsec_…`)",
        );
        return None;
    };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        pick.problem(&format!("{key}.url"), "write an address that starts with https://");
        return None;
    }
    let name = raw.name.unwrap_or_else(|| format!("webhook-{}", index + 1));
    Some(Webhook { name, url, secret_file: secret_file.into(), events: raw.events })
}

/// Mistakes that only the machine can tell, for `weir config check`.
pub fn missing_files(config: &Config) -> Vec<Problem> {
    let mut files: Vec<(String, &Path)> = Vec::new();
    for (name, tenant) in &config.tenants {
        files.extend(tenant.help.as_deref().map(|file| (format!("tenant.{name}.help"), file)));
        for hook in &tenant.webhooks {
            files.push((format!("tenant.{name}.webhook `{}`", hook.name), &hook.secret_file));
        }
    }
    let unread = |(key, path): (String, &Path)| {
        let error = std::fs::File::open(path).err()?;
        Some(Problem {
            key,
            line: None,
            message: format!("cannot read {}: {error}", path.display()),
        })
    };
    files.into_iter().filter_map(unread).collect()
}
