//! YuNet (libfacedetection): anchor-free, one cell per `stride` × `stride` pixels.
//!
//! For each stride the model gives `cls` `[n,1]`, `obj` `[n,1]` and `bbox` `[n,4]`, with n = cells, row by row. The score is
//! √(cls·obj); a box is centred at (column + dx, row + dy) · stride and measures (e^dw, e^dh) · stride pixels.

use domain::BBox;

use super::{Face, Output, nms};
use crate::manifest::OutputSpec;

/// The outputs are `cls` for each stride, then `obj` for each, then `bbox` for each.
pub(super) fn decode(
    spec: &OutputSpec,
    strides: &[u32],
    items: &[&[f32]],
    canvas: (u32, u32),
) -> Result<Output, String> {
    let count = strides.len();
    let mut faces = Vec::new();
    for (level, &stride) in strides.iter().enumerate() {
        let tensors = (items.get(level), items.get(count + level), items.get(2 * count + level));
        let (Some(cls), Some(obj), Some(boxes)) = tensors else {
            return Err(format!("stride {stride} lacks a tensor"));
        };
        let columns = (canvas.0 / stride) as usize;
        let cells = columns * (canvas.1 / stride) as usize;
        if cls.len() != cells || obj.len() != cells || boxes.len() != cells * 4 {
            return Err(format!(
                "stride {stride}: {} cells where {cells} were expected",
                cls.len()
            ));
        }
        for (cell, ((cls, obj), offsets)) in
            cls.iter().zip(*obj).zip(boxes.chunks_exact(4)).enumerate()
        {
            let score = (cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0)).sqrt();
            if score.is_nan() {
                return Err(format!("stride {stride}: a score is not a number"));
            }
            if score > spec.score_threshold
                && let Some(bbox) = place(offsets, cell % columns, cell / columns, stride as f32)
            {
                faces.push(Face { bbox, score });
            }
        }
    }
    Ok(Output::Faces(nms::suppress(faces, spec.nms_iou)))
}

fn place(offsets: &[f32], column: usize, row: usize, stride: f32) -> Option<BBox> {
    let &[dx, dy, dw, dh] = offsets else { return None };
    let (w, h) = (dw.exp() * stride, dh.exp() * stride);
    let (x, y) = ((column as f32 + dx) * stride - w / 2.0, (row as f32 + dy) * stride - h / 2.0);
    [x, y, w, h].iter().all(|value| value.is_finite()).then_some(BBox { x, y, w, h })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::manifest::Decoder;

    fn spec() -> OutputSpec {
        let decoder = Decoder::Yunet { strides: vec![8, 16] };
        OutputSpec { decoder, names: vec![], score_threshold: 0.6, nms_iou: 0.45 }
    }

    #[test]
    fn a_cell_becomes_a_box_in_pixels() {
        // 32 × 16 pixels: 4 × 2 cells of 8, 2 × 1 cells of 16. Cell 6 of the first = column 2, row 1.
        let mut cls = [0.0; 8];
        let mut boxes = [0.0; 32];
        cls[6] = 0.81;
        boxes[24..28].copy_from_slice(&[0.5, 0.25, 2f32.ln(), 3f32.ln()]);
        let tensors: [&[f32]; 6] = [&cls, &[0.0; 2], &[1.0; 8], &[1.0; 2], &boxes, &[0.0; 8]];
        let Output::Faces(faces) = decode(&spec(), &[8, 16], &tensors, (32, 16)).unwrap() else {
            panic!("faces were expected");
        };
        assert_eq!(faces.len(), 1);
        // Centre (2.5, 1.25) · 8 = (20, 10), size (16, 24).
        let BBox { x, y, w, h } = faces[0].bbox;
        for (value, want) in [(x, 12.0), (y, -2.0), (w, 16.0), (h, 24.0), (faces[0].score, 0.9)] {
            assert!((value - want).abs() < 1e-4, "{faces:?}");
        }
    }

    #[test]
    fn tensors_of_another_size_are_refused() {
        let tensors: [&[f32]; 6] =
            [&[0.0; 8], &[0.0; 2], &[1.0; 8], &[1.0; 2], &[0.0; 32], &[0.0; 8]];
        assert!(decode(&spec(), &[8, 16], &tensors, (64, 16)).is_err());
        assert!(decode(&spec(), &[8, 16], &tensors[..4], (32, 16)).is_err());
    }
}
