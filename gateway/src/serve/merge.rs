//! Numbers and coverage of the parts of a submission, put together.

use std::collections::BTreeMap;

use domain::{Coverage, Scores};

/// Over several media each number is that of the worst, as within one.
pub fn merge_scores(sum: &mut Scores, one: Scores) {
    fn fold<T: Copy>(sum: &mut Option<T>, one: Option<T>, worse: impl Fn(T, T) -> T) {
        *sum = match (*sum, one) {
            (Some(a), Some(b)) => Some(worse(a, b)),
            (a, b) => a.or(b),
        };
    }
    fold(&mut sum.blur_variance, one.blur_variance, f32::min);
    fold(&mut sum.blur_score, one.blur_score, f32::max);
    fold(&mut sum.has_face, one.has_face, |a, b| a && b);
    fold(&mut sum.face_count, one.face_count, u32::max);
    fold(&mut sum.estimated_age, one.estimated_age, f32::min);
    fold(&mut sum.nsfw_score, one.nsfw_score, f32::max);
    fold(&mut sum.text_likelihood, one.text_likelihood, f32::max);
    fold(&mut sum.ocr_words, one.ocr_words, u32::max);
    merge_highest(&mut sum.nsfw_categories, one.nsfw_categories);
    for (detector, labels) in one.labels {
        merge_highest(sum.labels.entry(detector).or_default(), labels);
    }
    if let Some(text) = one.ocr_text {
        let words = sum.ocr_text.get_or_insert_default();
        if !words.is_empty() {
            words.push('\n');
        }
        words.push_str(&text);
    }
}

fn merge_highest(sum: &mut BTreeMap<String, f32>, one: BTreeMap<String, f32>) {
    for (label, score) in one {
        let highest = sum.entry(label).or_insert(score);
        *highest = highest.max(score);
    }
}

/// What was seen adds up; a detector ran when it ran everywhere.
pub fn merge_coverage(sum: &mut Coverage, one: Coverage) {
    let first = sum.detectors_run.is_empty() && sum.detectors_missing.is_empty();
    sum.frames_total += one.frames_total;
    sum.frames_seen += one.frames_seen;
    sum.frames_skipped += one.frames_skipped;
    sum.ocr_gated += one.ocr_gated;
    sum.max_gap_ms = sum.max_gap_ms.max(one.max_gap_ms);
    sum.throttled |= one.throttled;
    sum.gap_in_force_ms = sum.gap_in_force_ms.max(one.gap_in_force_ms);
    sum.ended_early |= one.ended_early;
    if first {
        sum.detectors_run = one.detectors_run;
    } else {
        sum.detectors_run.retain(|name| one.detectors_run.contains(name));
    }
    sum.detectors_missing.extend(one.detectors_missing);
    sum.detectors_missing.sort();
    sum.detectors_missing.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_several_media_are_those_of_the_worst() {
        let one = |blur, face, age| Scores {
            blur_variance: Some(blur),
            has_face: Some(face),
            estimated_age: age,
            ..Scores::default()
        };
        let mut sum = Scores::default();
        merge_scores(&mut sum, one(300.0, true, Some(40.0)));
        merge_scores(&mut sum, one(80.0, false, Some(17.0)));
        merge_scores(&mut sum, one(900.0, true, None));
        assert_eq!(
            (sum.blur_variance, sum.has_face, sum.estimated_age),
            (Some(80.0), Some(false), Some(17.0))
        );
    }
}
