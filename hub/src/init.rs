//! `weir-hub init`: what a hub needs before it first serves, all of it or nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sync::identity::Authority;

use crate::Error;
use crate::receipt::HubKey;

/// The database where nobody names another.
pub const DATABASE: &str = "host=/run/postgresql user=weir dbname=weir";

/// The port of API (TCP) and QUIC (UDP) where nobody names another.
pub const PORT: u16 = 8470;

/// Name of the file of settings.
pub const SETTINGS: &str = "weir-hub.toml";

/// What to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where; must not exist, or be empty.
    pub folder: PathBuf,
    /// Host names and addresses by which boxes reach the hub, best first.
    pub names: Vec<String>,
    /// Of API and QUIC.
    pub port: u16,
    /// The database's address.
    pub database: String,
}

impl Plan {
    /// Makes authority, hub key and settings. They are written beside the folder and come to be there by one renaming: a power cut
    /// leaves all or nothing, and a folder that holds something is never written to.
    ///
    /// # Errors
    /// Where a name is none, the folder holds something, or cannot be made.
    pub fn carry_out(&self) -> Result<(), Error> {
        if let Some(name) = self.names.iter().find(|name| !is_name(name)) {
            return Err(Error::Invalid(format!(
                "`{name}` is no host name or address: write for example hub.example or 192.0.2.1, without https:// and port"
            )));
        }
        crate::Database::new(&self.database)?;
        let folder = std::path::absolute(&self.folder).map_err(|error| self.failed(&error))?;
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            return Err(Error::Invalid(format!("{} cannot be made", folder.display())));
        };
        let beside =
            parent.join(format!(".{}.{}", name.to_string_lossy(), uuid::Uuid::now_v7().simple()));
        let made = self.fill(&beside).and_then(|()| {
            // Takes the place of nothing or of an empty folder, and of nothing else.
            fs::rename(&beside, &folder).map_err(|error| self.failed(&error))?;
            sync_folder(parent).map_err(|error| self.failed(&error))
        });
        if made.is_err() {
            // Keys nobody uses; where it fails the folder's name says what it is.
            let _ = fs::remove_dir_all(&beside);
        }
        made
    }

    fn fill(&self, beside: &Path) -> Result<(), Error> {
        let authority = Authority::create("Weir hub");
        let (certificate, key) = authority.map_err(|error| Error::Invalid(error.to_string()))?;
        let hub_key = HubKey::generate()?;
        let made = || {
            fs::DirBuilder::new().mode(0o750).create(beside)?;
            write(&beside.join("authority.pem"), 0o644, certificate.as_bytes())?;
            write(&beside.join("authority.key"), 0o600, key.as_bytes())?;
            write(&beside.join("hub.key"), 0o600, &hub_key)?;
            write(&beside.join(SETTINGS), 0o640, self.settings().as_bytes())?;
            sync_folder(beside)
        };
        made().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        let folder = self.folder.display();
        Error::Invalid(match error.kind() {
            io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory => format!(
                "there is something at {folder} already, which is left as it is: name another folder; boxes believe the authority they enrolled with, and no other"
            ),
            _ => format!("cannot make {folder}: {error}"),
        })
    }

    fn settings(&self) -> String {
        let (port, database) = (self.port, quoted(&self.database));
        let hosts: Vec<String> = self.names.iter().map(|name| host(name)).collect();
        let list = |each: &dyn Fn(&String) -> String, of: &[String]| {
            of.iter().map(|name| quoted(&each(name))).collect::<Vec<_>>().join(", ")
        };
        let names = list(&|name| name.clone(), &self.names);
        let quic = list(&|host| format!("{host}:{port}"), &hosts);
        let hubs = list(&|host| format!("https://{host}:{port}"), &hosts);
        format!(
            r#"# Settings of weir-hub; docs/hub.md has them all. Relative paths are meant from this folder.

# Postgres 15 or later. `weir-hub migrate` makes the tables.
database = {database}

# The API, over TLS 1.3. The hub signs its own certificate at each start, for these names.
listen = "0.0.0.0:{port}"
names = [{names}]

# The hub's authority, and the key that signs receipts. Every node of the hub has the same three files. Keep a copy of both
# keys where nobody else reads it: whoever has them is this hub, and without them every box has to enrol anew.
authority = "authority.pem"
authority_key = "authority.key"
key = "hub.key"

# For how many days entries are kept; left out: for ever.
#retention_days = 400

# Boxes connect here, over UDP.
[quic]
listen = "0.0.0.0:{port}"

# What boxes are told when they enrol and renew, best first. Add the addresses of further nodes.
[boxes]
quic = [{quic}]
hubs = [{hubs}]
#mqtt = "broker.example:8883"

#[ingest]
#shards = 2
"#
        )
    }
}

/// As TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// As an address has it: the newer kind in brackets.
fn host(name: &str) -> String {
    match name.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => name.to_owned(),
    }
}

/// Whether it is an address, or a host name as RFC 1123 has it.
pub(crate) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::authority::Issuer;
    use crate::config::Config;

    fn plan(folder: PathBuf, names: &[&str]) -> Plan {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Plan { folder, names, port: 9, database: "host=/run user='a b' dbname=x".into() }
    }

    #[test]
    fn what_it_makes_can_be_used_and_is_never_overwritten() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("hub");
        plan(folder.clone(), &["hub.example", "::1"]).carry_out().unwrap();
        for (file, mode) in [("authority.key", 0o600), ("hub.key", 0o600), ("authority.pem", 0o644)]
        {
            let found = fs::metadata(folder.join(file)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{file}");
        }
        let config = Config::read(&folder.join(SETTINGS)).unwrap();
        let authority = config.authority.unwrap();
        assert_eq!(authority.told.quic, ["hub.example:9", "[::1]:9"]);
        assert_eq!(authority.told.hubs, ["https://hub.example:9", "https://[::1]:9"]);
        Issuer::open(&authority).unwrap().server().unwrap();
        HubKey::new(&fs::read(&config.key).unwrap()).unwrap();

        let before = fs::read(folder.join("authority.key")).unwrap();
        let refused = plan(folder.clone(), &["hub.example"]).carry_out().unwrap_err();
        assert!(refused.to_string().contains("name another folder"), "{refused}");
        assert_eq!(fs::read(folder.join("authority.key")).unwrap(), before);
        let left = fs::read_dir(around.path()).unwrap().count();
        assert_eq!(left, 1, "nothing lies beside it");
    }

    #[test]
    fn a_name_is_a_host_or_an_address_and_nothing_more() {
        let around = tempfile::tempdir().unwrap();
        for wrong in ["https://hub.example", "hub.example:8470", "", "a b", "-a", "a..b"] {
            let refused = plan(around.path().join("hub"), &[wrong]).carry_out().unwrap_err();
            assert!(refused.to_string().contains("without https://"), "{wrong}: {refused}");
        }
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 0);
    }
}
