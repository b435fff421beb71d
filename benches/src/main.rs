//! `weir-micro pdq|sandbox JPEG…`: the two figures of `make bench` that no command of Weir's shows by itself.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use domain::Format;
use models::{Filter, Fit, Rendition, resample};
use pipeline::decode::{Facts, Flow, Frame, Limits, Need, Sink, still};
use pipeline::measure::pdq::{Pdq, to_hex};
use pipeline::measure::{Analyser, Plan};
use pipeline::sandbox::protocol::{Observer, Request, Seen};
use pipeline::sandbox::{Item, Sandbox, SandboxConfig};
use ring::digest::{SHA256, digest};

/// Largest file that is read.
const MOST_BYTES: u64 = 64 << 20;
/// Rounds over all photos; the first one, in which libraries are loaded and the zygote starts, is not counted.
const ROUNDS: usize = 5;
/// What the profile photo-dating wants of every photo, but for words: these take the same time on either side of the
/// sandbox and would only add noise.
const PLAN: Plan = Plan { pdq: true, blur: true, qr: true, ocr: pipeline::measure::Ocr::Off };
/// The inputs of the classifier and of the face detector.
const RENDITIONS: [Rendition; 2] = [
    Rendition { width: 224, height: 224, fit: Fit::Stretch, filter: Filter::BilinearAlignCorners },
    Rendition { width: 640, height: 640, fit: Fit::Within, filter: Filter::Triangle },
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next();
    let paths: Vec<String> = arguments.collect();
    match what.as_deref() {
        Some("pdq") => pdq(&paths),
        Some("sandbox") => sandbox(&paths),
        _ => bail!("usage: weir-micro pdq|sandbox JPEG…"),
    }
}

/// Prints the hash of each picture, reading and decoding included, on one thread.
fn pdq(paths: &[String]) -> Result<()> {
    still::preload();
    for path in paths {
        let plan = Plan { pdq: true, ..Plan::default() };
        let mut inspection = Inspection::new(plan, &[]);
        inspection.run(&fs::read(path).with_context(|| path.clone())?)?;
        let pdq = inspection.pdq.with_context(|| format!("{path}: no picture"))?;
        println!("{} {}", to_hex(&pdq.hash), pdq.quality);
    }
    Ok(())
}

/// Prints what the sandbox adds to each photo: reading, hashing, decoding, measuring and rendering through a worker, less
/// the same in this process.
fn sandbox(paths: &[String]) -> Result<()> {
    still::preload();
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let (mut inside, mut through, mut overhead) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for path in paths {
            let here = in_process(path)?;
            let there = in_worker(&sandbox, path)?;
            if round > 0 {
                inside.push(here);
                through.push(there);
                overhead.push(there - here);
            }
        }
    }
    println!("{} photos, level {:?}", overhead.len(), sandbox.level());
    for (name, values) in [("in process", inside), ("through the sandbox", through)] {
        let (median, high) = quantiles(values);
        println!("{name}: median {median:.2} ms, p95 {high:.2} ms");
    }
    let (median, high) = quantiles(overhead);
    println!("overhead: median {median:.2} ms, p95 {high:.2} ms");
    Ok(())
}

/// Milliseconds for one photo without a sandbox.
fn in_process(path: &str) -> Result<f64> {
    let began = Instant::now();
    let bytes = fs::read(path).with_context(|| path.to_owned())?;
    black_box(digest(&SHA256, &bytes));
    Inspection::new(PLAN, &RENDITIONS).run(&bytes).with_context(|| path.to_owned())?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// Milliseconds for one photo through a sandboxed worker.
fn in_worker(sandbox: &Sandbox, path: &str) -> Result<f64> {
    let began = Instant::now();
    let item = File::open(path).and_then(|file| Item::from_reader(file, MOST_BYTES));
    let item = item.with_context(|| path.to_owned())?;
    let request = Request {
        format: Format::Jpeg,
        bytes: item.len(),
        renditions: RENDITIONS.to_vec(),
        measure: PLAN,
        limits: Limits::default(),
        max_gap_ms: 1000,
        sparing: false,
        hardware: false,
        threads: 1,
        wall_ms: 10_000,
    };
    sandbox.decode(&item, &request, &mut Taker).with_context(|| path.to_owned())?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// What a worker does with a photo, done here.
struct Inspection<'a> {
    plan: Plan,
    renditions: &'a [Rendition],
    source: (u32, u32),
    pdq: Option<Pdq>,
}

impl<'a> Inspection<'a> {
    fn new(plan: Plan, renditions: &'a [Rendition]) -> Self {
        Self { plan, renditions, source: (0, 0), pdq: None }
    }

    fn run(&mut self, bytes: &[u8]) -> Result<()> {
        let mut renditions = self.renditions.to_vec();
        renditions.extend(Analyser::renditions(&self.plan));
        let need = Need { renditions, max_gap_ms: 1000, sparing: false, threads: 1 };
        still::decode(bytes, Format::Jpeg, &need, &Limits::default(), self)?;
        Ok(())
    }
}

impl Sink for Inspection<'_> {
    fn facts(&mut self, facts: Facts) -> Flow {
        self.source = (facts.width, facts.height);
        Flow::More
    }

    fn frame(&mut self, frame: Frame) -> Flow {
        // A second decode for QR codes is left out on this side, which can only make the sandbox look dearer.
        let measures = Analyser::new(self.plan).analyse(&frame.image, self.source, &mut |_| None);
        self.pdq = measures.pdq;
        for &rendition in self.renditions {
            black_box(resample(&frame.image, rendition));
        }
        Flow::More
    }
}

/// Takes what a worker sends.
struct Taker;

impl Observer for Taker {
    fn facts(&mut self, _: &Facts) -> Flow {
        Flow::More
    }

    fn frame(&mut self, seen: Seen) -> Flow {
        black_box(seen);
        Flow::More
    }
}

/// Median and 95th percentile; zero of nothing.
fn quantiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        values.get((values.len() as f64 * share) as usize).copied().unwrap_or_default()
    };
    (at(0.5), at(0.95))
}
