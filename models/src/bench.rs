//! How fast a model runs here: `weir models bench`.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::preprocess::pack;
use crate::{Engine, Manifest, ModelError, RgbImage};

/// Batch sizes that are measured.
pub const BATCHES: [usize; 4] = [1, 2, 4, 8];

/// One batch size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenchRow {
    /// Pictures per run.
    pub batch: usize,
    /// Runs that were timed.
    pub runs: usize,
    /// Pictures per second.
    pub images_per_s: f64,
    /// Median milliseconds of a run.
    pub p50_ms: f64,
    /// 95th percentile of the milliseconds of a run.
    pub p95_ms: f64,
}

/// The speed of one model on one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchReport {
    /// `name@version`.
    pub model: String,
    /// Engine.
    pub engine: &'static str,
    /// Threads of a run.
    pub threads: usize,
    /// One row for each batch size that the model takes.
    pub rows: Vec<BenchRow>,
}

/// Times the model, tensor packing included, on a synthetic picture that fills its frame: for each batch size one
/// warm-up, then runs for `budget` (at least three).
///
/// # Errors
/// What [`Engine::load`] and the session say.
pub fn bench(
    engine: &dyn Engine,
    manifest: &Manifest,
    weights: &Path,
    threads: usize,
    budget: Duration,
) -> Result<BenchReport, ModelError> {
    let mut session = engine.load(manifest, weights, threads)?;
    let image = texture(manifest.input.width, manifest.input.height).ok_or_else(|| {
        ModelError::Run { name: manifest.name.clone(), detail: "the input has no pixels".into() }
    })?;
    let most = manifest.input.max_batch.unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    for batch in BATCHES.into_iter().filter(|&batch| batch <= most) {
        let views: Vec<&RgbImage> = std::iter::repeat_n(&image, batch).collect();
        session.run(&pack(&manifest.input, &views))?;
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < 3 || start.elapsed() < budget {
            let run = Instant::now();
            session.run(&pack(&manifest.input, &views))?;
            times.push(run.elapsed().as_secs_f64() * 1e3);
        }
        let total: f64 = times.iter().sum();
        times.sort_by(f64::total_cmp);
        rows.push(BenchRow {
            batch,
            runs: times.len(),
            images_per_s: (batch * times.len()) as f64 * 1e3 / total,
            p50_ms: quantile(&times, 0.50),
            p95_ms: quantile(&times, 0.95),
        });
    }
    Ok(BenchReport { model: manifest.id(), engine: engine.name(), threads, rows })
}

/// The nearest-rank quantile of sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A picture without flat areas: time may depend on values only through denormals, which this avoids.
fn texture(width: u32, height: u32) -> Option<RgbImage> {
    let pixels = u64::from(width) * u64::from(height) * 3;
    let data = (0..pixels).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    RgbImage::new(width, height, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let times: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(quantile(&times, 0.50), 10.0);
        assert_eq!(quantile(&times, 0.95), 19.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
