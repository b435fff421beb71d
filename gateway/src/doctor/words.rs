//! What reads words in pictures.

use std::path::Path;

use domain::profile::Detector;
use pipeline::measure::ocr;

use super::{Line, Machine};

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    let read = machine.profile.detectors.values().filter_map(|detector| match detector {
        Detector::Ocr(ocr) => Some(ocr.languages.clone()),
        _ => None,
    });
    let languages: Vec<String> = read.flatten().collect();
    if languages.is_empty() {
        return vec![Line::ok(format!("not read by the profile {}", machine.profile.name))];
    }
    let folder = Path::new(ocr::DEFAULT_TESSDATA);
    let told = |language: &String| match ocr::problems(std::slice::from_ref(language), folder) {
        problems if problems.is_empty() => Line::ok(format!("Tesseract: {language}")),
        problems => {
            let what: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Line::missing(what.join("; "), format!("apt install tesseract-ocr-{language}"))
        }
    };
    languages.iter().map(told).collect()
}
