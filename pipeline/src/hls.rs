//! HLS playlists (RFC 8216) beside their segments → one stream of bytes for the decoder. No network, no decoding.
//!
//! MPEG-TS segments are joined as they are; fragmented MP4 segments follow their `EXT-X-MAP`. Of a master playlist
//! the largest variant counts, then the one with most bandwidth. Only names below the playlist's own folder are
//! asked for. A discontinuity is joined like anything else: time stamps may jump there, which the decoder's time
//! line stands; a second `EXT-X-MAP` is written where it comes in force, and what the demuxer does not accept of it
//! shows as damage. `EXT-X-PART` and subtitle or sound renditions are left out.

use std::io;

use crate::decode::DecodeError;

/// Most segments of one playlist: 20,000 are 33 hours at 6 s.
pub const MAX_SEGMENTS: usize = 20_000;
/// Longest text of a playlist in bytes.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Reads a file beside the playlist, by a relative name that has been checked.
pub type Load<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

/// Assembles the stream that a playlist stands for, of at most `max_bytes` bytes.
///
/// # Errors
/// `Encrypted` for any key but `NONE`; `Unsupported` for names that lead elsewhere; `TooLarge`; `Damaged` for bad
/// numbers, missing segments, and playlists that name playlists in a circle or nothing at all.
pub fn assemble(text: &str, max_bytes: u64, load: Load<'_>) -> Result<Vec<u8>, DecodeError> {
    check_text(text)?;
    let mut variants = variants(text)?;
    if variants.is_empty() {
        return media(text, "", max_bytes, load);
    }
    variants.sort_by_key(|v| std::cmp::Reverse((v.pixels, v.bandwidth)));
    let mut first_error = None;
    for variant in variants {
        match media_of(&variant.name, max_bytes, load) {
            Ok(bytes) => return Ok(bytes),
            // A variant whose file is not here is passed over; what else is wrong is the author's matter.
            Err(e @ DecodeError::Damaged(_)) => first_error = first_error.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    Err(first_error.unwrap_or_else(|| damaged("no variant")))
}

fn media_of(name: &str, max_bytes: u64, load: Load<'_>) -> Result<Vec<u8>, DecodeError> {
    let text = load(name).map_err(|e| damaged(&format!("cannot read {name}: {e}")))?;
    let text = String::from_utf8(text).map_err(|_| damaged(&format!("{name} is not text")))?;
    check_text(&text)?;
    if !variants(&text)?.is_empty() {
        return Err(damaged(&format!("{name} is a master playlist within a master playlist")));
    }
    let folder = name.rfind('/').map_or("", |slash| name.get(..=slash).unwrap_or(""));
    media(&text, folder, max_bytes, load)
}

fn check_text(text: &str) -> Result<(), DecodeError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(DecodeError::TooLarge(format!("a playlist of {} bytes", text.len())));
    }
    if !text.trim_start_matches('\u{feff}').starts_with("#EXTM3U") {
        return Err(damaged("a playlist that does not begin with #EXTM3U"));
    }
    Ok(())
}

fn damaged(what: &str) -> DecodeError {
    DecodeError::Damaged(what.into())
}

/// One entry of a master playlist.
struct Variant {
    name: String,
    pixels: u64,
    bandwidth: u64,
}

fn variants(text: &str) -> Result<Vec<Variant>, DecodeError> {
    let mut variants = Vec::new();
    let mut pending: Option<&str> = None;
    for line in lines(text) {
        if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            pending = Some(attributes);
        } else if !line.starts_with('#')
            && let Some(attributes) = pending.take()
        {
            let size = attribute(attributes, "RESOLUTION").and_then(|r| r.split_once('x'));
            let pixels =
                size.and_then(|(w, h)| w.parse::<u64>().ok()?.checked_mul(h.parse().ok()?));
            let bandwidth = attribute(attributes, "BANDWIDTH").and_then(|b| b.parse().ok());
            variants.push(Variant {
                name: inside("", line)?,
                pixels: pixels.unwrap_or(0),
                bandwidth: bandwidth.unwrap_or(0),
            });
            if variants.len() > 1000 {
                return Err(DecodeError::TooLarge("more than 1000 variants".into()));
            }
        }
    }
    Ok(variants)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// A stretch of a file: length and, where told, offset.
type Range = (u64, Option<u64>);

