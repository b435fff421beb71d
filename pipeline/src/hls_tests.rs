#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use super::*;

/// As the function of this name, with every error as one of the content.
fn assemble(text: &str, most: u64, load: Load<'_>) -> Result<Assembled, DecodeError> {
    super::assemble(text, most, load).map_err(|error| match error {
        PlaylistError::Content(error) => error,
        error => damaged(&error.to_string()),
    })
}

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
    assert!(matches!(assemble("#EXTM3U\nwhole.ts", 1000, &sparse), Err(DecodeError::TooLarge(_))));
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
    let text = "#EXT-X-BYTERANGE:1@1\na.ts\n#EXT-X-BYTERANGE:2\na.ts\n#EXT-X-GAP\nnone.ts\nb.ts";
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
    let asked = |name: &str, _: Range<u64>| -> io::Result<Vec<u8>> { panic!("asked for {name}") };
    for name in
        ["../a.ts", "/etc/passwd", "https://example.org/a.ts", "file:a", "x/../../a", "\\\\h\\a"]
    {
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
        let text = std::fs::read_to_string(folder.join(format!("own_m3u8_{name}.m3u8"))).unwrap();
        let out =
            assemble(&text, 1 << 30, &|name, range| part(File::open(folder.join(name))?, range));
        assert!(out.is_err(), "{name}");
    }
}

#[test]
fn what_the_host_cannot_read_may_be_read_another_day() {
    for (kind, permanent) in [
        (io::ErrorKind::NotFound, false),
        (io::ErrorKind::PermissionDenied, false),
        (io::ErrorKind::UnexpectedEof, false),
        (io::ErrorKind::Other, true),
    ] {
        let fails = |_: &str, _: Range<u64>| -> io::Result<Vec<u8>> { Err(kind.into()) };
        let error = super::assemble("#EXTM3U\na.ts", 1000, &fails).unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{kind:?}: {error}");
    }
    let gone = super::assemble("#EXTM3U\ngone.ts", 1000, &load).unwrap_err();
    assert!(matches!(&gone, PlaylistError::Absent(name) if name == "gone.ts"), "{gone}");
}
