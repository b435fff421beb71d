//! A classifier of our own making, small enough to be made anew for each test: what is red is not allowed.
//!
//! Its weights are an ONNX file written by hand: the mean of each channel, then softmax. Field numbers are those of
//! `onnx.proto`.
#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use std::path::{Path, PathBuf};

use crate::media::Picture;
use crate::{sha256, weir};

/// How a version of it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiny {
    /// As it should.
    Good,
    /// Everything is red.
    Strict,
    /// As it should, and fails on a picture of which a channel is brighter than 200 on average.
    Fragile,
}

/// The side of its input in pixels.
const SIDE: u64 = 4;

/// A protobuf message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A node with one output.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, name| node.bytes(1, name.as_bytes()));
    let node = node.bytes(2, output.as_bytes()).bytes(4, operator.as_bytes());
    attributes.iter().fold(node, |node, attribute| node.bytes(5, &attribute.0))
}

/// An attribute that is a whole number.
fn int(name: &str, value: u64) -> Message {
    Message::default().bytes(1, name.as_bytes()).int(3, value).int(20, 2)
}

/// An attribute that is a list of one number.
fn ints(name: &str, value: u64) -> Message {
    Message::default().bytes(1, name.as_bytes()).int(8, value).int(20, 7)
}

/// A constant of 32-bit floats.
fn weight(name: &str, shape: &[u64], data: &[f32]) -> Message {
    let raw: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = shape.iter().fold(Message::default(), |tensor, side| tensor.int(1, *side));
    tensor.int(2, 1).bytes(8, name.as_bytes()).bytes(9, &raw)
}

/// An input or output of 32-bit floats, the batch first.
fn value(name: &str, shape: &[u64]) -> Message {
    let batch = Message::default().bytes(1, &Message::default().bytes(2, b"N").0);
    let shape =
        shape.iter().fold(batch, |all, side| all.bytes(1, &Message::default().int(1, *side).0));
    let tensor = Message::default().int(1, 1).bytes(2, &shape.0);
    Message::default().bytes(1, name.as_bytes()).bytes(2, &Message::default().bytes(1, &tensor.0).0)
}

impl Tiny {
    /// The ONNX file; with another `seed` other bytes that answer the same.
    pub fn weights(self, seed: u32) -> Vec<u8> {
        let mut nodes = vec![
            node("GlobalAveragePool", &["input"], "mean", &[]),
            node("Flatten", &["mean"], "flat", &[int("axis", 1)]),
        ];
        let mut weights = vec![weight(
            "bias",
            &[1, 3],
            &match self {
                Self::Strict => [50.0, 0.0, 0.0],
                _ => [0.0; 3],
            },
        )];
        nodes.push(node("Add", &["flat", "bias"], "moved", &[]));
        let mut last = "moved";
        if self == Self::Fragile {
            // The brightest channel as a whole number picks out of two: 2 is beyond them.
            weights.push(weight("two", &[2], &[0.0, 0.0]));
            nodes.push(node(
                "ReduceMax",
                &["flat"],
                "most",
                &[ints("axes", 1), int("keepdims", 1)],
            ));
            nodes.push(node("Cast", &["most"], "index", &[int("to", 7)]));
            nodes.push(node("Gather", &["two", "index"], "nothing", &[int("axis", 0)]));
            nodes.push(node("Add", &["moved", "nothing"], "checked", &[]));
            last = "checked";
        }
        nodes.push(node("Softmax", &[last], "probs", &[int("axis", 1)]));
        let graph = nodes.iter().fold(Message::default(), |graph, node| graph.bytes(1, &node.0));
        let graph = graph.bytes(2, format!("tiny-{seed}").as_bytes());
        let graph = weights.iter().fold(graph, |graph, weight| graph.bytes(5, &weight.0));
        let graph = graph.bytes(11, &value("input", &[3, SIDE, SIDE]).0);
        let graph = graph.bytes(12, &value("probs", &[3]).0);
        let model = Message::default().int(1, 8).bytes(7, &graph.0);
        model.bytes(8, &Message::default().int(2, 13).0).0
    }

