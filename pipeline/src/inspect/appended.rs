//! What is appended to a still: the other views of an MPO, the clip of a motion photo, files put behind a picture.
//!
//! Phones append much else that nobody sees: padding, blocks of the maker's own, gain maps, which only make parts of
//! the same picture brighter on a screen that can. So the bytes behind the picture's end are searched for the
//! beginnings of pictures, videos and archives, and all that is none is left alone.

use domain::Format;

use crate::decode::still;
use crate::sniff::sniff;

/// Most parts that are looked at; a camera's MPO has two or three.
const MAX_PARTS: usize = 8;
/// Most places that are tried: a beginning of three bytes comes up by chance once in 16 MB.
const MAX_TRIES: usize = 256;
/// Nothing for the eye is shorter.
const LEAST_BYTES: usize = 32;

/// What was found behind a still.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Appended<'a> {
    /// Pictures and videos to be looked at.
    pub parts: Vec<&'a [u8]>,
    /// Whether there is more: beyond the bounds, or of a kind that is not looked into.
    pub more: bool,
}

/// What a place in the file begins.
enum Begins {
    /// A picture or video of so many bytes.
    Part(usize),
    /// Something of so many bytes that adds nothing to what is seen.
    Harmless(usize),
    /// An archive or document.
    Closed,
}

/// Searches what lies behind the end of a still.
pub(super) fn find(bytes: &[u8], format: Format) -> Appended<'_> {
    let mut found = Appended::default();
    let Some(mut at) = still::length(bytes, format) else { return found };
    let mut tries = 0;
    while let Some(place) = next(bytes, at) {
        tries += 1;
        let rest = bytes.get(place..).unwrap_or_default();
        if found.parts.len() == MAX_PARTS || tries > MAX_TRIES {
            found.more = true;
            break;
        }
        at = place + 1;
        match begins(rest) {
            Some(Begins::Part(length)) => {
                found.parts.extend(rest.get(..length));
                at = place + length;
            }
            Some(Begins::Harmless(length)) => at = place + length,
            Some(Begins::Closed) => {
                found.more = true;
                break;
            }
            None => {}
        }
    }
    found
}

/// The next place from `at` on where one of the known signatures stands.
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let first = |b: &u8| matches!(b, 0xff | 0x89 | b'G' | b'R' | 0 | 0x1a | b'P' | b'%' | b'7');
    let signature = |rest: &[u8]| {
        [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"RIFF", b"\x1a\x45\xdf\xa3"]
            .iter()
            .chain(&CLOSED)
            .any(|s| rest.starts_with(s))
            // The length of a first box is below 1024.
            || (rest.starts_with(b"\0\0") && rest.get(4..8) == Some(b"ftyp"))
    };
    (0..rest.len().saturating_sub(LEAST_BYTES))
        .find(|i| rest.get(*i).is_some_and(first) && rest.get(*i..).is_some_and(signature))
        .map(|i| at + i)
}

/// Archives and documents: ZIP, PDF, RAR, 7-Zip.
const CLOSED: [&[u8]; 4] = [b"PK\x03\x04", b"%PDF-", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c"];

fn begins(rest: &[u8]) -> Option<Begins> {
    if CLOSED.iter().any(|s| rest.starts_with(s)) {
        return Some(Begins::Closed);
    }
    let format = sniff(rest);
    let whole = still::length(rest, format);
    match format {
        Format::Jpeg if is_gain_map(rest) => Some(Begins::Harmless(whole?)),
        // Three bytes may stand there by chance: without a frame header it is no picture.
        Format::Jpeg => still::is_jpeg(rest).then(|| Begins::Part(whole.unwrap_or(rest.len()))),
        Format::Png | Format::Gif | Format::Webp | Format::Heic | Format::Avif => {
            Some(Begins::Part(whole.unwrap_or(rest.len())))
        }
        Format::Avi | Format::Mp4 | Format::Mov | Format::Mkv | Format::Webm => {
            Some(Begins::Part(whole.unwrap_or(rest.len())))
        }
        _ => None,
    }
}

/// Whether the head of a JPEG says that it is a gain map: Adobe's and Google's Ultra HDR, ISO 21496-1, Apple's.
fn is_gain_map(jpeg: &[u8]) -> bool {
    const MARKS: [&[u8]; 3] = [
        b"http://ns.adobe.com/hdr-gain-map/",
        b"urn:iso:std:iso:ts:21496:-1",
        b"urn:com:apple:photo:2020:aux:hdrgainmap",
    ];
    let head = still::jpeg_head(jpeg);
    MARKS.iter().any(|mark| head.windows(mark.len()).any(|w| w == *mark))
}
