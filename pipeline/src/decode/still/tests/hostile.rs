//! Bombs, loops, lies and cut-off files of our own making.

use domain::Format;

use super::twins::jpeg_of_blocks;
use super::{full, open, open_as, pixel};
use crate::decode::{DecodeError, Limits};

fn is_too_large(bytes: &[u8]) -> bool {
    matches!(open(bytes), Err(DecodeError::TooLarge(_)))
}

#[test]
fn headers_that_promise_too_many_pixels_are_refused() {
    let png = |side: u32| {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    assert!(is_too_large(&png(50_000)));
    assert!(is_too_large(&png(8_000)), "64 MP");
    assert!(is_too_large(b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff"));
    let mut gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0;");
    assert!(is_too_large(&gif));
    let mut jpeg = jpeg_of_blocks(&[9], 1, None);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    assert!(is_too_large(&jpeg));
}

#[test]
fn a_jpeg_with_thousands_of_scans_is_refused() {
    let mut bytes = jpeg_of_blocks(&[9], 1, None);
    bytes.truncate(bytes.len() - 2);
    for _ in 0..1_000 {
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x00]);
    }
    assert!(is_too_large(&bytes));
}

#[test]
fn a_cut_off_jpeg_shows_what_there_is_and_is_damaged() {
    let whole = jpeg_of_blocks(&[40; 4096], 64, None);
    let (album, tally) = open(&whole[..whole.len() / 2]).unwrap();
    assert!(tally.damaged);
    assert_eq!(pixel(&album.frames[0].image, 0, 0), [40; 3]);
    let (_, tally) = open(&whole).unwrap();
    assert!(!tally.damaged);
}

#[test]
fn a_cut_off_png_shows_what_there_is_and_is_damaged() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    let noise: Vec<u8> =
        (0u32..64 * 64 * 3).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&noise).unwrap();
    let (album, tally) = open(&bytes[..bytes.len() / 2]).unwrap();
    assert!(tally.damaged);
    assert_eq!(album.frames[0].image.data()[..64], noise[..64]);
}

#[test]
fn a_chain_of_tiff_directories_that_bites_its_tail_ends() {
    // One page of one grey pixel at offset 8, whose next directory is itself.
    let mut b = b"II\x2a\0\x08\0\0\0\x07\0".to_vec();
    for (tag, value) in
        [(256u16, 1u16), (257, 1), (258, 8), (262, 1), (273, 98), (277, 1), (279, 1)]
    {
        b.extend(tag.to_le_bytes());
        b.extend([3, 0, 1, 0, 0, 0]);
        b.extend(value.to_le_bytes());
        b.extend([0, 0]);
    }
    b.extend([8, 0, 0, 0, 77]);
    let (album, tally) = open(&b).unwrap();
    assert_eq!((album.facts.unwrap().frames, tally.frames), (Some(1), 1));
    assert_eq!(album.frames[0].image.data(), [77; 3]);
}

#[test]
fn a_heif_whose_items_claim_a_huge_size_is_refused() {
    let mut b = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec();
    let ispe = b"\0\0\0\x14ispe\0\0\0\0\0\x01\0\0\0\x01\0\0";
    let boxed = |kind: &[u8], body: &[u8]| {
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
    };
    let properties = boxed(b"iprp", &boxed(b"ipco", ispe));
    b.extend(boxed(b"meta", &[&[0; 4][..], &properties].concat()));
    assert!(is_too_large(&b));
}

#[test]
fn formats_that_are_not_read_are_named() {
    let refused = |bytes: &[u8]| match open(bytes) {
        Err(DecodeError::Unsupported(why)) => why,
        other => panic!("{:?}", other.map(|(_, tally)| tally)),
    };
    assert!(refused(b"%PDF-1.7\n").contains("PDF"));
    assert!(refused(b"<?xml version='1.0'?><svg xmlns='x'/>").contains("SVG"));
    assert!(refused(b"8BPS\0\x01").contains("Photoshop"));
    assert!(refused(b"\0\0\0\x0cjP  \r\n\x87\n").contains("JPEG 2000"));
    assert!(refused(b"\xff\x0a\0").contains("JPEG XL"));
    assert!(refused(b"").contains("empty"));
}

#[test]
fn no_prefix_of_a_file_and_no_flipped_byte_brings_a_decoder_down() {
    let mut files = vec![(Format::Jpeg, jpeg_of_blocks(&[9, 99, 200, 3], 2, Some(6)))];
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 3, 3);
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header().unwrap().write_image_data(&[7; 36]).unwrap();
    files.push((Format::Png, png));
    let limits = Limits::default();
    for (format, bytes) in files {
        for end in 0..bytes.len() {
            let _ = open_as(&bytes[..end], format, &full(), &limits);
            let mut flipped = bytes.clone();
            flipped[end] ^= 0xff;
            let outcome = open_as(&flipped, format, &full(), &limits).map(|(_, tally)| tally);
            let gave_up =
                matches!(&outcome, Err(DecodeError::Damaged(why)) if why.contains("gave up"));
            assert!(!gave_up, "{format:?} byte {end}: {outcome:?}");
        }
    }
}
