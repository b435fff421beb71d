//! Pictures for the tests of the measures.
#![expect(clippy::unwrap_used, reason = "test helper")]

use std::path::Path;

use fast_image_resize as fir;
use models::RgbImage;

/// Decodes a picture as it is stored: orientation not applied, transparency dropped.
pub fn load(path: &Path) -> Option<RgbImage> {
    let decoded = image::ImageReader::open(path).ok()?.with_guessed_format().ok()?.decode().ok()?;
    let rgb = decoded.into_rgb8();
    RgbImage::new(rgb.width(), rgb.height(), rgb.into_raw())
}

/// A picture from a function of its coordinates.
pub fn paint(width: u32, height: u32, mut pixel: impl FnMut(i64, i64) -> [u8; 3]) -> RgbImage {
    let places = (0..i64::from(height)).flat_map(|y| (0..i64::from(width)).map(move |x| (x, y)));
    RgbImage::new(width, height, places.flat_map(|(x, y)| pixel(x, y)).collect()).unwrap()
}

/// Ramps in red and green, a checkered blue, and five discs; whole numbers only, so that any language can draw it.
pub fn discs(width: u32, height: u32) -> RgbImage {
    let (w, h) = (i64::from(width), i64::from(height));
    let discs = [
        (w / 4, h / 3, h / 5, [250, 20, 30]),
        (2 * w / 3, h / 2, h / 4, [10, 240, 200]),
        (w / 2, 4 * h / 5, h / 9, [255, 255, 255]),
        (7 * w / 8, h / 6, h / 8, [0, 0, 0]),
        (w / 8, 5 * h / 6, h / 10, [60, 30, 220]),
    ];
    paint(width, height, |x, y| {
        let inside =
            |d: &&(i64, i64, i64, [u8; 3])| (x - d.0).pow(2) + (y - d.1).pow(2) <= d.2 * d.2;
        let ground =
            [x * 255 / (w - 1), y * 255 / (h - 1), (x / 7 + y / 11) % 2 * 200].map(|v| v as u8);
        discs.iter().rfind(inside).map_or(ground, |d| d.3)
    })
}

/// Shrinks (or, for the tests that want it, stretches) by area averaging.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let kind = fir::PixelType::U8x3;
    let source =
        fir::images::ImageRef::new(image.width(), image.height(), image.data(), kind).unwrap();
    let mut target = fir::images::Image::new(width, height, kind);
    let alg = fir::ResizeAlg::Convolution(fir::FilterType::Box);
    fir::Resizer::new()
        .resize(&source, &mut target, &fir::ResizeOptions::new().resize_alg(alg))
        .unwrap();
    RgbImage::new(width, height, target.into_vec()).unwrap()
}

/// Left and right exchanged.
pub fn mirrored(image: &RgbImage) -> RgbImage {
    let row = image.width() as usize * 3;
    let flipped =
        image.data().chunks_exact(row).flat_map(|r| r.as_chunks::<3>().0.iter().rev().flatten());
    RgbImage::new(image.width(), image.height(), flipped.copied().collect()).unwrap()
}

/// Black words on white in block letters of 5×7 squares of `square` pixels; knows E F H I L O T and the space.
pub fn letters(width: u32, height: u32, square: i64, words: &str) -> RgbImage {
    let shape = |letter: char| match letter {
        'E' => ["#####", "#....", "#....", "####.", "#....", "#....", "#####"],
        'F' => ["#####", "#....", "#....", "####.", "#....", "#....", "#...."],
        'H' => ["#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"],
        'I' => [".###.", "..#..", "..#..", "..#..", "..#..", "..#..", ".###."],
        'L' => ["#....", "#....", "#....", "#....", "#....", "#....", "#####"],
        'O' => [".###.", "#...#", "#...#", "#...#", "#...#", "#...#", ".###."],
        'T' => ["#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."],
        _ => ["."; 7],
    };
    let shapes: Vec<_> = words.chars().map(shape).collect();
    paint(width, height, |x, y| {
        let (column, row) = ((x - 20).div_euclid(square), (y - 30).div_euclid(square));
        let shape =
            usize::try_from(column / 6).ok().filter(|_| column >= 0).and_then(|i| shapes.get(i));
        let line = usize::try_from(row).ok().and_then(|r| shape?.get(r));
        let ink = line.and_then(|l| l.as_bytes().get((column % 6) as usize)) == Some(&b'#');
        [if ink { 0 } else { 255 }; 3]
    })
}
