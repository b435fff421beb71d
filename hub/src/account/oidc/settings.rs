//! The settings of a provider, checked.

use std::path::{Path, PathBuf};

use axum::http::Uri;
use serde::Deserialize;

/// Characters of what the button says.
const LABEL: usize = 40;

/// What the hub knows of its provider.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, an address: compared byte by byte.
    pub issuer: String,
    /// What the hub is called there.
    pub client_id: String,
    /// Where the hub's secret lies; nothing for a client without one.
    pub secret: Option<PathBuf>,
    /// What the button says.
    pub label: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Whether several factors at the provider stand for ours.
    pub second: Second,
    /// What the provider is asked for, and what it says where it saw several factors.
    pub acr_values: Vec<String>,
    /// Whose certificates it may show; nothing: those of the web.
    pub authorities: Option<PathBuf>,
}

/// Where the second factor is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Second {
    /// Here, after the provider, as after a password.
    #[default]
    Here,
    /// At the provider, where it says so; else here.
    Provider,
}

/// As the file of settings has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw {
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    label: Option<String>,
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    #[serde(default)]
    second_factor: Second,
    #[serde(default)]
    acr_values: Vec<String>,
    ca_file: Option<PathBuf>,
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

/// Whether an address leads to this machine.
fn is_near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads an address that is called over TLS, or on this machine.
pub(crate) fn address(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let secure = scheme == "https" || scheme == "http" && is_near(authority.host());
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    // A fragment is nothing that a server hears of, and reading drops it.
    (secure && plain && !text.contains('#')).then_some(uri)
}

impl Raw {
    pub fn check(self, folder: &Path, problems: &mut Vec<String>) -> Config {
        let mut bad =
            |key: &str, what: String| problems.push(format!("screens.oidc.{key}: {what}"));
        let uri = address(&self.issuer).filter(|uri| uri.query().is_none());
        if uri.is_none() {
            bad(
                "issuer",
                format!(
                    "`{}` is no issuer: write its https:// address as the provider tells it, without query or fragment (http:// on this machine alone)",
                    self.issuer
                ),
            );
        }
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !plain(&self.client_id) {
            bad(
                "client_id",
                "write what the provider calls the hub, 1 to 255 characters without spaces".into(),
            );
        }
        let host = || uri.as_ref().and_then(Uri::host).unwrap_or_default().to_owned();
        let label = self.label.unwrap_or_else(host);
        if label.trim().is_empty() && uri.is_some()
            || label.chars().count() > LABEL
            || label.chars().any(char::is_control)
        {
            bad("label", format!("write what the button is to say, 1 to {LABEL} characters"));
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            bad("scopes", "`openid` has to be among them: without it there is no ID token".into());
        }
        let lists = [("scopes", &self.scopes), ("acr_values", &self.acr_values)];
        for (key, word) in lists.iter().flat_map(|(key, list)| list.iter().map(|word| (*key, word)))
        {
            if !plain(word) {
                bad(key, format!("`{word}` is no such word: they have no spaces"));
            }
        }
        if !self.acr_values.is_empty() && self.second_factor == Second::Here {
            bad("acr_values", "they count where `second_factor = \"provider\"` only".into());
        }
        Config {
            issuer: self.issuer,
            client_id: self.client_id,
            secret: self.client_secret_file.map(|path| folder.join(path)),
            label,
            scopes: self.scopes,
            second: self.second_factor,
            acr_values: self.acr_values,
            authorities: self.ca_file.map(|path| folder.join(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_called_over_tls_or_on_this_machine() {
        for good in [
            "https://id.example",
            "https://id.example:8443/realms/a?b=c",
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
            "http://localhost:8080/x",
        ] {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in [
            "http://id.example",
            "http://127.0.0.1.example/",
            "https://a@id.example/",
            "https://id.example/#a",
            "ftp://id.example",
            "id.example",
            "/keys",
            "https://",
            "",
        ] {
            assert!(address(bad).is_none(), "{bad}");
        }
    }
}
