//! `weir-hub init`: what a hub needs before it first serves, all of it or nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};
use sync::identity::Authority;
use sync::mqtt::mosquitto;

use crate::Error;
use crate::receipt::HubKey;

/// The database where nobody names another.
pub const DATABASE: &str = "host=/run/postgresql user=weir dbname=weir";

/// The port of API (TCP) and QUIC (UDP) where nobody names another.
pub const PORT: u16 = 8470;

/// Name of the file of settings.
pub const SETTINGS: &str = "weir-hub.toml";

/// The folder of what the broker needs, within that of the hub.
pub(crate) const BROKER: &str = "broker";

/// Where the broker's files are meant to lie on its machine.
const INSTALLED: &str = "/etc/mosquitto/weir";

/// What to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where; must not exist, or be empty.
    pub folder: PathBuf,
    /// Host names and addresses by which boxes reach the hub, best first.
    pub names: Vec<String>,
    /// Of API and QUIC.
    pub port: u16,
    /// `host:port` by which boxes find the MQTT broker, where there is to be one. Hub nodes use the port behind it.
    pub broker: Option<String>,
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
        let broker = self.broker()?;
        let folder = std::path::absolute(&self.folder).map_err(|error| self.failed(&error))?;
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            return Err(Error::Invalid(format!("{} cannot be made", folder.display())));
        };
        let beside =
            parent.join(format!(".{}.{}", name.to_string_lossy(), uuid::Uuid::now_v7().simple()));
        let made = self.fill(&beside, broker.as_ref()).and_then(|()| {
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

    /// Where the broker is to listen, checked.
    fn broker(&self) -> Result<Option<Broker>, Error> {
        let Some(given) = &self.broker else { return Ok(None) };
        let place = given.rsplit_once(':').and_then(|(host, port)| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let port: u16 = port.parse().ok().filter(|port| (1..u16::MAX).contains(port))?;
            is_name(bare.unwrap_or(host)).then(|| (bare.unwrap_or(host).to_owned(), port))
        });
        let Some((name, port)) = place else {
            return Err(Error::Invalid(format!(
                "`{given}` is no address of a broker: write for example --broker hub.example:8883"
            )));
        };
        // A broker beside the hub need not be reached by hub nodes from elsewhere.
        let near = self.names.contains(&name);
        let mut group = [0; 8];
        let filled = SystemRandom::new().fill(&mut group);
        filled.map_err(|_| Error::Invalid("no randomness for the broker".into()))?;
        let group = group.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Broker { name, port, near, group }))
    }

    fn fill(&self, beside: &Path, broker: Option<&Broker>) -> Result<(), Error> {
        let invalid = |error: sync::identity::IdentityError| Error::Invalid(error.to_string());
        let (certificate, key) = Authority::create("Weir hub").map_err(invalid)?;
        let hub_key = HubKey::generate()?;
        let certified = broker.map(|broker| {
            let authority = Authority::open(&certificate, &key)?;
            Ok(authority.server(std::slice::from_ref(&broker.name))?.pem())
        });
        let certified = certified.transpose().map_err(invalid)?;
        let made = || {
            fs::DirBuilder::new().mode(0o750).create(beside)?;
            write(&beside.join("authority.pem"), 0o644, certificate.as_bytes())?;
            write(&beside.join("authority.key"), 0o600, key.as_bytes())?;
            write(&beside.join("hub.key"), 0o600, &hub_key)?;
            write(&beside.join(SETTINGS), 0o640, self.settings(broker).as_bytes())?;
            if let (Some(broker), Some([own, key])) = (broker, &certified) {
                broker.fill(&beside.join(BROKER), &certificate, own, key)?;
            }
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

    fn settings(&self, broker: Option<&Broker>) -> String {
        let (port, database) = (self.port, quoted(&self.database));
        let hosts: Vec<String> = self.names.iter().map(|name| host(name)).collect();
        let list = |each: &dyn Fn(&String) -> String, of: &[String]| {
            of.iter().map(|name| quoted(&each(name))).collect::<Vec<_>>().join(", ")
        };
        let names = list(&|name| name.clone(), &self.names);
        let quic = list(&|host| format!("{host}:{port}"), &hosts);
        let hubs = list(&|host| format!("https://{host}:{port}"), &hosts);
        let (told, mqtt) = match (&self.broker, broker) {
            (Some(told), Some(broker)) => (format!("mqtt = {}", quoted(told)), broker.settings()),
            _ => ("#mqtt = \"broker.example:8883\"".to_owned(), String::new()),
        };
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
{told}
{mqtt}
#[ingest]
#shards = 2
"#
        )
    }
}

