//! Golden vectors: what a model must answer to some pictures, on any device and engine.
//!
//! ```toml
//! format = 1
//! score_tolerance = 0.02        # of every score, 0 to 1
//! age_tolerance = 1.0           # years
//! box_iou = 0.9                 # least overlap of a face's box, intersection over union
//!
//! [[case]]
//! picture = "red.png"
//! scores = [0.9, 0.1]           # a classifier's, in the order of its labels
//! # or: years = 31.5
//! # or: faces = [{ score = 0.9, box = [10.0, 20.0, 64.0, 64.0] }]
//! ```
//!
//! They are compared after decoding, as the product uses them: what an engine may compute otherwise in a layer is of no
//! interest, what it says of a picture is.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LifeError;
use super::bundle::MOST_PICTURES;
use crate::{Engine, Face, Kind, Manifest, Output, RgbImage, Runner, RunnerConfig};

/// Largest side of a golden picture in pixels.
const MOST_SIDE: u32 = 4096;

/// What a model must answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    format: u32,
    score_tolerance: f32,
    age_tolerance: f32,
    box_iou: f32,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    picture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scores: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    years: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    faces: Option<Vec<GoldenFace>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenFace {
    score: f32,
    #[serde(rename = "box")]
    bbox: [f32; 4],
}

/// A model that answers on this device as it must.
#[derive(Clone, Debug, PartialEq)]
pub struct Parity {
    /// On which engine.
    pub engine: String,
    /// Pictures that were compared.
    pub cases: usize,
    /// The largest difference of a score, as a share of what is tolerated: 1 at most.
    pub worst: f32,
}

impl Golden {
    /// Reads the vectors.
    ///
    /// # Errors
    /// Where they cannot be read, or the format is another one.
    pub fn read(path: &Path) -> Result<Self, LifeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| LifeError::file("cannot read", path, &error))?;
        let odd = |detail: String| LifeError::Refused(format!("{}: {detail}", path.display()));
        let golden: Self = toml::from_str(&text).map_err(|error| odd(error.to_string()))?;
        if golden.format != 1 {
            let format = golden.format;
            return Err(odd(format!("it has format {format}, and this release reads format 1")));
        }
        Ok(golden)
    }

    /// What a model answers on an engine, to be held against others.
    ///
    /// # Errors
    /// Where a picture cannot be read, or the model fails on one.
    pub fn of(
        engine: &dyn Engine,
        manifest: &Manifest,
        weights: &Path,
        pictures: &[(String, PathBuf)],
    ) -> Result<Self, LifeError> {
        let runner = Runner::load(engine, manifest, weights, RunnerConfig::default())?;
        let mut cases = Vec::new();
        for (name, path) in pictures {
            let output = runner.submit(picture(path).map_err(LifeError::Refused)?).wait()?;
            cases.push(Case::of(name.clone(), &output));
        }
        Ok(Self { format: 1, score_tolerance: 0.02, age_tolerance: 1.0, box_iou: 0.9, cases })
    }

    /// As it is written.
    ///
    /// # Errors
    /// Where a number cannot be.
    pub fn to_toml(&self) -> Result<String, LifeError> {
        toml::to_string(self).map_err(|error| LifeError::Refused(error.to_string()))
    }

    /// What keeps these vectors from being those of a model, with its pictures in `dir`: a sentence each.
    pub fn problems(&self, manifest: &Manifest, dir: &Path) -> Vec<String> {
        let mut problems = Vec::new();
        let ratio = |value: f32| (0.0..=1.0).contains(&value);
        if !ratio(self.score_tolerance) || !ratio(self.box_iou) {
            problems.push("golden: `score_tolerance` and `box_iou` are 0 to 1".into());
        }
        if !(self.age_tolerance.is_finite() && self.age_tolerance >= 0.0) {
            problems.push("golden: `age_tolerance` is a number of years".into());
        }
        if !(1..=MOST_PICTURES).contains(&self.cases.len()) {
            problems.push(format!("golden: {} cases, not 1 to {MOST_PICTURES}", self.cases.len()));
        }
        for case in &self.cases {
            let name = &case.picture;
            let fits = match manifest.kind {
                Kind::Classifier => {
                    case.scores.as_ref().is_some_and(|s| s.len() == manifest.labels.len())
                }
                Kind::Faces => case.faces.is_some(),
                Kind::Age => case.years.is_some(),
            };
            if !fits {
                let kind = manifest.kind.as_str();
                problems
                    .push(format!("golden: {name} has not the answer of a model of kind {kind}"));
            }
            let plain = !name.contains('/') && name.ends_with(".png");
            if !plain {
                problems.push(format!("golden: {name:?} is no name of a picture"));
            } else if let Err(error) = picture(&dir.join(name)) {
                problems.push(format!("golden: {error}"));
            }
        }
        problems
    }

    /// Runs the model on this engine over the pictures in `dir`.
    ///
    /// # Errors
    /// [`LifeError::Parity`] with all that differs; what keeps the model from running.
    pub fn compare(
        &self,
        engine: &dyn Engine,
        manifest: &Manifest,
        weights: &Path,
        dir: &Path,
    ) -> Result<Parity, LifeError> {
        let runner = Runner::load(engine, manifest, weights, RunnerConfig::default())?;
        let (mut problems, mut worst) = (Vec::new(), 0f32);
        for case in &self.cases {
            let image = picture(&dir.join(&case.picture)).map_err(LifeError::Refused)?;
            let outcome = match runner.submit(image).wait() {
                Ok(output) => self.differs(case, &output, manifest),
                Err(error) => Err(error.to_string()),
            };
            match outcome {
                Ok(share) => worst = worst.max(share),
                Err(problem) => problems.push(format!("{}: {problem}", case.picture)),
            }
        }
        let (engine, cases) = (engine.name().to_owned(), self.cases.len());
        if problems.is_empty() {
            return Ok(Parity { engine, cases, worst });
        }
        Err(LifeError::Parity { model: manifest.id(), engine, cases, problems })
    }

    /// The largest difference as a share of what is tolerated, or what goes beyond.
    fn differs(&self, case: &Case, output: &Output, manifest: &Manifest) -> Result<f32, String> {
        let within = |what: &str, got: f32, want: f32, most: f32| {
            let by = (got - want).abs();
            // Not `>`: what is no number is never within.
            if by <= most {
                return Ok(if most > 0.0 { by / most } else { 0.0 });
            }
            Err(format!("{what} is {got:.4}, not {want:.4} ± {most}"))
        };
        let mut worst = 0f32;
        match (output, &case.scores, &case.years, &case.faces) {
            (Output::Classes(got), Some(want), _, _) if got.len() == want.len() => {
                for ((label, got), want) in got.iter().zip(want) {
                    worst = worst.max(within(label, *got, *want, self.score_tolerance)?);
                }
            }
            (Output::Age { years }, _, Some(want), _) => {
                worst = within("the age", *years, *want, self.age_tolerance)?;
            }
            (Output::Faces(got), _, _, Some(want)) => {
                worst = self.faces_differ(got, want, manifest.output.score_threshold)?;
            }
            _ => return Err("it answers with another kind of output".into()),
        }
        Ok(worst)
    }

    /// A face so near to the model's threshold that the tolerance crosses it may be there or not.
    fn faces_differ(&self, got: &[Face], want: &[GoldenFace], least: f32) -> Result<f32, String> {
        let sure = |score: f32| score > least + self.score_tolerance;
        let mut worst = 0f32;
        let mut free: Vec<&Face> = got.iter().collect();
        for face in want {
            let near = |f: &&Face| iou(&corners(f), &face.bbox) >= self.box_iou;
            match free.iter().position(near) {
                Some(at) => {
                    let by = (free.swap_remove(at).score - face.score).abs();
                    if by > self.score_tolerance {
                        return Err(format!("a face's score differs by {by:.4}"));
                    }
                    worst = worst.max(by / self.score_tolerance.max(f32::MIN_POSITIVE));
                }
                None if sure(face.score) => {
                    return Err(format!("no face at {:?}", face.bbox));
                }
                None => {}
            }
        }
        match free.iter().find(|f| sure(f.score)) {
            Some(more) => Err(format!("a face at {:?} that should not be there", corners(more))),
            None => Ok(worst),
        }
    }
}

