//! What is not looked at is told.

use super::*;
use crate::decode::Unseen;

/// Ten frames of 64 × 48, encoded.
const SMALL: &str = "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! \
                     x264enc ! h264parse";

fn assert_whole(tally: &Tally, name: &str) {
    assert!(!tally.damaged && tally.unseen.is_empty(), "{name}: {tally:?}");
}

fn bytes_of(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_second_track_of_pictures_is_unseen() {
    let stills = "videotestsrc num-buffers=2 ! video/x-raw,width=32,height=32 ! jpegenc";
    for (name, second, muxer) in [
        ("two.mp4", SMALL, "mp4mux"),
        ("two.mkv", SMALL, "matroskamux"),
        ("two.ts", SMALL, "mpegtsmux"),
        ("stills.mkv", stills, "matroskamux"),
    ] {
        let alone = clip(name, &format!("{SMALL} ! {muxer}"));
        assert_whole(&look_at(alone, 1000).1.unwrap(), name);
        let both = clip(name, &format!("{SMALL} ! m. {second} ! m. {muxer} name=m"));
        let tally = look_at(both, 1000).1.unwrap();
        assert!(!tally.damaged && tally.frames > 0, "{name}: {tally:?}");
        assert!(tally.unseen.contains(&Unseen::Track), "{name}: {tally:?}");
    }
}

#[test]
fn a_second_moov_is_unseen() {
    let one = bytes_of(clip("one.mp4", &format!("{SMALL} ! mp4mux")));
    assert_whole(&look_at(stored(&one), 1000).1.unwrap(), "one");
    let white = SMALL.replace("videotestsrc", "videotestsrc pattern=white");
    let joined = [one, bytes_of(clip("other.mp4", &format!("{white} ! mp4mux")))].concat();
    assert!(look_at(stored(&joined), 1000).1.unwrap().unseen.contains(&Unseen::Track));
}

#[test]
fn a_cover_in_a_sound_file_is_unseen() {
    let tone =
        "audiotestsrc num-buffers=50 samplesperbuffer=960 ! audio/x-raw,rate=48000 ! audioconvert";
    // ID3 v2.3, 3 and 4.15: header, then a frame of a media type, a kind of picture, a description, and the picture.
    let picture = [&b"\0image/png\0\x03\0\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[1; 40]].concat();
    let frame = [&b"APIC\0\0\0"[..], &[picture.len() as u8, 0, 0], &picture].concat();
    let tag = [&b"ID3\x03\0\0\0\0\0"[..], &[frame.len() as u8], &frame].concat();
    for (name, rest) in [
        ("cover.flac", "flacenc"),
        ("cover.wav", "wavenc"),
        ("cover.aac", "avenc_aac ! aacparse ! audio/mpeg,stream-format=adts"),
    ] {
        let sound = bytes_of(clip(name, &format!("{tone} ! {rest}")));
        assert_whole(&look_at(stored(&sound), 1000).1.unwrap(), name);
        let (seen, out) = look_at(stored(&[&tag[..], &sound].concat()), 1000);
        assert_eq!(seen.facts.unwrap().kind, MediaKind::Audio, "{name}");
        assert!(out.unwrap().unseen.contains(&Unseen::Cover), "{name}");
    }
}

#[test]
fn what_lies_behind_the_last_unit_that_is_kept_is_unseen() {
    preload().unwrap();
    let file = Arc::new(clip("long.mkv", &format!("{SMALL} ! matroskamux")));
    for (most, damaged) in [(5, true), (100, false)] {
        let Ok(Scanned::Video(scan)) = scan::scan(&file, most) else { panic!("no video") };
        assert_eq!((scan.units.len(), scan.damaged), (most.min(10), damaged));
    }
}

#[test]
fn time_that_is_over_before_the_first_frame_is_an_error() {
    preload().unwrap();
    let file = Arc::new(clip("slow.mkv", &format!("{SMALL} ! matroskamux")));
    let Ok(Scanned::Video(scan)) = scan::scan(&file, 100) else { panic!("no video") };
    let (need, limits) = (need(1000), Limits::default());
    let plan = Line::new(&scan.units).plan(aim(&scan, None, &need, &limits));
    let wall = Duration::ZERO;
    let job = Job {
        file: &file,
        scan: &scan,
        plan: &plan,
        need: &need,
        limits: &limits,
        wall,
        distant: None,
    };
    let mut facts = Some(facts(MediaKind::Video, Format::Mkv, None, None));
    let out = run::run(&job, &mut facts, &mut Seen::default());
    assert!(matches!(out, Err(DecodeError::TooLarge(_))));
}

#[test]
fn a_file_that_is_cut_behind_a_whole_index_is_damaged() {
    let frames = SMALL.replace("num-buffers=10", "num-buffers=60");
    for (name, muxer, shares) in [
        ("fast.mp4", "mp4mux faststart=true", [45, 80, 95]),
        ("parts.mp4", "mp4mux fragment-duration=500", [45, 80, 95]),
        ("cut.mkv", "matroskamux", [45, 80, 95]),
        ("live.mkv", "matroskamux streamable=true", [45, 60, 70]),
        ("cut.avi", "avimux", [45, 80, 95]),
        ("cut.flv", "flvmux", [30, 40, 50]),
    ] {
        let frames = match name {
            "cut.avi" => frames.replace("x264enc ! h264parse", "jpegenc"),
            _ => frames.clone(),
        };
        let bytes = bytes_of(clip(name, &format!("{frames} ! {muxer}")));
        assert_whole(&look_at(stored(&bytes), 1000).1.unwrap(), name);
        for share in shares {
            let (_, out) = look_at(stored(&bytes[..bytes.len() * share / 100]), 1000);
            assert!(out.as_ref().map_or(true, |t| t.damaged), "{name} at {share} %: {out:?}");
        }
    }
}

/// Puts an edit list of (duration in ms, start in ms) in place of the first track's own.
fn edit(mut bytes: Vec<u8>, entries: &[(u32, i32)]) -> Vec<u8> {
    let place = |bytes: &[u8], kind: &[u8]| bytes.windows(4).position(|w| w == kind).unwrap() - 4;
    let number =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let scale = |bytes: &[u8], kind: &[u8]| number(bytes, place(bytes, kind) + 20);
    let (movie, medium) = (scale(&bytes, b"mvhd"), scale(&bytes, b"mdhd"));
    let mut list = [0u32, entries.len() as u32].map(u32::to_be_bytes).concat();
    for (duration, start) in entries {
        list.extend((duration * movie / 1000).to_be_bytes());
        list.extend((start * medium.cast_signed() / 1000).to_be_bytes());
        list.extend(0x0001_0000u32.to_be_bytes());
    }
    let boxed = |kind: &[u8], body: &[u8]| {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    };
    let edts = boxed(b"edts", &boxed(b"elst", &list));
    let (moov, trak) = (place(&bytes, b"moov"), place(&bytes, b"trak"));
    assert!(moov > place(&bytes, b"mdat"), "chunks keep their places");
    // The old list becomes free space, the new one the track's last box.
    if let Some(at) = bytes.windows(4).position(|w| w == b"edts") {
        bytes[at..at + 4].copy_from_slice(b"free");
    }
    let end = trak + number(&bytes, trak) as usize;
    for at in [moov, trak] {
        let length = number(&bytes, at) + edts.len() as u32;
        bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    bytes.splice(end..end, edts);
    bytes
}

#[test]
fn footage_that_an_edit_list_leaves_out_is_looked_at_or_told() {
    let encoder = "x264enc key-int-max=25 bframes=2 b-adapt=false ! h264parse";
    let whole = bytes_of(clip("edits.mp4", &format!("{BLINK} ! {encoder} ! mp4mux")));
    let (_, out) = look_at(stored(&whole), 0);
    let tally = out.unwrap();
    assert_whole(&tally, "as it is");
    assert_eq!(tally.frames, 100);
    // Only what comes before, what comes behind, both: players differ, so all of it is looked at.
    for list in [&[(900, 0)][..], &[(1900, 2080)], &[(900, 0), (1900, 2080)]] {
        let (seen, out) = look_at(stored(&edit(whole.clone(), list)), 0);
        let tally = out.unwrap();
        assert_whole(&tally, &format!("{list:?}"));
        assert_eq!(tally.frames, 100, "{list:?}");
        assert_blinks("edited", &seen);
    }
    // A list that repeats or turns around cannot be stood in for by the footage in its own order.
    for list in [&[(900, 80); 3][..], &[(900, 2080), (900, 80)]] {
        let tally = look_at(stored(&edit(whole.clone(), list)), 500).1.unwrap();
        assert!(tally.unseen.contains(&Unseen::Edit), "{list:?}: {tally:?}");
    }
    // Repeats that leave nothing out are looked at as they are played.
    let tally = look_at(stored(&edit(whole, &[(9000, 0), (9000, 0)])), 500).1.unwrap();
    assert!(tally.unseen.is_empty(), "{tally:?}");
}

#[test]
fn further_programs_are_unseen() {
    let muxer = "mpegtsmux name=m prog-map=program_map,sink_65=1,sink_66=2";
    let both = format!("{SMALL} ! m.sink_65 {SMALL} ! m.sink_66 {muxer}");
    let tally = look_at(clip("programs.ts", &both), 1000).1.unwrap();
    assert!(tally.unseen.contains(&Unseen::Track) && !tally.damaged, "{tally:?}");
}

#[test]
fn words_of_text_tracks_are_read() {
    let text = std::env::temp_dir().join(format!("weir-words-{}.srt", std::process::id()));
    let lines = "1\n00:00:00,000 --> 00:00:00,100\n<i>visit</i> scam.example\n\n\
                 2\n00:00:00,100 --> 00:00:00,300\nsecond & last\n\n";
    std::fs::write(&text, lines).unwrap();
    let track = format!("filesrc location={} ! subparse ! m.", text.display());
    for (name, muxer) in [("words.mkv", "matroskamux"), ("words.mp4", "mp4mux")] {
        let file = clip(name, &format!("{SMALL} ! m. {track} {muxer} name=m"));
        let tally = look_at(file, 1000).1.unwrap();
        assert_whole(&tally, name);
        assert_eq!(tally.words, "visit scam.example\nsecond & last", "{name}");
    }
    std::fs::remove_file(&text).unwrap();
}
