//! Near-duplicate frames: means and contrast over a grid of blocks, compared by the *largest* difference.
//!
//! A mean over the whole picture would hide a small overlay that appears in one corner; the largest difference of
//! any block does not. Chroma counts as much as luma, for an overlay may have the brightness of what it covers; and
//! so does contrast, for fine print may leave every mean as it was.

use models::RgbImage;

use super::grey::luma;

/// Blocks along each side. At 640×480 a block has 20×15 pixels.
const GRID: usize = 32;

/// Two frames differ when any block's mean of Y, Cb or Cr, or its mean deviation of luma, differs by more than this, of
/// 255: an overlay of contrast 144 shows when it covers a sixteenth of a block, and letters on a flat ground of their
/// own mean when ink and paper, in equal parts, are more than 16 apart. Chosen above the noise of sensors and coders: the
/// means nearly cancel it, and a deviation grows by no more than the noise's own (a fifth of its range). Not yet
/// measured on videos.
pub const THRESHOLD: u8 = 8;

/// Means of Y, Cb and Cr (BT.601, full range), and the mean absolute deviation of Y from its mean, over a grid of
/// 32×32 blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    blocks: Vec<[u8; 4]>,
}

impl Signature {
    /// The signature of a picture of any size; blocks of a picture below 32 pixels a side overlap.
    pub fn of(image: &RgbImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let rows: Vec<&[u8]> = image.data().chunks_exact(width * 3).collect();
        let mut sums = vec![0u32; width * 3];
        let mut blocks = Vec::with_capacity(GRID * GRID);
        let mut lumas = Vec::new();
        for (top, bottom) in (0..GRID).map(|cell| span(cell, height)) {
            // Down the interleaved channels first: this loop does nearly all the work, and vectorises.
            sums.fill(0);
            for row in &rows[top..bottom] {
                sums.iter_mut().zip(*row).for_each(|(sum, &v)| *sum += u32::from(v));
            }
            lumas.clear();
            lumas.extend(rows[top..bottom].iter().flat_map(|row| row.as_chunks::<3>().0).map(luma));
            for (left, right) in (0..GRID).map(|cell| span(cell, width)) {
                let mut total = [0u64; 3];
                for pixel in sums[left * 3..right * 3].as_chunks::<3>().0 {
                    total.iter_mut().zip(pixel).for_each(|(t, &v)| *t += u64::from(v));
                }
                let area = ((bottom - top) * (right - left)) as f32;
                let [y, cb, cr] = ycbcr(total.map(|t| t as f32 / area));
                let deviation: u32 =
                    lumas.chunks_exact(width).map(|row| deviation(&row[left..right], y)).sum();
                blocks.push([y, cb, cr, (deviation as f32 / area + 0.5) as u8]);
            }
        }
        Self { blocks }
    }

    /// The largest difference of any block in any channel, 0..=255.
    pub fn distance(&self, other: &Self) -> u8 {
        let pairs = self.blocks.as_flattened().iter().zip(other.blocks.as_flattened());
        pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
    }

    /// Whether the frames are more than near-duplicates: some block differs by more than [`THRESHOLD`].
    pub fn differs(&self, other: &Self) -> bool {
        self.distance(other) > THRESHOLD
    }
}

/// The samples `start..end` of one block along an axis of `n`; never empty.
fn span(cell: usize, n: usize) -> (usize, usize) {
    let start = cell * n / GRID;
    (start, ((cell + 1) * n / GRID).max(start + 1))
}

/// Sum of the distances of lumas from their block's mean.
fn deviation(lumas: &[u8], mean: u8) -> u32 {
    lumas.iter().map(|&v| u32::from(v.abs_diff(mean))).sum()
}

