//! One medium in sealed memory: read once, hashed on the way, and unchangeable from then on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use ring::digest::{Context, SHA256};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::sys::Map;

/// A piece of the copy from reader to memory: below what an allocator takes from the kernel afresh each time.
const CHUNK: usize = 64 << 10;

/// A medium's bytes in a memfd sealed against any change.
#[derive(Debug)]
pub struct Item {
    file: File,
    map: Map,
    sha256: [u8; 32],
}

impl Item {
    /// Reads all of `reader` once, hashing it on the way.
    ///
    /// # Errors
    /// `FileTooLarge` when there are more than `cap` bytes; else what the reader or the kernel says.
    pub fn from_reader(mut reader: impl Read, cap: u64) -> io::Result<Self> {
        let fd = memfd_create("weir-item", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(fd);
        let mut hash = Context::new(&SHA256);
        let mut chunk = vec![0; CHUNK];
        let mut total = 0u64;
        loop {
            let count = match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += count as u64;
            if total > cap {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("larger than the limit of {cap} bytes"),
                ));
            }
            let piece = chunk.get(..count).unwrap_or_default();
            hash.update(piece);
            file.write_all(piece)?;
        }
        fcntl_add_seals(
            &file,
            SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
        )?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hash.finish().as_ref());
        let map = Map::of(&file)?;
        Ok(Self { file, map, sha256 })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.map.bytes()
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.map.bytes().len() as u64
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// SHA-256 of the bytes in lower-case hex.
    pub fn sha256_hex(&self) -> String {
        crate::measure::pdq::to_hex(&self.sha256)
    }
}

impl AsFd for Item {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn hash_is_that_of_the_bytes() {
        // FIPS 180-2, appendix B.1.
        let item = Item::from_reader(&b"abc"[..], 3).unwrap();
        let hex: String = item.sha256().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(item.bytes(), b"abc");
    }

    #[test]
    fn more_than_the_cap_is_refused() {
        let error = Item::from_reader(&b"abcd"[..], 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn nobody_can_change_an_item() {
        let item = Item::from_reader(&b"abc"[..], 3).unwrap();
        let mut file = File::from(item.as_fd().try_clone_to_owned().unwrap());
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(1).is_err());
    }

    #[test]
    fn an_empty_item_has_no_bytes() {
        let item = Item::from_reader(&b""[..], 3).unwrap();
        assert!(item.is_empty());
        assert_eq!(item.bytes(), b"");
    }
}
