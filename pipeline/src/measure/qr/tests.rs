#![expect(clippy::unwrap_used, reason = "tests")]

use models::RgbImage;

use super::{MODEL, MOST_CODES, QrCodes, WORKING_SIDE};
use crate::measure::grey::Grey;
use crate::measure::testing::{discs, load, paint};

/// `https://weir.example/a?b=1`, version 2, error correction M, by the Python library segno.
const CODE: [&str; 25] = [
    "#######.##..##.##.#######",
    "#.....#...#.###.#.#.....#",
    "#.###.#....##..#..#.###.#",
    "#.###.#.#.##.##.#.#.###.#",
    "#.###.#.#.##..###.#.###.#",
    "#.....#.##.###..#.#.....#",
    "#######.#.#.#.#.#.#######",
    "........#####..##........",
    "#...#.#######....#####..#",
    "###.##.....#.####...##.#.",
    "#.....#....##.###..####..",
    "####.#....#...###..#..##.",
    "..##..#.#..##.#####..####",
    "#..###.#..#.#.###...#..#.",
    "...####...######.######..",
    "..#......#.#..##...##.##.",
    "##..#.#.#.......#######..",
    "........#..####.#...#....",
    "#######.##.##...#.#.#....",
    "#.....#..#.##.#.#...#####",
    "#.###.#.##.#..#.#######..",
    "#.###.#..####...####..###",
    "#.###.#...##.##...#..#.#.",
    "#.....#..##...##.#.#####.",
    "#######.###.#.........###",
];
const LINK: &str = "https://weir.example/a?b=1";

fn read(grey: &Grey) -> QrCodes {
    super::read(grey, WORKING_SIDE)
}

/// The code on a ground of `light`, turned by an angle, with modules of `module` pixels.
fn code(module: f64, degrees: f64, dark: u8, light: u8) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    paint(640, 480, |x, y| {
        let (dx, dy) = (x as f64 - 330.0, y as f64 - 240.0);
        let place = |v: f64| (v / module + 12.5).floor();
        let (u, v) = (place(dx * cos + dy * sin), place(dy * cos - dx * sin));
        let row = (v >= 0.0).then(|| CODE.get(v as usize)).flatten();
        let set =
            row.filter(|_| u >= 0.0).and_then(|r| r.as_bytes().get(u as usize)) == Some(&b'#');
        [if set { dark } else { light }; 3]
    })
}

#[test]
fn codes_are_read_dark_on_light_and_light_on_dark_large_and_small_and_turned() {
    for (module, degrees) in
        [(3.0, 0.0), (4.0, 90.0), (8.0, 10.0), (6.0, 45.0), (15.0, 0.0), (7.0, 200.0)]
    {
        for (dark, light) in [(0, 255), (60, 190), (255, 0)] {
            let found = read(&Grey::of(&code(module, degrees, dark, light)));
            assert_eq!(found.contents, [LINK], "module {module}, {degrees}°, {dark} on {light}");
        }
    }
}

#[test]
fn a_code_in_a_large_picture_is_read() {
    let small = code(6.0, 0.0, 0, 255);
    let old = small.data().as_chunks::<3>().0;
    let large = paint(2560, 1920, |x, y| old[(y / 4 * 640 + x / 4) as usize]);
    assert_eq!(read(&Grey::of(&large)).contents, [LINK]);
}

#[test]
fn pictures_without_codes_cost_no_decoding() {
    assert_eq!(read(&Grey::of(&discs(640, 480))), QrCodes::default());
    assert_eq!(read(&Grey::of(&paint(3, 3, |_, _| [0; 3]))), QrCodes::default());
}

