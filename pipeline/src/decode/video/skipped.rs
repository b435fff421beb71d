//! Finds video tracks of an MP4 that the demuxer says nothing of: qtdemux leaves out a track that is far shorter than
//! the file, taking it for a preview picture. A player may show it all the same.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most bytes of a `moov` box that are looked at.
const MAX_MOOV: u64 = 64 << 20;
/// Most top-level boxes that are walked.
const MAX_BOXES: usize = 100_000;

/// Whether the file's `moov` box declares more video tracks than so many. `false` for other containers.
pub(super) fn tracks(file: &File, seen: usize) -> bool {
    moov(file).is_some_and(|moov| video_tracks(&moov) > seen)
}

/// The contents of the `moov` box (ISO/IEC 14496-12, 4.2 and 8.2.1).
fn moov(file: &File) -> Option<Vec<u8>> {
    let size = file.metadata().ok()?.len();
    let mut at = 0u64;
    for _ in 0..MAX_BOXES {
        let mut header = [0; 16];
        let have = file.read_at(&mut header, at).ok()?;
        let kind = header.get(4..8).filter(|_| have >= 8)?;
        // Anything else at the start is another container.
        if at == 0
            && ![b"ftyp", b"moov", b"wide", b"free", b"skip", b"mdat"].iter().any(|k| kind == *k)
        {
            return None;
        }
        let word: [u8; 4] = header.first_chunk().copied()?;
        let long: [u8; 8] = header.last_chunk().copied()?;
        let length = match u32::from_be_bytes(word) {
            0 => size.saturating_sub(at),
            1 => u64::from_be_bytes(long),
            n => u64::from(n),
        };
        if kind == b"moov" {
            let mut bytes = vec![0; length.min(size.saturating_sub(at)).min(MAX_MOOV) as usize];
            let read = file.read_at(&mut bytes, at).ok()?;
            bytes.truncate(read);
            return Some(bytes);
        }
        at = at.checked_add(length.max(8))?;
    }
    None
}

/// Handlers of type `vide` (8.4.3): its name, version and flags, a predefined field, then the type.
fn video_tracks(moov: &[u8]) -> usize {
    moov.windows(16).filter(|w| w.starts_with(b"hdlr") && w.get(12..16) == Some(b"vide")).count()
}
