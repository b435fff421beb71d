//! Every still of the reference data decodes to the size that its manifest says (measured with Pillow).

use std::path::Path;
use std::time::{Duration, Instant};

use super::open;
use crate::decode::DecodeError;

/// One row of the manifest that has a picture.
pub(super) struct Row {
    pub(super) path: String,
    expected: String,
}

impl Row {
    /// The value of a `key=value` in the expected column.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.expected.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.value(key)?.parse().ok()
    }

    /// Upright size, as Pillow sees the file: the stored size turned by its orientation.
    fn size(&self) -> Option<(u32, u32)> {
        let (w, h) = (self.number("w")?, self.number("h")?);
        Some(if self.number("exif_orientation").unwrap_or(1) >= 5 { (h, w) } else { (w, h) })
    }
}

/// The rows of some folders.
pub(super) fn rows(data: &Path, folders: &[&str]) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(data.join("MANIFEST.csv")).unwrap();
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|h| h == name).unwrap();
    let (path, expected) = (column("path"), column("expected"));
    let rows = reader.records().map(|r| r.unwrap());
    rows.map(|r| Row { path: r[path].to_owned(), expected: r[expected].to_owned() })
        .filter(|r| folders.contains(&r.path.split('/').next().unwrap()))
        .collect()
}

/// What Pillow calls the formats that Weir reads.
const READ: [&str; 13] = [
    "JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "PPM", "PBM", "HEIF", "AVIF", "QOI",
];

/// Files that Pillow opens and Weir does not, or to another size, and why.
const EXCEPTIONS: [(&str, &str); 10] = [
    ("formats/12bit.cropped.tif", "12 bits packed, which the tiff crate does not unpack"),
    ("formats/itiff_12bit.cropped.tiff", "12 bits packed"),
    ("formats/itiff_hpredict-1c-12b.tiff", "12 bits packed"),
    ("formats/hopper_lzma.tif", "a compression that no browser and few viewers read"),
    ("formats/itiff_int16_zstd.tif", "a compression that no browser and few viewers read"),
    (
        "formats/g4_orientation_6.tif",
        "Pillow says the upright size here; ours is upright, 590 x 88, too",
    ),
    (
        "formats/g4_orientation_7.tif",
        "Pillow says the upright size here; ours is upright, 590 x 88, too",
    ),
    ("formats/hopper_unexpected.ico", "the entry and its picture disagree about the size"),
    ("formats/avif_draw_points_idat_metasize0.avif", "libheif 1.15 wants a size on the meta box"),
    ("formats/sharp_testimgl.jpg", "lossless JPEG, which libturbojpeg 2 does not read"),
];

/// Malformed files that are rightly shown whole, and why.
const HARMLESS: [(&str, &str); 3] = [
    ("malformed/own_png_ztxt_bomb_200MB.png", "compressed text is never inflated"),
    ("malformed/pil_decompression_bomb_extents.gif", "what lies off the screen is clipped"),
    (
        "malformed/avif_sofa_grid1x5_420_dimg_repeat.avif",
        "a second list of the same tiles changes nothing",
    ),
];

#[test]
fn shared_stills_decode_to_the_size_that_the_manifest_says() {
    let data = rig::shared!();
    let (mut wrong, mut right) = (Vec::new(), 0);
    for row in rows(&data, &["formats", "exif", "blur", "faces", "ocr", "pdq", "pdqnear"]) {
        let format = row.value("fmt").unwrap_or_default().to_owned();
        if row.value("decodes") != Some("yes") || !READ.contains(&format.as_str()) {
            continue;
        }
        let bytes = std::fs::read(data.join(&row.path)).unwrap();
        let excepted = EXCEPTIONS.iter().any(|(path, _)| *path == row.path);
        let outcome = open(&bytes);
        let fits = outcome.as_ref().is_ok_and(|(album, _)| {
            let image = &album.frames[0].image;
            let facts = album.facts.as_ref().unwrap();
            let size = (facts.width, facts.height);
            Some(size) == row.size() && size == (image.width(), image.height())
        });
        match outcome {
            _ if fits && !excepted => right += 1,
            _ if !fits && excepted => {}
            Ok((album, _)) => {
                wrong.push(format!("{}: {:?}, not {:?}", row.path, album.facts, row.size()));
            }
            Err(e) => wrong.push(format!("{}: {e}", row.path)),
        }
    }
    assert!(wrong.is_empty(), "{} wrong, {right} right\n{}", wrong.len(), wrong.join("\n"));
    assert!(right > 500, "{right}");
}

#[test]
fn shared_animations_have_the_number_of_frames_that_the_manifest_says() {
    let data = rig::shared!();
    let mut wrong = Vec::new();
    let mut right = 0;
    for row in rows(&data, &["formats"]) {
        if !["GIF", "PNG", "WEBP", "TIFF"].contains(&row.value("fmt").unwrap_or_default()) {
            continue;
        }
        let (Some(want), Some("yes")) = (row.number("frames"), row.value("decodes")) else {
            continue;
        };
        let bytes = std::fs::read(data.join(&row.path)).unwrap();
        let Ok((album, tally)) = open(&bytes) else { continue };
        let got = album.facts.and_then(|f| f.frames).unwrap();
        if got == u64::from(want) && tally.frames == got.min(600) {
            right += 1;
        } else {
            wrong.push(format!("{}: {got} and {tally:?}, not {want}", row.path));
        }
    }
    assert!(wrong.is_empty(), "{right} right\n{}", wrong.join("\n"));
}

#[test]
fn shared_malformed_files_end_soon_with_an_error_or_as_damaged() {
    let data = rig::shared!();
    let mut report = Vec::new();
    for row in rows(&data, &["malformed"]) {
        let bytes = std::fs::read(data.join(&row.path)).unwrap();
        let start = Instant::now();
        let outcome = open(&bytes);
        let took = start.elapsed();
        if took > Duration::from_secs(2) {
            report.push(format!("{}: {took:?}", row.path));
        }
        match outcome {
            Ok(_) if HARMLESS.iter().any(|(path, _)| *path == row.path) => {}
            Ok((_, tally)) if !tally.damaged && row.value("decodes") == Some("no") => {
                report.push(format!("{}: taken for whole", row.path));
            }
            Err(DecodeError::Damaged(why)) if why.contains("gave up") => {
                report.push(format!("{}: {why}", row.path));
            }
            _ => {}
        }
    }
    assert!(report.is_empty(), "{}", report.join("\n"));
}
