//! Quadrilaterals: where a code lies in a picture.

/// Four corners of a code, in order around it.
pub(super) type Quad = [(f32, f32); 4];

/// The middle of its corners.
pub(super) fn middle(quad: &Quad) -> (f32, f32) {
    quad.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / 4.0, y + p.1 / 4.0))
}

/// Whether a point lies within a convex quadrilateral: on the same side of all its edges.
pub(super) fn contains(quad: &Quad, x: f32, y: f32) -> bool {
    let [a, b, c, d] = *quad;
    let side = |((ax, ay), (bx, by)): ((f32, f32), (f32, f32))| {
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    };
    let sides = [(a, b), (b, c), (c, d), (d, a)].map(side);
    sides.iter().all(|&s| s >= 0.0) || sides.iter().all(|&s| s <= 0.0)
}

/// Left, top, right and bottom.
pub(super) fn bounds(quad: &Quad) -> [f32; 4] {
    let low = |of: fn(&(f32, f32)) -> f32| quad.iter().map(of).fold(f32::INFINITY, f32::min);
    let high = |of: fn(&(f32, f32)) -> f32| quad.iter().map(of).fold(0.0, f32::max);
    [low(|p| p.0), low(|p| p.1), high(|p| p.0), high(|p| p.1)]
}
