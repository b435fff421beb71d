//! What a transparent picture shows depends on the page that it is laid on.

use std::io::Cursor;

use image::{ImageFormat, RgbaImage};

use super::{open, pixel};

/// A disc of this colour on a ground of full transparency.
fn disc(colour: [u8; 4]) -> RgbaImage {
    RgbaImage::from_fn(64, 64, |x, y| {
        let (dx, dy) = (x as i32 - 32, y as i32 - 32);
        image::Rgba(if dx * dx + dy * dy < 400 { colour } else { [0; 4] })
    })
}

fn encoded(picture: &RgbaImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

#[test]
fn what_is_drawn_in_white_is_seen_on_black() {
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Gif] {
        let (album, tally) = open(&encoded(&disc([255; 4]), format)).unwrap();
        assert_eq!((album.frames.len(), tally.frames), (2, 2), "{format:?}");
        let [white, black] = [0, 1].map(|i| &album.frames[i].image);
        assert_eq!((pixel(white, 32, 32), pixel(white, 2, 2)), ([255; 3], [255; 3]), "{format:?}");
        assert_eq!((pixel(black, 32, 32), pixel(black, 2, 2)), ([255; 3], [0; 3]), "{format:?}");
    }
}

#[test]
fn an_opaque_picture_is_looked_at_once() {
    let opaque = RgbaImage::from_pixel(64, 64, image::Rgba([200, 100, 50, 255]));
    // A rim of one pixel that is nearly opaque is the same picture on any page.
    let mut soft = opaque.clone();
    (0..64).for_each(|x| soft.put_pixel(x, 0, image::Rgba([200, 100, 50, 250])));
    for picture in [opaque, soft] {
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
            let (album, tally) = open(&encoded(&picture, format)).unwrap();
            assert_eq!((album.frames.len(), tally.frames), (1, 1), "{format:?}");
        }
    }
}

#[test]
fn samples_of_sixteen_bits_keep_their_brightness() {
    let values = [0u16, 0x0100, 0x7fff, 0x8000, 0xff00, 0xffff];
    let wide = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(6, 1, values.to_vec()).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm] {
        let mut out = Cursor::new(Vec::new());
        wide.write_to(&mut out, format).unwrap();
        let (album, _) = open(&out.into_inner()).unwrap();
        for (x, value) in values.iter().enumerate() {
            let expected = (value >> 8) as u8;
            let [got, ..] = pixel(&album.frames[0].image, x as u32, 0);
            assert!(got.abs_diff(expected) <= 1, "{format:?}: {value:#x} is {got}");
        }
    }
}
