//! The settings of `weir-hub serve`: a TOML file, read once and checked whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::account::oidc;
use crate::authority::{self, Told};
use crate::{Database, broker, ingest, init};

/// What the hub runs by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database is.
    pub database: Database,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The API goes without TLS, on an address of this machine alone.
    pub plain: bool,
    /// Who signs the certificates of boxes and of this node; nothing where neither is wanted.
    pub authority: Option<authority::Config>,
    /// Where boxes connect.
    pub quic: Option<SocketAddr>,
    /// Where boxes are heard over MQTT.
    pub mqtt: Option<broker::Config>,
    /// The hub's Ed25519 key in PKCS#8; made where there is none.
    pub key: PathBuf,
    /// Days for which entries are kept; nothing keeps them for ever.
    pub retention_days: Option<u16>,
    /// How entries are taken.
    pub ingest: ingest::Config,
    /// How items of the review queue come to people.
    pub assign: Assign,
    /// The address by which people reach the screens, without a slash at its end.
    pub address: String,
    /// Who else says who somebody is.
    pub oidc: Option<oidc::Config>,
}

/// What is wrong with a file of settings, all of it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .path.display(), .problems.join("\n"))]
pub struct BadConfig {
    /// The file.
    pub path: PathBuf,
    /// Each with its key and what to write instead.
    pub problems: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    database: String,
    #[serde(default = "listen")]
    listen: String,
    #[serde(default)]
    plain: bool,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default = "key")]
    key: PathBuf,
    #[serde(default = "authority")]
    authority: PathBuf,
    #[serde(default = "authority_key")]
    authority_key: PathBuf,
    quic: Option<RawQuic>,
    mqtt: Option<RawMqtt>,
    #[serde(default)]
    boxes: RawBoxes,
    retention_days: Option<u16>,
    #[serde(default)]
    ingest: RawIngest,
    #[serde(default)]
    review: RawReview,
    #[serde(default)]
    screens: RawScreens,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawScreens {
    address: Option<String>,
    oidc: Option<oidc::settings::Raw>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawReview {
    assign: Assign,
}

/// How items come to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assign {
    /// They take the next one themselves.
    #[default]
    Pull,
    /// The hub gives them to whoever is there, in turns.
    Turns,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuic {
    listen: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMqtt {
    broker: String,
    #[serde(default = "group")]
    group: String,
    acl: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawBoxes {
    quic: Vec<String>,
    hubs: Vec<String>,
    mqtt: Option<String>,
    release_key: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawIngest {
    shards: Option<usize>,
    queue: Option<usize>,
    linger_ms: Option<u64>,
    group_rows: Option<usize>,
    patience_s: Option<u64>,
    credit_bytes: Option<u32>,
}

fn listen() -> String {
    "127.0.0.1:8470".into()
}

fn key() -> PathBuf {
    "hub.key".into()
}

fn group() -> String {
    "hub".into()
}

fn authority() -> PathBuf {
    "authority.pem".into()
}

fn authority_key() -> PathBuf {
    "authority.key".into()
}

/// An address to listen on.
fn address(key: &str, given: &str, problems: &mut Vec<String>) -> Option<SocketAddr> {
    let address = given.parse::<SocketAddr>();
    if address.is_err() {
        problems.push(format!("{key}: `{given}` is no address: write for example 127.0.0.1:8470"));
    }
    address.ok()
}

/// By which address people reach the screens: as it is written, or by the hub's first name and its port.
fn screens(
    given: Option<String>,
    name: Option<&String>,
    plain: bool,
    listen: Option<SocketAddr>,
    problems: &mut Vec<String>,
) -> String {
    if let Some(given) = given {
        let whole = given.trim_end_matches('/');
        let uri = oidc::settings::address(whole);
        if uri.is_none_or(|uri| uri.path() != "/" || uri.query().is_some()) {
            problems.push(format!(
                "screens.address: `{given}` is no address of the screens: write for example https://hub.example:8470, without a path"
            ));
        }
        return whole.to_owned();
    }
    let (Some(listen), scheme) = (listen, if plain { "http" } else { "https" }) else {
        return String::new();
    };
    let host = match name.map(|name| (name, name.parse::<std::net::Ipv6Addr>().is_ok())) {
        Some((name, true)) => format!("[{name}]"),
        Some((name, false)) => name.clone(),
        None => return format!("{scheme}://{listen}"),
    };
    match listen.port() {
        443 if !plain => format!("{scheme}://{host}"),
        port => format!("{scheme}://{host}:{port}"),
    }
}

/// Whether it is `host:port`.
fn is_place(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_one = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.contains(':') && init::is_name(host),
    };
    host_is_one && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// What boxes are told, checked.
fn told(raw: RawBoxes, problems: &mut Vec<String>) -> Told {
    let places = raw.quic.iter().map(|place| ("quic", place));
    for (key, place) in places.chain(raw.mqtt.iter().map(|place| ("mqtt", place))) {
        if !is_place(place) {
            problems.push(format!(
                "boxes.{key}: `{place}` is no address: write for example hub.example:8470"
            ));
        }
    }
    for hub in &raw.hubs {
        let place = hub.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
        if !place.is_some_and(|place| is_place(place) || init::is_name(place)) {
            problems.push(format!(
                "boxes.hubs: `{hub}` is no address of an API: write for example https://hub.example:8470"
            ));
        }
    }
    let is_key = |key: &String| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 32);
    if raw.release_key.as_ref().is_some_and(|key| !is_key(key)) {
        problems.push(
            "boxes.release_key: no public key: write the line that `weir-hub key generate` printed"
                .into(),
        );
    }
    Told { quic: raw.quic, hubs: raw.hubs, mqtt: raw.mqtt, release_key: raw.release_key }
}

impl RawMqtt {
    fn check(self, folder: &Path, problems: &mut Vec<String>) -> broker::Config {
        let Self { broker: address, group, acl } = self;
        if !is_place(&address) {
            problems.push(format!(
                "mqtt.broker: `{address}` is no address: write for example 127.0.0.1:8884, the listener for hub nodes"
            ));
        }
        let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !(1..=64).contains(&group.len()) || !group.bytes().all(bare) {
            problems.push(format!(
                "mqtt.group: `{group}` is no name: write up to 64 letters, digits and hyphens, the same at every node of the hub"
            ));
        }
        broker::Config { address, group, acl: acl.map(|acl| folder.join(acl)) }
    }
}

impl Raw {
    /// The part about certificates and who connects how, checked; it is taken out.
    fn authority(
        &mut self,
        listen: Option<SocketAddr>,
        folder: &Path,
        problems: &mut Vec<String>,
    ) -> Option<authority::Config> {
        let told = told(std::mem::take(&mut self.boxes), problems);
        let names = std::mem::take(&mut self.names);
        if let Some(name) = names.iter().find(|name| !init::is_name(name)) {
            problems.push(format!(
                "names: `{name}` is no host name or address: write for example hub.example, without https:// and port"
            ));
        }
        if self.plain && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            problems.push(
                "plain: without TLS the API is for this machine alone: listen on 127.0.0.1, or take `plain` out"
                    .into(),
            );
        }
        if names.is_empty() {
            if !self.plain {
                problems.push(
                    "names: missing: write by which host names and addresses the hub is called (`weir-hub init` makes a whole file), or `plain = true` for an API on 127.0.0.1 without TLS".into(),
                );
            }
            for (key, is_there) in [("quic", self.quic.is_some()), ("mqtt", self.mqtt.is_some())] {
                if is_there {
                    problems.push(format!(
                        "{key}: needs `names` and an authority, which `weir-hub init` makes"
                    ));
                }
            }
            return None;
        }
        if self.mqtt.is_some() && told.mqtt.is_none() {
            problems.push(
                "boxes.mqtt: missing: write where boxes find the broker, for example \"hub.example:8883\""
                    .into(),
            );
        }
        if self.quic.is_some() && told.quic.is_empty() {
            problems.push(
                "boxes.quic: missing: write where boxes connect, for example [\"hub.example:8470\"]"
                    .into(),
            );
        }
        Some(authority::Config {
            names,
            certificate: folder.join(&self.authority),
            key: folder.join(&self.authority_key),
            told,
        })
    }
}

impl Config {
    /// Reads and checks a file. A relative path in it is meant from the file's folder.
    ///
    /// # Errors
    /// [`BadConfig`], with everything that is wrong.
    pub fn read(path: &Path) -> Result<Self, BadConfig> {
        let bad = |problems| BadConfig { path: path.to_owned(), problems };
        let text = std::fs::read_to_string(path).map_err(|e| bad(vec![e.to_string()]))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(bad)
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, Vec<String>> {
        let mut raw: Raw = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut problems = Vec::new();
        let database = Database::new(&raw.database);
        let database = database.map_err(|error| problems.push(format!("database: {error}"))).ok();
        let listen = address("listen", &raw.listen, &mut problems);
        let quic = raw.quic.as_ref().map(|quic| quic.listen.clone());
        let quic = quic.and_then(|given| address("quic.listen", &given, &mut problems));
        let authority = raw.authority(listen, folder, &mut problems);
        let RawScreens { address: given, oidc } = std::mem::take(&mut raw.screens);
        let name = authority.as_ref().and_then(|authority| authority.names.first());
        let at = screens(given, name, raw.plain, listen, &mut problems);
        let oidc = oidc.map(|oidc| oidc.check(folder, &mut problems));
        let mqtt = raw.mqtt.take().map(|mqtt| mqtt.check(folder, &mut problems));
        if raw.retention_days == Some(0) {
            problems.push(
                "retention_days: 0 would keep nothing: write 1 or more, or leave it out".into(),
            );
        }
        let default = ingest::Config::default();
        let mut within = |key: &str, value: Option<u64>, least: u64, most: u64, default: u64| {
            let value = value.unwrap_or(default);
            if !(least..=most).contains(&value) {
                problems.push(format!("ingest.{key}: {value} is not within {least} to {most}"));
            }
            value
        };
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let wide = |value: Option<usize>| value.map(|value| value as u64);
        let given = raw.ingest;
        let ingest = ingest::Config {
            shards: size(within("shards", wide(given.shards), 1, 64, default.shards as u64)),
            queue: size(within("queue", wide(given.queue), 1, 4096, default.queue as u64)),
            linger: Duration::from_millis(within("linger_ms", given.linger_ms, 0, 1000, 5)),
            group_rows: size(within("group_rows", wide(given.group_rows), 1, 65_536, 4096)),
            patience: Duration::from_secs(within("patience_s", given.patience_s, 1, 600, 30)),
            credit: u32::try_from(within(
                "credit_bytes",
                given.credit_bytes.map(u64::from),
                65_536,
                256 * 1024 * 1024,
                u64::from(default.credit),
            ))
            .unwrap_or(default.credit),
            ..default
        };
        match (database, listen) {
            (Some(database), Some(listen)) if problems.is_empty() => Ok(Self {
                database,
                listen,
                plain: raw.plain,
                authority,
                quic,
                mqtt,
                key: folder.join(raw.key),
                retention_days: raw.retention_days,
                ingest,
                assign: raw.review.assign,
                address: at,
                oidc,
            }),
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_mistake_is_told_at_once_with_what_to_write() {
        let text = "database = 'host='\nlisten = 'here'\nretention_days = 0\n[ingest]\nshards = 0\nlinger_ms = 5000\n[quic]\nlisten = 'x'\n[mqtt]\nbroker = 'x'\ngroup = 'a/b'\n[boxes]\nquic = ['hub']\nhubs = ['http://hub:1']\nmqtt = 'a:b'\n[screens]\naddress = 'hub.example'\n[screens.oidc]\nissuer = 'http://id.example'\nclient_id = ''\nlabel = ''\nscopes = ['a b']";
        let problems = Config::parse(text, Path::new("/etc/weir")).unwrap_err();
        for key in [
            "listen: ",
            "retention_days: ",
            "ingest.shards: ",
            "ingest.linger_ms: ",
            "names: missing",
            "quic: needs",
            "quic.listen: ",
            "mqtt: needs",
            "mqtt.broker: ",
            "mqtt.group: ",
            "boxes.quic: ",
            "boxes.hubs: ",
            "boxes.mqtt: ",
            "screens.address: ",
            "screens.oidc.issuer: ",
            "screens.oidc.client_id: ",
            "screens.oidc.scopes: `openid`",
            "screens.oidc.scopes: `a b`",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key} {problems:?}");
        }
        let text = "database = 'host=/run/postgresql'\nplain = true";
        let config = Config::parse(text, Path::new("/etc/weir"));
        let config = config.unwrap();
        assert_eq!(config.key, Path::new("/etc/weir/hub.key"));
        assert_eq!((config.ingest.shards, config.retention_days), (2, None));
        assert!(config.plain && config.authority.is_none() && config.quic.is_none());
        let open = format!("{text}\nlisten = '0.0.0.0:1'");
        let open = Config::parse(&open, Path::new(".")).unwrap_err();
        assert!(open[0].starts_with("plain: "), "{open:?}");
        let typo = Config::parse("database = 'host=a'\nlistn = 'x'", Path::new(".")).unwrap_err();
        assert!(typo[0].contains("listn"), "{typo:?}");
    }

    #[test]
    fn people_reach_the_screens_by_the_first_name_or_as_is_written() {
        let at = |more: &str| {
            let text = format!("database = 'host=a'\n{more}");
            Config::parse(&text, Path::new("/etc/weir")).map(|config| config.address)
        };
        assert_eq!(at("plain = true").unwrap(), "http://127.0.0.1:8470");
        assert_eq!(at("names = ['hub.example', 'b']").unwrap(), "https://hub.example:8470");
        let secure = "names = ['hub.example']\nlisten = '0.0.0.0:443'";
        assert_eq!(at(secure).unwrap(), "https://hub.example");
        assert_eq!(at("names = ['2001:db8::1']").unwrap(), "https://[2001:db8::1]:8470");
        let given = "plain = true\n[screens]\naddress = 'https://ops.example/'";
        assert_eq!(at(given).unwrap(), "https://ops.example");
        for bad in ["http://ops.example", "https://ops.example/a", "ops.example", "https://a@b"] {
            let text = format!("plain = true\n[screens]\naddress = '{bad}'");
            assert!(at(&text).unwrap_err()[0].starts_with("screens.address: "), "{bad}");
        }
    }
}
