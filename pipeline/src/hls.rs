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

/// Why a playlist cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum PlaylistError {
    /// The playlist or what it refers to is at fault.
    #[error(transparent)]
    Content(#[from] DecodeError),
    /// The host cannot read a file that may be in order; another day may tell.
    #[error("cannot read {name}: {source}")]
    Host {
        /// The file, relative to the playlist.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file is absent: damage, or a folder that is still being written.
    #[error("{0} is absent")]
    Absent(String),
}

impl PlaylistError {
    /// Whether it stays so on another day.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Content(_))
    }
}

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
/// `Content` with `Encrypted` for any key but `NONE`, `Unsupported` for names that lead elsewhere, `TooLarge`, and
/// `Damaged` for bad numbers and playlists that name playlists in a circle or nothing at all; `Absent` for missing
/// segments; `Host` where reading fails.
pub fn assemble(text: &str, max_bytes: u64, load: Load<'_>) -> Result<Assembled, PlaylistError> {
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
            Err(
                e @ (PlaylistError::Content(DecodeError::Damaged(_)) | PlaylistError::Absent(_)),
            ) => {
                first_error = first_error.or(Some(e));
            }
            Err(e) => return Err(e),
        }
    }
    Err(first_error.unwrap_or_else(|| damaged("no variant").into()))
}

fn media_of(name: &str, reader: &mut Reader<'_>) -> Result<Assembled, PlaylistError> {
    let text = reader.read(name, 0..MAX_TEXT_BYTES as u64 + 1)?;
    let text = String::from_utf8(text).map_err(|_| damaged(&format!("{name} is not text")))?;
    check_text(&text)?;
    if !variants(&text)?.is_empty() {
        let what = format!("{name} is a master playlist within a master playlist");
        return Err(damaged(&what).into());
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
    fn read(&mut self, name: &str, range: Range<u64>) -> Result<Vec<u8>, PlaylistError> {
        self.reads += 1;
        if self.reads > MAX_READS || self.start.elapsed() > READ_BUDGET {
            return Err(DecodeError::TooLarge("segments that take too long to read".into()).into());
        }
        // One byte more than there may be tells that there are more.
        let most = range.start.saturating_add(self.left).saturating_add(1);
        let bytes = (self.load)(name, range.start..range.end.min(most)).map_err(|source| {
            let name = name.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound => PlaylistError::Absent(name),
                // What the caller's own rules forbid, such as a link that leads elsewhere.
                io::ErrorKind::Other | io::ErrorKind::InvalidInput => {
                    damaged(&format!("cannot read {name}: {source}")).into()
                }
                _ => PlaylistError::Host { name, source },
            }
        })?;
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => {
                let what = format!("segments of more than {} bytes still allowed", self.left);
                return Err(DecodeError::TooLarge(what).into());
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

fn media(text: &str, folder: &str, reader: &mut Reader<'_>) -> Result<Assembled, PlaylistError> {
    // Before anything is read: a list that is encrypted further on is not judged by its clear beginning.
    for attributes in lines(text).filter_map(|line| line.strip_prefix("#EXT-X-KEY:")) {
        let method = attribute(attributes, "METHOD").unwrap_or("");
        if method != "NONE" {
            return Err(DecodeError::Encrypted(format!("HLS key of method {method:?}")).into());
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
                let what = format!("more than {MAX_SEGMENTS} segments");
                return Err(DecodeError::TooLarge(what).into());
            }
            let name = inside(folder, line)?;
            let part = range.take();
            if !std::mem::take(&mut gap) {
                joiner.add(&name, part)?;
            }
        }
    }
    if segments == 0 {
        return Err(damaged("a playlist without segments").into());
    }
    let unseen = lines(text).filter(|line| left_out(line)).count();
    Ok(Assembled { bytes: joiner.out, unseen })
}

impl Joiner<'_, '_> {
    fn add(&mut self, name: &str, stretch: Option<Stretch>) -> Result<(), PlaylistError> {
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
            return Err(damaged(&format!("byte range {start}..{end} is not in {name}")).into());
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
#[path = "hls_tests.rs"]
mod tests;
