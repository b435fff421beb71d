//! What is counted and timed while the service runs.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in seconds: from a word's time to the longest item's.
const BOUNDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0];

/// All counters of the service.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Submissions accepted.
    pub accepted: AtomicU64,
    /// Decisions by status: approved, rejected, held, failed.
    pub decided: [AtomicU64; 4],
    /// Attempts that failed.
    pub failed_attempts: AtomicU64,
    /// From the last byte of a body to the rows on the disk, for each submission accepted.
    pub accept: Histogram,
    /// Time in the decoder, for each submission.
    pub decode: Histogram,
    /// Time in the detectors.
    pub detect: Histogram,
    /// From acceptance to decision.
    pub turnaround: Histogram,
}

/// A distribution of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    /// Notes one.
    pub fn note(&self, time: Duration) {
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if time.as_secs_f64() <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String, name: &str, help: &str) -> std::fmt::Result {
        let count = self.count.load(Ordering::Relaxed);
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {}", bucket.load(Ordering::Relaxed))?;
        }
        writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
        writeln!(text, "{name}_sum {}", self.micros.load(Ordering::Relaxed) as f64 / 1e6)?;
        writeln!(text, "{name}_count {count}")
    }
}

impl Metrics {
    /// Notes a decision.
    pub fn decided(&self, status: domain::Status) {
        let [approved, rejected, held, failed] = &self.decided;
        let counter = match status {
            domain::Status::Approved => approved,
            domain::Status::Rejected => rejected,
            domain::Status::Held => held,
            domain::Status::Failed => failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let accepted = self.accepted.load(Ordering::Relaxed);
        writeln!(
            text,
            "# HELP weir_submissions_accepted_total Submissions accepted since the start."
        )?;
        writeln!(text, "# TYPE weir_submissions_accepted_total counter")?;
        writeln!(text, "weir_submissions_accepted_total {accepted}")?;
        writeln!(text, "# HELP weir_decisions_total Machine decisions since the start.")?;
        writeln!(text, "# TYPE weir_decisions_total counter")?;
        let names = ["approved", "rejected", "held", "failed"];
        for (name, count) in names.iter().zip(&self.decided) {
            let count = count.load(Ordering::Relaxed);
            writeln!(text, "weir_decisions_total{{status=\"{name}\"}} {count}")?;
        }
        let failed = self.failed_attempts.load(Ordering::Relaxed);
        writeln!(text, "# HELP weir_attempts_failed_total Attempts at a job that failed.")?;
        writeln!(text, "# TYPE weir_attempts_failed_total counter")?;
        writeln!(text, "weir_attempts_failed_total {failed}")?;
        self.accept.render(
            text,
            "weir_accept_seconds",
            "From the last byte of a submission's body until it is durable.",
        )?;
        self.decode.render(
            text,
            "weir_decode_seconds",
            "Time in the decoder for each submission.",
        )?;
        self.detect.render(
            text,
            "weir_detect_seconds",
            "Time in the detectors for each submission.",
        )?;
        self.turnaround.render(text, "weir_turnaround_seconds", "From acceptance to decision.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_sums_up() {
        let metrics = Metrics::default();
        for ms in [3, 30, 30, 700, 60_000] {
            metrics.turnaround.note(Duration::from_millis(ms));
        }
        let text = metrics.render();
        for line in [
            "weir_turnaround_seconds_bucket{le=\"0.005\"} 1",
            "weir_turnaround_seconds_bucket{le=\"0.05\"} 3",
            "weir_turnaround_seconds_bucket{le=\"1\"} 4",
            "weir_turnaround_seconds_bucket{le=\"15\"} 4",
            "weir_turnaround_seconds_bucket{le=\"+Inf\"} 5",
            "weir_turnaround_seconds_sum 60.763",
            "weir_turnaround_seconds_count 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
