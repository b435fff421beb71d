//! Whether two ways to judge the same items differ by more than chance.

/// The two-sided p-value of McNemar's test, exact: of the items that only one of two is right about, `one` and `other`.
///
/// Were both equally good, each such item would fall to either side like a coin; this is the chance that a coin
/// divides them at least as unevenly: 2 · P(X ≤ min) for X ~ Bin(one + other, ½), 1 at most. The items about which both
/// agree say nothing on it. (McNemar, Psychometrika 12, 1947; the exact form needs no large numbers.)
pub fn p_value(one: usize, other: usize) -> f64 {
    let (n, few) = (one + other, one.min(other));
    // In logarithms, since 2⁻ⁿ is no number for large n: the k-th term is C(n, k) · 2⁻ⁿ.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = term;
    for k in 1..=few {
        term += ((n - k + 1) as f64 / k as f64).ln();
        let (high, low) = if sum > term { (sum, term) } else { (term, sum) };
        sum = high + (low - high).exp().ln_1p();
    }
    (2.0 * sum.exp()).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_near(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12 * want.max(1e-3), "{got} is not {want}");
    }

    #[test]
    fn p_values_are_those_computed_by_hand() {
        assert_near(p_value(0, 0), 1.0);
        assert_near(p_value(0, 1), 1.0);
        assert_near(p_value(0, 5), 2.0 / 32.0);
        assert_near(p_value(6, 0), 2.0 / 64.0);
        assert_near(p_value(1, 9), 2.0 * (1.0 + 10.0) / 1024.0);
        assert_near(p_value(2, 8), 2.0 * (1.0 + 10.0 + 45.0) / 1024.0);
        assert_near(p_value(4, 4), 1.0);
    }

    #[test]
    fn many_items_are_no_trouble() {
        // The normal approximation, (|b − c| − 1) ÷ √(b + c) = 2.5288 standard deviations, gives 0.01145.
        let p = p_value(4_800, 5_052);
        assert!((0.0113..0.0116).contains(&p), "{p}");
        assert!(p_value(0, 5_000) < 1e-300);
    }

    proptest! {
        #[test]
        fn it_is_a_probability_and_knows_no_sides(one in 0usize..3_000, other in 0usize..3_000) {
            let p = p_value(one, other);
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert_eq!(p, p_value(other, one));
            // One more on the heavier side is stronger evidence.
            let (few, many) = (one.min(other), one.max(other));
            prop_assert!(p_value(few, many + 1) <= p + 1e-9);
        }
    }
}
