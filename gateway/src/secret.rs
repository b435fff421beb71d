//! Files that others give the service: secrets, keys, certificates. A bare name is looked for among the credentials that
//! systemd hands over (`LoadCredential=`) before it is taken as a path.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use ring::rand::SecureRandom as _;

/// Most bytes of such a file: a chain of certificates has some thousand.
const MOST_BYTES: u64 = 1 << 20;

/// Names the folder of the service's credentials.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// Reads a secret, which nobody else may be able to read.
///
/// # Errors
/// Where it cannot be read, or others may read it.
pub fn read(setting: &Path) -> anyhow::Result<Vec<u8>> {
    read_in(folder().as_deref(), setting)
}

/// Reads a file that is no secret.
///
/// # Errors
/// Where it cannot be read, or is larger than any such file.
pub fn read_public(setting: &Path) -> anyhow::Result<Vec<u8>> {
    let path = find(folder().as_deref(), setting).0;
    bytes(open(&path)?, &path)
}

/// The file that a setting names.
pub fn path(setting: &Path) -> PathBuf {
    find(folder().as_deref(), setting).0
}

/// Reads a secret of the box's own; the first time it is made, readable by the service alone. `without` says what is lost
/// where it is.
///
/// # Errors
/// Where it cannot be read or made, others may read it, or it has another length.
pub fn own<const BYTES: usize>(path: &Path, without: &str) -> anyhow::Result<[u8; BYTES]> {
    if path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
        let secret = read(path)?;
        let count = secret.len();
        return secret.try_into().map_err(|_| {
            anyhow!(
                "{} has {count} bytes where a secret has {BYTES}: restore it from a backup; without it {without}",
                path.display()
            )
        });
    }
    let mut secret = [0; BYTES];
    ring::rand::SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| anyhow!("the system gives no random numbers"))?;
    put(path, &secret)?;
    Ok(secret)
}

/// Puts a secret in a file that the service alone can read; whole or not at all, also in a power cut.
///
/// # Errors
/// Where it cannot be written.
pub fn put(path: &Path, secret: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        // Whole or not at all, also in a power cut.
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(secret)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(folder)?.sync_all()?;
        // The folder may be new as well.
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        above.map_or(Ok(()), |above| File::open(above)?.sync_all())
    };
    write().with_context(|| format!("cannot make the secret {}", path.display()))
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).filter(|f| !f.is_empty()).map(PathBuf::from)
}

/// The path, and whether systemd put it there.
fn find(folder: Option<&Path>, setting: &Path) -> (PathBuf, bool) {
    let mut parts = setting.components();
    let bare = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    if let Some(credential) = folder.filter(|_| bare).map(|f| f.join(setting))
        && credential.is_file()
    {
        return (credential, true);
    }
    (setting.to_owned(), false)
}

fn read_in(folder: Option<&Path>, setting: &Path) -> anyhow::Result<Vec<u8>> {
    let (path, credential) = find(folder, setting);
    let file = open(&path)?;
    let mode = file.metadata().with_context(|| cannot(&path))?.mode();
    // systemd gives 0400, or 0440 with an access list for the service's user, in a folder that nobody else may enter.
    let forbidden = if credential { 0o027 } else { 0o077 };
    if mode & forbidden != 0 {
        bail!("{} can be read by others: chmod 600 it", path.display());
    }
    bytes(file, &path)
}

fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| cannot(path))?;
    let kind = file.metadata().with_context(|| cannot(path))?;
    ensure!(kind.is_file(), "{} is no file", path.display());
    Ok(file)
}

fn bytes(file: File, path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).with_context(|| cannot(path))?;
    ensure!(bytes.len() as u64 <= MOST_BYTES, "{} has more than a megabyte", path.display());
    Ok(bytes)
}

fn cannot(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn put(folder: &Path, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_bare_name_is_a_credential_and_a_path_is_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let given = dir.path().join("given");
        std::fs::create_dir(&given).unwrap();
        put(&given, "key", 0o440, "from systemd");
        let own = put(dir.path(), "key", 0o600, "own");
        let read = |name: &Path| read_in(Some(&given), name).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(read(Path::new("key")).unwrap(), "from systemd");
        assert_eq!(read(&own).unwrap(), "own");
        assert!(read(Path::new("./key")).is_err(), "a path is looked for where it points");
        assert!(read(Path::new("../key")).is_err());
        let absent = read(Path::new("absent")).unwrap_err().to_string();
        assert!(absent.contains("cannot read absent"), "{absent}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660] {
            let path = put(dir.path(), "open", mode, "s");
            let told = read_in(None, &path).unwrap_err().to_string();
            assert!(told.contains("chmod 600"), "{mode:o}: {told}");
        }
        for mode in [0o600, 0o400] {
            assert!(read_in(None, &put(dir.path(), "own", mode, "s")).is_ok(), "{mode:o}");
            let _ = std::fs::remove_file(dir.path().join("own"));
        }
        put(dir.path(), "leaked", 0o444, "s");
        assert!(read_in(Some(dir.path()), Path::new("leaked")).is_err());
        // What is no secret need not be one.
        let open = put(dir.path(), "open", 0o644, "s");
        assert_eq!(read_public(&open).unwrap(), b"s");
        assert!(read_public(dir.path()).is_err(), "a folder");
    }
}
