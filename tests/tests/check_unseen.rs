//! What a viewer could see beside the first picture or stream is judged, or the verdict says that it was not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rig::media::{self, Clip, Picture};
use rig::samples::SCAM_LINK;
use rig::weir;
use serde_json::Value;

/// A link that the starter profile rejects, as a code.
fn scam() -> Picture {
    media::qr_code(SCAM_LINK, 8).unwrap()
}

fn scene() -> Picture {
    media::scene(480, 360, 7)
}

/// A clip of one picture, of even size.
fn clip(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width & !1, picture.height & !1);
    let even = media::crop(picture, 0, 0, width, height);
    let clip = Clip { fps: 25, frames: 25, key_frames: 25 };
    media::encode_mp4(clip, |_| even.clone()).unwrap()
}

fn judged(folder: &Path, name: &str, bytes: &[u8]) -> Value {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    weir::run(["check".as_ref(), "--json".as_ref(), path.as_os_str()]).line()
}

fn assert_whole(line: &Value) {
    assert_eq!((&line["status"], &line["complete"]), (&"approved".into(), &true.into()), "{line}");
}

fn assert_told(line: &Value, reason: &str) {
    assert_eq!((&line["status"], &line["complete"]), (&"held".into(), &false.into()), "{line}");
    let reasons = line["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|r| r == reason), "{line}");
}

#[test]
fn a_link_in_an_appended_picture_or_clip_counts() {
    let folder = tempfile::tempdir().unwrap();
    let still = scene().jpeg(90).unwrap();
    let alone = judged(folder.path(), "code.png", &scam().png().unwrap());
    assert_eq!(alone["status"], "rejected", "{alone}");
    assert_whole(&judged(folder.path(), "scene.jpg", &still));
    for (name, second) in [
        ("two.jpg", scam().jpeg(95).unwrap()),
        ("png.jpg", scam().png().unwrap()),
        ("motion.jpg", clip(&scam())),
    ] {
        let line = judged(folder.path(), name, &[&still[..], &second].concat());
        assert_eq!(line["status"], "rejected", "{name}: {line}");
        assert_eq!(line["media"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(line["media"][0]["width"], 480, "{name}");
    }
    let line = judged(folder.path(), "clean.jpg", &[&still[..], &clip(&scene())].concat());
    assert_whole(&line);
    let zip = [&still[..], b"PK\x03\x04", &[0; 60]].concat();
    assert_told(&judged(folder.path(), "zip.jpg", &zip), "unseen_part");
}

#[test]
fn what_is_drawn_in_white_on_transparency_counts() {
    let folder = tempfile::tempdir().unwrap();
    let code = scam();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, code.width, code.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut rgba = Vec::new();
    for y in 0..i64::from(code.height) {
        for x in 0..i64::from(code.width) {
            let [light, ..] = code.at(x, y);
            rgba.extend([255, 255, 255, light]);
        }
    }
    encoder.write_header().unwrap().write_image_data(&rgba).unwrap();
    let line = judged(folder.path(), "white.png", &bytes);
    assert_eq!(line["status"], "rejected", "{line}");
}

#[test]
fn other_variants_and_gaps_of_a_playlist_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a.mp4"), clip(&scene())).unwrap();
    let media = "#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n";
    assert_whole(&judged(path, "a.m3u8", media.as_bytes()));
    let variant = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\na.m3u8\n";
    assert_whole(&judged(path, "one.m3u8", variant.as_bytes()));
    let two = format!("{variant}#EXT-X-STREAM-INF:BANDWIDTH=1\nother.m3u8\n");
    assert_told(&judged(path, "two.m3u8", two.as_bytes()), "unseen_variant");
    let gap = media.replace("#EXT-X-ENDLIST", "#EXT-X-GAP\n#EXTINF:1,\nb.mp4\n#EXT-X-ENDLIST");
    assert_told(&judged(path, "gap.m3u8", gap.as_bytes()), "unseen_variant");
}

#[test]
fn a_segment_that_is_not_there_yet_is_no_fault_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let line = judged(folder.path(), "early.m3u8", b"#EXTM3U\n#EXTINF:1,\nlater.ts\n");
    assert_told(&line, "playlist");
}

#[test]
fn a_cut_video_and_a_second_track_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let whole = clip(&scene());
    assert_whole(&judged(folder.path(), "whole.mp4", &whole));
    let second = judged(folder.path(), "twice.mp4", &[&whole[..], &whole].concat());
    assert_told(&second, "unseen_track");
    let more = [&whole[..], b"\0\0\x10\0mdat"].concat();
    assert_told(&judged(folder.path(), "cut.mp4", &more), "damaged");
}
