//! `weir check` as a user, a tired technician and a hostile one meet it. Needs no outside data.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rig::media::{Clip, encode_mp4, scene};
use rig::weir;
use serde_json::Value;

/// A detailed picture as binary PPM: a deterministic pattern with edges at every scale.
fn sharp_picture(side: u32) -> Vec<u8> {
    let mut ppm = format!("P6\n{side} {side}\n255\n").into_bytes();
    for y in 0..side {
        for x in 0..side {
            let tile = ((x / 24) ^ (y / 16)).wrapping_mul(2_654_435_761) >> 24;
            let ring = ((x * x + y * y) / 97) % 256;
            ppm.extend([tile as u8, ring as u8, ((x * 7 + y * 3) % 256) as u8]);
        }
    }
    ppm
}

fn check(arguments: &[&OsStr]) -> weir::Run {
    weir::run(["check", "--json"].iter().map(OsStr::new).chain(arguments.iter().copied()))
}

fn check_file(path: &Path) -> weir::Run {
    check(&[path.as_os_str()])
}

#[test]
fn a_sharp_picture_is_allowed_and_fully_described() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sharp.ppm");
    std::fs::write(&path, sharp_picture(480)).unwrap();
    let run = check_file(&path);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let line = run.line();
    assert_eq!(line["status"], "approved");
    assert_eq!(line["complete"], true);
    let media = &line["media"][0];
    assert_eq!((media["width"].as_u64(), media["height"].as_u64()), (Some(480), Some(480)));
    assert_eq!(media["format"], "pnm");
    assert_eq!(media["pdq"].as_str().unwrap().len(), 64);
    assert!(line["scores"]["blur_variance"].as_f64().unwrap() > 100.0);
    assert_eq!(line["coverage"]["frames_seen"], 1);
    assert_eq!(line["coverage"]["detectors_missing"].as_array().unwrap().len(), 0);
    for key in [
        "file",
        "id",
        "status",
        "complete",
        "severity",
        "action",
        "reasons",
        "categories",
        "scores",
        "media",
        "findings",
        "coverage",
        "policy",
        "models",
        "timings_ms",
        "error",
    ] {
        assert!(line.get(key).is_some(), "the key {key} is promised: {line}");
    }
}

#[test]
fn captions_are_judged_alone() {
    let clean = weir::run(["check", "--json", "--text", "a lovely day at Lake Victoria"]);
    assert_eq!(clean.code, Some(0), "{clean:#?}");
    assert!(clean.line()["file"].is_null());
    let hateful = weir::run(["check", "--json", "--text", "I will k i l l you, f@ggot"]);
    assert_eq!(hateful.code, Some(1), "{hateful:#?}");
    assert!(!hateful.line()["findings"].as_array().unwrap().is_empty());
}

#[test]
fn nothing_to_judge_is_a_usage_error_that_says_what_to_give() {
    let run = weir::run(["check"]);
    assert_eq!(run.code, Some(64));
    assert!(run.stderr.contains("--text CAPTION"), "{}", run.stderr);
    assert_eq!(weir::run(["chekc"]).code, Some(64));
    assert_eq!(weir::run(["check", "--jobs", "0", "x"]).code, Some(64));
    assert_eq!(weir::run(["--help"]).code, Some(0));
}

