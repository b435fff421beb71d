//! Pictures at the size in which a model wants to see them.

use domain::BBox;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::{Filter, Rendition, RgbImage};

/// Brings a picture into a rendition: its size by [`Rendition::size`], its pixels by the rendition's filter,
/// rounded to the nearest 8-bit value.
pub fn resample(image: &RgbImage, rendition: Rendition) -> RgbImage {
    let (width, height) = rendition.size(image.width(), image.height());
    if (width, height) == (image.width(), image.height()) {
        return image.clone();
    }
    match rendition.filter {
        Filter::BilinearAlignCorners => two_tap(image, width, height, align_corners),
        Filter::Bilinear => two_tap(image, width, height, half_pixel),
        // The library refuses only buffers that do not fit their size, which `RgbImage` rules out.
        Filter::Triangle => triangle(image, width, height)
            .unwrap_or_else(|| two_tap(image, width, height, half_pixel)),
    }
}

/// Cuts the square around a face: as wide as the box's longer side plus `margin` of it on each side (0.1 = a
/// tenth), around the box's centre. Shifted, then cut down, to lie within the picture; at least one pixel.
pub fn crop_face(image: &RgbImage, bbox: &BBox, margin: f32) -> RgbImage {
    let longest = image.width().min(image.height()) as f32;
    let side = (bbox.w.max(bbox.h) * (1.0 + 2.0 * margin)).round().clamp(1.0, longest);
    let start = |centre: f32, limit: u32| {
        (centre - side / 2.0).round().clamp(0.0, limit as f32 - side) as usize
    };
    let x = start(bbox.x + bbox.w / 2.0, image.width());
    let y = start(bbox.y + bbox.h / 2.0, image.height());
    let side = side as usize;
    let stride = image.width() as usize * 3;
    let data: Vec<u8> = image
        .data()
        .chunks_exact(stride)
        .skip(y)
        .take(side)
        .flat_map(|row| row.iter().skip(x * 3).take(side * 3).copied())
        .collect();
    RgbImage::new(side as u32, side as u32, data).unwrap_or_else(|| image.clone())
}

/// Two neighbours along one axis, as offsets in elements, and the weight of the second.
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

/// Position in the source of a target pixel, on one axis.
type Position = fn(target: u32, from: u32, to: u32) -> f32;

fn align_corners(target: u32, from: u32, to: u32) -> f32 {
    if to > 1 { target as f32 * ((from - 1) as f32 / (to - 1) as f32) } else { 0.0 }
}

fn half_pixel(target: u32, from: u32, to: u32) -> f32 {
    let position = (f64::from(target) + 0.5) * f64::from(from) / f64::from(to) - 0.5;
    position.clamp(0.0, f64::from(from - 1)) as f32
}

fn taps(from: u32, to: u32, step: usize, position: Position) -> Vec<Tap> {
    let last = from as usize - 1;
    (0..to)
        .map(|target| {
            let at = position(target, from, to);
            let first = (at as usize).min(last);
            let second = (first + 1).min(last);
            Tap { first: first * step, second: second * step, weight: at - first as f32 }
        })
        .collect()
}

fn two_tap(image: &RgbImage, width: u32, height: u32, position: Position) -> RgbImage {
    let stride = image.width() as usize * 3;
    let columns = taps(image.width(), width, 3, position);
    let rows = taps(image.height(), height, stride, position);
    let mut data = vec![0u8; width as usize * height as usize * 3];
    for (row, target) in rows.iter().zip(data.chunks_exact_mut(width as usize * 3)) {
        let upper = &image.data()[row.first..row.first + stride];
        let lower = &image.data()[row.second..row.second + stride];
        for (column, pixel) in columns.iter().zip(target.chunks_exact_mut(3)) {
            let at = |line: &[u8], start: usize| -> [f32; 3] {
                let pixel = &line[start..start + 3];
                [f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2])]
            };
            let (a, b) = (at(upper, column.first), at(upper, column.second));
            let (c, d) = (at(lower, column.first), at(lower, column.second));
            for channel in 0..3 {
                let top = a[channel] + (b[channel] - a[channel]) * column.weight;
                let bottom = c[channel] + (d[channel] - c[channel]) * column.weight;
                // Truncation after adding a half rounds; the value lies in 0..=255.
                pixel[channel] = (top + (bottom - top) * row.weight + 0.5) as u8;
            }
        }
    }
    RgbImage::new(width, height, data).unwrap_or_else(|| image.clone())
}

fn triangle(image: &RgbImage, width: u32, height: u32) -> Option<RgbImage> {
    let source =
        ImageRef::new(image.width(), image.height(), image.data(), PixelType::U8x3).ok()?;
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false);
    Resizer::new().resize(&source, &mut target, &options).ok()?;
    RgbImage::new(width, height, target.into_vec())
}
