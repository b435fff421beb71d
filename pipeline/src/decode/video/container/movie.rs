//! ISO base media and QuickTime (ISO/IEC 14496-12): boxes, tracks, what lies behind the end of the file.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Patch, Promise, be16, be32, be64, edits, samples, stretch};
use crate::decode::Unseen;

/// Most bytes of a `moov` or `sidx` box that are looked at.
const MAX_INDEX: u64 = 64 << 20;
/// Most top-level boxes that are walked.
const MAX_BOXES: usize = 1_000_000;
/// Most tracks that are looked into.
const MAX_TRACKS: usize = 1_000;

pub(super) fn read(file: &File, size: u64, promise: &mut Promise) {
    let (mut at, mut movies) = (0, 0);
    for _ in 0..MAX_BOXES {
        let Some(found) = header(file, at, size) else { return };
        let end = at.saturating_add(found.length);
        promise.cut_short |= end > size;
        match &found.kind {
            b"moov" if movies > 0 => drop(promise.unseen.insert(Unseen::Track)),
            b"moov" => {
                movies += 1;
                let body = at.saturating_add(found.head);
                let length = end.saturating_sub(body).min(MAX_INDEX);
                Movie { at: body, size, promise }.read(&stretch(file, body, length));
            }
            b"sidx" => {
                let length = found.length.min(MAX_INDEX);
                let index = stretch(file, at, length);
                let body = index.get(found.head as usize..).unwrap_or_default();
                let promised = referenced(body).unwrap_or(0);
                promise.cut_short |= end.saturating_add(promised) > size;
            }
            _ => {}
        }
        at = end;
    }
    promise.cut_short = true;
}

/// A top-level box: its type, the length of its header, and its own with the header.
struct Header {
    kind: [u8; 4],
    head: u64,
    length: u64,
}

/// The header of the box at `at` (4.2); `None` at the end, where no box is, and where the file is another container.
fn header(file: &File, at: u64, size: u64) -> Option<Header> {
    let mut header = [0; 16];
    let have = file.read_at(&mut header, at).ok()?;
    let kind: [u8; 4] = header.get(4..8).filter(|_| have >= 8)?.try_into().ok()?;
    let first = [b"ftyp", b"styp", b"moov", b"wide", b"free", b"skip", b"mdat", b"pnot", b"moof"];
    if (at == 0 && !first.contains(&&kind)) || !kind.iter().all(|b| (0x20..0x7f).contains(b)) {
        return None;
    }
    let (head, length) = match be32(&header, 0)? {
        0 => (8, size.saturating_sub(at)),
        1 => (16, be64(&header, 8)?),
        n => (8, u64::from(n)),
    };
    Some(Header { kind, head, length: length.max(head) })
}

/// Bytes behind a segment index up to the end of what it refers to (8.16.3).
fn referenced(body: &[u8]) -> Option<u64> {
    let (first, count_at) =
        if *body.first()? == 0 { (u64::from(be32(body, 16)?), 22) } else { (be64(body, 20)?, 30) };
    let count = usize::from(be16(body, count_at)?);
    let sizes = (0..count).map_while(|i| be32(body, count_at + 2 + i * 12));
    Some(sizes.fold(first, |sum, size| sum.saturating_add(u64::from(size & 0x7fff_ffff))))
}

/// The boxes within `bytes`: type, where the body begins and where it ends.
pub(super) fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], usize, &[u8])> {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        let length = be32(bytes, at)? as usize;
        let kind: [u8; 4] = bytes.get(at + 4..at + 8)?.try_into().ok()?;
        let (head, length) = match length {
            0 => (8, bytes.len() - at),
            1 => (16, usize::try_from(be64(bytes, at + 8)?).ok()?),
            n => (8, n),
        };
        let end = at.checked_add(length.max(head))?.min(bytes.len());
        let body = (at + head).min(end);
        at = end;
        Some((kind, body, bytes.get(body..end)?))
    })
}

/// The body of the first box of this type.
pub(super) fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(k, ..)| k == kind).map(|(.., body)| body)
}

/// Units of time in a second, by the header of a movie or of a medium (8.2.2, 8.4.2).
fn timescale(header: &[u8]) -> Option<u32> {
    be32(header, if header.first() == Some(&1) { 20 } else { 12 })
}

struct Movie<'a> {
    /// Where the body of the box lies in the file.
    at: u64,
    /// Bytes of the file.
    size: u64,
    promise: &'a mut Promise,
}

impl Movie<'_> {
    fn read(&mut self, moov: &[u8]) {
        let scale = child(moov, b"mvhd").and_then(timescale).unwrap_or(0);
        let fragmented = child(moov, b"mvex").is_some();
        if child(moov, b"cmov").is_some() {
            // Compressed: what it declares is not read.
            self.promise.unseen.insert(Unseen::Track);
        }
        let tracks = boxes(moov).filter(|(kind, ..)| kind == b"trak");
        for (number, (_, at, track)) in tracks.enumerate() {
            if number == MAX_TRACKS {
                self.promise.unseen.insert(Unseen::Track);
                return;
            }
            self.track(self.at.saturating_add(at as u64), track, scale, fragmented);
        }
    }

    fn track(&mut self, at: u64, track: &[u8], movie_scale: u32, fragmented: bool) -> Option<()> {
        let media = child(track, b"mdia")?;
        let handler = child(media, b"hdlr")?.get(8..12)?;
        let table = child(media, b"minf").and_then(|minf| child(minf, b"stbl")).unwrap_or_default();
        self.promise.cut_short |= samples::end(table) > self.size;
        match handler {
            b"vide" => self.promise.pictures += 1,
            // Auxiliary and still pictures (14496-12, 12.1; 23008-12, 7): there is no pad for them.
            b"auxv" | b"pict" => drop(self.promise.unseen.insert(Unseen::Track)),
            b"text" | b"sbtl" | b"subt" | b"clcp" | b"subp" => self.promise.words += 1,
            _ => {}
        }
        if handler != b"vide" {
            return None;
        }
        let (_, edts, list) = boxes(track).find(|(kind, ..)| kind == b"edts")?;
        let scale = child(media, b"mdhd").and_then(timescale)?;
        let (_, elst, list) = boxes(list).find(|(kind, ..)| kind == b"elst")?;
        let edits = edits::read(list, movie_scale, scale);
        if edits.hide(samples::times(table), fragmented) {
            if edits.in_order() {
                let patch = if fragmented {
                    // The type of the box lies four bytes before its body.
                    Patch {
                        at: at.saturating_add(edts as u64).saturating_sub(4),
                        bytes: b"free".into(),
                    }
                } else {
                    // Not left out, for then the demuxer ends with the length of the track, before the last frames where
                    // these are reordered.
                    let last = samples::times(table).max().unwrap_or(0).max(0).cast_unsigned();
                    let bytes = edits::whole(list, last, movie_scale, scale);
                    Patch { at: at.saturating_add(elst as u64 + edts as u64), bytes }
                };
                self.promise.edits.push(patch);
            } else {
                self.promise.unseen.insert(Unseen::Edit);
            }
        }
        Some(())
    }
}