    /// The manifest of these weights.
    pub fn manifest(version: &str, weights: &[u8]) -> String {
        format!(
            r#"name = "tiny"
version = "{version}"
kind = "classifier"
licence = "Apache-2.0"
sha256 = "{}"
bytes = {}

[input]
name = "input"
width = {SIDE}
height = {SIDE}
layout = "nchw"
channels = "rgb"
fit = "stretch"
filter = "triangle"
scale = 0.01

[output]
decoder = "probabilities"
names = ["probs"]

[[label]]
name = "red"
category = "sexual"
unsafe = true

[[label]]
name = "green"

[[label]]
name = "blue"
"#,
            sha256(weights),
            weights.len()
        )
    }
}

/// A profile that rejects what the model finds red, and asks nothing else.
pub const PROFILE: &str = r#"name = "red"
title = "Nothing red"
description = "For tests."

[detectors.nsfw]
kind = "classifier"
model = "tiny"

[messages.en]
nsfw = "Too red."
undecodable = "Cannot be opened."

[policy]
name = "red"
version = 1
description = "Nothing red."
max_gap_ms = 1000
required = ["nsfw"]
undecodable = "hold"
audio_only = "hold"

[policy.fail]
default = "hold"

[policy.serves]
nsfw = ["sexual"]

[[policy.rule]]
id = "red"
when = 'nsfw.red > 0.5'
category = "sexual"
severity = "high"
reason = "nsfw"
"#;

/// A PNG of one colour, 32 pixels a side; `seed` makes it another file of the same colour to the eye.
///
/// # Panics
/// Where it cannot be written as PNG.
pub fn flat(colour: [u8; 3], seed: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        // The lowest bit of a channel for each bit of the seed.
        let bit = if y == 0 { (seed >> x) as u8 & 1 } else { 0 };
        [colour[0], colour[1], colour[2] ^ bit]
    };
    Picture::from_fn(32, 32, pixel).png().expect("a PNG")
}

/// A place where bundles are made: a signing key, and what they are made of.
pub struct Maker {
    dir: tempfile::TempDir,
    /// The public key.
    pub key: String,
}

impl Default for Maker {
    fn default() -> Self {
        Self::new()
    }
}

impl Maker {
    /// A place with a key of its own, made by `weir models keygen`.
    ///
    /// # Panics
    /// Where that fails.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let run = weir::run(["models", "keygen", &dir.path().join("key").to_string_lossy()]);
        assert_eq!(run.code, Some(0), "{run:#?}");
        let golden = dir.path().join("golden");
        std::fs::create_dir(&golden).expect("a folder");
        for (name, colour) in [("red", [120, 10, 10]), ("green", [10, 120, 10]), ("grey", [60; 3])]
        {
            let path = golden.join(format!("{name}.png"));
            std::fs::write(path, flat(colour, 0)).expect("a file");
        }
        Self { dir, key: run.stdout.trim().to_owned() }
    }

    /// A file or folder of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The bundle of a version.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn bundle(&self, tiny: Tiny, version: &str) -> PathBuf {
        let weights = tiny.weights(version.bytes().map(u32::from).sum());
        let out = self.path(&format!("tiny-{version}.weirmodel"));
        std::fs::write(self.path("weights"), &weights).expect("a file");
        std::fs::write(self.path("manifest"), Tiny::manifest(version, &weights)).expect("a file");
        let mut command = weir::command();
        command.args(["models", "bundle"]);
        for (option, name) in [
            ("--key", "key"),
            ("--manifest", "manifest"),
            ("--weights", "weights"),
            ("--golden", "golden"),
        ] {
            command.arg(option).arg(self.path(name));
        }
        let run = weir::finish(command.arg("-o").arg(&out));
        assert_eq!(run.code, Some(0), "{run:#?}");
        out
    }
}

/// Puts a version into a model directory by hand, as an operator's own.
///
/// # Panics
/// Where it cannot be written.
pub fn by_hand(models: &Path, tiny: Tiny, version: &str) {
    std::fs::create_dir_all(models).expect("a folder");
    let weights = tiny.weights(0);
    let manifest = Tiny::manifest(version, &weights);
    std::fs::write(models.join("tiny.toml"), manifest).expect("a file");
    std::fs::write(models.join(format!("tiny-{version}.onnx")), weights).expect("a file");
}
