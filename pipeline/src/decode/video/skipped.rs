//! Finds video tracks of an MP4 that the demuxer says nothing of: qtdemux leaves out a track that is far shorter than
//! the file, taking it for a preview picture, and all that a second `moov` box declares, which joined segments may
//! bring. A player may show it all the same.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most bytes of a `moov` box that are looked at.
const MAX_MOOV: u64 = 64 << 20;
/// Most top-level boxes that are walked.
const MAX_BOXES: usize = 1_000_000;

/// Whether the file's `moov` box declares more video tracks than so many, or is not the only one.
/// `false` for other containers.
pub(super) fn tracks(file: &File, seen: usize) -> bool {
    let Some(size) = file.metadata().ok().map(|m| m.len()) else { return false };
    let mut first: Option<Vec<u8>> = None;
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        let Some(found) = header(file, at, size) else {
            return first.is_some_and(|moov| video_tracks(&moov) > seen);
        };
        if &found.kind == b"moov" {
            if first.is_some() {
                return true;
            }
            first = Some(contents(file, at, found.length.min(size.saturating_sub(at))));
        }
        at = at.saturating_add(found.length);
    }
    true
}

/// A top-level box: its type, and its length in bytes with the header.
struct Header {
    kind: [u8; 4],
    length: u64,
}

/// The header of the box at `at` (ISO/IEC 14496-12, 4.2); `None` at the end, and where the file is another container.
fn header(file: &File, at: u64, size: u64) -> Option<Header> {
    let mut header = [0; 16];
    let have = file.read_at(&mut header, at).ok()?;
    let kind: [u8; 4] = header.get(4..8).filter(|_| have >= 8)?.try_into().ok()?;
    if at == 0 && ![b"ftyp", b"moov", b"wide", b"free", b"skip", b"mdat"].contains(&&kind) {
        return None;
    }
    let word: [u8; 4] = header.first_chunk().copied()?;
    let long: [u8; 8] = header.last_chunk().copied()?;
    let length = match u32::from_be_bytes(word) {
        0 => size.saturating_sub(at),
        1 => u64::from_be_bytes(long),
        n => u64::from(n),
    };
    Some(Header { kind, length: length.max(8) })
}

fn contents(file: &File, at: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length.min(MAX_MOOV) as usize];
    let read = file.read_at(&mut bytes, at).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// Handlers of type `vide` (8.4.3): its name, version and flags, a predefined field, then the type.
fn video_tracks(moov: &[u8]) -> usize {
    moov.windows(16).filter(|w| w.starts_with(b"hdlr") && w.get(12..16) == Some(b"vide")).count()
}
