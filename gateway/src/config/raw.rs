//! The settings as they are written, each optional.

use std::collections::BTreeMap;

use domain::reader::{Source, Table, subtable};

/// Longest time in seconds that any setting takes: a day.
const DAY: u64 = 86_400;

/// Longest time in days: ten years.
const YEARS: u64 = 3_650;

/// One layer of settings. Documented key by key in docs/serve.md.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    pub listen: Option<String>,
    pub data: Option<String>,
    pub profile: Option<String>,
    pub workers: Option<u64>,
    pub engine: Option<String>,
    pub require_engine: Option<bool>,
    pub drain_seconds: Option<u64>,
    pub sensors_root: Option<String>,
    pub trusted_proxies: Option<Vec<String>>,
    pub hosts: Option<Vec<String>>,
    pub auth_required: Option<bool>,
    pub max_connections: Option<u64>,
    pub anonymous_per_second: Option<u64>,
    pub credential_per_second: Option<u64>,
    pub queue: Option<u64>,
    pub spool_bytes: Option<u64>,
    pub head_seconds: Option<u64>,
    pub body_seconds: Option<u64>,
    pub decode_hardware: Option<bool>,
    pub fetch_allow: Option<Vec<String>>,
    pub fetch_seconds: Option<u64>,
    pub tls_certificate: Option<String>,
    pub tls_key: Option<String>,
    pub clamav_socket: Option<String>,
    pub clamav_seconds: Option<u64>,
    pub retention_submissions_days: Option<u64>,
    pub retention_addresses_days: Option<u64>,
    pub retention_messages_days: Option<u64>,
    pub retention_journal_days: Option<u64>,
    pub snapshot_every_hours: Option<u64>,
    pub snapshot_keep: Option<u64>,
    pub models_max_drift: Option<f64>,
    pub models_max_errors: Option<u64>,
    pub models_watch: Option<u64>,
    pub tenants: Option<BTreeMap<String, RawTenant>>,
}

/// A tenant as it is written.
#[derive(Clone, Debug, Default)]
pub struct RawTenant {
    pub profile: Option<String>,
    pub held_as_pending: Option<bool>,
    pub gate_unknown: Option<String>,
    pub hide_reports: Option<u64>,
    pub help: Option<String>,
    pub jwt: Option<RawJwt>,
    pub webhooks: Vec<RawWebhook>,
}

/// An identity provider as it is written.
#[derive(Clone, Debug, Default)]
pub struct RawJwt {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub jwks: Option<String>,
}

/// An endpoint as it is written.
#[derive(Clone, Debug, Default)]
pub struct RawWebhook {
    pub name: Option<String>,
    pub url: Option<String>,
    pub secret_file: Option<String>,
    pub events: Vec<String>,
}

