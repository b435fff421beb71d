//! Scores for a closed set of labels.

use super::Output;
use crate::manifest::{Label, Manifest};

/// Probabilities nearer to 0 or 1 than this have no finite logit worth calibrating.
const EDGE: f32 = 1e-6;

pub(super) fn decode(
    manifest: &Manifest,
    items: &[&[f32]],
    logits: bool,
) -> Result<Output, String> {
    let [values] = items else {
        return Err(format!("{} tensors where one was expected", items.len()));
    };
    if values.len() != manifest.labels.len() {
        return Err(format!("{} scores for {} labels", values.len(), manifest.labels.len()));
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err("a score is not a finite number".into());
    }
    let scores = if logits { softmax(values) } else { values.to_vec() };
    Ok(Output::Classes(
        manifest
            .labels
            .iter()
            .zip(scores)
            .map(|(label, score)| (label.name.clone(), calibrated(label, score.clamp(0.0, 1.0))))
            .collect(),
    ))
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// Platt scaling on the logit (Platt, 1999); temperature T is a = −1/T, b = 0.
fn calibrated(label: &Label, score: f32) -> f32 {
    label.platt.map_or(score, |[a, b]| {
        let p = score.clamp(EDGE, 1.0 - EDGE);
        1.0 / (1.0 + (a * (p / (1.0 - p)).ln() + b).exp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(platt: Option<[f32; 2]>) -> Label {
        Label { name: "x".into(), category: None, is_unsafe: false, platt }
    }

    #[test]
    fn softmax_of_known_logits() {
        // e^0 : e^ln 3 = 1 : 3, whatever is added to both.
        let scores = softmax(&[1000.0, 1000.0 + 3f32.ln()]);
        assert!((scores[0] - 0.25).abs() < 1e-4 && (scores[1] - 0.75).abs() < 1e-4, "{scores:?}");
    }

    #[test]
    fn calibration_by_hand() {
        assert_eq!(calibrated(&label(None), 0.3), 0.3);
        assert!((calibrated(&label(Some([-1.0, 0.0])), 0.3) - 0.3).abs() < 1e-6);
        // Temperature 2 at p = 0.8: logit ln 4, halved ln 2, so 2 / 3.
        assert!((calibrated(&label(Some([-0.5, 0.0])), 0.8) - 2.0 / 3.0).abs() < 1e-6);
        // Offset −ln 3 at p = 0.5: 1 / (1 + 1/3).
        assert!((calibrated(&label(Some([-1.0, -(3f32.ln())])), 0.5) - 0.75).abs() < 1e-6);
        assert!(calibrated(&label(Some([-2.0, 0.0])), 1.0) > 0.999);
    }
}
