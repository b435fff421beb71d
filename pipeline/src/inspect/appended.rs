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
    let last = bytes.len().saturating_sub(LEAST_BYTES);
    (at..last).find(|place| match bytes.get(*place..).unwrap_or_default() {
        [0xff, 0xd8, 0xff, ..]
        | [0x89, b'P', b'N', b'G', ..]
        | [b'G', b'I', b'F', b'8', ..]
        | [b'R', b'I', b'F', b'F', ..]
        | [0x1a, 0x45, 0xdf, 0xa3, ..]
        // A first box is shorter than 64 KiB.
        | [0, 0, _, _, b'f', b't', b'y', b'p', ..] => true,
        rest => CLOSED.iter().any(|signature| rest.starts_with(signature)),
    })
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use image::ImageFormat;

    use super::*;

    fn picture(grey: u8, format: ImageFormat) -> Vec<u8> {
        let mut out = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(16, 16, image::Rgb([grey; 3]))
            .write_to(&mut out, format)
            .unwrap();
        out.into_inner()
    }

    /// A JPEG with a segment of this content behind its start.
    fn marked(marker: u8, content: &[u8]) -> Vec<u8> {
        let mut jpeg = picture(9, ImageFormat::Jpeg);
        let length = (content.len() as u16 + 2).to_be_bytes();
        jpeg.splice(2..2, [&[0xff, marker], &length[..], content].concat());
        jpeg
    }

    fn parts_behind(still: &[u8], tail: &[u8]) -> (Vec<Vec<u8>>, bool) {
        let whole = [still, tail].concat();
        let found = find(&whole, sniff(&whole));
        (found.parts.into_iter().map(<[u8]>::to_vec).collect(), found.more)
    }

    const STILLS: [ImageFormat; 4] =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP];

    #[test]
    fn pictures_behind_a_picture_are_found_whole() {
        for first in STILLS {
            for second in STILLS {
                let (first, second) = (picture(10, first), picture(200, second));
                for gap in [&b""[..], b"\0", &[0; 5000], b"SEFH maker's own \xff\xd8\xff\xe0 block"]
                {
                    let tail = [gap, &second, gap, &second, b"trailer"].concat();
                    let found = parts_behind(&first, &tail);
                    assert_eq!(found, (vec![second.clone(), second.clone()], false));
                }
            }
        }
    }

    #[test]
    fn honest_trailers_hold_nothing() {
        let gain_map = marked(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm=\"http://ns.adobe.com/hdr-gain-map/1.0/\"/>");
        let zeros = vec![0; 1 << 20];
        let noise: Vec<u8> =
            (0..1u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for tail in [&b""[..], &zeros, b"SEFH\x6b\0\0\0SEFT Image_UTC_Data", &gain_map, &noise] {
            assert_eq!(parts_behind(&picture(10, ImageFormat::Jpeg), tail), (vec![], false));
        }
        // A thumbnail within the first picture is no part behind it.
        let thumbnail = [&b"Exif\0\0"[..], &picture(3, ImageFormat::Jpeg)].concat();
        assert_eq!(parts_behind(&marked(0xe1, &thumbnail), b""), (vec![], false));
    }

    #[test]
    fn clips_archives_and_too_many_parts_are_told() {
        let still = picture(10, ImageFormat::Jpeg);
        let clip = [&b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x10mdat"[..], &[7; 40]].concat();
        assert_eq!(parts_behind(&still, &clip), (vec![clip.clone()], false));
        let zip = [&b"PK\x03\x04"[..], &[0; 60]].concat();
        assert_eq!(parts_behind(&still, &zip), (vec![], true));
        let (parts, more) = parts_behind(&still, &still.repeat(MAX_PARTS + 1));
        assert_eq!((parts.len(), more), (MAX_PARTS, true));
        // Beginnings without end cost no more than so many tries.
        assert!(parts_behind(&still, &b"\xff\xd8\xff\xe0".repeat(100_000)).1);
    }

    #[test]
    fn shared_no_honest_still_has_something_appended() {
        let data = rig::shared!();
        let appended = |entry: &rig::manifest::Entry| {
            let bytes = std::fs::read(&entry.path).unwrap();
            let found = find(&bytes, sniff(&bytes));
            found.more || !found.parts.is_empty()
        };
        let names: Vec<_> = rig::manifest::entries(&data)
            .into_iter()
            .filter(appended)
            .map(|entry| entry.name)
            .collect();
        // Two views, or a clip: what is there is to be seen. The last is two pictures one behind the other.
        let known = [
            "formats/frozenpond.mpo",
            "formats/sugarshack.mpo",
            "formats/amedia_pixel-motion-photo-shortened.jpg",
            "formats/amedia_pixel-motion-photo-without-exif-shortened.jpg",
            "formats/amedia_ss-motion-photo-shortened.jpg",
            "formats/sharp_image-in-alpha.png",
        ];
        let honest: Vec<_> = names.iter().filter(|n| !known.contains(&n.as_str())).collect();
        assert!(honest.is_empty(), "{honest:?}");
    }
}
