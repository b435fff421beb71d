//! How well one number tells two kinds of items apart, over all thresholds.

use serde::Serialize;

use super::measure::Worse;

/// What a threshold between two neighbouring values would catch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The last value that is caught.
    pub value: f64,
    /// Positives at least as bad: rightly caught.
    pub caught: usize,
    /// Negatives at least as bad: caught by mistake.
    pub wrong: usize,
}

/// The curve of one number over labelled items.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Items that should be caught.
    pub positives: usize,
    /// Items that should not.
    pub negatives: usize,
    /// Items of both kinds without a value; no threshold ever catches them, for what was not measured fires no rule.
    pub unmeasured: usize,
    /// One for each value that occurs, the worst first.
    pub points: Vec<Point>,
}

/// The summary of a curve in two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Σ (Rₖ − Rₖ₋₁) · Pₖ over the points: the mean precision at the places where another positive is caught.
    pub average_precision: f64,
    /// The area under the curve of true over false positives: the chance that a positive looks worse than a negative,
    /// a tie counting half.
    pub auc: f64,
}

impl Curve {
    /// The curve over items, each with whether it should be caught and its value; `None` where there are not both kinds, or
    /// nothing was measured.
    pub fn new(items: &[(bool, Option<f64>)], worse: Worse) -> Option<Self> {
        let positives = items.iter().filter(|(positive, _)| *positive).count();
        let negatives = items.len() - positives;
        let mut values: Vec<(f64, bool)> =
            items.iter().filter_map(|(positive, value)| Some(((*value)?, *positive))).collect();
        if positives == 0 || negatives == 0 || values.is_empty() {
            return None;
        }
        values.sort_by(|a, b| match worse {
            Worse::High => b.0.total_cmp(&a.0),
            Worse::Low => a.0.total_cmp(&b.0),
        });
        let (mut caught, mut wrong) = (0, 0);
        let mut points: Vec<Point> = Vec::new();
        for (value, positive) in &values {
            if *positive {
                caught += 1
            } else {
                wrong += 1
            }
            let point = Point { value: *value, caught, wrong };
            match points.last_mut().filter(|last| last.value == *value) {
                Some(last) => *last = point,
                None => points.push(point),
            }
        }
        let unmeasured = items.len() - values.len();
        Some(Self { positives, negatives, unmeasured, points })
    }

    /// Precision of a point: the share of positives among what it catches.
    pub fn precision(point: &Point) -> f64 {
        point.caught as f64 / (point.caught + point.wrong) as f64
    }

    /// Recall of a point: the share of positives that it catches.
    pub fn recall(&self, point: &Point) -> f64 {
        point.caught as f64 / self.positives as f64
    }

    /// The share of negatives that a point catches by mistake.
    pub fn false_positive_rate(&self, point: &Point) -> f64 {
        point.wrong as f64 / self.negatives as f64
    }

    /// Average precision and area.
    pub fn summary(&self) -> Summary {
        let (mut average_precision, mut auc) = (0.0, 0.0);
        let (mut recall, mut fallout) = (0.0, 0.0);
        for point in &self.points {
            let (r, f) = (self.recall(point), self.false_positive_rate(point));
            average_precision += (r - recall) * Self::precision(point);
            auc += (f - fallout) * (r + recall) / 2.0;
            (recall, fallout) = (r, f);
        }
        // Without a value they are all alike, below everything else.
        auc += (1.0 - fallout) * (1.0 + recall) / 2.0;
        Summary { average_precision, auc }
    }

