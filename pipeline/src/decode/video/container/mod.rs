//! What a container's own structure promises, read without GStreamer: demuxers pass over much in silence (a file that
//! is cut short behind a whole index, a second movie, tracks for which they have no pad, footage that an edit list
//! leaves out), and a player may show it all the same.

mod ebml;
mod edits;
mod movie;
mod riff;
mod samples;
mod transport;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::decode::Unseen;

/// Bytes that are read in place of those at some place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    /// Where the first one lies.
    pub at: u64,
    /// What is read there.
    pub bytes: Vec<u8>,
}

impl Patch {
    /// Puts into `bytes`, which lie at `offset` of the file, what belongs there.
    pub(super) fn apply(&self, bytes: &mut [u8], offset: u64) {
        for (place, new) in (self.at..).zip(&self.bytes) {
            let at = place.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = at.and_then(|at| bytes.get_mut(at)) {
                *byte = *new;
            }
        }
    }
}

/// What the structure says. Empty for containers that promise nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Promise {
    /// Whether there are bytes or frames that the structure has and the file has not.
    pub cut_short: bool,
    /// What no demuxer run would look at.
    pub unseen: BTreeSet<Unseen>,
    /// Number of tracks of pictures that a demuxer should find; 0 where the structure was not read.
    pub pictures: usize,
    /// Number of tracks of words that a demuxer should find.
    pub words: usize,
    /// What is to be read in place of edit lists that leave footage out, so that all of it is shown.
    pub edits: Vec<Patch>,
    /// Whether the length that the header claims is to be held against what is there, because the structure does not say
    /// where the file ends.
    pub claims: bool,
}

/// Reads the promise of a file; of formats that have none, an empty one.
pub(super) fn read(file: &File) -> Promise {
    let mut promise = Promise::default();
    let Ok(size) = file.metadata().map(|m| m.len()) else { return promise };
    let head = stretch(file, 0, 1024);
    if head.starts_with(b"\x1a\x45\xdf\xa3") {
        ebml::read(file, size, &mut promise);
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        riff::read(file, size, &mut promise);
    } else if head.starts_with(b"FLV\x01") {
        promise.claims = true;
    } else if let Some(packets) = transport::Packets::of(&head) {
        transport::read(file, packets, &mut promise);
    } else {
        movie::read(file, size, &mut promise);
    }
    promise
}

/// Up to `most` bytes from `at` on: as many as the file has.
fn stretch(file: &File, at: u64, most: u64) -> Vec<u8> {
    let size = file.metadata().map_or(0, |m| m.len());
    let mut bytes = vec![0; most.min(size.saturating_sub(at)) as usize];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
