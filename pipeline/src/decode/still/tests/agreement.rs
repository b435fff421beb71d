//! The same picture in many formats has the same pixels.

use super::{difference, open, open_as, within};
use crate::decode::Limits;
use crate::sniff;

/// Mean difference to the lossless original that lossy compression of this picture may make.
const LOSSY: f64 = 8.0;

#[test]
fn shared_one_picture_in_many_formats_agrees_in_pixels() {
    let data = rig::shared!();
    let reference = open(&std::fs::read(data.join("formats/own_coffee.png")).unwrap()).unwrap();
    let reference = &reference.0.frames[0].image;
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(data.join("formats")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("own_coffee.") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if !sniff::sniff(&bytes).is_still() {
            continue;
        }
        let (album, _) = open(&bytes).unwrap();
        let image = &album.frames[0].image;
        if (image.width(), image.height()) != (reference.width(), reference.height()) {
            continue;
        }
        // GIF has 256 colours.
        let bound = if name.ends_with(".gif") { 2.0 * LOSSY } else { LOSSY };
        let apart = difference(image, reference);
        compared += 1;
        if apart > bound {
            wrong.push(format!("{name}: {apart:.2}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(compared >= 5, "{compared}");
}

#[test]
fn shared_all_orientations_of_one_scene_are_alike() {
    let data = rig::shared!();
    let scene = |n: u8| {
        let bytes = std::fs::read(data.join(format!("exif/Landscape_{n}.jpg"))).unwrap();
        open_as(&bytes, sniff::sniff(&bytes), &within(200), &Limits::default())
            .unwrap()
            .0
            .frames
            .remove(0)
    };
    let upright = scene(1).image;
    for n in [0, 2, 3, 4, 5, 6, 7, 8] {
        let apart = difference(&scene(n).image, &upright);
        assert!(apart < 6.0, "orientation {n}: {apart:.2}");
    }
}
