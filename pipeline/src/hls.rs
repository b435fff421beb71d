//! HLS playlists (RFC 8216) beside their segments → one stream of bytes for the decoder. No network, no decoding.
//!
//! MPEG-TS segments are joined as they are; fragmented MP4 segments follow their `EXT-X-MAP`. Of a master playlist
//! the largest variant counts, then the one with most bandwidth; how much else there is to see is told. Only names below the playlist's own folder are
//! asked for. A discontinuity is joined like anything else: time stamps may jump there, which the decoder's time
//! line stands; a second `EXT-X-MAP` is written where it comes in force, and what the demuxer does not accept of it
//! shows as damage. Subtitle and sound renditions are left out without a word.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::decode::DecodeError;

/// Most segments of one playlist: 20,000 are 33 hours at 6 s.
pub const MAX_SEGMENTS: usize = 20_000;
/// Longest text of a playlist in bytes.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Most reads over all variants: each segment may have a map of its own.
const MAX_READS: usize = 2 * MAX_SEGMENTS;
/// Most time for all reads.
const READ_BUDGET: Duration = Duration::from_secs(30);

/// Reads a stretch of a file beside the playlist, by a relative name that has been checked; of a stretch that reaches
/// behind the file's end, what is there. [`part`] does it for an open file.
pub type Load<'a> = &'a dyn Fn(&str, Range<u64>) -> io::Result<Vec<u8>>;

/// What a playlist stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The stream of the variant that counts.
    pub bytes: Vec<u8>,
    /// How many further things the playlist has for the eye that are not in `bytes`: other variants, video renditions
    /// and their pictures for seeking, whether their files are here or not; gaps; parts; skipped stretches; clips to
    /// be put in.
    pub unseen: usize,
}