/// The broker that `init` prepares.
struct Broker {
    name: String,
    port: u16,
    /// On the hub's own machine.
    near: bool,
    group: String,
}

impl Broker {
    fn hub(&self) -> SocketAddr {
        let host = if self.near { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        SocketAddr::from((host, self.port + 1))
    }

    fn settings(&self) -> String {
        let host = if self.near { "127.0.0.1".to_owned() } else { host(&self.name) };
        let broker = quoted(&format!("{host}:{}", self.port + 1));
        format!(
            r#"
# The broker, by its listener for hub nodes. The group is the same at every node. The access list is written anew when a box is
# revoked; docs/hub.md tells how the broker comes to read it.
[mqtt]
broker = {broker}
group = "hub-{}"
acl = "{BROKER}/acl"
"#,
            self.group
        )
    }

    /// A folder that is to be copied to [`INSTALLED`].
    fn fill(&self, to: &Path, authority: &str, own: &str, key: &str) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o750).create(to)?;
        write(&to.join("authority.pem"), 0o644, authority.as_bytes())?;
        write(&to.join("broker.pem"), 0o644, own.as_bytes())?;
        write(&to.join("broker.key"), 0o600, key.as_bytes())?;
        write(&to.join("acl"), 0o644, mosquitto::acl([]).as_bytes())?;
        let at = Path::new(INSTALLED);
        let files = mosquitto::Files {
            authority: &at.join("authority.pem"),
            certificate: &at.join("broker.pem"),
            key: &at.join("broker.key"),
            acl: &at.join("acl"),
            data: Path::new("/var/lib/mosquitto"),
        };
        let boxes = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        let text = mosquitto::configuration(boxes, self.hub(), files);
        write(&to.join("mosquitto.conf"), 0o644, text.as_bytes())?;
        sync_folder(to)
    }
}

/// What is left to do about the broker, for people.
pub fn broker_steps(folder: &Path) -> String {
    let from = folder.join(BROKER);
    let from = from.display();
    format!(
        "For the broker (Mosquitto 2), on its machine; {from} has all that it needs:
  cp -r {from} {INSTALLED} && chown -R mosquitto: {INSTALLED}
  mv {INSTALLED}/mosquitto.conf /etc/mosquitto/mosquitto.conf && systemctl restart mosquitto
docs/hub.md tells how it comes to hear of revoked boxes."
    )
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
        Plan {
            folder,
            names,
            port: 9,
            broker: None,
            database: "host=/run user='a b' dbname=x".into(),
        }
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
    fn a_broker_gets_all_that_it_needs_and_the_hub_listens_there() {
        let around = tempfile::tempdir().unwrap();
        for (broker, hub, listens) in [
            ("hub.example:8883", "127.0.0.1:8884", "127.0.0.1"),
            ("broker.example:1", "broker.example:2", "0.0.0.0"),
        ] {
            let folder = around.path().join(broker);
            let broker = Some(broker.to_owned());
            let plan = Plan { broker: broker.clone(), ..plan(folder.clone(), &["hub.example"]) };
            plan.carry_out().unwrap();
            let config = Config::read(&folder.join(SETTINGS)).unwrap();
            assert_eq!(config.authority.unwrap().told.mqtt, broker);
            let mqtt = config.mqtt.unwrap();
            assert_eq!((mqtt.address.as_str(), mqtt.acl), (hub, Some(folder.join("broker/acl"))));
            assert!(mqtt.group.starts_with("hub-") && mqtt.group.len() == 20, "{}", mqtt.group);
            let text = fs::read_to_string(folder.join("broker/mosquitto.conf")).unwrap();
            let port = hub.rsplit_once(':').unwrap().1;
            assert!(text.contains(&format!("\nlistener {port} {listens}\n")), "{text}");
            let key = fs::metadata(folder.join("broker/broker.key")).unwrap().permissions();
            assert_eq!(key.mode() & 0o777, 0o600);
        }
        for wrong in ["hub.example", "hub.example:0", "hub.example:65535", "https://a:1", ""] {
            let broker = Some(wrong.to_owned());
            let plan = Plan { broker, ..plan(around.path().join("x"), &["hub.example"]) };
            assert!(plan.carry_out().unwrap_err().to_string().contains("--broker"), "{wrong}");
        }
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
