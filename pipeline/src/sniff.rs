//! Tells a format by its first bytes, never by its name. Memory-safe, allocates nothing.
//!
//! Sources: the signatures are those of the formats' own specifications (JPEG T.81, PNG, GIF89a, RIFF,
//! TIFF 6.0, ISO 14496-12 brands, Matroska EBML, ISO 13818-1, RFC 9559, RFC 8216, …).

use domain::Format;

/// Bytes at `at..at + magic.len()` are `magic`.
fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// The format of `bytes` (the whole file or at least its first 4 KiB).
pub fn sniff(bytes: &[u8]) -> Format {
    picture(bytes)
        .or_else(|| iso_media(bytes))
        .or_else(|| stream(bytes))
        .or_else(|| weak(bytes))
        .unwrap_or(Format::Unknown)
}

/// What a file is that Weir knows and does not read, with what to do instead; `None` when it is not known.
pub fn unsupported(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(usize, &[u8], &str); 16] = [
        (0, b"%PDF-", "a PDF document; send its pages as pictures"),
        (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture; send it as JPEG or PNG"),
        (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream; send it as JPEG or PNG"),
        (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture; send it as JPEG or PNG"),
        (0, b"\xff\x0a", "a JPEG XL codestream; send it as JPEG or PNG"),
        (0, b"8BPS", "a Photoshop document; send it as JPEG or PNG"),
        (0, b"DDS ", "a DirectDraw surface; send it as JPEG or PNG"),
        (0, b"#?RADIANCE", "a Radiance HDR picture; send it as JPEG or PNG"),
        (0, b"#?RGBE", "a Radiance HDR picture; send it as JPEG or PNG"),
        (0, b"farbfeld", "a farbfeld picture; send it as PNG"),
        (0, b"v/1\x01", "an OpenEXR picture; send it as JPEG or PNG"),
        (0, b"\x01\xda", "an SGI picture; send it as PNG"),
        (0, b"%!PS", "a PostScript document; send its pages as pictures"),
        (0, b"PK\x03\x04", "a ZIP archive; send the files in it one by one"),
        (0, b"\x1f\x8b", "a gzip archive; send the file in it"),
        (0, b"icns", "an Apple icon; send it as PNG"),
    ];
    let known =
        KNOWN.iter().find(|(at, magic, _)| has(bytes, *at, magic)).map(|(_, _, what)| *what);
    known.or_else(|| is_svg(bytes).then_some("an SVG drawing, which is a program; send it as PNG"))
}

fn picture(b: &[u8]) -> Option<Format> {
    if has(b, 0, b"\xff\xd8\xff") {
        return Some(Format::Jpeg);
    }
    if has(b, 0, b"\x89PNG\r\n\x1a\n") {
        return Some(Format::Png);
    }
    if has(b, 0, b"GIF87a") || has(b, 0, b"GIF89a") {
        return Some(Format::Gif);
    }
    if has(b, 0, b"RIFF") && has(b, 8, b"WEBP") {
        return Some(Format::Webp);
    }
    // Classic and BigTIFF in both byte orders.
    if [&b"II\x2a\0"[..], b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b"].iter().any(|m| has(b, 0, m)) {
        return Some(Format::Tiff);
    }
    if has(b, 0, b"qoif") {
        return Some(Format::Qoi);
    }
    if has(b, 0, b"BM") && is_bmp_header(b) {
        return Some(Format::Bmp);
    }
    // Icon (1) or cursor (2) directory with at least one entry whose reserved byte is small.
    if (has(b, 0, b"\0\0\x01\0") || has(b, 0, b"\0\0\x02\0"))
        && matches!(b.get(4..6), Some(&[low, high]) if (1..=1024).contains(&u16::from_le_bytes([low, high])))
    {
        return Some(Format::Ico);
    }
    let pnm = matches!(b, [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace() || *space == b'#');
    pnm.then_some(Format::Pnm)
}

/// The size of the second header is one of those that ever were (OS/2 1 and 2, Windows 3 to 5).
fn is_bmp_header(b: &[u8]) -> bool {
    let Some(&[s0, s1, s2, s3]) = b.get(14..18) else { return false };
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    matches!(size, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124)
}

/// ISO base media: told by the brands of `ftyp`, or by a first box that old QuickTime files start with.
fn iso_media(b: &[u8]) -> Option<Format> {
    let kind = b.get(4..8)?;
    if kind == b"ftyp" {
        return Some(by_brands(b));
    }
    // A QuickTime file from before brands begins with one of these atoms of a plausible size.
    let size = u32::from_be_bytes(b.get(..4)?.try_into().ok()?);
    let old = [&b"moov"[..], b"mdat", b"wide", b"free", b"skip", b"pnot"];
    (old.contains(&kind) && (size == 0 || size == 1 || size >= 8)).then_some(Format::Mov)
}

fn by_brands(b: &[u8]) -> Format {
    let size = b.get(..4).and_then(|s| s.try_into().ok()).map_or(0, u32::from_be_bytes) as usize;
    let end = size.clamp(16, 1024).min(b.len());
    let major = b.get(8..12).unwrap_or_default();
    let compatible = || b.get(16..end).unwrap_or_default().chunks_exact(4);
    let of = |brand: &[u8]| match brand {
        b"avif" | b"avis" => Some(Format::Avif),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Some(Format::Heic)
        }
        _ => None,
    };
    if let Some(format) = of(major) {
        return format;
    }
    // A structural brand tells that it is a picture, a compatible one with which codec.
    if matches!(
        major,
        b"mif1" | b"mif2" | b"msf1" | b"miaf" | b"MiHE" | b"MiHB" | b"MA1B" | b"MA1A"
    ) {
        return compatible().find_map(of).unwrap_or(Format::Heic);
    }
    if major == b"qt  " { Format::Mov } else { Format::Mp4 }
}

fn stream(b: &[u8]) -> Option<Format> {
    if has(b, 0, b"\x1a\x45\xdf\xa3") {
        let head = b.get(..b.len().min(4096)).unwrap_or_default();
        let webm = head.windows(7).any(|w| w == b"\x42\x82\x84webm");
        return Some(if webm { Format::Webm } else { Format::Mkv });
    }
    if [&b"RIFF"[..], b"RIFX", b"RF64"].iter().any(|m| has(b, 0, m)) {
        return match b.get(8..12) {
            Some(b"AVI ") => Some(Format::Avi),
            Some(b"WAVE") => Some(Format::Wav),
            _ => None,
        };
    }
    const MAGIC: [(&[u8], Format); 9] = [
        (b"FLV\x01", Format::Flv),
        (b"DKIF", Format::Ivf),
        (b"OggS", Format::Ogg),
        (b"fLaC", Format::Flac),
        (b"#!AMR", Format::Amr),
        (b"#EXTM3U", Format::Hls),
        (b"\xef\xbb\xbf#EXTM3U", Format::Hls),
        (b"\0\0\x01\xba", Format::Ps),
        (b"ID3", Format::Mp3),
    ];
    if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| has(b, 0, magic)) {
        return Some(if *format == Format::Mp3 { after_id3(b) } else { *format });
    }
    is_transport_stream(b).then_some(Format::Ts)
}

/// What follows an ID3v2 tag: its size is four 7-bit bytes. MP3 unless it can be seen to be AAC or FLAC.
fn after_id3(b: &[u8]) -> Format {
    let size = b
        .get(6..10)
        .unwrap_or_default()
        .iter()
        .fold(0usize, |n, x| (n << 7) | usize::from(x & 0x7f));
    let rest = b.get(size.saturating_add(10)..).unwrap_or_default();
    if has(rest, 0, b"fLaC") {
        return Format::Flac;
    }
    if is_adts(rest) { Format::Aac } else { Format::Mp3 }
}

/// Sync byte 0x47 at the start of five packets (as many as there are, at least three) of 188, 192 or 204
/// bytes, the first at any place within the first packet length.
fn is_transport_stream(b: &[u8]) -> bool {
    [188usize, 192, 204].into_iter().any(|packet| {
        let fits = |start: usize| {
            let mut syncs = b.get(start..).unwrap_or_default().iter().step_by(packet).take(5);
            syncs.len() >= 3 && syncs.all(|sync| *sync == 0x47)
        };
        (0..packet).any(fits)
    })
}

/// Formats with so weak a signature that everything else is tried first.
fn weak(b: &[u8]) -> Option<Format> {
    if is_adts(b) {
        return Some(Format::Aac);
    }
    if is_mpeg_audio(b) {
        return Some(Format::Mp3);
    }
    if unsupported(b).is_some() {
        // SVG and PostScript are text to the eye, but nobody means them to be read as words.
        return None;
    }
    is_text(b).then_some(Format::Text)
}

/// The length of the ADTS frame that starts here.
fn adts_frame(b: &[u8]) -> Option<usize> {
    let &[a, x, c, d, e, f, ..] = b else { return None };
    // Sync 0xFFF, layer 0, a sample rate index that exists.
    if a != 0xff || x & 0xf6 != 0xf0 || (c >> 2) & 0xf > 12 {
        return None;
    }
    let length = (usize::from(d & 3) << 11) | (usize::from(e) << 3) | usize::from(f >> 5);
    (length >= 7).then_some(length)
}

/// An ADTS frame that is followed by another one, or is all there is.
fn is_adts(b: &[u8]) -> bool {
    adts_frame(b).is_some_and(|length| {
        b.len() == length || adts_frame(b.get(length..).unwrap_or_default()).is_some()
    })
}

/// The length of the MPEG audio layer II or III frame that starts here.
fn mpeg_audio_frame(b: &[u8]) -> Option<usize> {
    const LAYER3: [[usize; 15]; 2] = [
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let &[a, x, c, ..] = b else { return None };
    if a != 0xff || x & 0xe0 != 0xe0 || (x >> 1) & 3 != 1 {
        return None;
    }
    let version = (x >> 3) & 3;
    let rate = [44_100usize, 48_000, 32_000].get(usize::from((c >> 2) & 3))?
        / match version {
            3 => 1,
            2 => 2,
            0 => 4,
            _ => return None,
        };
    let kbits =
        *LAYER3.get(usize::from(version != 3))?.get(usize::from(c >> 4)).filter(|k| **k > 0)?;
    let samples = if version == 3 { 144 } else { 72 };
    Some(samples * kbits * 1000 / rate + usize::from((c >> 1) & 1))
}

/// An MP3 frame that is followed by another one.
fn is_mpeg_audio(b: &[u8]) -> bool {
    mpeg_audio_frame(b).is_some_and(|n| mpeg_audio_frame(b.get(n..).unwrap_or_default()).is_some())
}

fn is_svg(b: &[u8]) -> bool {
    let head = b.get(..b.len().min(1024)).unwrap_or_default();
    let markup = head.iter().find(|c| !c.is_ascii_whitespace() && !matches!(c, 0xef | 0xbb | 0xbf))
        == Some(&b'<');
    markup && head.windows(4).any(|w| w.eq_ignore_ascii_case(b"<svg"))
}

/// Valid UTF-8 (a character cut off at the end of a prefix is forgiven) without control characters.
fn is_text(b: &[u8]) -> bool {
    let head = b.get(..b.len().min(65_536)).unwrap_or_default();
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() && e.valid_up_to() + 4 > head.len() => {
            std::str::from_utf8(head.get(..e.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
    !valid.is_empty() && valid.chars().all(plain)
}

#[cfg(test)]
#[path = "sniff_tests.rs"]
mod tests;
