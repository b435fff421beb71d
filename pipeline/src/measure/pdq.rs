//! PDQ, the perceptual hash of 256 bits (Meta, "TMK+PDQF", 2019; the reference is `pdq/cpp` of ThreatExchange).
//!
//! The reference blurs the luma twice with a box filter along rows and columns, takes the pixels at the centres of
//! a 64×64 grid, transforms these by a DCT and compares 16×16 of its coefficients with their median. Filter and
//! decimation are linear and work on each axis alone; so here they are folded into one sparse matrix for each axis
//! ("taps"), and only the 64 rows and columns that decimation keeps are ever computed. The result is the
//! reference's up to the rounding of its running sums, for a small part of its work.

use std::sync::LazyLock;

use models::RgbImage;
use serde::{Deserialize, Serialize};

/// Long side in pixels of the smallest rendition to take the hash from. Measured on the reference pictures:
/// shrunk by area averaging to 256 every hash stays within 8 bits of the reference's at full size (6 at 512), and at
/// 192 some are 12 and even 42 off, of the 10 that are allowed.
pub const WORKING_SIDE: u32 = 256;

/// The reference hashes nothing with a side below this.
const LEAST_SIDE: u32 = 5;
/// Side of the decimated picture.
const GRID: usize = 64;
/// Side of the block of DCT coefficients that is kept, from the first that is not constant.
const KEPT: usize = 16;
/// BT.601 luma, as the reference takes it.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// PDQ of a picture and of its mirror image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pdq {
    /// The hash, most significant byte first (as its hex form is written).
    pub hash: [u8; 32],
    /// The hash of the picture mirrored left to right.
    pub mirror: [u8; 32],
    /// 0..=100; below 50 the picture has too few features to match.
    pub quality: u8,
}

impl Pdq {
    /// Hashes a picture at its full size; `None` where a side is below 5 pixels, the least that the reference hashes.
    ///
    /// O(pixels), without a copy of the picture.
    pub fn of(image: &RgbImage) -> Option<Self> {
        Self::of_rendition(image, image.width(), image.height())
    }

    /// Hashes a picture of `width` × `height` of which only a smaller rendition is at hand: the filter is laid over
    /// the rendition where it would lie on the picture. Good down to a long side of [`WORKING_SIDE`].
    pub fn of_rendition(rendition: &RgbImage, width: u32, height: u32) -> Option<Self> {
        if width.min(height).min(rendition.width()).min(rendition.height()) < LEAST_SIDE {
            return None;
        }
        let [here, mirror] = decimate(rendition, width as usize, height as usize);
        Some(Self {
            hash: threshold(&transform(&here)),
            mirror: threshold(&transform(&mirror)),
            quality: quality(&here),
        })
    }
}

/// The hash as 64 lower-case hex digits, as banks and other tools write it.
pub fn to_hex(hash: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hash.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

/// Reads 64 hex digits of either case; `None` for anything else.
pub fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in hash.iter_mut().zip(pairs) {
        let high = char::from(high).to_digit(16)?;
        *byte = (high * 16 + char::from(low).to_digit(16)?) as u8;
    }
    Some(hash)
}

/// Number of bits in which two hashes differ, 0..=256.
pub fn distance(a: &[u8; 32], b: &[u8; 32]) -> u32 {
    let word = |h: &[u8; 8]| u64::from_ne_bytes(*h);
    a.as_chunks().0.iter().zip(b.as_chunks().0).map(|(a, b)| (word(a) ^ word(b)).count_ones()).sum()
}

/// A picture blurred and decimated.
type Grid = [[f32; GRID]; GRID];

/// The weights with which a run of samples makes one sample of the grid; they add up to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// For each of the 64 grid positions along an axis: two passes of the reference's box filter over `full` samples,
/// seen from the sample that decimation picks, and spread over the `n` samples at hand by overlap.
fn taps(n: usize, full: usize) -> Vec<Taps> {
    let window = full.div_ceil(2 * GRID);
    // The window of an even size leans to the right, and is cut at the edges.
    let (left, right) = (window - window / 2 - 1, window / 2);
    let span = |at: usize| (at.saturating_sub(left), (at + right).min(full - 1));
    let scale = n as f64 / full as f64;
    (0..GRID)
        .map(|cell| {
            let (low, high) = span((2 * cell + 1) * full / (2 * GRID));
            let (start, end) = (span(low).0, span(high).1 + 1);
            let first = ((start as f64 * scale) as usize).min(n - 1);
            let last = ((end as f64 * scale).ceil() as usize).clamp(first + 1, n);
            let mut weights = vec![0.0; last - first];
            for (a, b) in (low..=high).map(span) {
                let share = 1.0 / ((high - low + 1) * (b + 1 - a)) as f64 / scale;
                let (a, b) = (a as f64 * scale, (b + 1) as f64 * scale);
                for (sample, weight) in (first..last).map(|k| k as f64).zip(&mut weights) {
                    *weight += share * ((sample + 1.0).min(b) - sample.max(a)).max(0.0);
                }
            }
            Taps { first, weights: weights.into_iter().map(|w| w as f32).collect() }
        })
        .collect()
}

