//! Raw → checked, with every problem reported.

use super::raw;
use super::{
    Channels, Conversion, Decoder, Input, Kind, Label, Layout, Manifest, OutputSpec, Pin,
    Precision, Shape, Source,
};
use crate::Filter;

/// Largest side of an input in pixels: what the decoders deliver at most.
const MAX_SIDE: u32 = 8192;
/// Largest file that is fetched or loaded: 2 GiB, the limit of an ONNX file.
const MAX_BYTES: u64 = 2 << 30;

struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    fn need<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(format!("`{key}` is missing"));
        }
        value
    }

    fn text(&mut self, key: &str, value: Option<String>) -> String {
        let value = self.need(key, value);
        if value.as_deref() == Some("") {
            self.add(format!("`{key}` is empty"));
        }
        value.unwrap_or_default()
    }

    /// A name that also serves in file names.
    fn slug(&mut self, key: &str, value: Option<String>) -> String {
        let value = self.text(key, value);
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !value.chars().all(fine) || value.starts_with('.') {
            self.add(format!("`{key}` = {value:?}: write letters, digits, `-`, `_` and `.` only"));
        }
        value
    }

    fn choice<T: Copy>(
        &mut self,
        key: &str,
        value: Option<String>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = self.need(key, value)?;
        let found = choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.add(format!("`{key}` = {value:?}: write one of {}", names.join(", ")));
        }
        found
    }

    fn share(&mut self, key: &str, value: f32) -> f32 {
        if !(0.0..=1.0).contains(&value) {
            self.add(format!("`{key}` = {value}: write a number from 0 to 1"));
        }
        value
    }

    fn pin(&mut self, at: &str, sha256: Option<String>, bytes: Option<u64>) -> Pin {
        let sha256 = self.need(&format!("{at}sha256"), sha256).unwrap_or_default();
        let hex = sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !sha256.is_empty() && (sha256.len() != 64 || !hex) {
            self.add(format!("`{at}sha256` = {sha256:?}: write 64 lower-case hex digits"));
        }
        let bytes = self.need(&format!("{at}bytes"), bytes).unwrap_or_default();
        if bytes > MAX_BYTES {
            self.add(format!("`{at}bytes` = {bytes}: at most {MAX_BYTES}"));
        }
        Pin { sha256, bytes }
    }
}

pub(super) fn check(raw: raw::Manifest) -> Result<Manifest, Vec<String>> {
    let mut problems = Problems(Vec::new());
    let p = &mut problems;
    let name = p.slug("name", raw.name);
    let version = p.slug("version", raw.version);
    let kinds = [("classifier", Kind::Classifier), ("faces", Kind::Faces), ("age", Kind::Age)];
    let kind = p.choice("kind", raw.kind, &kinds);
    let licence = p.text("licence", raw.licence);
    let precisions =
        [("fp32", Precision::Fp32), ("fp16", Precision::Fp16), ("int8", Precision::Int8)];
    let precision = raw.precision.and_then(|name| p.choice("precision", Some(name), &precisions));
    let pin = p.pin("", raw.sha256, raw.bytes);
    let conversions =
        [("nsfwjs-tfjs", Conversion::NsfwjsTfjs), ("face-api-age", Conversion::FaceApiAge)];
    let convert = raw.convert.and_then(|convert| p.choice("convert", Some(convert), &conversions));
    let sources = sources(p, raw.source);
    if convert.is_none() && sources.first().is_some_and(|source| source.pin != pin) {
        p.add(
            "`source` differs from `sha256` and `bytes`, but nothing is converted: write `convert`",
        );
    }
    if convert.is_none() && sources.len() > 1 {
        p.add("more than one `[[source]]`, but nothing is converted: write `convert` or keep one");
    }
    let accept = raw.accept.into_iter().map(|a| p.pin("accept.", a.sha256, a.bytes)).collect();
    let input = p.need("[input]", raw.input).and_then(|input| check_input(p, input));
    let output = p.need("[output]", raw.output).and_then(|output| check_output(p, output));
    let labels = labels(p, raw.label);
    let min_confidence = p.share("min_confidence", raw.min_confidence.unwrap_or(0.0));
    if let (Some(kind), Some(output)) = (kind, &output) {
        agree(p, kind, output, &labels);
    }
    match (kind, input, output) {
        (Some(kind), Some(input), Some(output)) if problems.0.is_empty() => Ok(Manifest {
            name,
            version,
            kind,
            licence,
            precision: precision.unwrap_or_default(),
            pin,
            convert,
            sources,
            accept,
            input,
            output,
            labels,
            min_confidence,
        }),
        _ => Err(problems.0),
    }
}

fn sources(p: &mut Problems, raw: Vec<raw::Source>) -> Vec<Source> {
    raw.into_iter()
        .map(|source| {
            let file = p.slug("source.file", source.file);
            let url = p.text("source.url", source.url);
            if !url.is_empty() && !url.starts_with("https://") {
                p.add(format!("`source.url` = {url:?}: write an https:// address"));
            }
            Source { file, url, pin: p.pin("source.", source.sha256, source.bytes) }
        })
        .collect()
}