/// The bytes of a stretch that a file has.
///
/// # Errors
/// Those of seeking and reading.
pub fn part(mut file: File, range: Range<u64>) -> io::Result<Vec<u8>> {
    file.seek(io::SeekFrom::Start(range.start))?;
    let mut bytes = Vec::new();
    file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Assembles the stream that a playlist stands for, for which at most `max_bytes` bytes are read.
///
/// # Errors
/// `Encrypted` for any key but `NONE`; `Unsupported` for names that lead elsewhere; `TooLarge`; `Damaged` for bad
/// numbers, missing segments, and playlists that name playlists in a circle or nothing at all.
pub fn assemble(text: &str, max_bytes: u64, load: Load<'_>) -> Result<Assembled, DecodeError> {
    check_text(text)?;
    let mut reader = Reader { load, left: max_bytes, reads: 0, start: Instant::now() };
    let mut variants = variants(text)?;
    if variants.is_empty() {
        return media(text, "", &mut reader);
    }
    variants.sort_by_key(|v| std::cmp::Reverse((v.pixels, v.bandwidth)));
    let mut first_error = None;
    for variant in variants {
        match media_of(&variant.name, &mut reader) {
            Ok(mut assembled) => {
                assembled.unseen += offered(text).saturating_sub(1);
                return Ok(assembled);
            }
            // A variant whose file is not here is passed over; what else is wrong is the author's matter.
            Err(e @ DecodeError::Damaged(_)) => first_error = first_error.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    Err(first_error.unwrap_or_else(|| damaged("no variant")))
}

fn media_of(name: &str, reader: &mut Reader<'_>) -> Result<Assembled, DecodeError> {
    let text = reader.read(name, 0..MAX_TEXT_BYTES as u64 + 1)?;
    let text = String::from_utf8(text).map_err(|_| damaged(&format!("{name} is not text")))?;
    check_text(&text)?;
    if !variants(&text)?.is_empty() {
        return Err(damaged(&format!("{name} is a master playlist within a master playlist")));
    }
    let folder = name.rfind('/').map_or("", |slash| name.get(..=slash).unwrap_or(""));
    media(&text, folder, reader)
}

/// Reads within bounds.
struct Reader<'a> {
    load: Load<'a>,
    /// Bytes that may still be read.
    left: u64,
    reads: usize,
    start: Instant,
}

impl Reader<'_> {
    /// The bytes of a stretch that the file has.
    fn read(&mut self, name: &str, range: Range<u64>) -> Result<Vec<u8>, DecodeError> {
        self.reads += 1;
        if self.reads > MAX_READS || self.start.elapsed() > READ_BUDGET {
            return Err(DecodeError::TooLarge("segments that take too long to read".into()));
        }
        // One byte more than there may be tells that there are more.
        let most = range.start.saturating_add(self.left).saturating_add(1);
        let bytes = (self.load)(name, range.start..range.end.min(most))
            .map_err(|e| damaged(&format!("cannot read {name}: {e}")))?;
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => {
                let what = format!("segments of more than {} bytes still allowed", self.left);
                return Err(DecodeError::TooLarge(what));
            }
        }
        Ok(bytes)
    }
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

/// How many different names a master playlist has for the eye. Lines that belong to no variant count: a player may
/// take them for segments.
fn offered(text: &str) -> usize {
    lines(text).filter_map(offer).collect::<BTreeSet<_>>().len()
}

/// What a line of a master playlist names, if it is for the eye.
fn offer(line: &str) -> Option<&str> {
    if !line.starts_with('#') {
        return Some(line);
    }
    let (tag, attributes) = line.split_once(':')?;
    let seen = match tag {
        "#EXT-X-I-FRAME-STREAM-INF" | "#EXT-X-IMAGE-STREAM-INF" => true,
        "#EXT-X-MEDIA" => attribute(attributes, "TYPE") == Some("VIDEO"),
        _ => false,
    };
    attribute(attributes, "URI").filter(|_| seen)
}

/// Whether a tag of a media playlist stands for pictures that are not in its segments.
fn left_out(line: &str) -> bool {
    let asset = || line.contains("X-ASSET-URI") || line.contains("X-ASSET-LIST");
    line == "#EXT-X-GAP"
        || line.starts_with("#EXT-X-PART:")
        || line.starts_with("#EXT-X-SKIP:")
        || (line.starts_with("#EXT-X-DATERANGE:") && asset())
}

/// A stretch of a file: length and, where told, offset.
type Stretch = (u64, Option<u64>);

/// The stream so far.
struct Joiner<'r, 'a> {
    reader: &'r mut Reader<'a>,
    out: Vec<u8>,
    /// The file that was read last, and where its next stretch begins.
    follows: (String, u64),
}

fn media(text: &str, folder: &str, reader: &mut Reader<'_>) -> Result<Assembled, DecodeError> {
    // Before anything is read: a list that is encrypted further on is not judged by its clear beginning.
    for attributes in lines(text).filter_map(|line| line.strip_prefix("#EXT-X-KEY:")) {
        let method = attribute(attributes, "METHOD").unwrap_or("");
        if method != "NONE" {
            return Err(DecodeError::Encrypted(format!("HLS key of method {method:?}")));
        }
    }
    let mut joiner = Joiner { reader, out: Vec::new(), follows: (String::new(), 0) };
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
    let unseen = lines(text).filter(|line| left_out(line)).count();
    Ok(Assembled { bytes: joiner.out, unseen })
}

impl Joiner<'_, '_> {
    fn add(&mut self, name: &str, stretch: Option<Stretch>) -> Result<(), DecodeError> {
        if self.follows.0 != name {
            self.follows = (name.into(), 0);
        }
        let Some((length, offset)) = stretch else {
            self.out.append(&mut self.reader.read(name, 0..u64::MAX)?);
            return Ok(());
        };
        let start = offset.unwrap_or(self.follows.1);
        let end = start.checked_add(length).ok_or_else(|| damaged("a byte range past 2^64"))?;
        self.follows.1 = end;
        let mut bytes = self.reader.read(name, start..end)?;
        if (bytes.len() as u64) < length {
            return Err(damaged(&format!("byte range {start}..{end} is not in {name}")));
        }
        self.out.append(&mut bytes);
        Ok(())
    }
}

/// `length[@offset]`.
fn parse_range(text: &str) -> Result<Stretch, DecodeError> {
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

    fn load(name: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bytes: &[u8] = match name {
            "a.ts" => b"AAAA",
            "b.ts" => b"bb",
            "init" => b"I",
            "low.m3u8" => b"#EXTM3U\nb.ts\n",
            "hi/x.m3u8" => b"#EXTM3U\n#EXTINF:1,\nseg\n",
            "hi/seg" => b"high",
            "loop.m3u8" => b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8\n",
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[at(range.start)..at(range.end)].to_vec())
    }

    fn assembled(text: &str) -> Result<Assembled, DecodeError> {
        assemble(&format!("#EXTM3U\n{text}"), 1000, &load)
    }

    fn run(text: &str) -> Result<Vec<u8>, DecodeError> {
        assembled(text).map(|a| a.bytes)
    }

    fn unseen(text: &str) -> usize {
        assembled(text).unwrap().unseen
    }

    #[test]
    fn what_else_a_master_playlist_offers_is_unseen_whether_it_is_here_or_not() {
        let variant = "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360\nhi/x.m3u8\n";
        assert_eq!(unseen(variant), 0);
        assert_eq!(unseen(&variant.repeat(3)), 0);
        for other in [
            "#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8",
            "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=1920x1080\ngone.m3u8",
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"",
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"v\",NAME=\"n\",URI=\"angle.m3u8\"",
            "b.ts",
        ] {
            assert_eq!(unseen(&format!("{variant}{other}\n")), 1, "{other}");
        }
        let sound = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"sound.m3u8\"\n";
        assert_eq!(unseen(&format!("{sound}{variant}")), 0);
    }

    #[test]
    fn gaps_parts_skips_and_inserted_clips_are_unseen() {
        assert_eq!(unseen("#EXTINF:1,\na.ts\n#EXT-X-DATERANGE:ID=\"plain\""), 0);
        for tag in [
            "#EXT-X-GAP\nnone.ts",
            "#EXT-X-PART:DURATION=1,URI=\"p.ts\"",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
            "#EXT-X-DATERANGE:ID=\"ad\",X-ASSET-URI=\"https://example.org/ad.m3u8\"",
        ] {
            assert_eq!(unseen(&format!("a.ts\n{tag}\n")), 1, "{tag}");
        }
    }

    #[test]
    fn only_the_stretch_asked_for_is_read_and_all_that_is_read_counts() {
        let read = std::cell::Cell::new(0);
        let sparse = |_: &str, range: Range<u64>| -> io::Result<Vec<u8>> {
            let length = range.end.min(100 << 20).saturating_sub(range.start);
            read.set(read.get() + length);
            Ok(vec![0; length as usize])
        };
        let both = "#EXT-X-BYTERANGE:9@99\na.ts\n#EXT-X-BYTERANGE:9@99\nb.ts\n";
        let text = format!("#EXTM3U\n{}", both.repeat(200));
        let out = assemble(&text, 1 << 30, &sparse).unwrap();
        assert_eq!((out.bytes.len(), read.get()), (3600, 3600));
        read.set(0);
        assert!(matches!(assemble(&text, 1000, &sparse), Err(DecodeError::TooLarge(_))));
        assert!(read.get() <= 1009, "{}", read.get());
        read.set(0);
        assert!(matches!(
            assemble("#EXTM3U\nwhole.ts", 1000, &sparse),
            Err(DecodeError::TooLarge(_))
        ));
        assert_eq!(read.get(), 1001);
    }

    #[test]
    fn part_gives_what_the_file_has() {
        use std::io::Write as _;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(part(file.try_clone().unwrap(), 2..5).unwrap(), b"234");
        assert_eq!(part(file.try_clone().unwrap(), 8..u64::MAX).unwrap(), b"89");
        assert_eq!(part(file, 20..30).unwrap(), b"");
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
        let asked =
            |name: &str, _: Range<u64>| -> io::Result<Vec<u8>> { panic!("asked for {name}") };
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
            let out = assemble(&text, 1 << 30, &|name, range| {
                part(File::open(folder.join(name))?, range)
            });
            assert!(out.is_err(), "{name}");
        }
    }
}