/// Codes of four pixels a module, side by side with a quiet zone of four modules.
fn sheet(columns: i64, rows: i64, mut hole: impl FnMut(i64, i64) -> bool) -> Grey {
    Grey::of(&paint((columns * 132 + 16) as u32, (rows * 132 + 16) as u32, |x, y| {
        let (u, v) = ((x - 16).div_euclid(4), (y - 16).div_euclid(4));
        let row = CODE.get(v.rem_euclid(33) as usize);
        let set = row.and_then(|r| r.as_bytes().get(u.rem_euclid(33) as usize)) == Some(&b'#');
        [if set && !hole(u, v) { 0 } else { 255 }; 3]
    }))
}

#[test]
fn each_code_of_a_sheet_is_read() {
    // All say the same, so what tells is that no finder pattern remains.
    let whole = read(&sheet(4, 2, |_, _| false));
    assert_eq!((whole.contents.as_slice(), whole.unread), ([LINK.to_owned()].as_slice(), false));
}

#[test]
fn an_illegible_code_beside_a_legible_one_is_told() {
    // Most data of the second code are white; its fixed patterns are whole, the alignment pattern among them.
    let found = read(&sheet(2, 1, |u, v| {
        let alignment = (49..54).contains(&u) && (16..21).contains(&v);
        (42..58).contains(&u) && (9..25).contains(&v) && !alignment
    }));
    assert_eq!(found.contents, [LINK]);
    assert!(found.unread && found.lost.is_some(), "{found:?}");
}

#[test]
fn more_codes_than_are_reported_are_told() {
    let mut codes = QrCodes::default();
    (0..MOST_CODES).for_each(|i| codes.add(i.to_string()));
    codes.add("0".to_owned());
    assert_eq!(codes.lost, None);
    codes.add("one more".to_owned());
    assert_eq!(codes.contents.len(), MOST_CODES);
    assert!(codes.lost.is_some());
}

#[test]
fn a_small_code_far_down_a_tall_picture_is_read() {
    let small = code(3.0, 0.0, 0, 255);
    let old = small.data().as_chunks::<3>().0;
    let tall =
        paint(
            640,
            6000,
            |x, y| {
                if y < 5520 { [255; 3] } else { old[((y - 5520) * 640 + x) as usize] }
            },
        );
    assert_eq!(read(&Grey::of(&tall)).contents, [LINK]);
}

#[test]
fn a_larger_picture_settles_what_a_smaller_one_left_open() {
    let open = QrCodes { unread: true, lost: Some("illegible"), ..QrCodes::default() };
    let clear = QrCodes { contents: vec!["a".to_owned()], ..QrCodes::default() };
    assert_eq!(open.clone().refined(clear.clone()), clear);
    // One that shows less than before settles nothing.
    assert_eq!(open.clone().refined(QrCodes::default()).lost, Some("illegible"));
}

#[test]
fn shared_no_photo_is_held_for_its_texture() {
    let data = rig::shared!();
    let mut folders: Vec<_> =
        ["faces", "formats", "pdq", "blur"].iter().map(|f| data.join(f)).collect();
    let (mut seen, mut open, mut time) = (0, 0, std::time::Duration::ZERO);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Some(photo) = load(&path) {
                let grey = Grey::of(&photo);
                let started = std::time::Instant::now();
                let found = read(&grey);
                time += started.elapsed();
                assert_eq!(found.lost, None, "{}", path.display());
                (seen, open) = (seen + 1, open + u32::from(found.unread));
            }
        }
    }
    println!("{open} of {seen} pictures are looked at again; {time:?} in all");
    assert!(seen > 30 && open * 3 <= seen, "{open} of {seen}");
}

/// The code, its modules changed by `module`, seen through `place`, which takes pixels to modules.
fn seen(
    module: impl Fn(usize, usize, bool) -> bool,
    place: impl Fn(f64, f64) -> (f64, f64),
    shades: (u8, u8),
) -> QrCodes {
    read(&Grey::of(&paint(640, 480, |x, y| {
        let (u, v) = place(x as f64 + 0.5, y as f64 + 0.5);
        let row = (v >= 0.0).then(|| CODE.get(v as usize)).flatten();
        let bit = row.filter(|_| u >= 0.0).and_then(|r| r.as_bytes().get(u as usize));
        let dark = bit.is_some_and(|&bit| module(u as usize, v as usize, bit == b'#'));
        [if dark { shades.0 } else { shades.1 }; 3]
    })))
}

