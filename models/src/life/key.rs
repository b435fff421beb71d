//! Ed25519 keys of those who make bundles.
//!
//! A signing key is a file of PKCS#8, readable by its owner alone. Public keys are written as 64 hexadecimal digits;
//! those whose bundles a box takes stand in `trusted-keys` in the model directory, one a line, `#` begins a comment.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::{LifeError, unhex};
use crate::file::{hex, replace};

/// The file of public keys in the model directory.
pub const TRUSTED: &str = "trusted-keys";

/// Stands before what is signed, so that no signature over anything else is one over a bundle.
const DOMAIN: &[u8] = b"weir model bundle 1\0";

/// Bytes of a signature with the public key before it.
pub const SIGNATURE_BYTES: usize = 96;

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = LifeError;

    fn from_str(text: &str) -> Result<Self, LifeError> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| {
            LifeError::Key(format!("`{text}` is no public key: write its 64 hexadecimal digits"))
        })
    }
}

/// A key that signs bundles.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Makes a key and writes it into a new file.
    ///
    /// # Errors
    /// Where the file is there already or cannot be written, or the system gives no random numbers.
    pub fn make(path: &Path) -> Result<Self, LifeError> {
        let none = |_| LifeError::Key("the system gives no random numbers".into());
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(none)?;
        let failed = |error| LifeError::file("cannot make the key", path, &error);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        file.write_all(pkcs8.as_ref()).and_then(|()| file.sync_all()).map_err(failed)?;
        Self::read(path)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Where it cannot be read, is none, or others may read it.
    pub fn read(path: &Path) -> Result<Self, LifeError> {
        let failed = |error| LifeError::file("cannot read the key", path, &error);
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            let path = path.display();
            let detail = format!("others may read the key {path}: run `chmod 600 {path}`");
            return Err(LifeError::Key(detail));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|error| {
            let detail = format!("{} is no Ed25519 key in PKCS#8: {error}", path.display());
            LifeError::Key(format!("{detail}; `weir models keygen` makes one"))
        })?;
        Ok(Self(pair))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The public key, then the signature over a bundle's list of members.
    pub fn sign(&self, list: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&[DOMAIN, list].concat());
        [self.public().0.as_slice(), signature.as_ref()].concat()
    }
}

/// The keys whose bundles are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    path: PathBuf,
    keys: Vec<PublicKey>,
}

impl Trusted {
    /// Reads the keys of a model directory; none where there is no file.
    ///
    /// # Errors
    /// Every line that is no key.
    pub fn read(dir: &Path) -> Result<Self, LifeError> {
        let path = dir.join(TRUSTED);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(LifeError::file("cannot read", &path, &error)),
        };
        let (mut keys, mut wrong) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let word = line.split('#').next().unwrap_or_default().trim();
            match word.parse() {
                _ if word.is_empty() => {}
                Ok(key) => keys.push(key),
                Err(error) => wrong.push(format!("line {}: {error}", number + 1)),
            }
        }
        if wrong.is_empty() {
            return Ok(Self { path, keys });
        }
        Err(LifeError::Key(format!("{} cannot be used:\n  {}", path.display(), wrong.join("\n  "))))
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Trusts one more key; whether it is new.
    ///
    /// # Errors
    /// What the file system says.
    pub fn add(&mut self, key: PublicKey) -> Result<bool, LifeError> {
        if self.keys.contains(&key) {
            return Ok(false);
        }
        let failed = |error| LifeError::file("cannot write", &self.path, &error);
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{key}\n"));
        replace(&self.path, &[text.as_bytes()], 0o644).map_err(failed)?;
        self.keys.push(key);
        Ok(true)
    }

    /// Who signed a bundle's list of members.
    ///
    /// # Errors
    /// One sentence, where that is nobody who is trusted.
    pub fn verify(&self, list: &[u8], signature: &[u8]) -> Result<PublicKey, String> {
        let parts = signature.split_at_checked(32).filter(|_| signature.len() == SIGNATURE_BYTES);
        let Some((key, signature)) = parts else {
            return Err(format!("its signature has not the {SIGNATURE_BYTES} bytes of one"));
        };
        let Some(known) = self.keys.iter().find(|known| known.0 == key) else {
            return Err(format!(
                "it is signed with the key {}, which is not in {}; where you trust its owner, run `weir models trust {}`",
                hex(key),
                self.path.display(),
                hex(key)
            ));
        };
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&[DOMAIN, list].concat(), signature)
            .map_err(|_| format!("its signature is not one of the key {known} over this list"))?;
        Ok(*known)
    }
}
