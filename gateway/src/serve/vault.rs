//! Files with evidence: pictures of media that were not approved, encrypted, since they are what the box keeps longest of
//! people's uploads.
//!
//! Layout: `evidence/NAME`, `NAME.new` while it is being written; NAME is a UUIDv7 in 32 hexadecimal digits. A file is the
//! four bytes `WEV1`, a random nonce of 12 bytes, and the JPEG under AES-256-GCM with its tag of 16 bytes. What goes into
//! the tag besides: tenant, submission and index of the medium, so that no file can be shown in the place of another.
//! The key is `secrets/evidence`, 32 bytes, made once; whoever carries a disk away without it sees nothing, and who
//! loses it loses the evidence and no more. Random nonces are safe for 2³² files under a key.
//!
//! Invariant: what [`Vault::put`] returns survives a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, anyhow};
use domain::journal::{SubmissionId, TenantId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::spool::Spool;
use crate::secret;

/// What a file begins with: the format's version.
const MAGIC: &[u8; 4] = b"WEV1";

/// Ends the name of a file that is being written.
const NEW: &str = ".new";

/// The part of the spool's room that evidence may take: a quarter, of 8 GiB some 20,000 pictures.
const SHARE: u64 = 4;

/// The folder.
pub struct Vault {
    folder: PathBuf,
    key: LessSafeKey,
    used: AtomicU64,
    /// Whose room it shares.
    spool: Spool,
}

/// Whose picture a file holds.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The submission.
    pub submission: SubmissionId,
    /// Index of the medium.
    pub media: usize,
}

impl Owner<'_> {
    fn bound(&self) -> Aad<Vec<u8>> {
        let mut bytes = b"weir evidence 1".to_vec();
        bytes.extend_from_slice(self.submission.0.as_bytes());
        bytes.extend_from_slice(&(self.media as u64).to_be_bytes());
        bytes.extend_from_slice(self.tenant.as_str().as_bytes());
        Aad::from(bytes)
    }
}

impl Vault {
    /// Opens or makes the folder and the key, and removes what a crash left half written.
    ///
    /// # Errors
    /// What the file system says; a key that others may read, or of another length.
    pub fn open(data: &Path, spool: Spool) -> anyhow::Result<Self> {
        let folder = data.join("evidence");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        File::open(data)?.sync_all()?;
        let path = data.join("secrets/evidence");
        let key: [u8; 32] = secret::own(&path, "nobody can look at the evidence that is here")?;
        let key = UnboundKey::new(&AES_256_GCM, &key)
            .map_err(|_| anyhow!("{} makes no key", path.display()))?;
        let (key, used) = (LessSafeKey::new(key), AtomicU64::new(0));
        let vault = Self { folder, key, used, spool };
        for entry in std::fs::read_dir(&vault.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(NEW) {
                std::fs::remove_file(entry.path())?;
            } else {
                vault.count(entry.metadata()?.len());
            }
        }
        Ok(vault)
    }

    /// Whether no more is kept: what people must not see has its share of the spool's room, so that who brings much of it
    /// keeps nobody from submitting.
    pub fn is_full(&self) -> bool {
        self.used() >= self.spool.cap() / SHARE
    }

