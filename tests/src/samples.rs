//! The sample media of `make run`: one for each thing that the starter profile looks at.
//!
//! Layout: `bank.toml` (a bank with one listed picture) and the folder `media`.

use std::path::Path;

use crate::media::{Clip, Error, Line, Picture, crop, encode_mp4, page, qr_code, scene};

/// Where the QR code leads. Names under .example never resolve; the shipped profiles list this one as blocked.
pub const SCAM_LINK: &str = "https://scam.example/verify?account=suspended";

/// The listed picture's PDQ hash, computed by the reference implementation (`pdqhash` 0.2.8 from PyPI over `6-listed.png`).
pub const LISTED_PDQ: &str = "a01d106aed4465206daf358f32779ad41a3048b1334f9adaea52fad348bfb5ae";

/// Frames a second of the sample video.
const FPS: u32 = 25;

/// The picture that the sample bank lists and the sample video shows in its 6th second, 640 × 360.
pub fn listed() -> Picture {
    scene(640, 360, 6)
}

/// Writes all samples into `directory`, which is made if missing.
///
/// # Errors
/// When the folder cannot be written, or the font or video encoder is not installed.
pub fn write_all(directory: &Path) -> Result<(), Error> {
    let media = directory.join("media");
    std::fs::create_dir_all(&media)
        .map_err(|source| Error::File { path: media.clone(), source })?;
    let sharp = scene(1280, 960, 1);
    write(&media.join("1-sharp.jpg"), &sharp.jpeg(90)?)?;
    write(&media.join("2-blurred.jpg"), &sharp.blurred(12).jpeg(90)?)?;
    write(&media.join("3-screenshot.png"), &screenshot()?.png()?)?;
    write(&media.join("4-qr-code.png"), &qr_code(SCAM_LINK, 8)?.png()?)?;
    write(&media.join("5-listed-in-6th-second.mp4"), &video()?)?;
    write(&media.join("6-listed.png"), &listed().png()?)?;
    write(&directory.join("bank.toml"), bank().as_bytes())
}

/// Writes the media of the gateway's self-test into `directory`: a picture with words and a code, and a short clip.
///
/// # Errors
/// When the folder cannot be written, or the font or video encoder is not installed.
pub fn write_self_test(directory: &Path) -> Result<(), Error> {
    let line =
        Line { text: "Weir self-test", height: 30.0, left: 20.0, baseline: 44.0, colour: [255; 3] };
    let picture = page(&scene(480, 360, 11), &[line])?;
    write(&directory.join("self-test.jpg"), &picture.jpeg(80)?)?;
    let panorama = scene(360, 180, 12);
    let clip = Clip { fps: 10, frames: 20, key_frames: 10 };
    let clip = encode_mp4(clip, |index| crop(&panorama, i64::from(index) * 2, 0, 320, 180))?;
    write(&directory.join("self-test.mp4"), &clip)
}

/// A screenshot of a chat on a phone, 720 × 1280.
///
/// # Errors
/// When the font is not installed.
pub fn screenshot() -> Result<Picture, Error> {
    let words = [
        "Hello! Are you the one who is selling the bicycle?",
        "Yes, it is still here. Would you like to see it?",
        "Gladly. Would tomorrow after work be possible?",
        "Tomorrow at six is fine. The address is 12 Mill Lane.",
        "Pay the deposit here: https://scam.example/pay",
        "Why? I will bring the money when I see it.",
        "Others have asked too. Ninety, and it is yours.",
        "All right. See you tomorrow, have a nice evening!",
    ];
    let ground = Picture::from_fn(720, 1280, |_, y| if y < 110 { [32, 72, 140] } else { [250; 3] });
    let mut lines =
        vec![Line { text: "Messages", height: 44.0, left: 40.0, baseline: 72.0, colour: [255; 3] }];
    lines.extend(words.iter().enumerate().map(|(index, text)| Line {
        text,
        height: 28.0,
        left: 40.0,
        baseline: 200.0 + 130.0 * index as f32,
        colour: [20; 3],
    }));
    page(&ground, &lines)
}

/// Ten seconds of a slow pan, but for the 6th second, which shows the listed picture.
fn video() -> Result<Vec<u8>, Error> {
    let (panorama, listed) = (scene(960, 360, 2), listed());
    let clip = Clip { fps: FPS, frames: 10 * FPS, key_frames: 2 * FPS };
    encode_mp4(clip, |index| match index / FPS {
        5 => listed.clone(),
        _ => crop(&panorama, i64::from(index), 0, 640, 360),
    })
}

fn bank() -> String {
    format!(
        "# A bank with one entry, the picture in the 6th second of the sample video.\n\
         name = \"samples\"\n\
         kind = \"pdq\"\n\
         category = \"listed\"\n\
         severity = \"high\"\n\
         verified = true\n\
         entries = [{{ hash = \"{LISTED_PDQ}\" }}]\n"
    )
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|source| Error::File { path: path.to_owned(), source })
}
