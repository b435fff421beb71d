//! Pictures of text.

use std::path::Path;

use ab_glyph::{Font, FontVec, PxScale, ScaleFont};

use super::{Error, Picture};

/// The Debian package fonts-dejavu-core puts it here.
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

/// One line of text on a page.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The words.
    pub text: &'a str,
    /// Height of the letters in pixels, ascender to descender.
    pub height: f32,
    /// Left end in pixels.
    pub left: f32,
    /// Baseline in pixels from the top.
    pub baseline: f32,
    /// Colour of the letters.
    pub colour: [u8; 3],
}

/// A picture with the lines painted on `ground` in DejaVu Sans.
///
/// # Errors
/// When the font is not installed.
pub fn page(ground: &Picture, lines: &[Line]) -> Result<Picture, Error> {
    let path = Path::new(FONT);
    let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
    let font = FontVec::try_from_vec(bytes).map_err(|_| Error::Font(path.into()))?;
    let mut picture = ground.clone();
    for line in lines {
        paint(&mut picture, &font, line);
    }
    Ok(picture)
}

fn paint(picture: &mut Picture, font: &FontVec, line: &Line) {
    let font = font.as_scaled(PxScale::from(line.height));
    let (mut x, mut last) = (line.left, None);
    for letter in line.text.chars() {
        let id = font.glyph_id(letter);
        if let Some(last) = last {
            x += font.kern(last, id);
        }
        let glyph = id.with_scale_and_position(font.scale(), ab_glyph::point(x, line.baseline));
        x += font.h_advance(id);
        last = Some(id);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let (left, top) = (outline.px_bounds().min.x as i64, outline.px_bounds().min.y as i64);
        outline.draw(|dx, dy, cover| {
            let (px, py) = (left + i64::from(dx), top + i64::from(dy));
            let (Ok(column), Ok(row)) = (u32::try_from(px), u32::try_from(py)) else { return };
            let mut mixed = picture.at(px, py);
            for (under, over) in mixed.iter_mut().zip(line.colour) {
                *under = (f32::from(*under) * (1.0 - cover) + f32::from(over) * cover) as u8;
            }
            picture.set(column, row, mixed);
        });
    }
}