impl Case {
    fn of(picture: String, output: &Output) -> Self {
        let mut case = Self { picture, scores: None, years: None, faces: None };
        match output {
            Output::Classes(all) => case.scores = Some(all.iter().map(|(_, s)| *s).collect()),
            Output::Age { years } => case.years = Some(*years),
            Output::Faces(faces) => {
                let flat = |f: &Face| GoldenFace { score: f.score, bbox: corners(f) };
                case.faces = Some(faces.iter().map(flat).collect());
            }
        }
        case
    }
}

/// Left, top, width, height.
fn corners(face: &Face) -> [f32; 4] {
    [face.bbox.x, face.bbox.y, face.bbox.w, face.bbox.h]
}

fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |n: usize| (a[n] + a[n + 2]).min(b[n] + b[n + 2]) - a[n].max(b[n]);
    let both = side(0).max(0.0) * side(1).max(0.0);
    let sum = a[2] * a[3] + b[2] * b[3] - both;
    if sum > 0.0 { both / sum } else { 0.0 }
}

/// Reads a golden picture. Its bytes are signed, and the reader is memory-safe.
fn picture(path: &Path) -> Result<RgbImage, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    let odd = |error: png::DecodingError| format!("{name}: {error}");
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(odd)?;
    let (width, height) = (reader.info().width, reader.info().height);
    if width > MOST_SIDE || height > MOST_SIDE {
        return Err(format!("{name} has {width} × {height} pixels; {MOST_SIDE} a side are taken"));
    }
    let size = reader.output_buffer_size().ok_or_else(|| format!("{name} is too large"))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(odd)?;
    pixels.truncate(info.buffer_size());
    let data = match info.color_type {
        png::ColorType::Rgb => pixels,
        png::ColorType::Grayscale => pixels.iter().flat_map(|p| [*p; 3]).collect(),
        _ => return Err(format!("{name} is neither RGB nor grey without transparency")),
    };
    RgbImage::new(width, height, data).ok_or_else(|| format!("{name} breaks off"))
}