    /// Bytes kept.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Names of all files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.folder)?;
        names.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Keeps a picture; the name of its file and the bytes that it takes. Blocks until it is durable.
    ///
    /// # Errors
    /// What the file system says; nothing is left then.
    pub fn put(&self, owner: Owner<'_>, picture: &[u8]) -> io::Result<(String, u64)> {
        let sealed = self.seal(owner, picture)?;
        let name = uuid::Uuid::now_v7().simple().to_string();
        let (new, path) = (self.folder.join(format!("{name}{NEW}")), self.folder.join(&name));
        let written = write(&new, &sealed)
            .and_then(|()| std::fs::rename(&new, &path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if let Err(error) = written {
            // Whichever there is.
            let _ = std::fs::remove_file(&new);
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        self.count(sealed.len() as u64);
        Ok((name, sealed.len() as u64))
    }

    /// The picture in a file. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what was kept of this medium.
    pub fn get(&self, owner: Owner<'_>, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = store::path_in(&self.folder, name)?;
        let file =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (nonce, sealed) = file
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .with_context(|| format!("{} is no file with evidence", path.display()))?;
        let mut picture = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, owner.bound(), &mut picture);
        let count = opened
            .map_err(|_| anyhow!("{} was changed, or is under another key", path.display()))?
            .len();
        picture.truncate(count);
        Ok(picture)
    }

    /// Deletes a file; one that is gone already is no error.
    ///
    /// # Errors
    /// What the file system says.
    pub fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        let bytes = path.metadata().map_or(0, |m| m.len());
        match std::fs::remove_file(&path) {
            Ok(()) => {
                self.used.fetch_sub(bytes, Ordering::Relaxed);
                self.spool.discharge(bytes);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn count(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.spool.charge(bytes);
    }

    fn seal(&self, owner: Owner<'_>, picture: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let mut body = picture.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), owner.bound(), &mut body)
            .map_err(|_| io::Error::other("the picture is too large to be encrypted"))?;
        Ok([&MAGIC[..], &nonce, &body].concat())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn open(data: &Path) -> Vault {
        Vault::open(data, Spool::open(data, 1 << 20).unwrap()).unwrap()
    }

    fn id(n: u128) -> SubmissionId {
        SubmissionId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_picture_comes_back_for_its_medium_and_for_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let vault = open(dir.path());
        let (one, two): (TenantId, TenantId) = ("one".parse().unwrap(), "two".parse().unwrap());
        let owner = Owner { tenant: &one, submission: id(1), media: 3 };
        let picture = b"\xff\xd8\xff\xe0 a picture";
        let (name, bytes) = vault.put(owner, picture).unwrap();
        assert_eq!(vault.get(owner, &name).unwrap(), picture);
        let (other, _) = vault.put(owner, picture).unwrap();
        let file = |name: &str| std::fs::read(dir.path().join("evidence").join(name)).unwrap();
        assert_ne!(file(&name)[4..], file(&other)[4..], "two nonces");
        assert!(!file(&name).windows(4).any(|w| w == &picture[..4]));
        for stranger in [
            Owner { tenant: &two, ..owner },
            Owner { submission: id(2), ..owner },
            Owner { media: 2, ..owner },
        ] {
            assert!(vault.get(stranger, &name).is_err(), "{stranger:?}");
        }
        for n in 0..file(&name).len() {
            let mut changed = file(&name);
            changed[n] ^= 1;
            std::fs::write(dir.path().join("evidence/changed"), changed).unwrap();
            assert!(vault.get(owner, "changed").is_err(), "byte {n}");
        }
        assert!(vault.get(owner, "../secrets/evidence").is_err());
        assert_eq!((vault.used(), vault.spool.used()), (2 * bytes, 2 * bytes));
        vault.delete(&name).unwrap();
        vault.delete(&name).unwrap();
        assert_eq!((vault.used(), vault.spool.used()), (bytes, bytes));
    }

    #[test]
    fn a_start_finds_key_and_pictures_and_sweeps_what_was_half_written() {
        let dir = tempfile::tempdir().unwrap();
        let tenant = "one".parse().unwrap();
        let owner = Owner { tenant: &tenant, submission: id(1), media: 0 };
        let (name, bytes) = open(dir.path()).put(owner, b"picture").unwrap();
        std::fs::write(dir.path().join("evidence/half.new"), "half").unwrap();
        let vault = open(dir.path());
        assert_eq!(vault.get(owner, &name).unwrap(), b"picture");
        assert_eq!((vault.names().unwrap(), vault.used()), (vec![name.clone()], bytes));
        let key = dir.path().join("secrets/evidence");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // Another key opens nothing, and is no reason not to start.
        std::fs::remove_file(&key).unwrap();
        assert!(open(dir.path()).get(owner, &name).is_err());
        std::fs::write(&key, "short").unwrap();
        let refused = Vault::open(dir.path(), Spool::open(dir.path(), 1).unwrap());
        assert!(refused.err().unwrap().to_string().contains("restore it from a backup"));
    }
}
