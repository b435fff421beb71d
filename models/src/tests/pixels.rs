//! Resampling and packing against values computed elsewhere: numpy (align corners), OpenCV 4 (`INTER_LINEAR`) and
//! Pillow (`BILINEAR`).

use crate::preprocess::{canvas, pack, pack_into};
use crate::{Filter, Fit, Manifest, Rendition, RgbImage, Tensor, crop_face, resample};
use domain::BBox;

/// 5 × 4 pixels of noise.
const NOISE: [u8; 60] = [
    139, 74, 229, 241, 169, 65, 6, 160, 149, 106, 38, 175, 188, 205, 175, 229, 98, 249, 10, 148,
    95, 86, 147, 198, 66, 39, 106, 213, 171, 45, 167, 57, 69, 81, 55, 14, 153, 178, 215, 76, 52,
    39, 250, 72, 215, 50, 161, 223, 112, 172, 161, 233, 38, 17, 89, 1, 221, 6, 242, 127,
];

fn noise() -> RgbImage {
    RgbImage::new(5, 4, NOISE.to_vec()).unwrap()
}

/// Largest difference to `want` after resampling the noise.
fn difference(width: u32, height: u32, filter: Filter, want: &[u8]) -> u8 {
    let image = resample(&noise(), Rendition { width, height, fit: Fit::Stretch, filter });
    assert_eq!((image.width(), image.height()), (width, height));
    assert_eq!(image.data().len(), want.len());
    image.data().iter().zip(want).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn align_corners_agrees_with_its_formula_to_the_last_bit() {
    let three = [
        139, 74, 229, 6, 160, 149, 188, 205, 175, 198, 78, 159, 120, 162, 206, 232, 122, 130, 50,
        161, 223, 233, 38, 17, 6, 242, 127,
    ];
    // The formula in 64 bits ties at .5 where 32 bits may fall either way: one step at most.
    assert!(difference(3, 3, Filter::BilinearAlignCorners, &three) <= 1);
    let first_row = [
        139, 74, 229, 207, 137, 120, 163, 166, 93, 6, 160, 149, 73, 79, 166, 133, 94, 175, 188,
        205, 175,
    ];
    let rendition =
        Rendition { width: 7, height: 5, fit: Fit::Stretch, filter: Filter::BilinearAlignCorners };
    let image = resample(&noise(), rendition);
    assert_eq!(image.data()[..21], first_row);
    assert_eq!(image.data()[102..], [6, 242, 127]);
}

#[test]
fn bilinear_agrees_with_opencv_within_its_fixed_point_step() {
    let enlarged = [
        139, 74, 229, 197, 128, 135, 174, 166, 89, 6, 160, 149, 77, 73, 168, 141, 109, 175, 188,
        205, 175, 202, 91, 243, 132, 127, 153, 74, 153, 114, 62, 151, 183, 73, 71, 143, 133, 100,
        108, 205, 181, 84, 198, 78, 159, 111, 91, 99, 67, 119, 98, 120, 163, 207, 85, 79, 111, 140,
        78, 97, 232, 122, 130, 132, 88, 115, 108, 89, 82, 115, 103, 86, 177, 136, 156, 108, 65,
        111, 121, 74, 134, 177, 123, 189, 50, 161, 223, 85, 167, 188, 146, 134, 120, 233, 38, 17,
        130, 11, 163, 53, 104, 181, 6, 242, 127,
    ];
    assert!(difference(7, 5, Filter::Bilinear, &enlarged) <= 1);
    let shrunk =
        [164, 110, 186, 46, 154, 174, 162, 138, 120, 104, 110, 126, 193, 108, 116, 113, 113, 157];
    assert!(difference(3, 2, Filter::Bilinear, &shrunk) <= 1);
}

#[test]
fn triangle_agrees_with_pillow_within_its_fixed_point_step() {
    let shrunk = [124, 122, 144, 120, 113, 135, 118, 109, 122, 121, 93, 134];
    assert!(difference(2, 2, Filter::Triangle, &shrunk) <= 1);
}

#[test]
fn a_picture_of_the_right_size_is_not_touched() {
    let rendition =
        Rendition { width: 640, height: 640, fit: Fit::Within, filter: Filter::Triangle };
    assert_eq!(resample(&noise(), rendition), noise());
}

#[test]
fn one_pixel_survives_every_filter() {
    let pixel = super::flat(1, 1, [9, 8, 7]);
    for filter in [Filter::BilinearAlignCorners, Filter::Bilinear, Filter::Triangle] {
        let rendition = Rendition { width: 3, height: 2, fit: Fit::Stretch, filter };
        assert_eq!(resample(&pixel, rendition), super::flat(3, 2, [9, 8, 7]));
    }
}

fn manifest(input: &str) -> Manifest {
    let text = super::tiny_manifest_text();
    let (head, rest) = text.split_once("width = 4\n").unwrap();
    let (_, tail) = rest.split_once("scale = 0.01\n").unwrap();
    Manifest::parse("test", &format!("{head}{input}\n{tail}")).unwrap()
}

#[test]
fn packing_by_hand_planar_bgr_padded() {
    let input = "width = 8\nheight = 8\nlayout = 'nchw'\nchannels = 'bgr'\nfit = 'within'\nmultiple_of = 2\n\
                 filter = 'triangle'\nmean = [10.0, 20.0, 30.0]\nstd = [2.0, 4.0, 5.0]";
    let input = manifest(input).input;
    assert_eq!(canvas(&input, 1, 2), (2, 2));
    let image = RgbImage::new(1, 2, vec![100, 110, 120, 130, 140, 150]).unwrap();
    let tensor = pack(&input, &[&image]);
    assert_eq!(tensor.shape, [1, 3, 2, 2]);
    // Blue (120 − 10) ÷ 2 = 55, (150 − 10) ÷ 2 = 70, padding (0 − 10) ÷ 2; green ÷ 4 after 20; red ÷ 5 after 30.
    let want = [55.0, -5.0, 70.0, -5.0, 22.5, -5.0, 30.0, -5.0, 14.0, -6.0, 20.0, -6.0];
    for (value, want) in tensor.data.iter().zip(want) {
        assert!((value - want).abs() < 1e-3, "{:?}", tensor.data);
    }
}

#[test]
fn what_a_tensor_held_before_shows_nowhere() {
    for layout in ["nchw", "nhwc"] {
        let input = format!(
            "width = 8\nheight = 8\nlayout = '{layout}'\nchannels = 'rgb'\nfit = 'within'\nmultiple_of = 4\n\
             filter = 'triangle'\nmean = [1.0, 2.0, 3.0]"
        );
        let input = manifest(&input).input;
        // Each has padding on both sides, and they take more room and less in turn.
        let mut tensor = Tensor { shape: vec![7], data: vec![f32::NAN; 7] };
        for (width, height) in [(3, 2), (7, 5), (1, 6)] {
            let image = super::flat(width, height, [50, 60, 70]);
            pack_into(&input, &[&image, &image], &mut tensor);
            assert_eq!(tensor, pack(&input, &[&image, &image]), "{layout} {width} × {height}");
        }
    }
}

#[test]
fn packing_by_hand_packed_rgb() {
    let input = "width = 2\nheight = 1\nlayout = 'nhwc'\nchannels = 'rgb'\nfit = 'stretch'\nfilter = 'bilinear'\n\
                 scale = 0.00392156862745098";
    let input = manifest(input).input;
    let image = RgbImage::new(2, 1, vec![0, 51, 102, 153, 204, 255]).unwrap();
    let tensor = pack(&input, &[&image, &image]);
    assert_eq!(tensor.shape, [2, 1, 2, 3]);
    let want = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
    for (value, want) in tensor.data.iter().zip(want.iter().cycle()) {
        assert!((value - want).abs() < 1e-3, "{:?}", tensor.data);
    }
}

#[test]
fn a_face_is_cut_out_as_a_square_within_the_picture() {
    let mut image = super::flat(10, 6, [0; 3]);
    for (index, value) in image.data_mut().chunks_exact_mut(3).enumerate() {
        value.copy_from_slice(&[(index % 10) as u8, (index / 10) as u8, 0]);
    }
    let cut = crop_face(&image, &BBox { x: 4.0, y: 2.0, w: 2.0, h: 4.0 }, 0.0);
    assert_eq!((cut.width(), cut.height()), (4, 4));
    assert_eq!(cut.data()[..3], [3, 2, 0]);
    // Beyond the edge it is shifted inwards; larger than the picture it is cut down.
    let cut = crop_face(&image, &BBox { x: -3.0, y: -3.0, w: 4.0, h: 4.0 }, 0.0);
    assert_eq!((cut.width(), cut.data()[0], cut.data()[1]), (4, 0, 0));
    let cut = crop_face(&image, &BBox { x: 0.0, y: 0.0, w: 40.0, h: 40.0 }, 1.0);
    assert_eq!((cut.width(), cut.height()), (6, 6));
}
