//! A share of a few items, and how sure one can be of it.

use serde::Serialize;

/// The normal deviate of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// So many of so many, with the 95 % interval by Wilson's score method: it holds its promise for small numbers and
/// for shares near 0 and 1, where the usual `p ± 1.96 σ` says "0 ± 0" (Newcombe, Statistics in Medicine 17, 1998).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Items that it is the share of.
    pub hits: usize,
    /// All items.
    pub of: usize,
    /// `hits / of`; `None` where there is no item.
    pub rate: Option<f64>,
    /// Lower end of the interval; 0 where there is no item.
    pub low: f64,
    /// Upper end; 1 where there is no item.
    pub high: f64,
}

impl Rate {
    /// `hits` of `of`.
    pub fn new(hits: usize, of: usize) -> Self {
        if of == 0 {
            return Self { hits, of, rate: None, low: 0.0, high: 1.0 };
        }
        let (low, high) = wilson(hits as u64, of as u64, Z);
        Self { hits, of, rate: Some(hits as f64 / of as f64), low, high }
    }

    /// Whether the items show that the true share is at most `most`.
    pub fn shows_at_most(&self, most: f64) -> bool {
        self.high <= most
    }
}

/// The interval of Wilson's score method for `hits` of `of`, which is not 0, at `z` normal deviates.
pub fn wilson(hits: u64, of: u64, z: f64) -> (f64, f64) {
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // Exact at the ends, where rounding would leave a trace.
    let low = if hits == 0 { 0.0 } else { (centre - half) / scale };
    let high = if hits == of { 1.0 } else { (centre + half) / scale };
    (low, high)
}

/// Items without a single hit that it takes to show a share of at most `most`: where the upper end for 0 of n,
/// z² ÷ (n + z²), comes down to it.
pub fn needed(most: f64) -> usize {
    (Z * Z * (1.0 - most) / most).ceil() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of Newcombe (1998), table I, method 3.
    #[test]
    fn intervals_are_those_of_the_literature() {
        for (hits, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let rate = Rate::new(hits, of);
            assert!((rate.low - low).abs() < 5e-5 && (rate.high - high).abs() < 5e-5, "{rate:?}");
        }
    }

    #[test]
    fn nothing_is_known_of_no_items() {
        assert_eq!(Rate::new(0, 0), Rate { hits: 0, of: 0, rate: None, low: 0.0, high: 1.0 });
    }

    #[test]
    fn a_claim_needs_its_number_of_items_and_not_one_less() {
        assert_eq!(needed(0.01), 381, "3.8415 × 99 = 380.3");
        for most in [0.01, 0.05, 0.5] {
            let n = needed(most);
            assert!(Rate::new(0, n).shows_at_most(most));
            assert!(!Rate::new(0, n - 1).shows_at_most(most));
        }
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_share_and_mirrors(of in 1usize..5_000, part in 0.0f64..=1.0) {
            let hits = (of as f64 * part) as usize;
            let (rate, other) = (Rate::new(hits, of), Rate::new(of - hits, of));
            let p = hits as f64 / of as f64;
            prop_assert!(0.0 <= rate.low && rate.low <= p && p <= rate.high && rate.high <= 1.0);
            prop_assert!((rate.low - (1.0 - other.high)).abs() < 1e-12);
        }
    }
}
