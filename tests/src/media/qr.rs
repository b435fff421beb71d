//! QR codes.

use super::{Error, Picture};

/// A QR code of the text, each module `module` pixels wide, with the quiet zone of four modules that the standard asks.
///
/// # Errors
/// When the text is too long for a QR code.
pub fn qr_code(text: &str, module: u32) -> Result<Picture, Error> {
    const QUIET: u32 = 4;
    let code = qrcode::QrCode::new(text)
        .map_err(|error| Error::Qr { text: text.to_owned(), detail: error.to_string() })?;
    let modules = code.width() as u32;
    let side = (modules + 2 * QUIET) * module;
    let inside = |n: u32| (n / module).checked_sub(QUIET).filter(|n| *n < modules);
    Ok(Picture::from_fn(side, side, |x, y| match (inside(x), inside(y)) {
        (Some(x), Some(y)) if code[(x as usize, y as usize)] == qrcode::Color::Dark => [0; 3],
        _ => [255; 3],
    }))
}
