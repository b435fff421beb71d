//! Pictures full of detail. Integer hashes and plain IEEE arithmetic only, so that every machine makes the same bytes.

use super::Picture;

/// A landscape-like picture with texture at every scale and hard edges; another for every seed.
///
/// Fractal value noise for ground and sky, and discs of flat colour in front.
pub fn scene(width: u32, height: u32, seed: u32) -> Picture {
    let discs: Vec<Disc> = (0..24).map(|index| Disc::new(width, height, seed, index)).collect();
    let (tint, horizon) = (colour(seed, 91), 0.35 + 0.3 * unit(seed, 92));
    Picture::from_fn(width, height, |x, y| {
        let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
        if let Some(disc) = discs.iter().rev().find(|disc| disc.covers(px, py)) {
            return shade(disc.colour, 0.75 + 0.5 * noise(px / 6.0, py / 6.0, seed ^ 7));
        }
        let (u, v) = (px / width as f32, py / height as f32);
        let relief = fractal(u * 5.0, v * 5.0, seed);
        let fine = noise(px / 2.0, py / 2.0, seed ^ 3) - 0.5;
        if v < horizon + 0.2 * (relief - 0.5) {
            shade([150, 180, 220], 0.6 + 0.6 * relief + 0.3 * fine)
        } else {
            shade(tint, 0.3 + 1.1 * relief + 1.2 * fine)
        }
    })
}

/// A part of a picture; `left` and `top` may lie anywhere, edges are repeated.
pub fn crop(picture: &Picture, left: i64, top: i64, width: u32, height: u32) -> Picture {
    Picture::from_fn(width, height, |x, y| picture.at(left + i64::from(x), top + i64::from(y)))
}

struct Disc {
    x: f32,
    y: f32,
    radius: f32,
    colour: [u8; 3],
}

impl Disc {
    fn new(width: u32, height: u32, seed: u32, index: u32) -> Self {
        let seed = seed.wrapping_add(index.wrapping_mul(1_000_003));
        let side = width.min(height) as f32;
        Self {
            x: unit(seed, 1) * width as f32,
            y: unit(seed, 2) * height as f32,
            radius: side * (0.03 + 0.15 * unit(seed, 3) * unit(seed, 4)),
            colour: colour(seed, 5),
        }
    }

    fn covers(&self, x: f32, y: f32) -> bool {
        let (dx, dy) = (x - self.x, y - self.y);
        dx * dx + dy * dy < self.radius * self.radius
    }
}

fn shade(colour: [u8; 3], light: f32) -> [u8; 3] {
    colour.map(|channel| (f32::from(channel) * light).clamp(0.0, 255.0) as u8)
}

fn colour(seed: u32, salt: u32) -> [u8; 3] {
    [0, 1, 2].map(|channel| (40.0 + 200.0 * unit(seed, salt * 8 + channel)) as u8)
}

/// Six octaves of value noise, in 0..1.
fn fractal(x: f32, y: f32, seed: u32) -> f32 {
    let (mut sum, mut scale, mut weight, mut total) = (0.0, 1.0, 1.0, 0.0);
    for octave in 0..6 {
        sum += weight * noise(x * scale, y * scale, seed.wrapping_add(octave));
        total += weight;
        scale *= 2.0;
        weight *= 0.6;
    }
    sum / total
}

/// Value noise: random values at whole coordinates, smooth in between. Only for coordinates of zero and above.
fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (column, row) = (x as u32, y as u32);
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (fx, fy) = (smooth(x - column as f32), smooth(y - row as f32));
    let corner =
        |dx: u32, dy: u32| unit(seed ^ hash(column.wrapping_add(dx)), row.wrapping_add(dy));
    let top = corner(0, 0) + fx * (corner(1, 0) - corner(0, 0));
    let bottom = corner(0, 1) + fx * (corner(1, 1) - corner(0, 1));
    top + fy * (bottom - top)
}

/// A number in 0..1 that looks random, for a seed and a salt.
fn unit(seed: u32, salt: u32) -> f32 {
    (hash(seed ^ hash(salt)) >> 8) as f32 / (1u32 << 24) as f32
}

/// The finaliser of MurmurHash3 (32 bits): every bit of the input moves every bit of the output.
fn hash(value: u32) -> u32 {
    let mut h = value.wrapping_add(0x9e37_79b9);
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}
