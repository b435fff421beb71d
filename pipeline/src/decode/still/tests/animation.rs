//! Animations: composition, sampling, and what is said about what was not looked at.

use domain::{Format, MediaKind};
use gif::{DisposalMethod, Encoder, Frame};

use super::{full, open, open_as, pixel};
use crate::decode::Limits;

const WHITE: [u8; 3] = [255; 3];
const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const PALETTE: [u8; 12] = [255, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0];

/// A GIF of frames given as x, y, side, index of colour, delay in 10 ms, and disposal.
fn gif(screen: u16, frames: &[(u16, u16, u16, u8, u16, DisposalMethod)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, screen, screen, &PALETTE).unwrap();
    for &(left, top, side, index, delay, dispose) in frames {
        let mut frame =
            Frame::from_indexed_pixels(side, side, vec![index; usize::from(side * side)], None);
        (frame.left, frame.top, frame.delay, frame.dispose) = (left, top, delay, dispose);
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

#[test]
fn gif_frames_are_taken_off_as_they_ask_for() {
    use DisposalMethod::{Background, Keep, Previous};
    let bytes = gif(
        4,
        &[
            (0, 0, 4, 1, 10, Keep),
            (1, 1, 2, 2, 10, Previous),
            (0, 0, 1, 2, 10, Background),
            (3, 3, 1, 2, 10, Keep),
        ],
    );
    let (album, tally) = open(&bytes).unwrap();
    let at = |frame: usize, x, y| pixel(&album.frames[frame].image, x, y);
    assert_eq!((at(0, 1, 1), at(1, 1, 1)), (RED, BLUE));
    // The second went back to what was before it, the third left a hole.
    assert_eq!((at(2, 1, 1), at(2, 0, 0)), (RED, BLUE));
    assert_eq!((at(3, 0, 0), at(3, 3, 3)), (WHITE, BLUE));
    // The hole looks different on black.
    assert_eq!(album.frames.iter().map(|f| f.pts_ms).collect::<Vec<_>>(), [0, 100, 200, 300, 300]);
    let facts = album.facts.unwrap();
    assert_eq!(
        (facts.kind, facts.frames, facts.duration_ms),
        (MediaKind::Animation, Some(4), Some(400))
    );
    assert_eq!((tally.frames, tally.max_gap_ms, tally.damaged), (4, 0, false));
}

#[test]
fn long_animation_is_sampled_evenly_and_the_gap_is_told() {
    let frame = (0, 0, 1, 1, 10, DisposalMethod::Keep);
    let bytes = gif(2, &vec![frame; 10_000]);
    let limits = Limits { max_frames: 100, ..Limits::default() };
    let (album, tally) = open_as(&bytes, Format::Gif, &full(), &limits).unwrap();
    assert_eq!(album.facts.unwrap().frames, Some(10_000));
    // The first comes over black as well; what follows looks there as it does.
    let times: Vec<_> = album.frames.iter().map(|f| f.pts_ms).collect();
    assert_eq!((times.len(), tally.frames), (101, 100));
    assert_eq!((times[0], times[1], times[100]), (0, 0, 999_900));
    // 9,999 steps over 99 spans are 101 frames a span, of which 100 are not seen.
    assert_eq!(tally.max_gap_ms, 10_000);
}

#[test]
fn a_frame_that_is_shown_longer_than_the_sampling_interval_is_never_missed() {
    let mut frames = vec![(0, 0, 1, 1, 2, DisposalMethod::Keep); 2_000];
    frames[1_234].3 = 2;
    // 2,000 frames of 20 ms in 50 samples are 816 ms a span.
    frames[1_234].4 = 100;
    let limits = Limits { max_frames: 50, ..Limits::default() };
    let (album, _) = open_as(&gif(1, &frames), Format::Gif, &full(), &limits).unwrap();
    assert!(album.frames.iter().any(|f| pixel(&f.image, 0, 0) == BLUE));
}

#[test]
fn every_frame_of_an_apng_is_composed_and_its_hidden_default_picture_shown() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(2, 0).unwrap();
    encoder.set_sep_def_img(true).unwrap();
    encoder.set_frame_delay(1, 2).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0, 255, 0, 255, 0, 255, 0, 255]).unwrap();
    writer.write_image_data(&[255, 0, 0, 255, 0, 0, 255, 255]).unwrap();
    writer.set_blend_op(png::BlendOp::Over).unwrap();
    writer.write_image_data(&[0, 0, 0, 0, 255, 0, 0, 255]).unwrap();
    writer.finish().unwrap();
    let (album, tally) = open(&bytes).unwrap();
    let rows: Vec<_> =
        album.frames.iter().map(|f| [pixel(&f.image, 0, 0), pixel(&f.image, 1, 0)]).collect();
    assert_eq!(rows, [[[0, 255, 0]; 2], [RED, BLUE], [RED, RED]]);
    assert_eq!((album.facts.unwrap().frames, tally.frames), (Some(3), 3));
}
