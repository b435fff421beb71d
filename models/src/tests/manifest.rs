//! Manifests are checked once, with every problem told.

use crate::{Catalogue, Kind, Manifest};

#[test]
fn the_built_in_catalogue_holds() {
    let catalogue = Catalogue::load("/nowhere".as_ref()).unwrap();
    let names: Vec<_> = catalogue.iter().map(|manifest| manifest.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "face-api-age",
            "nsfwjs-mobilenet-v2",
            "ultraface-rfb-320",
            "ultraface-rfb-640",
            "yunet-n",
            "yunet-n-640"
        ]
    );
    assert_eq!(catalogue.find("yunet-n").unwrap().kind, Kind::Faces);
    let error = catalogue.find("nothing").unwrap_err().to_string();
    assert!(error.contains("weir models list"), "{error}");
}

#[test]
fn every_problem_is_told_at_once() {
    let text = r#"
name = "no/slash"
kind = "oracle"
licence = ""
sha256 = "XYZ"
[[source]]
file = "a"
url = "http://plain"
[input]
width = 0
height = 4
layout = "nchw"
channels = "grey"
fit = "stretch"
filter = "triangle"
std = [1.0, 0.0, 1.0]
[output]
decoder = "yunet"
names = ["one"]
nms_iou = 7.0
"#;
    let error = Manifest::parse("bad.toml", text).unwrap_err();
    let all = error.to_string();
    for key in [
        "bad.toml",
        "`name`",
        "`version` is missing",
        "oracle",
        "`licence` is empty",
        "64 lower-case",
        "`bytes`",
        "https://",
        "`input.name`",
        "`input.width` = 0",
        "grey",
        "input.std",
        "output.strides",
        "`output.nms_iou` = 7",
    ] {
        assert!(all.contains(key), "{key} is not told in:\n{all}");
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    let text = format!("colour = 1\n{}", super::tiny_manifest_text());
    assert!(Manifest::parse("x", &text).unwrap_err().to_string().contains("colour"));
}

#[test]
fn an_operator_adds_and_replaces_models_by_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tiny.toml"), super::tiny_manifest_text()).unwrap();
    let other = super::tiny_manifest_text().replace("\"tiny\"", "\"yunet-n\"");
    std::fs::write(dir.path().join("yunet.toml"), other).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not a manifest").unwrap();
    let catalogue = Catalogue::load(dir.path()).unwrap();
    let tiny = catalogue.find("tiny").unwrap();
    assert!(tiny.label("red").unwrap().is_unsafe && !tiny.label("blue").unwrap().is_unsafe);
    assert_eq!(catalogue.find("yunet-n").unwrap().kind, Kind::Classifier);
    std::fs::write(dir.path().join("worse.toml"), "name = 1").unwrap();
    let errors = Catalogue::load(dir.path()).unwrap_err();
    assert!(errors.len() == 1 && errors[0].origin.ends_with("worse.toml"), "{errors:?}");
}
