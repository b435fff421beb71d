#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod unseen;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gstreamer as gst;
use models::{Filter, Fit, Rendition};

use super::*;
use crate::decode::{Flow, Frame};
use crate::hls;

/// Keeps what it gets, up to so many frames.
#[derive(Default)]
struct Seen {
    facts: Option<Facts>,
    /// Position, mean brightness of the upper and of the lower half.
    frames: Vec<(u64, u64, u64)>,
    size: (u32, u32),
    enough: usize,
}

impl Sink for Seen {
    fn facts(&mut self, facts: Facts) -> Flow {
        assert!(self.facts.replace(facts).is_none(), "facts come once");
        Flow::More
    }

    fn frame(&mut self, frame: Frame) -> Flow {
        let (upper, lower) = frame.image.data().split_at(frame.image.data().len() / 2);
        let mean = |b: &[u8]| b.iter().map(|b| u64::from(*b)).sum::<u64>() / b.len().max(1) as u64;
        self.frames.push((frame.pts_ms, mean(upper), mean(lower)));
        self.size = (frame.image.width(), frame.image.height());
        if self.frames.len() == self.enough { Flow::Enough } else { Flow::More }
    }
}

fn need(max_gap_ms: u64) -> Need {
    let rendition = Rendition { width: 64, height: 64, fit: Fit::Within, filter: Filter::Triangle };
    Need { renditions: vec![rendition], max_gap_ms, sparing: false, threads: 2 }
}

fn look_at(file: File, gap_ms: u64) -> (Seen, Result<Tally, DecodeError>) {
    let mut seen = Seen::default();
    let out = decode(file, Format::Unknown, &need(gap_ms), &Limits::default(), &mut seen);
    (seen, out)
}