#[test]
fn an_unknown_profile_names_the_known_ones() {
    let run = weir::run(["check", "--profile", "startr", "--text", "x"]);
    assert_eq!(run.code, Some(64));
    assert!(
        run.stderr.contains("photo-dating") && run.stderr.contains("starter"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_profile_without_its_weights_refuses_and_names_the_command() {
    let empty = tempfile::tempdir().unwrap();
    let run = weir::finish(weir::command().env("WEIR_MODELS", empty.path()).args([
        "check",
        "--profile",
        "photo-dating",
        "--text",
        "x",
    ]));
    assert_eq!(run.code, Some(64), "{run:#?}");
    assert!(run.stderr.contains("weir models fetch"), "{}", run.stderr);
    assert_eq!(run.stdout, "", "no verdict without the models");
}

#[test]
fn what_cannot_be_read_is_said_and_never_clean() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let empty = dir.path().join("empty.jpg");
    std::fs::write(&empty, b"").unwrap();
    let noise = dir.path().join("noise.jpg");
    std::fs::write(&noise, [0xffu8, 0xd8, 0xff, 0xe0, 0, 4, 9, 9, 0, 1, 2, 3]).unwrap();
    for path in [Path::new("/dev/zero"), Path::new("/nonexistent"), &fifo, &empty, &noise] {
        let run = check_file(path);
        assert_eq!(run.code, Some(2), "{}: {run:#?}", path.display());
        let line = run.line();
        assert!(matches!(line["status"].as_str(), Some("held" | "failed")), "{line}");
        assert!(line["error"].is_string(), "{line}");
    }
}

#[test]
fn hostile_file_names_pass_through_unharmed() {
    let dir = tempfile::tempdir().unwrap();
    let names: [&[u8]; 4] =
        [b"--json", b"new\nline.ppm", b"not utf8 \xff.ppm", b"'; rm -rf $HOME #.ppm"];
    for name in names {
        std::fs::write(dir.path().join(OsStr::from_bytes(name)), sharp_picture(64)).unwrap();
    }
    let run = weir::finish(weir::command().current_dir(dir.path()).args(["check", "--json", "."]));
    let lines = run.lines();
    assert_eq!(lines.len(), 4, "{run:#?}");
    assert!(lines.iter().all(|l| l["media"][0]["width"] == 64), "{run:#?}");
    let table = weir::finish(weir::command().current_dir(dir.path()).args(["check", "."]));
    assert!(!table.stdout.contains("new\nline"), "a name cannot forge a line of the table");
}

#[test]
fn lines_come_in_input_order_whatever_the_number_of_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let mut want = Vec::new();
    for index in 0..12 {
        // Larger and smaller ones alternate, so that later items finish before earlier ones.
        let path = dir.path().join(format!("{index:02}.ppm"));
        std::fs::write(&path, sharp_picture(if index % 2 == 0 { 900 } else { 40 })).unwrap();
        want.push(path.display().to_string());
    }
    let run = weir::run([
        OsStr::new("check"),
        "--json".as_ref(),
        "--jobs".as_ref(),
        "4".as_ref(),
        dir.path().as_os_str(),
    ]);
    let have: Vec<_> = run.lines().iter().map(|l| l["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(have, want);
}

#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..40 {
        std::fs::write(dir.path().join(format!("{index}.ppm")), sharp_picture(64)).unwrap();
    }
    let mut child = weir::command()
        .args(["check", "--json"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert!(output.status.code().is_some(), "it ended by itself");
}

#[test]
fn a_listed_picture_is_rejected_by_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("listed.ppm");
    std::fs::write(&path, sharp_picture(200)).unwrap();
    // The hash comes from coreutils, not from us.
    let sum = Command::new("sha256sum").arg(&path).output().unwrap();
    let sha256 =
        String::from_utf8(sum.stdout).unwrap().split_whitespace().next().unwrap().to_owned();
    let bank = dir.path().join("bank.toml");
    let text = format!(
        "name = \"test\"\nversion = 1\nkind = \"sha256\"\ncategory = \"illicit\"\nseverity = \"high\"\nverified = true\n\n[[entries]]\nhash = \"{sha256}\"\n"
    );
    std::fs::write(&bank, text).unwrap();
    let run = check(&["--bank".as_ref(), bank.as_os_str(), path.as_os_str()]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let line = run.line();
    assert_eq!(line["status"], "rejected", "{line}");
    assert_eq!(line["findings"][0]["detector"], "hash", "{line}");
    assert_eq!(line["coverage"]["ended_early"], true, "a listed hash settles the matter: {line}");
}

#[test]
fn a_settled_caption_is_a_complete_rejection() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fine.ppm");
    std::fs::write(&path, sharp_picture(64)).unwrap();
    let run =
        check(&["--text".as_ref(), "pay at https://scam.example/x".as_ref(), path.as_os_str()]);
    let line = run.line();
    assert_eq!(run.code, Some(1), "{line}");
    assert_eq!(line["status"], "rejected");
    assert_eq!(line["complete"], true, "{line}");
    assert_eq!(line["reasons"], serde_json::json!(["scam_link"]), "{line}");
    assert_eq!(line["coverage"]["ended_early"], true);
}

#[test]
fn the_caption_of_an_unreadable_file_is_judged_all_the_same() {
    let run = check(&[
        "--text".as_ref(),
        "pay at https://scam.example/x".as_ref(),
        "/nonexistent".as_ref(),
    ]);
    let line = run.line();
    assert_eq!(line["status"], "rejected", "{line}");
    assert!(line["error"].as_str().unwrap().contains("unreadable"), "{line}");
}

#[test]
fn text_that_is_too_long_to_be_read_whole_is_never_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.txt");
    std::fs::write(&path, "nice words ".repeat(8000)).unwrap();
    let line = check_file(&path).line();
    assert_eq!((&line["status"], &line["complete"]), (&"held".into(), &false.into()), "{line}");
}

#[test]
fn a_profile_that_would_ignore_one_of_its_detectors_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.toml");
    let text = "name = \"two\"\ntitle = \"t\"\ndescription = \"d\"\n[detectors.a]\nkind = \"hash\"\n[detectors.b]\nkind = \"hash\"\n\
                [policy]\nname = \"two\"\nversion = 1\nrequired = [\"a\"]\n";
    std::fs::write(&file, text).unwrap();
    let run = weir::run(["policy".as_ref(), "check".as_ref(), file.as_os_str()]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stderr.contains("is of kind hash already"), "{}", run.stderr);
}

#[test]
fn a_verdict_names_what_decoded_a_video_and_nothing_of_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    let (video, photo) = (dir.path().join("a.mp4"), dir.path().join("b.jpg"));
    let clip = Clip { fps: 5, frames: 10, key_frames: 5 };
    std::fs::write(&video, encode_mp4(clip, |n| scene(128, 96, n)).unwrap()).unwrap();
    std::fs::write(&photo, scene(128, 96, 1).jpeg(85).unwrap()).unwrap();
    let decoder = |path: &Path| {
        let run = weir::finish(weir::command().args(["check", "--json"]).arg(path));
        run.line()["media"][0]["decoder"].clone()
    };
    let of_video = decoder(&video);
    assert_eq!(of_video["hardware"], false, "{of_video}");
    // Of those that read H.264, whichever this machine has.
    assert!(of_video["element"].as_str().unwrap().contains("h264"), "{of_video}");
    assert_eq!(decoder(&photo), Value::Null);
}
