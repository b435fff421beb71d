//! The neural profiles with the real weights, fetched from the reference data as from an air-gapped mirror.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;

use rig::{manifest, weir};
use serde_json::Value;

/// Fetches what a profile needs into `dir` from the mirror in the reference data.
fn fetch(data: &Path, dir: &Path, profile: &str) {
    let run = weir::finish(
        weir::command()
            .env("WEIR_MODELS", dir)
            .args(["models", "fetch", "--profile", profile, "--mirror"])
            .arg(data.join("models")),
    );
    assert_eq!(run.code, Some(0), "{run:#?}");
}

fn check(models: &Path, profile: &str, paths: &[&Path]) -> Vec<Value> {
    let run = weir::finish(
        weir::command()
            .env("WEIR_MODELS", models)
            .args(["check", "--json", "--profile", profile])
            .args(paths),
    );
    run.lines()
}

#[test]
fn shared_face_counts_are_right_on_upright_unblurred_composites() {
    let data = rig::shared!();
    let models = tempfile::tempdir().unwrap();
    fetch(&data, models.path(), "photo-dating");
    let composites: Vec<_> = manifest::entries(&data)
        .into_iter()
        .filter(|e| e.purpose == "face count composite" || e.name == "faces/astronaut.png")
        .collect();
    assert!(composites.len() >= 7, "the data has composites");
    let paths: Vec<_> = composites.iter().map(|e| e.path.as_path()).collect();
    let lines = check(models.path(), "photo-dating", &paths);
    for (entry, line) in composites.iter().zip(&lines) {
        let digits: String = entry
            .expected
            .split("faces=")
            .nth(1)
            .unwrap()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let want: u64 = digits.parse().unwrap();
        assert_eq!(line["scores"]["face_count"].as_u64(), Some(want), "{}: {line}", entry.name);
        let boxes = line["media"][0]["faces"].as_array().unwrap();
        assert_eq!(boxes.len() as u64, want);
        let (w, h) = entry.upright().unwrap();
        for face in boxes {
            let b: Vec<f64> =
                face["box"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
            let (cx, cy) = (b[0] + b[2] / 2.0, b[1] + b[3] / 2.0);
            assert!(cx > 0.0 && cy > 0.0 && cx < w as f64 && cy < h as f64, "{b:?} in {w}×{h}");
        }
    }
}

#[test]
fn shared_the_rules_of_the_photo_service_decide_as_written() {
    let data = rig::shared!();
    let models = tempfile::tempdir().unwrap();
    fetch(&data, models.path(), "photo-dating");
    let names = [
        "faces/chelsea.png",
        "blur/own_brick_blur4.jpg",
        "ocr/lorem_ipsum_screenshot.png",
        "faces/biden2.jpg",
    ];
    let paths: Vec<_> = names.iter().map(|n| data.join(n)).collect();
    let paths: Vec<_> = paths.iter().map(|p| p.as_path()).collect();
    let lines = check(models.path(), "photo-dating", &paths);
    let reasons = |i: usize| lines[i]["reasons"].to_string();
    assert!(reasons(0).contains("no_face"), "a cat is no face: {}", lines[0]);
    assert!(reasons(1).contains("blurry"), "{}", lines[1]);
    assert!(reasons(2).contains("screenshot"), "{}", lines[2]);
    assert_eq!(lines[3]["status"], "approved", "a good portrait: {}", lines[3]);
    assert_eq!(lines[3]["complete"], true);
    let age = lines[3]["scores"]["estimated_age"].as_f64().unwrap();
    assert!((40.0..90.0).contains(&age), "a man of 70 is no child: {age}");
    for line in &lines {
        let probabilities = line["scores"]["nsfw_categories"].as_object().unwrap();
        let sum: f64 = probabilities.values().map(|v| v.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-3, "softmax: {line}");
    }
}

#[test]
fn shared_every_exif_orientation_shows_the_same_upright_picture() {
    let data = rig::shared!();
    let paths: Vec<_> = (0..=8).map(|o| data.join(format!("exif/Landscape_{o}.jpg"))).collect();
    let run = weir::run(
        ["check".as_ref(), "--json".as_ref()]
            .into_iter()
            .chain(paths.iter().map(|p| p.as_os_str())),
    );
    let lines = run.lines();
    let bits = |line: &Value| -> Vec<u8> {
        let hex = line["media"][0]["pdq"].as_str().unwrap();
        (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    let first = bits(&lines[0]);
    for line in &lines {
        let distance: u32 = bits(line).iter().zip(&first).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert!(
            distance <= 24,
            "a picture turned wrongly differs in about 128 of 256 bits: {distance}, {line}"
        );
        assert_eq!(line["media"][0]["width"], 1800);
        assert_eq!(line["media"][0]["height"], 1200);
    }
}

#[test]
fn shared_a_listed_second_of_a_video_is_found_and_dated() {
    let data = rig::shared!();
    let dir = tempfile::tempdir().unwrap();
    // The hash of the planted picture comes from the reference implementation.
    let mut expected = csv::Reader::from_path(data.join("pdq/pdq_expected.csv")).unwrap();
    let hash = expected
        .records()
        .map(Result::unwrap)
        .find(|row| row[0].contains("bridge-1-original"))
        .map(|row| row[2].to_owned())
        .expect("the bridge is in the table");
    let bank = dir.path().join("bank.toml");
    std::fs::write(
        &bank,
        format!(
            "name = \"bridges\"\nversion = 1\nkind = \"pdq\"\ncategory = \"illicit\"\nseverity = \"high\"\nverified = true\n\n[[entries]]\nhash = \"{hash}\"\n"
        ),
    )
    .unwrap();
    let video = data.join("video/own_target_4to5s.mp4");
    let run = weir::run([
        "check".as_ref(),
        "--json".as_ref(),
        "--bank".as_ref(),
        bank.as_os_str(),
        video.as_os_str(),
    ]);
    let line = run.line();
    assert_eq!(line["status"], "rejected", "{line}");
    let hit = line["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["detector"] == "hash")
        .expect("a hash finding");
    let start = hit["start_ms"].as_u64().unwrap();
    assert!((4000..=5000).contains(&start), "the target shows from 4 to 5 s: {hit}");
}
