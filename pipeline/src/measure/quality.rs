//! Sharpness: the variance of the Laplacian, the field's plain measure of focus (Pech-Pacheco et al., ICPR 2000).
//!
//! The measure depends on the size at which it is taken: the same photo has a far smaller variance at 12 MP than at
//! 0.3 MP, so a bare threshold means nothing. Here it is always taken on 8-bit BT.601 luma, shrunk by area averaging
//! to a long side of at most [`WORKING_SIDE`] and never enlarged, with the kernel 0 1 0 / 1 −4 1 / 0 1 0 on inner
//! pixels (OpenCV's `Laplacian(grey, CV_64F).var()` up to its treatment of the border). On this scale photos in
//! focus measure in the hundreds and a Gaussian blur of one working pixel already falls below 50; the customary
//! threshold of 100 lies between.

use super::grey::Grey;

/// Long side in pixels at which sharpness is measured.
pub const WORKING_SIDE: u32 = 512;

/// The variance at which [`blur_score`] is one half: the customary threshold between sharp and blurred.
const HALF: f32 = 100.0;

/// Variance of the Laplacian at the working size; `None` where a side is below 3 pixels.
pub fn blur_variance(grey: &Grey) -> Option<f32> {
    let shrunk = grey.within(WORKING_SIDE);
    let grey = shrunk.as_ref().unwrap_or(grey);
    if grey.width() < 3 || grey.height() < 3 {
        return None;
    }
    let rows: Vec<&[u8]> = grey.rows().collect();
    // Whole numbers: the sums are exact, and 512² · 1020² is far within 64 bits.
    let (mut sum, mut squares) = (0i64, 0i64);
    for three in rows.windows(3) {
        let (s, q) = row_sums(three[0], three[1], three[2]);
        sum += s;
        squares += q;
    }
    let n = f64::from(grey.width() - 2) * f64::from(grey.height() - 2);
    let mean = sum as f64 / n;
    Some((squares as f64 / n - mean * mean).max(0.0) as f32)
}

/// 0 (sharp) ..= 1 (blurred): `100 / (100 + variance)`, so that a half is the threshold of 100.
pub fn blur_score(variance: f32) -> f32 {
    HALF / (HALF + variance.max(0.0))
}

/// Sum and sum of squares of the Laplacian along one row of at most 512 pixels.
fn row_sums(above: &[u8], row: &[u8], below: &[u8]) -> (i64, i64) {
    // |Laplacian| ≤ 1020, so 512 squares are at most 5.4e8: within 32 bits, which vectorise.
    let (mut sum, mut squares) = (0i32, 0i32);
    let inner = above
        .iter()
        .skip(1)
        .zip(below.iter().skip(1))
        .zip(row.iter().zip(row.iter().skip(1)).zip(row.iter().skip(2)));
    for ((&up, &down), ((&left, &here), &right)) in inner {
        let v = i32::from(up) + i32::from(down) + i32::from(left) + i32::from(right)
            - 4 * i32::from(here);
        sum += v;
        squares += v * v;
    }
    (i64::from(sum), i64::from(squares))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{blur_score, blur_variance};
    use crate::measure::grey::Grey;
    use crate::measure::testing::{discs, load, paint, resize};

    fn variance(image: &models::RgbImage) -> f32 {
        blur_variance(&Grey::of(image)).unwrap()
    }

    #[test]
    fn a_checkerboard_has_the_variance_that_arithmetic_says() {
        // Every inner pixel has four neighbours of the other colour: the Laplacian is ±4·c, its variance 16·c².
        let board = paint(34, 34, |x, y| [if (x + y) % 2 == 0 { 10 } else { 0 }; 3]);
        assert_eq!(variance(&board), 1600.0);
    }

    #[test]
    fn flat_pictures_and_ramps_have_none() {
        assert_eq!(variance(&paint(100, 80, |_, _| [77; 3])), 0.0);
        assert_eq!(variance(&paint(100, 80, |x, y| [(x + y) as u8; 3])), 0.0);
        assert_eq!(blur_variance(&Grey::of(&paint(2, 80, |_, _| [77; 3]))), None);
    }

    #[test]
    fn blurring_lowers_it() {
        let sharp = discs(512, 384);
        let ladder: Vec<f32> = [1, 2, 4, 8]
            .map(|k| variance(&resize(&resize(&sharp, 512 / k, 384 / k), 512, 384)))
            .to_vec();
        // Enlarging a shrunk picture gives steps, which are sharp but few.
        assert!(ladder.windows(2).all(|w| w[0] > w[1]), "{ladder:?}");
    }

    #[test]
    fn a_larger_rendition_of_the_same_picture_measures_the_same() {
        let big = discs(2048, 1536);
        let (whole, half) = (variance(&big), variance(&resize(&big, 1024, 768)));
        assert!((whole / half - 1.0).abs() < 0.05, "{whole} {half}");
    }

    #[test]
    fn the_score_is_a_half_at_the_threshold_and_falls_with_the_variance() {
        assert_eq!(blur_score(100.0), 0.5);
        assert_eq!(blur_score(0.0), 1.0);
        assert!(blur_score(99.0) > blur_score(101.0));
        assert!(blur_score(1e9) >= 0.0);
    }

    #[test]
    fn shared_blur_ladders_fall_and_the_threshold_parts_them() {
        let data = rig::shared!();
        for (name, expected) in [("brick", 176.55), ("chelsea", 401.51)] {
            let at = |sigma: &str| {
                variance(&load(&data.join(format!("blur/own_{name}_{sigma}"))).unwrap())
            };
            let ladder = ["blur0.png", "blur1.jpg", "blur2.jpg", "blur4.jpg", "blur8.jpg"].map(at);
            assert!(ladder.windows(2).all(|w| w[0] > w[1]), "{name}: {ladder:?}");
            assert!(ladder[0] > 100.0 && ladder[1] < 50.0, "{name}: {ladder:?}");
            assert!(
                (ladder[0] / expected - 1.0).abs() < 0.02,
                "{name}: {} for {expected}",
                ladder[0]
            );
        }
        for flat in ["black", "gray", "white"] {
            assert_eq!(
                variance(&load(&data.join(format!("blur/own_flat_{flat}.png"))).unwrap()),
                0.0
            );
        }
    }
}
