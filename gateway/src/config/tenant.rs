//! Tenants as they are configured.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use domain::Profile;
use domain::journal::TenantId;

use super::DEFAULT_TENANT;
use super::pick::Pick;
use super::raw::{RawJwt, RawTenant, RawWebhook};
use crate::serve::OWN;

/// Reporters that hide a submission unless told otherwise: more than a quarrel between two, few enough to be quick.
const HIDE_REPORTS: u32 = 5;

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
    /// Whose tokens speak for it.
    pub jwt: Option<Jwt>,
    /// Who is told.
    pub webhooks: Vec<Webhook>,
}

/// An identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of the tokens that are for this tenant.
    pub audience: String,
    /// Its keys.
    pub jwks: Jwks,
}

/// Where an identity provider's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url(String),
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

/// Checks every tenant.
pub(super) fn all(pick: &mut Pick, profile: &str) -> BTreeMap<TenantId, Tenant> {
    let raw = pick
        .first(|r| r.tenants.clone())
        .unwrap_or_else(|| BTreeMap::from([(DEFAULT_TENANT.to_owned(), RawTenant::default())]));
    let mut tenants = BTreeMap::new();
    for (name, raw) in raw {
        let key = format!("tenant.{name}");
        let id = match name.parse::<TenantId>() {
            Ok(id) if !id.as_str().starts_with(OWN) => id,
            Ok(_) => {
                pick.problem(
                    &key,
                    format!("names that begin with `{OWN}` are the box's own; take another"),
                );
                continue;
            }
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
        let jwt = raw.jwt.and_then(|raw| jwt(pick, &format!("{key}.jwt"), raw));
        let held_as_pending = raw.held_as_pending.unwrap_or(false);
        let hide_reports = raw.hide_reports.map_or(HIDE_REPORTS, |n| n as u32);
        let help = raw.help.map(PathBuf::from);
        tenants.insert(
            id,
            Tenant { profile, held_as_pending, gate_open, hide_reports, help, jwt, webhooks },
        );
    }
    same_provider(pick, &tenants);
    tenants
}

/// A token must speak for one tenant only.
fn same_provider(pick: &mut Pick, tenants: &BTreeMap<TenantId, Tenant>) {
    let mut known: BTreeMap<(&str, &str), &TenantId> = BTreeMap::new();
    for (id, tenant) in tenants {
        let Some(jwt) = &tenant.jwt else { continue };
        if let Some(other) = known.insert((&jwt.issuer, &jwt.audience), id) {
            pick.problem(
                &format!("tenant.{id}.jwt.audience"),
                format!("the tenant {other} has the same issuer and audience, so that a token would speak for both; write another audience"),
            );
        }
    }
}

fn jwt(pick: &mut Pick, key: &str, raw: RawJwt) -> Option<Jwt> {
    let mut needed = |name: &str, value: Option<String>, example: &str| {
        let value = value.filter(|v| !v.is_empty());
        if value.is_none() {
            let message = format!("missing; write for example `{name} = \"{example}\"`");
            pick.problem(&format!("{key}.{name}"), message);
        }
        value
    };
    let issuer = needed("issuer", raw.issuer, "https://login.example.org/");
    let audience = needed("audience", raw.audience, "weir");
    let jwks = needed("jwks", raw.jwks, "https://login.example.org/.well-known/jwks.json");
    let (issuer, audience, jwks) = (issuer?, audience?, jwks?);
    let jwks = if jwks.starts_with("https://") || is_local(&jwks) {
        Jwks::Url(jwks)
    } else if jwks.contains("://") {
        pick.problem(
            &format!("{key}.jwks"),
            "keys come over https:// (http:// from this machine only), or out of a file",
        );
        return None;
    } else {
        Jwks::File(jwks.into())
    };
    Some(Jwt { issuer, audience, jwks })
}

/// Whether an address is `http://` on the loopback interface: nobody is in between who could put in other keys.
fn is_local(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(ip, _)| ip),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    // `http://127.0.0.1:80@elsewhere/` is elsewhere.
    !authority.contains('@') && host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
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
