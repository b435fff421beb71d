//! How each kind of detector is configured.

use std::collections::BTreeMap;

use crate::{
    problem::suggestion,
    reader::{At, Source, Table, subtable},
};

/// A detector of a profile, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Detector {
    /// SHA-256 and PDQ against banks; labels `bank:<category>:<bank>`.
    Hash(Hash),
    /// Sharpness; scores only (`blur_variance`, `blur_score`).
    Quality,
    /// Any image classifier; labels are the model's.
    Classifier(Classifier),
    /// Finds and counts faces; label `face`.
    Faces(Faces),
    /// Estimates the age of faces; label `age`, score `estimated_age`.
    Age(Age),
    /// Terms and patterns in captions and in words read from pictures; labels `term:<category>:<severity>` and
    /// `pattern:<name>`.
    Text(Text),
    /// Reads words from pictures; label `words`, scores `ocr_words` and `text_likelihood`.
    Ocr(Ocr),
    /// Reads QR codes; label `qr`.
    Qr,
    /// Addresses in texts and QR codes; labels `link:blocked`, `link:lookalike`, `link:punycode`.
    Link(Link),
}

/// Options of kind `hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// Bank files; each says its own PDQ distance.
    pub banks: Vec<String>,
}

/// Options of kind `classifier`.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// Name in the model catalogue.
    pub model: String,
    /// Scores below this make no finding; they still count as scores.
    pub min_score: f32,
}

/// Options of kind `faces`.
#[derive(Clone, Debug, PartialEq)]
pub struct Faces {
    /// Name in the model catalogue.
    pub model: String,
    /// Confidence from which something is a face.
    pub min_score: f32,
}

/// Options of kind `age`.
#[derive(Clone, Debug, PartialEq)]
pub struct Age {
    /// Name in the model catalogue.
    pub model: String,
    /// The detector of kind `faces` whose faces are judged.
    pub faces: String,
}

/// Options of kind `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Shipped term lists by name, for example `en`; `None` is all of them.
    pub lists: Option<Vec<String>>,
    /// Paths of further term lists.
    pub files: Vec<String>,
    /// Name → regular expression, over the text as written.
    pub patterns: BTreeMap<String, String>,
}

/// Options of kind `ocr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ocr {
    /// Tesseract's names of languages, for example `eng`.
    pub languages: Vec<String>,
    /// Text-likelihood from which a picture is read; 0 reads every picture.
    pub min_likelihood: f32,
}

/// Options of kind `link`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Domains that are blocked with all below them.
    pub blocked: Vec<String>,
    /// Paths of files with one blocked domain a line.
    pub files: Vec<String>,
    /// Domains whose look-alikes are reported.
    pub protected: Vec<String>,
}

impl Detector {
    /// The kind as it is written in a profile.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hash(_) => "hash",
            Self::Quality => "quality",
            Self::Classifier(_) => "classifier",
            Self::Faces(_) => "faces",
            Self::Age(_) => "age",
            Self::Text(_) => "text",
            Self::Ocr(_) => "ocr",
            Self::Qr => "qr",
            Self::Link(_) => "link",
        }
    }

    /// The model that it needs.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Classifier(Classifier { model, .. })
            | Self::Faces(Faces { model, .. })
            | Self::Age(Age { model, .. }) => Some(model),
            _ => None,
        }
    }
}

const KINDS: [&str; 9] =
    ["hash", "quality", "classifier", "faces", "age", "text", "ocr", "qr", "link"];

/// Reads `[detectors]`; a detector with a mistake is `None`, so that its name still counts as configured.
pub(super) fn all(
    source: &mut Source<'_>,
    table: &Table<'_, '_>,
) -> BTreeMap<String, Option<Detector>> {
    let mut all = BTreeMap::new();
    let mut faces_of = Vec::new();
    for (name, value) in table.entries() {
        let key = table.key(&name);
        let detector = subtable(source, &key, value).and_then(|t| one(source, t));
        if let Some(Detector::Age(age)) = &detector {
            faces_of.push(At {
                value: age.faces.clone(),
                key: format!("{key}.faces"),
                span: value.span(),
            });
        }
        all.insert(name, detector);
    }
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, detector) in &all {
        let Some(detector) = detector else { continue };
        // Any number of classifiers may look at a picture; of the others a second one would never be asked.
        if !matches!(detector, Detector::Classifier(_))
            && let Some(first) = kinds.insert(detector.kind(), name)
        {
            let kind = detector.kind();
            let message =
                format!("`{first}` is of kind {kind} already: a profile has one; put both into it");
            source.report(&table.key(name), None, message);
        }
    }
    for faces in faces_of {
        // One with a mistake of its own is `None` and already reported.
        if !matches!(all.get(&faces.value), Some(None | Some(Detector::Faces(_)))) {
            let message = format!(
                "`{}` is no detector of kind faces: add `[detectors.{}]`",
                faces.value, faces.value
            );
            source.report(&faces.key, Some(faces.span), message);
        }
    }
    all
}

