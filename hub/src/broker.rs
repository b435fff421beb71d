//! The hub's broker: how a node listens there, and the list by which the broker silences those who may no more.
//!
//! What a box of the barred says over MQTT is refused by its session, whatever the broker does. The broker's own list keeps it from using
//! the broker at all: the hub writes the list anew whenever it changes, and the broker reads it when it is told to (docs/hub.md).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::journal::{BoxId, TenantId};
use sync::identity::HUB_NAME;
use sync::mqtt::{self, Server, mosquitto};
use tokio::sync::watch;

use crate::Error;
use crate::authority::Issuer;
use crate::fleet::Barred;
use crate::renewal::Certificates;

/// The pause after a list that could not be written.
const PAUSE: Duration = Duration::from_secs(5);

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host:port` of its listener for hub nodes.
    pub address: String,
    /// The name of the shared subscription: the same at every node.
    pub group: String,
    /// The access list that this node keeps; nothing where another does.
    pub acl: Option<PathBuf>,
}

/// A node that will listen at the broker.
///
/// # Errors
/// Where the address is none.
pub fn listener(config: &Config, own: &Certificates) -> Result<Server, Error> {
    let failed = |error| Error::Invalid(format!("mqtt.broker: {error}"));
    let authority = own.issuer.authority.certificate();
    let broker = mqtt::Broker::renewing(&config.address, authority, &own.client).map_err(failed)?;
    let group = config.group.clone();
    Ok(Server::new(broker, mqtt::Config { group, ..mqtt::Config::default() }))
}

/// Makes a certificate and a key for a tenant's subscribers; where they lie.
///
/// # Errors
/// Where the tenant has the name of a box or of the hub, a file is there already, or the folder is not.
pub fn subscriber(
    issuer: &Issuer,
    tenant: &TenantId,
    folder: &Path,
) -> Result<[PathBuf; 2], Error> {
    let name = mqtt::tenant_name(tenant);
    if name == HUB_NAME || name.parse::<BoxId>().is_ok() {
        return Err(Error::Invalid(format!(
            "a tenant `{tenant}` would be somebody else to the broker: give it a name that is no UUID and not {HUB_NAME}"
        )));
    }
    let failed = |error| Error::Invalid(format!("no certificate for {tenant}: {error}"));
    let texts = issuer.authority.client(&name).map_err(failed)?.pem();
    let paths = ["pem", "key"].map(|end| folder.join(format!("{name}.{end}")));
    for ((path, text), mode) in paths.iter().zip(texts).zip([0o644, 0o600]) {
        let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        open.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Error::Invalid(format!("cannot make {}: {error}", path.display())))?;
    }
    Ok(paths)
}

/// Keeps the broker's access list as the list of the barred is, which it holds from the start. Ends when nobody keeps that any more.
pub async fn guard(acl: PathBuf, mut barred: watch::Receiver<Barred>) {
    let mut told = false;
    loop {
        let (path, list) = (acl.clone(), barred.borrow_and_update().clone());
        let text = mosquitto::acl(list.keys());
        let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        let again = written.is_err();
        match written {
            Ok(true) => {
                tracing::info!(acl = %acl.display(), barred = list.len(), "written for the broker")
            }
            Ok(false) => {}
            Err(error) if !told => {
                tracing::error!(acl = %acl.display(), %error, "the broker's list cannot be written: the hub's user has to be able to write to its folder");
            }
            Err(_) => {}
        }
        told = again;
        tokio::select! {
            changed = barred.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(PAUSE), if again => {}
        }
    }
}

/// Whole or not at all: the broker may read it at any moment. False where it says so already.
fn write(path: &Path, text: &str) -> io::Result<bool> {
    if fs::read(path).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(false);
    }
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::fleet::State;

    #[tokio::test]
    async fn the_list_is_written_at_the_start_and_at_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let acl = folder.path().join("acl");
        let of = BoxId(uuid::Uuid::from_u128(7));
        let (tell, barred) = watch::channel(Barred::default());
        let guard = tokio::spawn(guard(acl.clone(), barred));
        let says = async |word: &str| {
            while !fs::read_to_string(&acl).is_ok_and(|text| text.contains(word)) {
                tokio::task::yield_now().await;
            }
        };
        says("pattern write").await;
        assert!(!fs::read_to_string(&acl).unwrap().contains("deny"));
        tell.send_replace(Arc::new(BTreeMap::from([(of, State::Revoked)])));
        says(&format!("user {of}\ntopic deny #")).await;
        drop(tell);
        guard.await.unwrap();
        assert!(!write(&acl, &fs::read_to_string(&acl).unwrap()).unwrap(), "nothing to write");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies beside it");
    }
}
