//! Ultra-Light-Fast-Generic-Face-Detector: `scores` `[n,2]` (background, face) and `boxes` `[n,4]` (x1, y1, x2, y2 in
//! 0..=1 of the stretched picture).

use domain::BBox;

use super::{Face, Output, nms};
use crate::manifest::OutputSpec;

pub(super) fn decode(
    spec: &OutputSpec,
    items: &[&[f32]],
    picture: (u32, u32),
) -> Result<Output, String> {
    let [scores, boxes] = items else {
        return Err(format!("{} tensors where two were expected", items.len()));
    };
    if scores.len() * 2 != boxes.len() || boxes.len() % 4 != 0 {
        return Err(format!("{} scores for {} box numbers", scores.len(), boxes.len()));
    }
    if scores.iter().any(|score| score.is_nan()) {
        return Err("a score is not a number".into());
    }
    let (width, height) = (picture.0 as f32, picture.1 as f32);
    let faces = scores
        .chunks_exact(2)
        .zip(boxes.chunks_exact(4))
        .filter_map(|(scores, corners)| {
            let (&[_, score], &[x1, y1, x2, y2]) = (scores, corners) else { return None };
            let bbox =
                BBox { x: x1 * width, y: y1 * height, w: (x2 - x1) * width, h: (y2 - y1) * height };
            (score > spec.score_threshold).then_some(Face { bbox, score: score.min(1.0) })
        })
        .collect();
    Ok(Output::Faces(nms::suppress(faces, spec.nms_iou)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::manifest::Decoder;

    #[test]
    fn shares_become_pixels_and_background_is_dropped() {
        let spec = OutputSpec {
            decoder: Decoder::Ultraface,
            names: vec![],
            score_threshold: 0.7,
            nms_iou: 0.3,
        };
        let scores = [0.1, 0.9, 0.6, 0.4];
        let boxes = [0.25, 0.5, 0.5, 0.75, 0.0, 0.0, 1.0, 1.0];
        let output = decode(&spec, &[&scores, &boxes], (320, 240)).unwrap();
        let bbox = BBox { x: 80.0, y: 120.0, w: 80.0, h: 60.0 };
        assert_eq!(output, Output::Faces(vec![Face { bbox, score: 0.9 }]));
        assert!(decode(&spec, &[&scores], (320, 240)).is_err());
        assert!(decode(&spec, &[&scores, &boxes[..4]], (320, 240)).is_err());
    }
}