/// The luma of a picture of `width` × `height`, blurred and decimated to 64×64; and that of its mirror image, which
/// is not quite its reverse, because windows of even size lean.
fn decimate(image: &RgbImage, width: usize, height: usize) -> [Grid; 2] {
    let columns = image.width() as usize;
    let across = taps(columns, width);
    let mut rgb = vec![0.0f32; columns * 3];
    let mut luma = vec![0.0f32; columns];
    let mut grids = [[[0.0; GRID]; GRID]; 2];
    for (y, down) in taps(image.height() as usize, height).iter().enumerate() {
        // Down the interleaved channels first: this loop does nearly all the work, and vectorises.
        rgb.fill(0.0);
        for (row, &weight) in
            image.data().chunks_exact(columns * 3).skip(down.first).zip(&down.weights)
        {
            rgb.iter_mut().zip(row).for_each(|(sum, &v)| *sum += weight * f32::from(v));
        }
        for (y, c) in luma.iter_mut().zip(rgb.as_chunks::<3>().0) {
            *y = LUMA[0] * c[0] + LUMA[1] * c[1] + LUMA[2] * c[2];
        }
        for grid in &mut grids {
            for (cell, tap) in grid[y].iter_mut().zip(&across) {
                *cell = luma[tap.first..].iter().zip(&tap.weights).map(|(y, w)| y * w).sum();
            }
            luma.reverse();
        }
    }
    grids
}

/// The reference's measure of how much there is to see: the sum of the steps between neighbours of the grid, each in
/// whole hundredths of the range so that noise counts nothing, scaled to 0..=100.
fn quality(grid: &Grid) -> u8 {
    let step = |a: f32, b: f32| ((a - b) * 100.0 / 255.0).abs() as u32;
    let down = grid.windows(2).flat_map(|w| w[0].iter().zip(&w[1])).map(|(a, b)| step(*a, *b));
    let across = grid.iter().flat_map(|row| row.windows(2)).map(|w| step(w[0], w[1]));
    (down.sum::<u32>() + across.sum::<u32>()).div_euclid(90).min(100) as u8
}

/// Rows 1..=16 of the DCT-II of 64 samples.
static COSINES: LazyLock<[[f32; GRID]; KEPT]> = LazyLock::new(|| {
    let n = GRID as f64;
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let angle = std::f64::consts::PI / 2.0 / n * (i + 1) as f64 * (2 * j + 1) as f64;
            ((2.0 / n).sqrt() * angle.cos()) as f32
        })
    })
});

/// Coefficients 1..=16 of the two-dimensional DCT, the vertical frequency first.
fn transform(grid: &Grid) -> [[f32; KEPT]; KEPT] {
    let cosines = &*COSINES;
    std::array::from_fn(|i| {
        let mut row = [0.0f32; GRID];
        for (&c, line) in cosines[i].iter().zip(grid) {
            row.iter_mut().zip(line).for_each(|(sum, v)| *sum += c * v);
        }
        std::array::from_fn(|j| row.iter().zip(&cosines[j]).map(|(a, b)| a * b).sum())
    })
}

