//! What is not looked at is told.

use super::*;

/// Ten frames of 64 × 48, encoded.
const SMALL: &str = "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! \
                     x264enc ! h264parse";

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
        assert!(!look_at(alone, 1000).1.unwrap().damaged, "{name}");
        let both = clip(name, &format!("{SMALL} ! m. {second} ! m. {muxer} name=m"));
        let tally = look_at(both, 1000).1.unwrap();
        assert!(tally.damaged && tally.frames > 0, "{name}: {tally:?}");
    }
}

#[test]
fn a_second_moov_is_unseen() {
    let one = bytes_of(clip("one.mp4", &format!("{SMALL} ! mp4mux")));
    assert!(!look_at(stored(&one), 1000).1.unwrap().damaged);
    let white = SMALL.replace("videotestsrc", "videotestsrc pattern=white");
    let joined = [one, bytes_of(clip("other.mp4", &format!("{white} ! mp4mux")))].concat();
    assert!(look_at(stored(&joined), 1000).1.unwrap().damaged);
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
        assert!(!look_at(stored(&sound), 1000).1.unwrap().damaged, "{name}");
        let (seen, out) = look_at(stored(&[&tag[..], &sound].concat()), 1000);
        assert_eq!(seen.facts.unwrap().kind, MediaKind::Audio, "{name}");
        assert!(out.unwrap().damaged, "{name}");
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
    let job = Job { file: &file, scan: &scan, plan: &plan, need: &need, limits: &limits, wall };
    let mut facts = Some(facts(MediaKind::Video, Format::Mkv, None, None));
    let out = run::run(&job, &mut facts, &mut Seen::default());
    assert!(matches!(out, Err(DecodeError::TooLarge(_))));
}
