//! Who the box is: its name and its key, beside the database, so that both outlive it.
//!
//! `box` holds the UUID as text; `device.key` the Ed25519 key as PKCS#8, mode 0600. Both are made at the first start.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use domain::journal::BoxId;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use uuid::Uuid;

use crate::{Error, txn::random};

/// The identity of a box.
pub(crate) struct Identity {
    pub of: BoxId,
    pub key: Ed25519KeyPair,
}

impl Identity {
    /// Reads it, or makes it where there is none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let name = dir.join("box");
        if !name.exists() {
            let id = uuid::Builder::from_random_bytes(random()?).into_uuid();
            write_new(dir, "box", 0o644, id.to_string().as_bytes())?;
        }
        if !dir.join("device.key").exists() {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                .map_err(|_| Error::Invalid("no key could be made: is /dev/urandom there?"))?;
            write_new(dir, "device.key", 0o600, made.as_ref())?;
        }
        Self::read(dir)
    }

    /// Reads the key as it is stored, for a certificate request.
    pub fn pkcs8(dir: &Path) -> Result<Vec<u8>, Error> {
        let path = dir.join("device.key");
        fs::read(&path).map_err(Error::io("read", &path))
    }

    /// Reads it.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let name = dir.join("box");
        let text = fs::read_to_string(&name).map_err(Error::io("read", &name))?;
        let of = Uuid::parse_str(text.trim()).map_err(|_| {
            Error::Invalid(
                "the file `box` in the data directory holds no UUID: put the box's name back",
            )
        })?;
        let path = dir.join("device.key");
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let key = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| {
            Error::Invalid("the file `device.key` in the data directory is no Ed25519 key in PKCS#8: put the box's key back")
        })?;
        Ok(Self { of: BoxId(of), key })
    }

    /// The 32 bytes by which others check its signatures.
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public_key().as_ref().to_vec()
    }
}

/// Writes a file whole or not at all, and makes both it and its name durable.
fn write_new(dir: &Path, name: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let path = dir.join(format!("{name}.new"));
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(&path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&path, dir.join(name)));
    written.map_err(Error::io("write", &path))?;
    sync_dir(dir)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|file| file.sync_all()).map_err(Error::io("sync", dir))
}
