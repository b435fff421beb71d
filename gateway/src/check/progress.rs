//! A progress bar on standard error, where a person looks and it takes long.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter runs show no bar.
const PATIENCE: Duration = Duration::from_millis(800);

/// The bar, once it is worth showing.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
}

impl Progress {
    /// A hidden bar over `total` items.
    pub fn new(total: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left")
        {
            bar.set_style(style);
        }
        Self { bar, start: Instant::now() }
    }

    /// One more item is done.
    pub fn step(&self) {
        self.bar.inc(1);
        if self.bar.is_hidden()
            && self.start.elapsed() > PATIENCE
            && std::io::stderr().is_terminal()
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Runs `print` with the bar out of the way.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
