//! A bundle on its way into a folder: nothing of it is believed before its signature holds.

use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::Path;

use ring::digest::{Context, SHA256};
use tar::{Archive, Entries, EntryType};

use super::bundle::{LIST, SIGNATURE};
use super::key::SIGNATURE_BYTES;
use super::raw::{List, Member, TEXT_BYTES};
use super::{LifeError, PublicKey, Trusted};
use crate::file::hex;

/// A bundle whose signature holds, before its members are read.
pub(super) struct Opened {
    /// The list, as it was signed.
    pub text: Vec<u8>,
    pub list: List,
    pub signer: PublicKey,
    signature: Vec<u8>,
}

/// Reads a bundle. `take` looks at the list, whose signature holds, and names the folder, empty and its own, into which
/// the members are to be written; or `None` where they need not be.
pub(super) fn unpack(
    path: &Path,
    trusted: &Trusted,
    take: impl FnOnce(&Opened) -> Result<Option<tempfile::TempDir>, LifeError>,
) -> Result<(Opened, Option<tempfile::TempDir>), LifeError> {
    let file = File::open(path).map_err(|error| LifeError::file("cannot read", path, &error))?;
    let mut archive = Archive::new(BufReader::new(file));
    let odd = |detail: String| LifeError::bundle(path, detail);
    // Raw: names and sizes as each header has them. Extensions, which could say otherwise, are members of a kind that is
    // not taken.
    let mut entries = archive.entries().map_err(|e| odd(e.to_string()))?.raw(true);
    let text = small(&mut entries, LIST, TEXT_BYTES).map_err(odd)?;
    let signature = small(&mut entries, SIGNATURE, SIGNATURE_BYTES as u64).map_err(odd)?;
    let signer = trusted.verify(&text, &signature).map_err(odd)?;
    let list = List::parse(&text)
        .map_err(|problems| LifeError::Bundle { path: path.to_owned(), problems })?;
    let opened = Opened { text, list, signer, signature };
    let folder = take(&opened)?;
    if let Some(folder) = &folder {
        let dir = folder.path();
        for member in &opened.list.members {
            extract(&mut entries, member, dir).map_err(odd)?;
        }
        if let Some(more) = entries.next() {
            let name = more.map(|more| String::from_utf8_lossy(&more.path_bytes()).into_owned());
            let name = name.unwrap_or_default();
            return Err(odd(format!("{name:?} comes after all that its list names")));
        }
        write(dir, LIST, &opened.text).map_err(odd)?;
        write(dir, SIGNATURE, &opened.signature).map_err(odd)?;
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| LifeError::file("cannot write", dir, &error))?;
    }
    Ok((opened, folder))
}

type Reader = BufReader<File>;

/// The next member, which must be a plain file of this name.
fn next<'a>(
    entries: &mut Entries<'a, Reader>,
    name: &str,
) -> Result<tar::Entry<'a, Reader>, String> {
    let entry = entries
        .next()
        .ok_or_else(|| format!("it ends where {name} should come"))?
        .map_err(|error| format!("where {name} should come: {error}"))?;
    if *entry.path_bytes() != *name.as_bytes() {
        let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        return Err(format!("{found:?} stands where {name} should"));
    }
    if entry.header().entry_type() != EntryType::Regular {
        return Err(format!("{name} is no plain file"));
    }
    Ok(entry)
}

/// A small member in memory.
fn small(entries: &mut Entries<'_, Reader>, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let entry = next(entries, name)?;
    let size = entry.size();
    if size > most {
        return Err(format!("{name} has {size} bytes, at most {most} are taken"));
    }
    let mut bytes = Vec::new();
    entry.take(most).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 != size {
        return Err(format!("{name} breaks off"));
    }
    Ok(bytes)
}

/// Writes a member, which must be what the list says.
fn extract(entries: &mut Entries<'_, Reader>, member: &Member, dir: &Path) -> Result<(), String> {
    let name = member.file.as_str();
    let mut entry = next(entries, name)?;
    if entry.size() != member.bytes {
        let (has, says) = (entry.size(), member.bytes);
        return Err(format!("{name} has {has} bytes where the list says {says}"));
    }
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut file = create(dir, name).map_err(failed)?;
    let mut context = Context::new(&SHA256);
    let (mut buffer, mut left) = (vec![0; 64 << 10], member.bytes);
    while left > 0 {
        let count = entry.read(&mut buffer).map_err(failed)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            return Err(format!("{name} breaks off"));
        };
        context.update(chunk);
        file.write_all(chunk).map_err(failed)?;
        left = left.saturating_sub(count as u64);
    }
    file.sync_all().map_err(failed)?;
    if hex(context.finish().as_ref()) != member.sha256 {
        return Err(format!("{name} is not the one that was signed"));
    }
    Ok(())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut file = create(dir, name).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

fn create(dir: &Path, name: &str) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(dir.join(name))
}
