//! Matroska and WebM (RFC 8794, RFC 9559): elements that reach behind the end of the file, pictures attached.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Promise, stretch};
use crate::decode::Unseen;

const HEADER: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const ATTACHMENTS: u32 = 0x1941_a469;
const ATTACHED_FILE: u32 = 0x61a7;
const MEDIA_TYPE: u32 = 0x4660;

/// Most elements that are walked: only clusters of unknown length are walked into.
const MAX_ELEMENTS: usize = 2_000_000;
/// Most bytes of attachments that are looked into.
const MAX_ATTACHMENTS: u64 = 64 << 20;

/// The head of an element.
struct Element {
    id: u32,
    /// Bytes of the head.
    head: u64,
    /// Bytes of the body, where they are told.
    length: Option<u64>,
}

/// Reads an element's head (RFC 8794, 4 and 5).
fn element(bytes: &[u8]) -> Option<Element> {
    let width = bytes.first()?.leading_zeros() as usize + 1;
    let id = bytes.get(..width).filter(|_| width <= 4)?;
    let id = id.iter().fold(0, |id, b| id << 8 | u32::from(*b));
    let size = bytes.get(width..)?;
    let length = size.first()?.leading_zeros() as usize + 1;
    let size = size.get(..length).filter(|_| length <= 8)?;
    let value = size.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let most = (1u64 << (7 * length)) - 1;
    let value = value & most;
    Some(Element { id, head: (width + length) as u64, length: (value != most).then_some(value) })
}

pub(super) fn read(file: &File, size: u64, promise: &mut Promise) {
    let (mut at, mut segments) = (0, 0);
    for _ in 0..MAX_ELEMENTS {
        let mut head = [0; 12];
        let have = file.read_at(&mut head, at).unwrap_or(0);
        let Some(found) = head.get(..have).and_then(element) else { break };
        let body = at.saturating_add(found.head);
        let end = found.length.map(|length| body.saturating_add(length));
        promise.cut_short |= end.is_some_and(|end| end > size);
        match found.id {
            SEGMENT if segments > 0 => drop(promise.unseen.insert(Unseen::Track)),
            SEGMENT => segments += 1,
            ATTACHMENTS => {
                let length = found.length.unwrap_or(0).min(MAX_ATTACHMENTS);
                if pictured(&stretch(file, body, length)) {
                    promise.unseen.insert(Unseen::Cover);
                }
            }
            _ => {}
        }
        // Masters whose end is not told, and the segment, are walked into; all others are passed over.
        let inside = found.id == SEGMENT || found.length.is_none();
        at = if inside { body } else { end.unwrap_or(body) };
        if found.length.is_none() && ![SEGMENT, CLUSTER, HEADER].contains(&found.id) {
            // Nothing else may be of unknown length: what follows cannot be found.
            promise.cut_short = true;
            break;
        }
    }
}

/// Whether one of the attached files says that it is a picture or a video.
fn pictured(attachments: &[u8]) -> bool {
    children(attachments).filter(|(id, _)| *id == ATTACHED_FILE).any(|(_, file)| {
        children(file).any(|(id, body)| {
            id == MEDIA_TYPE && (body.starts_with(b"image/") || body.starts_with(b"video/"))
        })
    })
}

/// The elements within a body.
fn children(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let found = element(rest)?;
        let body = rest.get(found.head as usize..)?;
        let length = usize::try_from(found.length?).ok()?.min(body.len());
        let (body, next) = body.split_at(length);
        rest = next;
        Some((found.id, body))
    })
}
