//! Small pictures of our own making, one for each format, which need no reference data.

use std::io::Cursor;

use domain::Format;

use super::super::jpeg;
use super::{difference, full, open, open_as, pixel, within};
use crate::decode::Limits;

/// A grey baseline JPEG of flat 8 × 8 blocks, `columns` to a row, from T.81: one DC code for each block, all AC zero.
pub(super) fn jpeg_of_blocks(greys: &[u8], columns: u16, exif: Option<u8>) -> Vec<u8> {
    let rows = greys.len() as u16 / columns;
    let mut bytes = vec![0xff, 0xd8];
    let mut segment = |marker: u8, body: &[u8]| {
        bytes.extend([0xff, marker]);
        bytes.extend((body.len() as u16 + 2).to_be_bytes());
        bytes.extend(body);
    };
    if let Some(orientation) = exif {
        let mut body = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        body.extend([orientation, 0, 0, 0, 0, 0, 0]);
        segment(0xe1, &body);
    }
    segment(0xdb, &[&[0u8][..], &[8; 64]].concat());
    let [h, w] = [rows * 8, columns * 8].map(u16::to_be_bytes);
    segment(0xc0, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    // DC: twelve codes of four bits, for 0 to 11 bits. AC: one code of one bit, the end of the block.
    segment(
        0xc4,
        &[0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
    segment(0xc4, &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    segment(0xda, &[1, 1, 0, 0, 63, 0]);
    let (mut bits, mut before) = (Vec::new(), 0i32);
    let mut put = |value: u32, n: u32| bits.extend((0..n).rev().map(|bit| value >> bit & 1));
    for grey in greys {
        // With a quantiser of 8 the DC coefficient is the mean minus 128.
        let step = i32::from(*grey) - 128 - before;
        before += step;
        let size = 32 - step.unsigned_abs().leading_zeros();
        put(size, 4);
        put(if step < 0 { (step - 1) as u32 } else { step as u32 }, size);
        put(0, 1);
    }
    for byte in bits.chunks(8) {
        let value = (0..8).fold(0u8, |v, bit| v << 1 | byte.get(bit).map_or(1, |b| *b as u8));
        bytes.push(value);
        if value == 0xff {
            bytes.push(0);
        }
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}

const BLOCKS: [u8; 6] = [10, 50, 90, 130, 170, 210];

#[test]
fn each_of_the_eight_orientations_is_turned_upright() {
    let [a, b, c, d, e, f] = BLOCKS;
    // What the Exif standard says that a viewer shows of a stored picture "abc / def".
    let upright: [(u8, u32, [u8; 6]); 10] = [
        (0, 3, [a, b, c, d, e, f]),
        (1, 3, [a, b, c, d, e, f]),
        (2, 3, [c, b, a, f, e, d]),
        (3, 3, [f, e, d, c, b, a]),
        (4, 3, [d, e, f, a, b, c]),
        (5, 2, [a, d, b, e, c, f]),
        (6, 2, [d, a, e, b, f, c]),
        (7, 2, [f, c, e, b, d, a]),
        (8, 2, [c, f, b, e, a, d]),
        (255, 3, [a, b, c, d, e, f]),
    ];
    for (orientation, columns, want) in upright {
        let (album, tally) = open(&jpeg_of_blocks(&BLOCKS, 3, Some(orientation))).unwrap();
        let image = &album.frames[0].image;
        let facts = album.facts.as_ref().unwrap();
        assert_eq!(
            (facts.width, facts.height),
            (columns * 8, 48 / columns),
            "orientation {orientation}"
        );
        let got = (0..6).map(|i| pixel(image, i % columns * 8 + 4, i / columns * 8 + 4)[0]);
        assert_eq!(got.collect::<Vec<_>>(), want, "orientation {orientation}");
        assert!(!tally.damaged);
    }
}

#[test]
fn a_jpeg_is_decoded_at_the_smallest_scale_that_is_enough() {
    let bytes = jpeg_of_blocks(&[77; 64], 8, None);
    for (need, side) in
        [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32), (33, 64), (64, 64), (999, 64)]
    {
        let (album, _) = open_as(&bytes, Format::Jpeg, &within(need), &Limits::default()).unwrap();
        let (facts, image) = (album.facts.unwrap(), &album.frames[0].image);
        assert_eq!((facts.width, image.width(), image.height()), (64, side, side), "need {need}");
        assert_eq!(pixel(image, 0, 0), [77; 3]);
    }
}

#[test]
fn the_libraries_are_there_and_preload_says_so() {
    assert_eq!(super::super::preload(), []);
    assert!(jpeg::preload().is_ok());
}

/// Eight distinct opaque colours, 4 × 2.
const COLOURS: [[u8; 3]; 8] = [
    [0, 0, 0],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [1, 2, 3],
    [254, 128, 64],
    [255, 255, 255],
];

#[test]
fn lossless_formats_give_back_every_pixel() {
    let flat = COLOURS.concat();
    let picture = image::RgbImage::from_raw(4, 2, flat.clone()).unwrap();
    let mut files = Vec::new();
    for format in [
        image::ImageFormat::Bmp,
        image::ImageFormat::Pnm,
        image::ImageFormat::Qoi,
        image::ImageFormat::Png,
    ] {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        files.push(bytes.into_inner());
    }
    let mut webp = Vec::new();
    image_webp::WebPEncoder::new(&mut webp)
        .encode(&flat, 4, 2, image_webp::ColorType::Rgb8)
        .unwrap();
    files.push(webp);
    let mut tiff = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut tiff).unwrap();
    encoder.write_image::<tiff::encoder::colortype::RGB8>(4, 2, &flat).unwrap();
    files.push(tiff.into_inner());
    let want = models::RgbImage::new(4, 2, flat).unwrap();
    for bytes in files {
        let (album, tally) = open(&bytes).unwrap();
        assert_eq!(difference(&album.frames[0].image, &want), 0.0, "{:?}", album.facts);
        assert!(!tally.damaged);
    }
}

#[test]
fn transparency_is_laid_over_white() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
    encoder.set_color(png::ColorType::Rgba);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&[200, 0, 0, 0, 0, 0, 0, 51, 9, 8, 7, 255])
        .unwrap();
    let (album, _) = open(&bytes).unwrap();
    assert_eq!(album.frames[0].image.data(), [255, 255, 255, 204, 204, 204, 9, 8, 7]);
}

/// A palette TIFF with four bits an index, both byte orders, and an orientation tag.
#[test]
fn a_palette_tiff_is_looked_up_and_turned() {
    for big in [false, true] {
        let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut b = if big { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
        b.extend(long(8));
        let tags: [(u16, u32, u32); 9] = [
            (256, 1, 2),
            (257, 1, 1),
            (258, 1, 4),
            (259, 1, 1),
            (262, 1, 3),
            (273, 1, 250),
            (274, 1, 6),
            (277, 1, 1),
            (279, 1, 1),
        ];
        b.extend(short(10));
        for (tag, count, value) in tags {
            b.extend(short(tag));
            b.extend(short(3));
            b.extend(long(count));
            b.extend(short(value as u16));
            b.extend([0, 0]);
        }
        b.extend(short(320));
        b.extend(short(3));
        b.extend(long(48));
        b.extend(long(140));
        b.extend(long(0));
        b.resize(140, 0);
        // Index 1 is red, index 2 is blue.
        let map = (0..48).map(|i| if i == 1 || i == 34 { 0xffff } else { 0 });
        b.extend(map.flat_map(short));
        b.resize(250, 0);
        b.push(0x12);
        let (album, tally) = open_as(&b, Format::Tiff, &full(), &Limits::default()).unwrap();
        let image = &album.frames[0].image;
        assert_eq!((image.width(), image.height(), tally.damaged), (1, 2, false));
        assert_eq!(image.data(), [255, 0, 0, 0, 0, 255]);
    }
}