fn straight(x: f64, y: f64) -> (f64, f64) {
    ((x - 100.0) / 8.0, (y - 60.0) / 8.0)
}

#[test]
fn a_code_without_its_alignment_pattern_is_read() {
    let hole =
        |x: usize, y: usize, dark: bool| dark && !((16..21).contains(&x) && (16..21).contains(&y));
    assert_eq!(seen(hole, straight, (0, 255)).contents, [LINK]);
}

#[test]
fn a_code_of_low_contrast_is_read() {
    assert_eq!(seen(|_, _, dark| dark, straight, (120, 150)).contents, [LINK]);
}

#[test]
fn slanted_and_bent_codes_are_read() {
    // As seen from the side: the far edge is a fifth shorter.
    let slanted = |x: f64, y: f64| {
        let depth = 1.0 + (x - 100.0) / 1200.0;
        ((x - 100.0) / 8.0 * depth, (y - 160.0) / 8.0 * depth + 12.5)
    };
    assert_eq!(seen(|_, _, dark| dark, slanted, (0, 255)).contents, [LINK]);
    // As on a bottle: a bow of half a module.
    let bent = |x: f64, y: f64| {
        let (u, v) = straight(x, y);
        (u, v + 0.5 * ((u - 12.5) / 12.5).powi(2))
    };
    assert_eq!(seen(|_, _, dark| dark, bent, (0, 255)).contents, [LINK]);
}

#[test]
fn a_code_cut_to_its_modules_is_read() {
    for inverted in [0, 255] {
        let cut = paint(200, 200, |x, y| {
            let dark = CODE[(y / 8) as usize].as_bytes()[(x / 8) as usize] == b'#';
            [if dark { inverted } else { 255 ^ inverted }; 3]
        });
        assert_eq!(read(&Grey::of(&cut)).contents, [LINK], "{inverted}");
    }
}

#[test]
fn each_of_a_dozen_different_codes_is_read() {
    let texts: Vec<String> = (0..12).map(|i| format!("https://weir.example/{i}")).collect();
    let codes: Vec<_> = texts.iter().map(|t| rig::media::qr_code(t, 6).unwrap()).collect();
    let side = i64::from(codes[0].width);
    let sheet = paint(4 * side as u32, 3 * side as u32, |x, y| {
        codes[(y / side * 4 + x / side) as usize].at(x % side, y % side)
    });
    let mut found = read(&Grey::of(&sheet));
    found.contents.sort_by_key(|c| texts.iter().position(|t| t == c));
    assert_eq!((found.contents, found.lost), (texts, None));
}

#[test]
fn a_code_within_another_is_read() {
    let outer = rig::media::qr_code(&"https://weir.example/outer/".repeat(8), 12).unwrap();
    let inner = rig::media::qr_code("https://scam.example", 3).unwrap();
    let (width, side) = (i64::from(outer.width), i64::from(inner.width));
    let start = (width - side) / 2;
    let both = paint(outer.width, outer.height, |x, y| {
        let inside = (start..start + side).contains(&x) && (start..start + side).contains(&y);
        if inside { inner.at(x - start, y - start) } else { outer.at(x, y) }
    });
    let found = read(&Grey::of(&both));
    assert!(found.contents.iter().any(|c| c == "https://scam.example"), "{found:?}");
}

#[test]
fn the_model_is_the_decoder_that_is_built_in() {
    let lock = include_str!("../../../../Cargo.lock");
    let version = MODEL.trim_start_matches("rqrr@");
    assert!(lock.contains(&format!("name = \"rqrr\"\nversion = \"{version}.")), "{MODEL}");
}
