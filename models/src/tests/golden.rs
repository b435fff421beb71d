//! Against the reference values in the shared data.

use std::path::Path;

use serde_json::Value;

use super::engine;
use crate::{
    Catalogue, Engine, Face, Filter, Fit, Library, Manifest, Output, Rendition, RgbImage, Runner,
    RunnerConfig, Tensor, crop_face, resample,
};

fn manifest(name: &str) -> Manifest {
    Catalogue::load("/nowhere".as_ref()).unwrap().find(name).unwrap().clone()
}

/// The model, fetched from the data as from a mirror.
fn runner(data: &Path, dir: &Path, name: &str) -> Runner {
    let manifest = manifest(name);
    let path = Library::new(dir).fetch(&manifest, Some(&data.join("models")), &mut |_| ()).unwrap();
    Runner::load(&engine(), &manifest, &path, RunnerConfig::default()).unwrap()
}

/// The lines whose picture is in the data; some name pictures that are not handed out.
fn golden(data: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("faces/model_golden.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| data.join(line["path"].as_str().unwrap()).is_file())
        .collect();
    assert!(lines.len() >= 50, "only {} reference pictures", lines.len());
    lines
}

fn picture(data: &Path, line: &Value) -> RgbImage {
    let image = image::open(data.join(line["path"].as_str().unwrap())).unwrap().to_rgb8();
    RgbImage::new(image.width(), image.height(), image.into_raw()).unwrap()
}

fn faces(output: Output) -> Vec<Face> {
    match output {
        Output::Faces(faces) => faces,
        other => panic!("faces were expected, not {other:?}"),
    }
}

/// Left, top, right, bottom.
fn corners(face: &Face) -> [f64; 4] {
    let b = face.bbox;
    [b.x, b.y, b.x + b.w, b.y + b.h].map(f64::from)
}

#[test]
fn shared_nsfw_scores_agree_with_the_reference() {
    let data = rig::shared!();
    let dir = tempfile::tempdir().unwrap();
    let runner = runner(&data, dir.path(), "nsfwjs-mobilenet-v2");
    let (mut lossless, mut jpeg) = (0f64, 0f64);
    for line in golden(&data) {
        let Output::Classes(classes) = runner.submit(picture(&data, &line)).wait().unwrap() else {
            panic!("classes were expected");
        };
        for (label, score) in classes {
            let name = format!("{}{}", label[..1].to_uppercase(), &label[1..]);
            let difference = (line["nsfw"][&name].as_f64().unwrap() - f64::from(score)).abs();
            let is_jpeg = line["path"].as_str().unwrap().ends_with(".jpg");
            let most = if is_jpeg { &mut jpeg } else { &mut lossless };
            if difference > *most {
                println!("{} {label}: off by {difference:.5}", line["path"]);
                *most = difference;
            }
        }
    }
    println!("largest difference: lossless {lossless:.5}, JPEG {jpeg:.5}");
    // Decoders round differently, which a blurred JPEG of bricks amplifies to 0.057; the next is below 0.01.
    assert!(lossless < 0.02 && jpeg < 0.08, "lossless {lossless}, JPEG {jpeg}");
}

#[test]
fn shared_conversions_agree_with_the_reference_conversions() {
    let data = rig::shared!();
    let dir = tempfile::tempdir().unwrap();
    let manifest = manifest("nsfwjs-mobilenet-v2");
    let mirror = data.join("models/nsfwjs_tfjs");
    let path = Library::new(dir.path()).fetch(&manifest, Some(&mirror), &mut |_| ()).unwrap();
    let reference = data.join("models/nsfwjs_mobilenet_v2_u8w.onnx");
    let mut state = 1u32;
    let noise = (0..2 * 3 * 224 * 224).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    });
    let input = Tensor { shape: vec![2, 3, 224, 224], data: noise.collect() };
    let run = |path: &Path| engine().load(&manifest, path, 1).unwrap().run(&input).unwrap();
    let (ours, theirs) = (run(&path), run(&reference));
    for (ours, theirs) in ours[0].data.iter().zip(&theirs[0].data) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
    }
}

#[test]
fn shared_faces_are_counted() {
    let data = rig::shared!();
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let models =
        [("yunet-n", 0), ("yunet-n-640", 0), ("ultraface-rfb-640", 0), ("ultraface-rfb-320", 1)];
    for (name, slack) in models {
        let runner = runner(&data, dir.path(), name);
        for line in golden(&data) {
            let path = line["path"].as_str().unwrap();
            if !path.contains("own_comp_") || path.contains("rot180") {
                continue;
            }
            let want: usize = line["expected_faces"].as_str().unwrap().parse().unwrap();
            let found = faces(runner.submit(picture(&data, &line)).wait().unwrap()).len();
            if found.abs_diff(want) > slack {
                wrong.push(format!("{name} {path}: {found} faces, not {want}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn shared_yunet_boxes_agree_with_the_reference() {
    let data = rig::shared!();
    let dir = tempfile::tempdir().unwrap();
    let runner = runner(&data, dir.path(), "yunet-n-640");
    let mut most = 0f64;
    for line in golden(&data) {
        let image = picture(&data, &line);
        if !line["path"].as_str().unwrap().contains("own_comp_") {
            continue;
        }
        // The reference enlarges to 640 pixels first.
        let scale = 640.0 / f64::from(image.width().max(image.height()));
        let side = |side: u32| (f64::from(side) * scale).round() as u32;
        let rendition = Rendition {
            width: side(image.width()),
            height: side(image.height()),
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
        };
        let found = faces(runner.submit(resample(&image, rendition)).wait().unwrap());
        for want in line["yunet_boxes"].as_array().unwrap() {
            let want: Vec<f64> =
                want.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let nearest = found
                .iter()
                .map(|face| {
                    corners(face)
                        .iter()
                        .zip(&want)
                        .map(|(a, b)| (a / scale - b).abs())
                        .fold(0.0, f64::max)
                })
                .fold(f64::INFINITY, f64::min);
            most = most.max(nearest);
        }
    }
    println!("largest difference of a corner: {most:.2} pixels");
    assert!(most < 4.0, "a corner is off by {most} pixels");
}

#[test]
fn shared_ages_agree_with_the_reference() {
    let data = rig::shared!();
    let dir = tempfile::tempdir().unwrap();
    let faces_of = runner(&data, dir.path(), "yunet-n");
    let age_of = runner(&data, dir.path(), "face-api-age");
    let mut seen = 0;
    for line in golden(&data) {
        let Some(want) = line["age_gender"]["age"].as_f64() else { continue };
        let image = picture(&data, &line);
        let found = faces(faces_of.submit(image.clone()).wait().unwrap());
        let crop = crop_face(&image, &found[0].bbox, 0.0);
        let Output::Age { years } = age_of.submit(crop).wait().unwrap() else {
            panic!("an age was expected");
        };
        println!("{}: {years:.1} years, reference {want}", line["path"]);
        // The reference crops around the box that it found, which differs by some pixels.
        assert!(
            (f64::from(years) - want).abs() < 8.0,
            "{}: {years} years, not {want}",
            line["path"]
        );
        seen += 1;
    }
    assert!(seen > 5, "only {seen} faces have a reference age");
}