/// The stream so far, with the file that was read last.
struct Joiner<'a> {
    load: Load<'a>,
    max_bytes: u64,
    out: Vec<u8>,
    last: Option<(String, Vec<u8>)>,
    /// Where the next range of the same file begins.
    follows: u64,
}

fn media(text: &str, folder: &str, max_bytes: u64, load: Load<'_>) -> Result<Vec<u8>, DecodeError> {
    // Before anything is read: a list that is encrypted further on is not judged by its clear beginning.
    for attributes in lines(text).filter_map(|line| line.strip_prefix("#EXT-X-KEY:")) {
        let method = attribute(attributes, "METHOD").unwrap_or("");
        if method != "NONE" {
            return Err(DecodeError::Encrypted(format!("HLS key of method {method:?}")));
        }
    }
    let mut joiner = Joiner { load, max_bytes, out: Vec::new(), last: None, follows: 0 };
    let (mut range, mut gap, mut segments, mut map) = (None, false, 0usize, String::new());
    for line in lines(text) {
        if let Some(attributes) = line.strip_prefix("#EXT-X-MAP:") {
            if attributes != map {
                let uri =
                    attribute(attributes, "URI").ok_or_else(|| damaged("EXT-X-MAP without URI"))?;
                let part = attribute(attributes, "BYTERANGE").map(parse_range).transpose()?;
                joiner.add(&inside(folder, uri)?, part)?;
                map = attributes.into();
            }
        } else if let Some(text) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            range = Some(parse_range(text)?);
        } else if line == "#EXT-X-GAP" {
            gap = true;
        } else if !line.starts_with('#') {
            segments += 1;
            if segments > MAX_SEGMENTS {
                return Err(DecodeError::TooLarge(format!("more than {MAX_SEGMENTS} segments")));
            }
            let name = inside(folder, line)?;
            let part = range.take();
            if !std::mem::take(&mut gap) {
                joiner.add(&name, part)?;
            }
        }
    }
    if segments == 0 {
        return Err(damaged("a playlist without segments"));
    }
    Ok(joiner.out)
}

impl Joiner<'_> {
    fn add(&mut self, name: &str, range: Option<Range>) -> Result<(), DecodeError> {
        if self.last.as_ref().is_none_or(|(last, _)| last != name) {
            let bytes =
                (self.load)(name).map_err(|e| damaged(&format!("cannot read {name}: {e}")))?;
            (self.last, self.follows) = (Some((name.into(), bytes)), 0);
        }
        let bytes = self.last.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let part = match range {
            None => bytes,
            Some((length, offset)) => {
                let start = offset.unwrap_or(self.follows);
                let end =
                    start.checked_add(length).ok_or_else(|| damaged("a byte range past 2^64"))?;
                self.follows = end;
                let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                bounds.and_then(|(start, end)| bytes.get(start..end)).ok_or_else(|| {
                    damaged(&format!("byte range {start}..{end} is not in {name}"))
                })?
            }
        };
        if self.out.len() as u64 + part.len() as u64 > self.max_bytes {
            return Err(DecodeError::TooLarge(format!(
                "segments of more than {} bytes",
                self.max_bytes
            )));
        }
        self.out.extend_from_slice(part);
        Ok(())
    }
}

/// `length[@offset]`.
fn parse_range(text: &str) -> Result<Range, DecodeError> {
    let (length, offset) = text.split_once('@').map_or((text, None), |(l, o)| (l, Some(o)));
    let number =
        |n: &str| n.trim().parse::<u64>().map_err(|_| damaged(&format!("byte range {text:?}")));
    Ok((number(length)?, offset.map(number).transpose()?))
}

/// The value of `NAME=value` or `NAME="value"` in an attribute list (RFC 8216, 4.2).
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (key, tail) = rest.split_once('=')?;
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => {
                let (value, tail) = quoted.split_once('"')?;
                (value, tail.strip_prefix(',').unwrap_or(tail))
            }
            None => tail.split_once(',').unwrap_or((tail, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = tail;
    }
}