fn check_input(p: &mut Problems, raw: raw::Input) -> Option<Input> {
    let name = p.text("input.name", raw.name);
    let mut side = |key: &str, value: Option<u32>| {
        let value = p.need(key, value).unwrap_or(1);
        if !(1..=MAX_SIDE).contains(&value) {
            p.add(format!("`{key}` = {value}: write 1 to {MAX_SIDE} pixels"));
        }
        value
    };
    let (width, height) = (side("input.width", raw.width), side("input.height", raw.height));
    let layout =
        p.choice("input.layout", raw.layout, &[("nchw", Layout::Nchw), ("nhwc", Layout::Nhwc)]);
    let channels =
        p.choice("input.channels", raw.channels, &[("rgb", Channels::Rgb), ("bgr", Channels::Bgr)]);
    let multiple = raw.multiple_of.unwrap_or(1);
    if !(1..=MAX_SIDE).contains(&multiple) {
        p.add(format!("`input.multiple_of` = {multiple}: write 1 to {MAX_SIDE}"));
    }
    let fits = [
        ("stretch", Shape::Stretch),
        ("letterbox", Shape::Letterbox),
        ("within", Shape::Within { multiple }),
    ];
    let shape = p.choice("input.fit", raw.fit, &fits);
    let filters = [
        ("bilinear-align-corners", Filter::BilinearAlignCorners),
        ("bilinear", Filter::Bilinear),
        ("triangle", Filter::Triangle),
    ];
    let filter = p.choice("input.filter", raw.filter, &filters);
    let std = raw.std.unwrap_or([1.0; 3]);
    if std.iter().any(|value| !value.is_normal()) {
        p.add("`input.std` holds a zero: each channel is divided by it");
    }
    if raw.max_batch == Some(0) {
        p.add("`input.max_batch` = 0: write 1 or more, or leave it out");
    }
    Some(Input {
        name,
        width,
        height,
        layout: layout?,
        channels: channels?,
        shape: shape?,
        filter: filter?,
        scale: raw.scale.unwrap_or(1.0),
        mean: raw.mean.unwrap_or([0.0; 3]),
        std,
        max_batch: raw.max_batch,
    })
}

fn check_output(p: &mut Problems, raw: raw::Output) -> Option<OutputSpec> {
    #[derive(Clone, Copy)]
    enum Name {
        Probabilities,
        Softmax,
        Yunet,
        Ultraface,
        Age,
    }
    let names = [
        ("probabilities", Name::Probabilities),
        ("softmax", Name::Softmax),
        ("yunet", Name::Yunet),
        ("ultraface", Name::Ultraface),
        ("age", Name::Age),
    ];
    let decoder = match p.choice("output.decoder", raw.decoder, &names)? {
        Name::Probabilities => Decoder::Probabilities,
        Name::Softmax => Decoder::Softmax,
        Name::Yunet => Decoder::Yunet { strides: raw.strides.clone() },
        Name::Ultraface => Decoder::Ultraface,
        Name::Age => Decoder::Age,
    };
    let count = match &decoder {
        Decoder::Yunet { strides } => {
            if strides.is_empty() || strides.contains(&0) {
                p.add("`output.strides`: write the cell sizes in pixels, for example [8, 16, 32]");
            }
            3 * strides.len()
        }
        Decoder::Ultraface => 2,
        _ => 1,
    };
    if raw.names.len() != count {
        p.add(format!("`output.names` has {} names; this decoder reads {count}", raw.names.len()));
    }
    if !raw.strides.is_empty() && !matches!(decoder, Decoder::Yunet { .. }) {
        p.add("`output.strides` belongs to the decoder yunet only: remove it");
    }
    Some(OutputSpec {
        decoder,
        names: raw.names,
        score_threshold: p.share("output.score_threshold", raw.score_threshold.unwrap_or(0.5)),
        nms_iou: p.share("output.nms_iou", raw.nms_iou.unwrap_or(0.45)),
    })
}

fn labels(p: &mut Problems, raw: Vec<raw::Label>) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::with_capacity(raw.len());
    for label in raw {
        let name = p.text("label.name", label.name);
        if name != name.to_lowercase() {
            p.add(format!("`label.name` = {name:?}: write it in lower case"));
        }
        if labels.iter().any(|other| other.name == name) {
            p.add(format!("`label.name` = {name:?} stands twice"));
        }
        if label.platt.is_some_and(|platt| platt.iter().any(|value| !value.is_finite())) {
            p.add("`label.platt` holds a number that is not finite");
        }
        let (category, is_unsafe, platt) = (label.category, label.is_unsafe, label.platt);
        labels.push(Label { name, category, is_unsafe, platt });
    }
    labels
}

/// Kind, decoder and labels belong together.
fn agree(p: &mut Problems, kind: Kind, output: &OutputSpec, labels: &[Label]) {
    let fits = match output.decoder {
        Decoder::Probabilities | Decoder::Softmax => kind == Kind::Classifier,
        Decoder::Yunet { .. } | Decoder::Ultraface => kind == Kind::Faces,
        Decoder::Age => kind == Kind::Age,
    };
    if !fits {
        p.add(format!("`output.decoder` does not answer for kind `{}`", kind.as_str()));
    }
    if kind == Kind::Classifier && labels.is_empty() {
        p.add("a classifier needs a `[[label]]` for each of its outputs");
    }
    if kind != Kind::Classifier && !labels.is_empty() {
        p.add("`[[label]]` belongs to the kind classifier only: remove it");
    }
}