impl Raw {
    /// Reads a layer; mistakes are noted in `source`.
    pub fn read(source: &mut Source<'_>, mut root: Table<'_, '_>) -> Self {
        let s = source;
        let mut raw = Self {
            listen: text(&mut root, s, "listen"),
            data: text(&mut root, s, "data"),
            profile: text(&mut root, s, "profile"),
            workers: number(&mut root, s, "workers", 1, 256),
            engine: text(&mut root, s, "engine"),
            require_engine: root.boolean(s, "require_engine").map(|v| v.value),
            drain_seconds: number(&mut root, s, "drain_seconds", 0, DAY),
            sensors_root: text(&mut root, s, "sensors_root"),
            trusted_proxies: list(&mut root, s, "trusted_proxies"),
            hosts: list(&mut root, s, "hosts"),
            ..Self::default()
        };
        if let Some(mut auth) = root.table(s, "auth") {
            raw.auth_required = auth.boolean(s, "required").map(|v| v.value);
            auth.finish(s);
        }
        if let Some(mut limits) = root.table(s, "limits") {
            raw.max_connections = number(&mut limits, s, "max_connections", 1, 1_000_000);
            raw.anonymous_per_second = number(&mut limits, s, "anonymous_per_second", 1, 1_000_000);
            raw.credential_per_second =
                number(&mut limits, s, "credential_per_second", 1, 1_000_000);
            raw.queue = number(&mut limits, s, "queue", 1, 10_000_000);
            raw.spool_bytes = number(&mut limits, s, "spool_bytes", 1 << 20, 1 << 50);
            raw.head_seconds = number(&mut limits, s, "head_seconds", 1, 600);
            raw.body_seconds = number(&mut limits, s, "body_seconds", 1, DAY);
            limits.finish(s);
        }
        if let Some(mut decode) = root.table(s, "decode") {
            raw.decode_hardware = decode.boolean(s, "hardware").map(|v| v.value);
            decode.finish(s);
        }
        if let Some(mut fetch) = root.table(s, "fetch") {
            raw.fetch_allow = list(&mut fetch, s, "allow");
            raw.fetch_seconds = number(&mut fetch, s, "seconds", 1, 600);
            fetch.finish(s);
        }
        if let Some(mut tls) = root.table(s, "tls") {
            raw.tls_certificate = text(&mut tls, s, "certificate");
            raw.tls_key = text(&mut tls, s, "key");
            tls.finish(s);
        }
        if let Some(mut clamav) = root.table(s, "clamav") {
            raw.clamav_socket = text(&mut clamav, s, "socket");
            raw.clamav_seconds = number(&mut clamav, s, "seconds", 1, 600);
            clamav.finish(s);
        }
        if let Some(mut keep) = root.table(s, "retention") {
            raw.retention_submissions_days = number(&mut keep, s, "submissions_days", 1, YEARS);
            raw.retention_addresses_days = number(&mut keep, s, "addresses_days", 1, YEARS);
            raw.retention_messages_days = number(&mut keep, s, "messages_days", 1, YEARS);
            raw.retention_journal_days = number(&mut keep, s, "journal_days", 1, YEARS);
            keep.finish(s);
        }
        if let Some(mut snapshot) = root.table(s, "snapshot") {
            raw.snapshot_every_hours = number(&mut snapshot, s, "every_hours", 0, 24 * YEARS);
            raw.snapshot_keep = number(&mut snapshot, s, "keep", 1, 10_000);
            snapshot.finish(s);
        }
        if let Some(mut models) = root.table(s, "models") {
            raw.models_max_drift = models.number(s, "max_drift", 0.0..=1.0).map(|v| v.value);
            raw.models_max_errors = number(&mut models, s, "max_errors", 0, 1_000_000);
            raw.models_watch = number(&mut models, s, "watch", 0, 10_000_000);
            models.finish(s);
        }
        if let Some(tenants) = root.table(s, "tenant") {
            raw.tenants = Some(read_tenants(s, &tenants));
        }
        root.finish(s);
        raw
    }
}

fn read_tenants(s: &mut Source<'_>, tenants: &Table<'_, '_>) -> BTreeMap<String, RawTenant> {
    let mut found = BTreeMap::new();
    for (name, value) in tenants.entries() {
        let Some(mut table) = subtable(s, &tenants.key(&name), value) else { continue };
        let mut tenant = RawTenant {
            profile: text(&mut table, s, "profile"),
            held_as_pending: table.boolean(s, "held_as_pending").map(|v| v.value),
            gate_unknown: text(&mut table, s, "gate_unknown"),
            hide_reports: number(&mut table, s, "hide_reports", 0, 1_000_000),
            help: text(&mut table, s, "help"),
            jwt: None,
            webhooks: Vec::new(),
        };
        if let Some(mut jwt) = table.table(s, "jwt") {
            tenant.jwt = Some(RawJwt {
                issuer: text(&mut jwt, s, "issuer"),
                audience: text(&mut jwt, s, "audience"),
                jwks: text(&mut jwt, s, "jwks"),
            });
            jwt.finish(s);
        }
        for mut hook in table.tables(s, "webhook") {
            tenant.webhooks.push(RawWebhook {
                name: text(&mut hook, s, "name"),
                url: text(&mut hook, s, "url"),
                secret_file: text(&mut hook, s, "secret_file"),
                events: list(&mut hook, s, "events").unwrap_or_default(),
            });
            hook.finish(s);
        }
        table.finish(s);
        found.insert(name, tenant);
    }
    found
}

fn text(table: &mut Table<'_, '_>, s: &mut Source<'_>, name: &'static str) -> Option<String> {
    table.string(s, name).map(|v| v.value)
}

fn list(table: &mut Table<'_, '_>, s: &mut Source<'_>, name: &'static str) -> Option<Vec<String>> {
    let there = table.has(name);
    let found = table.strings(s, name);
    there.then(|| found.into_iter().map(|v| v.value).collect())
}

fn number(
    table: &mut Table<'_, '_>,
    s: &mut Source<'_>,
    name: &'static str,
    least: u64,
    most: u64,
) -> Option<u64> {
    table.integer(s, name, least..=most).map(|v| v.value)
}
