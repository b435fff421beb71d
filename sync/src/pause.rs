//! Pauses between attempts.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Doubles with each attempt that failed. Each pause is drawn at random from its upper half, so that a thousand boxes do not return as one.
#[derive(Clone, Debug)]
pub struct Pause {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pause {
    /// From the first pause to the longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Attempts that failed one after the other.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt failed, or what came of it is over after it `held` for so long: one that held longer than the longest pause begins
    /// anew. How long to wait; `chance` is from 0 to 1.
    pub fn next(&mut self, held: Duration, chance: f64) -> Duration {
        if held > self.longest {
            self.failures = 0;
        }
        let pause = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// A number from 0 to 1, at random.
pub(crate) fn chance() -> f64 {
    let mut byte = [128u8];
    // Without random numbers nothing here would work; a pause needs none.
    let _ = SystemRandom::new().fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_begin_anew_behind_what_held() {
        let second = Duration::from_secs(1);
        let mut pause = Pause::new(second, second * 5);
        let held = Duration::ZERO;
        let waits: Vec<_> = (0..5).map(|_| pause.next(held, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(pause.next(held, 0.0), second * 5 / 2);
        assert_eq!(pause.next(second * 6, 1.0), second);
        assert_eq!(pause.failures(), 1);
    }
}
