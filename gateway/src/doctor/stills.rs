//! The libraries that read pictures.

use super::{Line, Machine};

pub(super) fn check(machine: &Machine) -> Vec<Line> {
    match &machine.codecs {
        Ok(told) if told.stills.is_empty() => {
            vec![Line::ok("JPEG, PNG, GIF, WebP, BMP, TIFF, HEIC, AVIF")]
        }
        // The sentence names the package.
        Ok(told) => told.stills.iter().map(|what| Line::missing(what, "install it")).collect(),
        Err(error) => vec![Line::missing(error, "install weir and weir-sandbox together")],
    }
}