/// A file made by GStreamer's own encoders, in another process: this one may not make files.
fn clip(name: &str, pipeline: &str) -> File {
    let path = std::env::temp_dir().join(format!("weir-video-{}-{name}", std::process::id()));
    let arguments = format!("-q {pipeline} ! filesink location={}", path.display());
    let mut launch = Command::new("gst-launch-1.0");
    // This process has cut GStreamer down for itself; its maker of clips needs all of it.
    for key in sys::KEYS {
        launch.env_remove(key);
    }
    let made = launch.args(arguments.split_whitespace()).status().unwrap();
    assert!(made.success(), "{arguments}");
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

/// 25 frames a second, 4 s: black and white in turn, so that every frame tells whether its number is even.
const BLINK: &str = "videotestsrc pattern=blink num-buffers=100 ! \
                     video/x-raw,format=I420,width=160,height=120,framerate=25/1";

fn assert_blinks(name: &str, seen: &Seen) {
    let white_is_odd = seen.frames.iter().find(|f| f.0 == 0).unwrap().1 < 128;
    for (pts, mean, _) in &seen.frames {
        let odd = (pts + 5) / 40 % 2 == 1;
        assert_eq!(
            *mean > 128,
            odd == white_is_odd,
            "{name}: the frame at {pts} ms is another one"
        );
    }
}

#[test]
fn frames_carry_their_own_time_in_every_codec() {
    for (name, rest) in [
        ("x264.mp4", "x264enc key-int-max=40 bframes=2 b-adapt=false ! h264parse ! mp4mux"),
        ("x264.mkv", "x264enc key-int-max=40 bframes=2 b-adapt=false ! h264parse ! matroskamux"),
        ("x264.ts", "x264enc key-int-max=40 bframes=2 b-adapt=false ! h264parse ! mpegtsmux"),
        ("vp8.webm", "vp8enc keyframe-max-dist=40 deadline=1 ! webmmux"),
        ("vp9.webm", "vp9enc keyframe-max-dist=40 deadline=1 cpu-used=8 ! webmmux"),
        ("theora.ogg", "theoraenc keyframe-freq=32 ! oggmux"),
        ("mpeg4.avi", "avenc_mpeg4 bitrate=900000 gop-size=40 ! avimux"),
        ("mjpeg.avi", "jpegenc ! avimux"),
    ] {
        let file = clip(name, &format!("{BLINK} ! {rest}"));
        let (every, tally) = look_at(file.try_clone().unwrap(), 0);
        let tally = tally.unwrap_or_else(|e| panic!("{name}: {e}"));
        // vp9enc keeps the last dozen for itself.
        let frames = every.facts.as_ref().unwrap().frames.unwrap();
        assert!(frames == 100 || (frames > 80 && name == "vp9.webm"), "{name}: {frames}");
        assert_eq!((tally.frames, tally.max_gap_ms, tally.damaged), (frames, 0, false), "{name}");
        assert_blinks(name, &every);
        let (some, tally) = look_at(file, 500);
        let tally = tally.unwrap();
        assert!(tally.max_gap_ms <= 500 && !tally.damaged, "{name}: {tally:?}");
        assert!((7..=20).contains(&tally.frames), "{name}: {tally:?}");
        assert_blinks(name, &some);
        let facts = some.facts.unwrap();
        assert_eq!((facts.kind, facts.width, facts.height), (MediaKind::Video, 160, 120), "{name}");
        assert!(facts.duration_ms.unwrap().abs_diff(frames * 40) <= 40, "{name}: {facts:?}");
        assert_eq!(some.size, (64, 48), "{name}");
    }
}

#[test]
fn a_span_is_looked_at_densely() {
    let file = clip("span.mp4", &format!("{BLINK} ! x264enc key-int-max=100 ! h264parse ! mp4mux"));
    let mut seen = Seen::default();
    let limits = Limits::default();
    decode_span(file, Format::Mp4, (1000, 1500), &need(0), &limits, &mut seen).unwrap();
    let times: Vec<u64> = seen.frames.iter().map(|f| f.0).collect();
    assert_eq!(times, (1000..=1500).step_by(40).collect::<Vec<_>>());
}

#[test]
fn rotation_and_pixel_shape_are_applied() {
    // Colour bars: bright on the left, dark on the right, so that a quarter turn clockwise puts bright on top.
    let bars = "videotestsrc pattern=smpte100 num-buffers=5 ! video/x-raw,format=I420,width=160,height=120";
    let mut upright = clip("turned.mp4", &format!("{bars} ! x264enc ! h264parse ! mp4mux"));
    let (turned, out) = look_at(turn_a_quarter(&mut upright), 0);
    out.unwrap();
    let facts = turned.facts.unwrap();
    assert_eq!((facts.width, facts.height, turned.size), (120, 160, (48, 64)));
    assert!(turned.frames.iter().all(|f| f.1 > f.2 + 30), "{:?}", turned.frames);

    let wide = format!("{bars},pixel-aspect-ratio=2/1 ! x264enc ! h264parse ! mp4mux");
    let (wide, out) = look_at(clip("wide.mp4", &wide), 0);
    out.unwrap();
    let facts = wide.facts.unwrap();
    assert_eq!((facts.width, facts.height, wide.size), (320, 120, (64, 24)));
}

/// Writes a quarter turn clockwise into the track header (ISO/IEC 14496-12, 8.3.2: 40 bytes before the matrix).
fn turn_a_quarter(file: &mut File) -> File {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(file, &mut bytes).unwrap();
    let header = bytes.windows(4).position(|w| w == b"tkhd").unwrap();
    let matrix: [i32; 9] = [0, 1 << 16, 0, -(1 << 16), 0, 0, 120 << 16, 0, 1 << 30];
    for (i, value) in matrix.iter().enumerate() {
        let at = header + 4 + 40 + 4 * i;
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    stored(&bytes)
}

fn stored(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn the_sink_may_stop_it() {
    let file = clip("stop.mp4", &format!("{BLINK} ! x264enc key-int-max=100 ! h264parse ! mp4mux"));
    let mut seen = Seen { enough: 3, ..Seen::default() };
    let tally = decode(file, Format::Mp4, &need(0), &Limits::default(), &mut seen).unwrap();
    assert_eq!((seen.frames.len(), tally.frames), (3, 3));
    assert!(tally.max_gap_ms >= 3800 && !tally.damaged, "{tally:?}");
}

#[test]
fn limits_hold() {
    let file = clip("limits.mp4", &format!("{BLINK} ! x264enc ! h264parse ! mp4mux"));
    let small = Limits { max_side: 100, ..Limits::default() };
    let out =
        decode(file.try_clone().unwrap(), Format::Mp4, &need(0), &small, &mut Seen::default());
    assert!(matches!(out, Err(DecodeError::TooLarge(_))), "{out:?}");
    let few = Limits { max_frames: 10, ..Limits::default() };
    let tally = decode(file, Format::Mp4, &need(0), &few, &mut Seen::default()).unwrap();
    assert!((5..=10).contains(&tally.frames) && tally.max_gap_ms >= 400, "{tally:?}");
}

#[test]
fn sound_has_a_length_and_no_frames() {
    for (name, rest) in
        [("tone.wav", "wavenc"), ("tone.ogg", "vorbisenc ! oggmux"), ("tone.flac", "flacenc")]
    {
        let tone = "audiotestsrc num-buffers=50 samplesperbuffer=960 ! audio/x-raw,rate=48000 ! audioconvert";
        let (seen, out) = look_at(clip(name, &format!("{tone} ! {rest}")), 1000);
        let tally = out.unwrap();
        assert_eq!((tally.frames, tally.damaged), (0, false), "{name}");
        let facts = seen.facts.unwrap();
        assert_eq!(facts.kind, MediaKind::Audio, "{name}");
        // A stream that nothing here parses to its end may have none.
        let known = facts.duration_ms.map_or(name == "tone.flac", |ms| ms.abs_diff(1000) < 50);
        assert!(known, "{name}: {facts:?}");
    }
}

#[test]
fn damage_ends_soon_and_is_told() {
    let start = Instant::now();
    let mut whole = clip("whole.mkv", &format!("{BLINK} ! x264enc ! h264parse ! matroskamux"));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut whole, &mut bytes).unwrap();
    let (seen, out) = look_at(stored(&bytes[..bytes.len() / 2]), 1000);
    assert!(out.is_ok_and(|t| t.frames > 0) && seen.facts.unwrap().frames.unwrap() < 100);
    for bad in [&bytes[..200], &[0; 5000], b"RIFF\0\0\0\0AVI LIST", b""] {
        let (_, out) = look_at(stored(bad), 1000);
        assert!(
            matches!(out, Err(DecodeError::Damaged(_) | DecodeError::Unsupported(_))),
            "{out:?}"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(12));
}

#[test]
fn nothing_that_opens_a_file_or_a_socket_can_be_plugged_and_no_thread_is_left() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    preload().unwrap();
    assert_eq!(threads(), before);
    for name in [
        "filesrc",
        "filesink",
        "fdsrc",
        "giosrc",
        "souphttpsrc",
        "tcpclientsrc",
        "udpsrc",
        "playbin",
        "uridecodebin",
        "hlsdemux",
        "dashdemux",
        "decodebin",
        "rtspsrc",
        "multifilesrc",
    ] {
        assert!(gst::ElementFactory::find(name).is_none(), "{name}");
    }
}

/// What the manifest says of a file: width, height, seconds.
struct Listed {
    path: String,
    size: (u32, u32),
    seconds: f64,
}

/// Files of a folder that ffmpeg decodes without an error, with what it says of their first video stream.
fn listed(data: &Path, prefix: &str) -> Vec<Listed> {
    let mut reader = csv::Reader::from_path(data.join("MANIFEST.csv")).unwrap();
    let rows = reader.records().map(Result::unwrap).filter(|r| r[0].starts_with(prefix));
    rows.filter_map(|row| {
        let (path, expected) = (row[0].to_owned(), row[8].to_owned());
        let value =
            |key: &str| Some(expected.split_once(key)?.1.split([' ', '\'']).next()?.to_owned());
        let (_, video) = expected.split_once("video=['")?;
        let (width, height) = video.split(' ').nth(1)?.split_once('x')?;
        (value("decodes=")? == "yes").then_some(())?;
        Some(Listed {
            path,
            size: (width.parse().ok()?, height.parse().ok()?),
            seconds: value("dur=")?.parse().ok()?,
        })
    })
    .collect()
}

/// Files whose size for a viewer is not the stored size, and why.
const SHAPED: &[(&str, (u32, u32))] = &[
    ("video/own_sar2.mp4", (640, 240)),         // pixels 2:1
    ("video/own_target_whole.mp4", (509, 320)), // pixels 53:50 or so
    ("video/own_rot90.mov", (240, 320)),        // turned
    ("video/own_h263.3gp", (384, 288)),         // pixels 12:11
    ("video/amedia_3gp_bbb_176x144_128kbps_15fps_h263.3gp", (192, 144)), // pixels 12:11
    ("video/mp4ff_bbb_prog_10s.mp4", (426, 240)), // pixels 4:3
    ("video/amedia_mp4_bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4", (1137, 640)), // 64:45
    ("video/amedia_mp4_bbb_800x640_768kbps_30fps_vp9.mp4", (1137, 640)), // 64:45
    ("video/amedia_mp4_dolbyVision-hdr.MOV", (720, 1280)), // turned
    ("video/amedia_mp4_sample_with_color_info.mp4", (1080, 1920)), // turned
    ("video/amedia_mp4_h265_with_metadata_track.mp4", (1080, 1920)), // turned
    ("video/webm_test_stereo_left_right.webm", (256, 288)), // two views side by side
    ("video/tc_nasa_13013.mp4", (480, 270)),    // the larger of two streams
];

/// Files whose pictures cover less than the container says, and why.
const SHORTER: &[&str] = &[
    "video/amedia_mp4_bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4", // starts at 10 s
    "video/mp4ff_cbcsdec.mp4",
    "video/mp4ff_main_1.mp4", // headers of a longer original
    "video/amedia_mkv_sample_with_pgs_subtitles.mkv", // frames 1 ms apart, longer subtitles
    "video/amedia_mkv_sample_with_vobsub.mkv",
    "video/amedia_mp4_sample_fragmented.mp4", // claims 39 hours
    "video/amedia_mp4_sample_with_fake_auxiliary_tracks.mp4", // claims 0 s
    "video/amedia_ts_sample_scte35.ts",       // longer sound
    "video/tc_nasa_13013.mp4",                // longer sound
];

/// Files that the manifest's decoder reads and this one does not: an error, never clean.
const REFUSED: &[&str] = &[
    "video/amedia_mp4_sample_with_vobsub.mp4", // a video track of 49 ms, which qtdemux leaves out
];

/// Too long for a test; the command's own run over the data has them.
const LONG: &[&str] = &[
    "video/amedia_mp4_long_1080p_lowbitrate.mp4",
    "video/amedia_mp4_long_180p_av1.mp4",
    "video/own_2hours_tiny.mp4", // has its own test
];

fn assert_listed(data: &Path, prefix: &str, at_least: usize) {
    let files = listed(data, prefix);
    assert!(files.len() >= at_least, "{} files under {prefix}", files.len());
    let mut wrong = Vec::new();
    for Listed { path, size, seconds } in files {
        if LONG.contains(&path.as_str()) {
            continue;
        }
        let (seen, out) = look_at(File::open(data.join(&path)).unwrap(), 1000);
        if REFUSED.contains(&path.as_str()) {
            wrong.extend(out.is_ok().then(|| format!("{path}: {out:?}")));
            continue;
        }
        let (Ok(tally), Some(facts)) = (&out, seen.facts) else {
            wrong.push(format!("{path}: {out:?}"));
            continue;
        };
        let size = SHAPED.iter().find(|s| s.0 == path).map_or(size, |s| s.1);
        let length = facts.duration_ms.unwrap_or(0) as f64 / 1000.0;
        let right = length <= seconds + 0.1 && length >= seconds * 0.8 - 0.15;
        if (facts.width, facts.height) != size
            || !(right || SHORTER.contains(&path.as_str()))
            || tally.frames == 0
            || tally.max_gap_ms > 1000
        {
            wrong.push(format!("{path}: {facts:?} {tally:?}, expected {size:?}, {seconds} s"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn shared_android_files_decode_as_listed() {
    assert_listed(&rig::shared!(), "video/amedia", 40);
}

#[test]
fn shared_own_files_decode_as_listed() {
    assert_listed(&rig::shared!(), "video/own", 25);
}

#[test]
fn shared_other_files_decode_as_listed() {
    let data = rig::shared!();
    for (prefix, at_least) in
        [("video/mp4ff", 6), ("video/tc", 3), ("video/webm", 2), ("video/gomp4", 1)]
    {
        assert_listed(&data, prefix, at_least);
    }
}

#[test]
fn shared_vpdq_videos_decode_as_listed() {
    assert_listed(&rig::shared!(), "vpdq/videos", 8);
}

#[test]
fn shared_a_second_is_not_missed() {
    let data = rig::shared!();
    let file = File::open(data.join("video/own_target_4to5s.mp4")).unwrap();
    let (seen, out) = look_at(file, 1000);
    assert!(out.unwrap().max_gap_ms <= 1000);
    assert!(seen.frames.iter().any(|f| (4000..5000).contains(&f.0)));
}

#[test]
fn shared_two_hours_are_bounded() {
    let data = rig::shared!();
    let (seen, out) = look_at(File::open(data.join("video/own_2hours_tiny.mp4")).unwrap(), 1000);
    let tally = out.unwrap();
    assert!(tally.frames <= 600 && tally.frames >= 300, "{tally:?}");
    assert!((12_000..=24_000).contains(&tally.max_gap_ms), "{tally:?}");
    assert_eq!(seen.facts.unwrap().duration_ms, Some(7_200_000));
}

#[test]
fn shared_malformed_videos_end_soon() {
    let data = rig::shared!();
    let names = ["mp4", "mkv", "ts", "webm", "mp3", "m4b", "adts", "wav", "ogg"];
    let mut count = 0;
    for entry in std::fs::read_dir(data.join("malformed")).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|e| names.iter().any(|n| e == *n)) {
            continue;
        }
        count += 1;
        let start = Instant::now();
        let (_, out) = look_at(File::open(&path).unwrap(), 1000);
        assert!(start.elapsed() < Duration::from_secs(6), "{path:?}: {out:?}");
    }
    assert!(count > 25, "{count}");
}

fn beside(folder: &Path, name: &str, range: std::ops::Range<u64>) -> std::io::Result<Vec<u8>> {
    hls::part(File::open(folder.join(name))?, range)
}

#[test]
fn shared_playlists_decode_as_listed() {
    let data = rig::shared!();
    for (path, size) in [
        ("hls/own/vod_ts.m3u8", (320, 240)),
        ("hls/own/vod_fmp4.m3u8", (320, 240)),
        ("hls/amedia/cmaf/multi-segment/playlist.m3u8", (640, 360)),
        ("hls/amedia/hls/cea608/manifest.m3u8", (640, 360)),
        ("hls/amedia/hls/multi-segment/playlist.m3u8", (1080, 720)),
        ("hls/shaka/hls-text-no-discontinuity/index.m3u8", (256, 144)),
    ] {
        let path = data.join(path);
        let folder = path.parent().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let bytes = hls::assemble(&text, 1 << 28, &|name, range| beside(folder, name, range))
            .unwrap()
            .bytes;
        let (seen, out) = look_at(stored(&bytes), 1000);
        assert!(out.is_ok_and(|t| t.frames > 0), "{path:?}");
        let facts = seen.facts.unwrap();
        assert_eq!((facts.width, facts.height), size, "{path:?}");
    }
    for path in ["hls/shaka/hls-aes-256/media.m3u8", "hls/shaka/clear-encrypted-hls/manifest.m3u8"]
    {
        let path = data.join(path);
        let folder = path.parent().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let out = hls::assemble(&text, 1 << 28, &|name, range| beside(folder, name, range));
        let encrypted = matches!(out, Err(hls::PlaylistError::Content(DecodeError::Encrypted(_))));
        assert!(encrypted, "{path:?}");
    }
}