    /// Where most is caught with at most this share of negatives; and the first value that must not be caught, if there is
    /// one. `None` where nothing can be caught so.
    pub fn at_most(&self, false_positive_rate: f64) -> Option<(Point, Option<f64>)> {
        // A hair of room, or 0.07 × 100 would forbid the 7th.
        let most = false_positive_rate * self.negatives as f64 + 1e-9;
        let allowed = self.points.iter().take_while(|point| point.wrong as f64 <= most);
        let caught = allowed.map(|point| point.caught).max().filter(|caught| *caught > 0)?;
        let index = self.points.iter().position(|point| point.caught == caught)?;
        Some((*self.points.get(index)?, self.points.get(index + 1).map(|next| next.value)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    /// The example in the documentation of scikit-learn's `precision_recall_curve`, `average_precision_score` and
    /// `roc_auc_score`, whose answers it gives as well.
    const EXAMPLE: [(bool, Option<f64>); 4] =
        [(false, Some(0.1)), (false, Some(0.4)), (true, Some(0.35)), (true, Some(0.8))];

    #[test]
    fn the_textbook_example_comes_out() {
        let curve = Curve::new(&EXAMPLE, Worse::High).unwrap();
        let precisions: Vec<f64> = curve.points.iter().map(Curve::precision).collect();
        assert_eq!(precisions, [1.0, 0.5, 2.0 / 3.0, 0.5]);
        let recalls: Vec<f64> = curve.points.iter().map(|p| curve.recall(p)).collect();
        assert_eq!(recalls, [0.5, 0.5, 1.0, 1.0]);
        let summary = curve.summary();
        assert!((summary.average_precision - 0.5 * (1.0 + 2.0 / 3.0)).abs() < 1e-12, "0.83");
        assert!((summary.auc - 0.75).abs() < 1e-12);
    }

    #[test]
    fn the_threshold_catches_most_within_the_wanted_rate_and_no_more_mistakes_than_that_takes() {
        let curve = Curve::new(&EXAMPLE, Worse::High).unwrap();
        let at = |rate| curve.at_most(rate).map(|(p, next)| (p.value, p.caught, p.wrong, next));
        assert_eq!(at(0.01), Some((0.8, 1, 0, Some(0.4))));
        assert_eq!(at(0.5), Some((0.35, 2, 1, Some(0.1))));
        assert_eq!(at(1.0), Some((0.35, 2, 1, Some(0.1))), "0.1 would catch only another good one");
        let worst_is_good = [(false, Some(0.9)), (true, Some(0.5)), (false, Some(0.1))];
        assert_eq!(Curve::new(&worst_is_good, Worse::High).unwrap().at_most(0.01), None);
    }

    #[test]
    fn low_values_can_be_the_bad_ones() {
        let mirrored: Vec<_> = EXAMPLE.iter().map(|(p, v)| (*p, v.map(|v| -v))).collect();
        let (high, low) = (Curve::new(&EXAMPLE, Worse::High), Curve::new(&mirrored, Worse::Low));
        assert_eq!(high.unwrap().summary(), low.unwrap().summary());
    }

    #[test]
    fn what_was_not_measured_is_never_caught() {
        let items = [(true, None), (true, Some(0.9)), (false, Some(0.1)), (false, None)];
        let curve = Curve::new(&items, Worse::High).unwrap();
        assert_eq!(curve.unmeasured, 2);
        assert_eq!(curve.points.last().unwrap(), &Point { value: 0.1, caught: 1, wrong: 1 });
        assert!((curve.summary().average_precision - 0.5).abs() < 1e-12);
        // Of the four pairs it wins two, loses one and ties one.
        assert!((curve.summary().auc - 2.5 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn there_is_no_curve_without_both_kinds_and_a_value() {
        assert_eq!(Curve::new(&[(true, Some(1.0))], Worse::High), None);
        assert_eq!(Curve::new(&[(false, Some(1.0))], Worse::High), None);
        assert_eq!(Curve::new(&[(true, None), (false, None)], Worse::High), None);
    }

    proptest! {
        /// The area is the share of pairs in which the positive looks worse, counted one by one.
        #[test]
        fn the_area_is_the_share_of_pairs_won(
            items in prop::collection::vec((any::<bool>(), prop::option::of(0u8..6)), 2..60),
            rate in 0.0f64..1.0,
        ) {
            let items: Vec<_> = items.iter().map(|(p, v)| (*p, v.map(f64::from))).collect();
            let Some(curve) = Curve::new(&items, Worse::High) else { return Ok(()) };
            let (mut won, mut pairs) = (0.0, 0.0);
            for (_, positive) in items.iter().filter(|(p, _)| *p) {
                for (_, negative) in items.iter().filter(|(p, _)| !*p) {
                    pairs += 1.0;
                    // `None` is below every `Some`.
                    won += match positive.partial_cmp(negative).unwrap() {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
            prop_assert!((curve.summary().auc - won / pairs).abs() < 1e-9);
            if let Some((point, _)) = curve.at_most(rate) {
                prop_assert!(curve.false_positive_rate(&point) <= rate + 1e-9);
                let better = curve.points.iter().any(|p| {
                    p.caught > point.caught && curve.false_positive_rate(p) <= rate
                });
                prop_assert!(!better);
            }
        }
    }
}
