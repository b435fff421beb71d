//! Greedy non-maximum suppression.

use super::Face;

/// Most candidates that are compared, strongest first; more than this is noise, and the work grows with its square.
const MAX_CANDIDATES: usize = 5000;

/// Sorts faces strongest first and drops each that overlaps a stronger one by more than `limit` (intersection over
/// union).
pub(super) fn suppress(mut faces: Vec<Face>, limit: f32) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|other| overlap(other, &face) <= limit) {
            kept.push(face);
        }
    }
    kept
}

fn overlap(a: &Face, b: &Face) -> f32 {
    let (a, b) = (&a.bbox, &b.bbox);
    let width = (a.x + a.w).min(b.x + b.w) - a.x.max(b.x);
    let height = (a.y + a.h).min(b.y + b.h) - a.y.max(b.y);
    let shared = width.max(0.0) * height.max(0.0);
    let union = a.w * a.h + b.w * b.h - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::BBox;

    fn face(x: f32, y: f32, w: f32, h: f32, score: f32) -> Face {
        Face { bbox: BBox { x, y, w, h }, score }
    }

    #[test]
    fn overlap_by_hand() {
        let a = face(0.0, 0.0, 10.0, 10.0, 1.0);
        // Shared 5 × 10 of 100 + 100 − 50.
        assert!((overlap(&a, &face(5.0, 0.0, 10.0, 10.0, 1.0)) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(overlap(&a, &face(10.0, 0.0, 10.0, 10.0, 1.0)), 0.0);
        assert_eq!(overlap(&a, &a), 1.0);
        assert_eq!(overlap(&face(0.0, 0.0, 0.0, 0.0, 1.0), &face(0.0, 0.0, 0.0, 0.0, 1.0)), 0.0);
    }

    #[test]
    fn the_strongest_of_an_overlapping_group_stays_and_neighbours_stay() {
        let weak = face(1.0, 0.0, 10.0, 10.0, 0.7);
        let strong = face(0.0, 0.0, 10.0, 10.0, 0.9);
        let apart = face(6.0, 0.0, 10.0, 10.0, 0.8);
        assert_eq!(suppress(vec![weak, apart, strong], 0.45), vec![strong, apart]);
    }
}