fn ycbcr([r, g, b]: [f32; 3]) -> [u8; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    // `as` saturates, and the half makes it round.
    [y + 0.5, 128.5 + 0.564 * (b - y), 128.5 + 0.713 * (r - y)].map(|v| v as u8)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use models::RgbImage;

    use super::Signature;
    use crate::measure::testing::{discs, load, paint};

    /// The picture with a rectangle of one colour over it.
    fn overlaid(
        image: &RgbImage,
        left: i64,
        top: i64,
        width: i64,
        height: i64,
        colour: [u8; 3],
    ) -> RgbImage {
        let row = i64::from(image.width());
        let old = image.data().as_chunks::<3>().0;
        paint(image.width(), image.height(), |x, y| {
            let inside = (left..left + width).contains(&x) && (top..top + height).contains(&y);
            if inside { colour } else { old[(y * row + x) as usize] }
        })
    }

    fn differ(a: &RgbImage, b: &RgbImage) -> bool {
        Signature::of(a).differs(&Signature::of(b))
    }

    #[test]
    fn a_small_overlay_in_any_corner_makes_a_difference() {
        let frame = discs(640, 480);
        for (left, top) in [(0, 0), (620, 0), (0, 465), (620, 465), (311, 233)] {
            let logo = overlaid(&frame, left, top, 20, 15, [128, 0, 255]);
            assert!(differ(&frame, &logo), "{left},{top}");
        }
    }

    #[test]
    fn an_overlay_of_equal_brightness_makes_a_difference() {
        // Luma of both: 0.299·100 + 0.587·100 + 0.114·100 = 100, and 0.299·196 + 0.587·60 + 0.114·55 = 100.1.
        let frame = paint(640, 480, |_, _| [100; 3]);
        assert!(differ(&frame, &overlaid(&frame, 600, 450, 20, 15, [196, 60, 55])));
    }

    #[test]
    fn print_that_keeps_every_mean_makes_a_difference() {
        // Strokes one pixel wide, as far above the ground as below it: the mean of each pair of columns stays.
        let ground = paint(640, 480, |_, _| [128; 3]);
        let print = |x: i64, y: i64| (300..340).contains(&x) && (225..255).contains(&y);
        let strokes = paint(640, 480, |x, y| match (print(x, y), x % 2 == 0) {
            (true, true) => [150; 3],
            (true, false) => [106; 3],
            (false, _) => [128; 3],
        });
        assert!(differ(&ground, &strokes));
    }

    #[test]
    fn noise_makes_none() {
        let frame = discs(640, 480);
        let mut state = 1u32;
        let mut noisy = frame.clone();
        for v in noisy.data_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *v = v.saturating_add_signed((state >> 24) as i8 / 12);
        }
        assert!(!differ(&frame, &noisy));
    }

    #[test]
    fn the_distance_is_that_of_the_worst_block() {
        let frame = paint(64, 64, |_, _| [0; 3]);
        let one = overlaid(&frame, 10, 10, 2, 2, [90; 3]);
        assert_eq!(Signature::of(&frame).distance(&Signature::of(&one)), 90);
        assert_eq!(Signature::of(&frame).distance(&Signature::of(&frame)), 0);
    }

    #[test]
    fn any_size_has_a_signature() {
        for (width, height) in [(1, 1), (3, 500), (31, 33), (1920, 1)] {
            let (black, white) =
                (paint(width, height, |_, _| [0; 3]), paint(width, height, |_, _| [255; 3]));
            assert!(differ(&black, &white) && !differ(&black, &black), "{width}×{height}");
        }
    }

    #[test]
    fn shared_recompression_makes_no_difference_and_a_watermark_does() {
        let data = rig::shared!();
        for name in ["astronaut", "chelsea"] {
            let at =
                |kind: &str| load(&data.join(format!("pdqnear/{name}/{name}_{kind}"))).unwrap();
            assert!(differ(&at("orig.png"), &at("wm.jpg")), "{name}");
            assert!(differ(&at("orig.png"), &at("mirror.jpg")), "{name}");
        }
    }
}
