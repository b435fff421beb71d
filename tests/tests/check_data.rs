//! `weir check` over every file of the reference data: nothing crashes, nothing hangs, and what should
//! decode does, upright.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use rig::manifest::{self, Entry};
use rig::weir;
use serde_json::Value;

/// No item may take longer, whatever it is.
const MOST_MS: f64 = 15_000.0;

/// Files that the reference decoders read and Weir does not, with the reason for each.
fn exception(entry: &Entry) -> Option<&'static str> {
    let extension = entry.name.rsplit('.').next().unwrap_or_default().to_lowercase();
    Some(match extension.as_str() {
        "psd" | "jp2" | "jpeg2000" | "tga" | "dds" | "hdr" | "wbmp" | "ff" | "svg" | "fli" => {
            "a format that Weir does not promise (FEATURES row B1)"
        }
        "eps" => "PostScript is no picture format that Weir reads",
        _ => return exception_by_name(&entry.name),
    })
}

/// Single files, each for a reason of its own.
fn exception_by_name(name: &str) -> Option<&'static str> {
    let table = [
        (
            "formats/avif_draw_points_idat_metasize0.avif",
            "a meta box of size 0, which libheif 1.15 refuses",
        ),
        ("formats/g4_orientation_", "the manifest's size of these two is upright already"),
        ("formats/sharp_testimgl.jpg", "lossless JPEG, which no browser shows either"),
        ("audio_init.mp4", "an initialisation segment: no sound in it"),
        ("audio-init-clear.mp4", "an initialisation segment: no sound in it"),
        ("multi-segment/init.mp4", "an initialisation segment: no pictures in it"),
        (
            "hls/shaka/clear-encrypted-hls/",
            "partly encrypted: refused whole, since the rest cannot be seen",
        ),
        ("hls/shaka/hls-ts-muxed-opus-h264/playlist.m3u8", "a segment is missing from the data"),
        ("malformed/igif_issue-209", "an unknown extension block, which the gif crate refuses"),
        ("malformed/mitra_", "host files for polyglots, with next to nothing in them"),
        (
            "malformed/own_jpeg_progressive_20000_scans.jpg",
            "a scan bomb: the manifest allows to refuse it",
        ),
        (
            "malformed/pil_crash-74d2",
            "stored and upright size differ between decoders of this damaged file",
        ),
        (
            "video/amedia_mp4_sample_with_vobsub.mp4",
            "GStreamer's demuxer leaves its short video track out; refused, not passed",
        ),
    ];
    table.into_iter().find(|(part, _)| name.contains(part)).map(|(_, why)| why)
}

/// Judges all of the data's files in one run, through the list on standard input.
fn check_all(entries: &[Entry]) -> (Option<i32>, Vec<Value>) {
    let mut child = weir::command()
        .args(["check", "--json", "--profile", "starter", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut list = child.stdin.take().unwrap();
    let names: Vec<_> = entries.iter().map(|e| e.path.display().to_string()).collect();
    let feeder = std::thread::spawn(move || {
        list.write_all((names.join("\n") + "\n").as_bytes()).expect("weir reads its list");
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    (output.status.code(), lines)
}

#[test]
fn shared_every_file_gets_an_honest_verdict_in_bounded_time() {
    let data = rig::shared!();
    let entries: Vec<_> =
        manifest::entries(&data).into_iter().filter(|e| !e.name.starts_with("LICENSES")).collect();
    let (code, lines) = check_all(&entries);
    assert_eq!(code, Some(2), "hostile files are among them, so some cannot be judged");
    assert_eq!(lines.len(), entries.len(), "one line for each file");
    let mut wrong = BTreeMap::new();
    for (entry, line) in entries.iter().zip(&lines) {
        assert_eq!(line["file"], entry.path.display().to_string(), "lines come in input order");
        let took = line["timings_ms"]["total"].as_f64().unwrap();
        assert!(took < MOST_MS, "{} took {took} ms", entry.name);
        if let Some(problem) = problem(entry, line) {
            wrong.insert(entry.name.clone(), problem);
        }
    }
    assert!(wrong.is_empty(), "{} of {} files: {wrong:#?}", wrong.len(), entries.len());
}

/// What is wrong with a verdict, measured by what the manifest says of the file.
fn problem(entry: &Entry, line: &Value) -> Option<String> {
    if line["status"] == "approved" && (line["complete"] != true || !line["error"].is_null()) {
        return Some(format!("approved though not seen whole: {line}"));
    }
    if !entry.decodes() || exception(entry).is_some() {
        return None;
    }
    let media = &line["media"][0];
    if media["width"].is_null() && media["kind"] != "audio" {
        return Some(format!("does not decode: {}", line["error"]));
    }
    let (want, have) = (entry.upright()?, (media["width"].as_u64()?, media["height"].as_u64()?));
    (want != have).then(|| format!("{have:?} where {want:?} is right; {}", line["error"]))
}