/// The names that count as configured.
pub(super) fn names(detectors: &BTreeMap<String, Option<Detector>>) -> Vec<String> {
    detectors.keys().cloned().collect()
}

fn one(source: &mut Source<'_>, mut table: Table<'_, '_>) -> Option<Detector> {
    let Some(kind) = table.string(source, "kind") else {
        if !table.has("kind") {
            table.missing(source, "kind", "\"classifier\"");
        }
        return None;
    };
    let detector = match kind.value.as_str() {
        "hash" => Some(Detector::Hash(Hash { banks: list(source, &mut table, "banks") })),
        "quality" => Some(Detector::Quality),
        "classifier" => {
            let min_score =
                table.number(source, "min_score", 0.0..=1.0).map_or(0.2, |v| v.value as f32);
            model(source, &mut table)
                .map(|model| Detector::Classifier(Classifier { model, min_score }))
        }
        "faces" => {
            let min_score =
                table.number(source, "min_score", 0.0..=1.0).map_or(0.7, |v| v.value as f32);
            model(source, &mut table).map(|model| Detector::Faces(Faces { model, min_score }))
        }
        "age" => {
            let faces =
                table.string(source, "faces").map_or_else(|| "faces".to_owned(), |v| v.value);
            model(source, &mut table).map(|model| Detector::Age(Age { model, faces }))
        }
        "text" => Some(Detector::Text(Text {
            lists: table.has("lists").then(|| list(source, &mut table, "lists")),
            files: list(source, &mut table, "files"),
            patterns: patterns(source, &mut table),
        })),
        "ocr" => Some(Detector::Ocr(Ocr {
            languages: languages(source, &mut table),
            min_likelihood: table
                .number(source, "min_likelihood", 0.0..=1.0)
                .map_or(0.5, |v| v.value as f32),
        })),
        "qr" => Some(Detector::Qr),
        "link" => Some(Detector::Link(Link {
            blocked: list(source, &mut table, "blocked"),
            files: list(source, &mut table, "files"),
            protected: list(source, &mut table, "protected"),
        })),
        other => {
            let hint = suggestion(other, KINDS);
            source.report(
                &kind.key,
                Some(kind.span),
                format!("`{other}` is no kind of detector{hint}"),
            );
            return None;
        }
    };
    table.finish(source);
    detector
}

fn model(source: &mut Source<'_>, table: &mut Table<'_, '_>) -> Option<String> {
    let model = table.string(source, "model");
    if !table.has("model") {
        table.missing(source, "model", "\"…\"` with a name from `weir models list");
    }
    model.map(|m| m.value)
}

fn list(source: &mut Source<'_>, table: &mut Table<'_, '_>, name: &'static str) -> Vec<String> {
    table.strings(source, name).into_iter().map(|s| s.value).collect()
}

fn languages(source: &mut Source<'_>, table: &mut Table<'_, '_>) -> Vec<String> {
    let languages = list(source, table, "languages");
    if languages.is_empty() { vec!["eng".to_owned()] } else { languages }
}

fn patterns(source: &mut Source<'_>, table: &mut Table<'_, '_>) -> BTreeMap<String, String> {
    let mut patterns = BTreeMap::new();
    let Some(table) = table.table(source, "patterns") else { return patterns };
    for (name, value) in table.entries() {
        let key = table.key(&name);
        match value.get_ref().as_str() {
            Some(pattern) => {
                if let Err(error) = regex::Regex::new(pattern) {
                    source.report(
                        &key,
                        Some(value.span()),
                        format!("not a regular expression: {error}"),
                    );
                }
                patterns.insert(name, pattern.to_owned());
            }
            None => source.report(&key, Some(value.span()), "write a regular expression in quotes"),
        }
    }
    patterns
}
