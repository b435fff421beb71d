//! `weir doctor` on this machine, with the real program of the codecs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rig::media::{Clip, encode_mp4, scene};
use rig::service::Service;
use rig::weir;
use serde_json::{Value, json};

fn doctor(arguments: &[&str]) -> weir::Run {
    weir::run(["doctor"].iter().chain(arguments))
}

/// The lines of a section.
fn lines<'r>(report: &'r Value, title: &str) -> &'r Vec<Value> {
    let sections = report["sections"].as_array().unwrap();
    let section = sections.iter().find(|s| s["title"] == title);
    section.unwrap_or_else(|| panic!("no {title} in {report}"))["lines"].as_array().unwrap()
}

#[test]
fn a_machine_on_which_the_tests_run_has_all_that_is_required() {
    let run = doctor(&["--json"]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["ok"], true);
    let video = lines(&report, "Video");
    let said = |start: &str| {
        let line = video.iter().find(|l| l["what"].as_str().unwrap().starts_with(start));
        line.unwrap_or_else(|| panic!("no {start} in {video:?}"))
    };
    assert_eq!(said("GStreamer 1.")["state"], "ok");
    assert_eq!(said("H.264: avdec_h264")["state"], "ok");
    assert_eq!(lines(&report, "Pictures")[0]["state"], "ok");
    assert_eq!(lines(&report, "Words in pictures")[0]["what"], "Tesseract: eng");
}

#[test]
fn the_report_reads_on_a_phone() {
    let run = doctor(&[]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stdout.starts_with("Weir "), "{}", run.stdout);
    assert!(run.stdout.contains("\nSandbox\n"), "{}", run.stdout);
    for line in run.stdout.lines() {
        // A path or a package stands alone where it is longer than the screen.
        assert!(line.chars().count() <= 44 || !line.trim().contains(' '), "{line}");
    }
    assert!(run.stdout.ends_with("is here.\n"), "{}", run.stdout);
}

#[test]
fn what_is_missing_is_named_with_what_to_install_and_the_exit_code_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = weir::command();
    command.args(["doctor", "--json"]).env("WEIR_SANDBOX", folder.path().join("weir-sandbox"));
    let run = weir::finish(&mut command);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let line = &lines(&report, "Pictures")[0];
    assert_eq!(line["state"], "missing");
    assert!(line["what"].as_str().unwrap().contains("no weir-sandbox at"), "{line}");
    assert!(line["todo"].is_string());

    let run = doctor(&["--profile", "no-such-profile"]);
    assert_eq!(run.code, Some(64), "{run:#?}");
}

#[test]
fn a_jetson_without_its_packages_is_told_which_to_install() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/nv_tegra_release"), "# R36 (release), REVISION: 4.3\n")
        .unwrap();
    let run = doctor(&["--json", "--root", root.path().to_str().unwrap()]);
    // The cores decode: nothing that is required is missing.
    assert_eq!(run.code, Some(0), "{run:#?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let video = lines(&report, "Video");
    let line = video.iter().find(|l| l["what"] == "H.264 on the Jetson: no nvv4l2decoder");
    let todo = line.map(|l| l["todo"].as_str().unwrap());
    assert_eq!(todo, Some("apt install nvidia-l4t-gstreamer"), "{video:?}");
    let devices = lines(&report, "Hardware decoders");
    assert!(devices[0]["what"].as_str().unwrap().starts_with("Jetson: no /dev/"), "{devices:?}");
}

#[test]
fn a_box_that_is_told_to_decode_in_hardware_and_has_none_decodes_by_its_cores() {
    let dir = tempfile::tempdir().unwrap();
    let on = [("WEIR_DECODE__HARDWARE", Path::new("true"))];
    let service = Service::start_in(dir.path(), &[], &on);
    let clip = Clip { fps: 5, frames: 10, key_frames: 5 };
    let clip = encode_mp4(clip, |n| scene(320, 240, n)).unwrap();
    let answer = service.submit_with(&[("prefer", "wait=30")], &json!({}), &[&clip]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["complete"], true, "{answer:?}");
    assert!(answer.body["coverage"]["frames_seen"].as_u64().unwrap() >= 2, "{answer:?}");
}
