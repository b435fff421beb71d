//! The settings of `weir-hub serve`: a TOML file, read once and checked whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::Database;
use crate::ingest;

/// What the hub runs by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database is.
    pub database: Database,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The hub's Ed25519 key in PKCS#8; made where there is none.
    pub key: PathBuf,
    /// Days for which entries are kept; nothing keeps them for ever.
    pub retention_days: Option<u16>,
    /// How entries are taken.
    pub ingest: ingest::Config,
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
    #[serde(default = "key")]
    key: PathBuf,
    retention_days: Option<u16>,
    #[serde(default)]
    ingest: RawIngest,
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
        let raw: Raw = toml::from_str(text).map_err(|error| vec![error.to_string()])?;
        let mut problems = Vec::new();
        let database = Database::new(&raw.database);
        let database = database.map_err(|error| problems.push(format!("database: {error}"))).ok();
        let listen = raw.listen.parse::<SocketAddr>().map_err(|_| {
            let listen = &raw.listen;
            problems.push(format!(
                "listen: `{listen}` is no address: write for example 127.0.0.1:8470"
            ));
        });
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
            (Some(database), Ok(listen)) if problems.is_empty() => Ok(Self {
                database,
                listen,
                key: folder.join(raw.key),
                retention_days: raw.retention_days,
                ingest,
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
        let text = "database = 'host='\nlisten = 'here'\nretention_days = 0\n[ingest]\nshards = 0\nlinger_ms = 5000";
        let problems = Config::parse(text, Path::new("/etc/weir")).unwrap_err();
        for key in ["listen: ", "retention_days: ", "ingest.shards: ", "ingest.linger_ms: "] {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key} {problems:?}");
        }
        let config = Config::parse("database = 'host=/run/postgresql'", Path::new("/etc/weir"));
        let config = config.unwrap();
        assert_eq!(config.key, Path::new("/etc/weir/hub.key"));
        assert_eq!((config.ingest.shards, config.retention_days), (2, None));
        let typo = Config::parse("database = 'host=a'\nlistn = 'x'", Path::new(".")).unwrap_err();
        assert!(typo[0].contains("listn"), "{typo:?}");
    }
}