/// Joins a name to the folder of the playlist that mentions it, if it stays below.
fn inside(folder: &str, name: &str) -> Result<String, DecodeError> {
    let plain = !name.is_empty()
        && !name.starts_with('/')
        && !name.contains([':', '\\', '\0'])
        && name.split('/').all(|part| part != "..");
    if plain {
        Ok(format!("{folder}{name}"))
    } else {
        Err(DecodeError::Unsupported(format!(
            "a playlist that refers to {name:?}, outside its folder"
        )))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use super::*;

    fn load(name: &str) -> io::Result<Vec<u8>> {
        match name {
            "a.ts" => Ok(b"AAAA".to_vec()),
            "b.ts" => Ok(b"bb".to_vec()),
            "init" => Ok(b"I".to_vec()),
            "low.m3u8" => Ok(b"#EXTM3U\nb.ts\n".to_vec()),
            "hi/x.m3u8" => Ok(b"#EXTM3U\n#EXTINF:1,\nseg\n".to_vec()),
            "hi/seg" => Ok(b"high".to_vec()),
            "loop.m3u8" => Ok(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn run(text: &str) -> Result<Vec<u8>, DecodeError> {
        assemble(&format!("#EXTM3U\n{text}"), 1000, &load)
    }

    #[test]
    fn segments_are_joined_in_order_after_their_map() {
        assert_eq!(
            run("#EXT-X-MAP:URI=\"init\"\n#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n").unwrap(),
            b"IAAAAbb"
        );
    }

    #[test]
    fn byte_ranges_follow_each_other_and_gaps_are_left_out() {
        let text =
            "#EXT-X-BYTERANGE:1@1\na.ts\n#EXT-X-BYTERANGE:2\na.ts\n#EXT-X-GAP\nnone.ts\nb.ts";
        assert_eq!(run(text).unwrap(), b"AAAbb");
        assert!(matches!(run("#EXT-X-BYTERANGE:9@0\na.ts"), Err(DecodeError::Damaged(_))));
        let text = "#EXT-X-BYTERANGE:99999999999999999999@-1\na.ts";
        assert!(matches!(run(text), Err(DecodeError::Damaged(_))));
    }

    #[test]
    fn the_largest_variant_counts_and_its_names_are_relative_to_it() {
        let text = "#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"a,b\",RESOLUTION=64x64\nlow.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360\nhi/x.m3u8\n";
        assert_eq!(run(text).unwrap(), b"high");
    }

    #[test]
    fn circles_absent_files_and_empty_lists_are_damage() {
        for text in ["#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8", "gone.ts", "#EXT-X-ENDLIST"] {
            assert!(matches!(run(text), Err(DecodeError::Damaged(_))), "{text}");
        }
        assert!(matches!(assemble("a.ts", 9, &load), Err(DecodeError::Damaged(_))));
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_asked_for() {
        let asked = |name: &str| -> io::Result<Vec<u8>> { panic!("asked for {name}") };
        for name in [
            "../a.ts",
            "/etc/passwd",
            "https://example.org/a.ts",
            "file:a",
            "x/../../a",
            "\\\\h\\a",
        ] {
            let out = assemble(&format!("#EXTM3U\n{name}\n"), 1000, &asked);
            assert!(matches!(out, Err(DecodeError::Unsupported(_))), "{name}");
        }
    }

    #[test]
    fn keys_encrypt_unless_their_method_is_none() {
        assert!(run("#EXT-X-KEY:METHOD=NONE\na.ts").is_ok());
        let text = "a.ts\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\nb.ts";
        assert!(matches!(run(text), Err(DecodeError::Encrypted(_))));
    }

    #[test]
    fn bytes_and_segments_are_bounded() {
        assert!(matches!(assemble("#EXTM3U\na.ts\nb.ts", 5, &load), Err(DecodeError::TooLarge(_))));
        let many = format!("#EXTM3U\n{}", "#EXT-X-GAP\nb.ts\n".repeat(MAX_SEGMENTS + 1));
        assert!(matches!(assemble(&many, 5, &load), Err(DecodeError::TooLarge(_))));
    }

    #[test]
    fn shared_hostile_playlists_are_refused() {
        let data = rig::shared!();
        let folder = data.join("malformed");
        for name in ["bad_byterange", "self_loop", "20000_segments"] {
            let text =
                std::fs::read_to_string(folder.join(format!("own_m3u8_{name}.m3u8"))).unwrap();
            let out = assemble(&text, 1 << 30, &|name| std::fs::read(folder.join(name)));
            assert!(out.is_err(), "{name}");
        }
    }
}