/// One bit for each coefficient above the (lower) median; the first coefficient is the least significant bit.
fn threshold(dct: &[[f32; KEPT]; KEPT]) -> [u8; 32] {
    let mut sorted = *dct;
    let sorted = sorted.as_flattened_mut();
    let (_, &mut median, _) = sorted.select_nth_unstable_by(KEPT * KEPT / 2 - 1, f32::total_cmp);
    let mut hash = [0u8; 32];
    for (bits, byte) in dct.as_flattened().as_chunks::<8>().0.iter().zip(hash.iter_mut().rev()) {
        *byte = bits.iter().enumerate().map(|(k, &c)| u8::from(c > median) << k).sum();
    }
    hash
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use models::{Filter, Fit, Rendition, RgbImage};

    use super::{Pdq, WORKING_SIDE, distance, from_hex, to_hex};
    use crate::measure::testing::{discs, load, mirrored, paint, resize};

    /// Width, height, hash, hash of the mirrored picture, quality of `discs`, by pdqhash 0.2.8 from PyPI, which
    /// wraps Meta's reference code.
    const REFERENCE: [(u32, u32, &str, &str, u8); 6] = [
        (
            640,
            480,
            "c9986326d9cc2776a5528dd365d98bf3580b57f0500655d8465609dbbbb9b227",
            "dced36738c997223f007d88e728cdee60d5e02a50753108d1303dc8efeece772",
            100,
        ),
        (
            333,
            517,
            "e7788ce7348cd3d2581a73da8e3328a3bca7b4b4a78696183cf2c249e3e94927",
            "b22dc93261998687054f068f9b666db661b2e1e1f2d3c34d69a7871cb6bc1c72",
            100,
        ),
        (
            200,
            150,
            "c9b8636699ce2550a5528dd365c9dba3581b577054064dd8465689dbbbb9f227",
            "9dedb662b89b5437e017d096659c9cf64d5e0225255318893303dc8cdeece772",
            100,
        ),
        (
            64,
            64,
            "ad9993377908576e75520dd33159adb32a1b72f84806fa585152325be7b18e27",
            "f9ccc6762c5d123f20075886640cf8e67f4e27ad1d53bf0d0407670eb2e4db72",
            100,
        ),
        (
            70,
            41,
            "ccdc2332c94e3556a156b4c36689c3f35c8b497079060ddc6376dc89cab9f627",
            "998d76679c1b7007f403f19673dc96a609de1c252c535889362389de9feca372",
            100,
        ),
        (
            1501,
            997,
            "4c986326c9cc2576a5528dd327d9cbf3580b5f7070064dd8665689db8bb9f227",
            "9ded36739c997023f007d886739c9ea60d5e0aa52553188d3303dc8edeeca772",
            84,
        ),
    ];

    #[test]
    fn agrees_with_the_reference_implementation() {
        for (width, height, hash, mirror, quality) in REFERENCE {
            let pdq = Pdq::of(&discs(width, height)).unwrap();
            let (hash, mirror) = (from_hex(hash).unwrap(), from_hex(mirror).unwrap());
            assert!(
                distance(&pdq.hash, &hash) <= 2,
                "{width}×{height}: {}",
                distance(&pdq.hash, &hash)
            );
            assert!(
                distance(&pdq.mirror, &mirror) <= 10,
                "{width}×{height}: {}",
                distance(&pdq.mirror, &mirror)
            );
            assert!(
                pdq.quality.abs_diff(quality) <= 1,
                "{width}×{height}: {} for {quality}",
                pdq.quality
            );
        }
    }

    #[test]
    fn shrinking_to_the_working_size_changes_few_bits() {
        let big = discs(2900, 2100);
        let full = Pdq::of(&big).unwrap();
        for side in [WORKING_SIDE, 640, 1450] {
            let (width, height) =
                Rendition { width: side, height: side, fit: Fit::Within, filter: Filter::Triangle }
                    .size(big.width(), big.height());
            let small = Pdq::of_rendition(&resize(&big, width, height), 2900, 2100).unwrap();
            assert!(
                distance(&full.hash, &small.hash) <= 10,
                "{side}: {}",
                distance(&full.hash, &small.hash)
            );
        }
    }

    #[test]
    fn the_mirror_hash_is_that_of_the_mirrored_picture() {
        let picture = discs(200, 150);
        let (here, there) = (Pdq::of(&picture).unwrap(), Pdq::of(&mirrored(&picture)).unwrap());
        assert!(distance(&here.mirror, &there.hash) <= 2);
        assert!(distance(&here.hash, &there.mirror) <= 2);
        assert!(distance(&here.hash, &there.hash) > 60);
    }

    #[test]
    fn a_flat_picture_has_no_quality_and_a_tiny_one_no_hash() {
        let flat = |w, h| RgbImage::new(w, h, vec![200; (w * h * 3) as usize]).unwrap();
        assert_eq!(Pdq::of(&flat(320, 240)).unwrap().quality, 0);
        assert_eq!(Pdq::of(&flat(4, 240)), None);
        assert_eq!(Pdq::of(&flat(240, 4)), None);
        assert!(Pdq::of(&flat(5, 5)).is_some());
    }

    #[test]
    fn half_of_the_bits_are_set() {
        let pdq = Pdq::of(&discs(123, 77)).unwrap();
        assert_eq!(distance(&pdq.hash, &[0; 32]), 128);
    }

    #[test]
    fn quality_counts_steps_between_neighbours() {
        // 64×64, one white column: 64 steps up, 64 down, each 100 hundredths: 12,800 / 90 > 100.
        let column = paint(64, 64, |x, _| if x == 20 { [255; 3] } else { [0; 3] });
        assert_eq!(Pdq::of(&column).unwrap().quality, 100);
        // One step of 51 of 255 is 20 hundredths (or 19, by a hair of rounding): 64 · 20 / 90 = 14.
        let edge = paint(64, 64, |x, _| if x < 32 { [51; 3] } else { [0; 3] });
        assert!((13..=14).contains(&Pdq::of(&edge).unwrap().quality));
        // Steps below a hundredth of the range count nothing.
        let ramp = paint(64, 64, |x, _| [100 + x as u8 * 2; 3]);
        assert_eq!(Pdq::of(&ramp).unwrap().quality, 0);
    }

    #[test]
    fn hex_goes_there_and_back() {
        let hash: [u8; 32] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        assert_eq!(from_hex(&to_hex(&hash)), Some(hash));
        assert_eq!(from_hex(&to_hex(&hash).to_uppercase()), Some(hash));
        assert_eq!(to_hex(&[0x0f; 32]), "0f".repeat(32));
        for bad in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"é".repeat(32)] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn distance_counts_bits() {
        let (mut a, b) = ([0; 32], [0; 32]);
        assert_eq!(distance(&a, &b), 0);
        a[0] = 0b1000_0001;
        a[31] = 0b111;
        assert_eq!(distance(&a, &b), 5);
        assert_eq!(distance(&[255; 32], &b), 256);
    }

    /// Pictures of `pdq_expected.csv` whose pixels the reference read otherwise than this test's decoder does.
    const READ_OTHERWISE: [&str; 2] = [
        // 16-bit samples, which PIL clips to white, respectively wraps.
        "formats/own_coffee_16bit.png",
        "pdq/txpy/I16.png",
    ];

    #[test]
    fn shared_agrees_with_the_expected_hashes() {
        let data = rig::shared!();
        let mut table = csv::Reader::from_path(data.join("pdq/pdq_expected.csv")).unwrap();
        let columns = table.headers().unwrap().clone();
        let column = |name: &str| columns.iter().position(|c| c == name).unwrap();
        let (path, hash, quality) = (column("path"), column("pdqhash_0_2_8"), column("quality"));
        let (mut compared, mut wrong) = (0, Vec::new());
        for row in table.records().map(Result::unwrap) {
            let want: u8 = row[quality].parse().unwrap();
            let Some(picture) = load(&data.join(&row[path])) else { continue };
            if want == 0 || READ_OTHERWISE.contains(&&row[path]) {
                continue;
            }
            let expected = from_hex(&row[hash]).unwrap();
            let (w, h) = (picture.width(), picture.height());
            let within = Rendition {
                width: WORKING_SIDE,
                height: WORKING_SIDE,
                fit: Fit::Within,
                filter: Filter::Triangle,
            }
            .size(w, h);
            let mut renditions = vec![(w, h), within];
            // What a JPEG decoder offers, as long as it is not below the working size.
            renditions.extend([2, 4, 8].map(|d| (w.div_ceil(d), h.div_ceil(d))));
            renditions.retain(|r| r.0.max(r.1) >= w.max(h).min(WORKING_SIDE));
            for (width, height) in renditions {
                let pdq = Pdq::of_rendition(&resize(&picture, width, height), w, h).unwrap();
                compared += 1;
                let bits = distance(&pdq.hash, &expected);
                if bits > 10 || pdq.quality.abs_diff(want) > 2 {
                    wrong.push(format!(
                        "{} at {width}×{height}: {bits} bits, quality {}",
                        &row[path], pdq.quality
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(compared >= 240, "only {compared} renditions could be compared");
    }
}
