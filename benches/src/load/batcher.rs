//! The batcher with eight submitters, against the bare engine at its best: every way to spread the cores over sessions and
//! pictures over batches is tried, on tensors that are packed already.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use models::preprocess::pack;
use models::{
    Catalogue, CpuEngine, Engine as _, Library, Manifest, RgbImage, Runner, RunnerConfig,
};

use crate::goal;

/// Threads that submit.
const SUBMITTERS: usize = 8;
/// Rounds, each with all ways in turn; the median of a way counts.
const ROUNDS: usize = 5;
/// How long a way is measured in a round.
const SPAN: Duration = Duration::from_secs(2);

pub fn run() -> Result<()> {
    let Some(dir) = std::env::var_os("WEIR_MODELS").map(PathBuf::from) else {
        println!("left out: name a folder of weights in WEIR_MODELS");
        return Ok(());
    };
    let Ok(catalogue) = Catalogue::load(&dir) else { bail!("the catalogue cannot be read") };
    let manifest = catalogue.find("nsfwjs-mobilenet-v2")?;
    let weights = Library::new(&dir).locate(manifest)?;
    let image = picture(manifest).context("the input has no pixels")?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut ways = Vec::new();
    for batch in [1, 2, 4, 8] {
        ways.push((1, cores, batch));
        ways.push((cores, 1, batch));
    }
    let mut bare = vec![Vec::new(); ways.len()];
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        for (way, rates) in ways.iter().zip(&mut bare) {
            rates.push(bare_rate(manifest, &weights, &image, *way)?);
        }
        ours.push(batcher_rate(manifest, &weights, &image, cores)?);
    }
    let ours = median(&mut ours);
    let mut best = (0.0, (0, 0, 0));
    for (way, rates) in ways.iter().zip(&mut bare) {
        let rate = median(rates);
        let (sessions, threads, batch) = way;
        println!(
            "bare: {sessions} sessions of {threads} threads, batch {batch}: {rate:.1} images/s"
        );
        if rate > best.0 {
            best = (rate, *way);
        }
    }
    println!(
        "batcher, {SUBMITTERS} submitters, {cores} runners: {ours:.1} images/s, packing included"
    );
    goal("the batcher against the bare engine at its best", ours / best.0, 0.9, "×", false);
    Ok(())
}

/// A picture of the input's size, without flat areas.
fn picture(manifest: &Manifest) -> Option<RgbImage> {
    let (width, height) = (manifest.input.width, manifest.input.height);
    let bytes = (0..u64::from(width) * u64::from(height) * 3)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    RgbImage::new(width, height, bytes.collect())
}

/// Images a second of so many sessions, each with so many threads and pictures a run.
fn bare_rate(
    manifest: &Manifest,
    weights: &std::path::Path,
    image: &RgbImage,
    (sessions, threads, batch): (usize, usize, usize),
) -> Result<f64> {
    let engine = CpuEngine::new()?;
    let input = pack(&manifest.input, &vec![image; batch]);
    let loaded: Result<Vec<_>, _> =
        (0..sessions).map(|_| engine.load(manifest, weights, threads)).collect();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    timed(&stop, &done, loaded?, |session| {
        let failed = session.run(&input).is_err();
        if failed { 0 } else { batch as u64 }
    })
}

/// Images a second through the queue, with the batches that form by themselves.
fn batcher_rate(
    manifest: &Manifest,
    weights: &std::path::Path,
    image: &RgbImage,
    runners: usize,
) -> Result<f64> {
    let config = RunnerConfig { runners, ..RunnerConfig::default() };
    let runner = Runner::load(&CpuEngine::new()?, manifest, weights, config)?;
    let image = std::sync::Arc::new(image.clone());
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    timed(&stop, &done, vec![(); SUBMITTERS], |()| {
        u64::from(runner.submit(std::sync::Arc::clone(&image)).wait().is_ok())
    })
}

/// Does `work` on a thread for each of `states`, warms up for a quarter of the span, and gives what was done a second.
fn timed<S: Send>(
    stop: &AtomicBool,
    done: &AtomicU64,
    states: Vec<S>,
    work: impl Fn(&mut S) -> u64 + Sync,
) -> Result<f64> {
    std::thread::scope(|scope| {
        for mut state in states {
            let work = &work;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    done.fetch_add(work(&mut state), Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(SPAN / 4);
        let (start, before) = (Instant::now(), done.load(Ordering::Relaxed));
        std::thread::sleep(SPAN);
        let count = done.load(Ordering::Relaxed) - before;
        let rate = count as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        if count == 0 {
            bail!("nothing was run");
        }
        Ok(rate)
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
