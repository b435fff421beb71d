//! What platforms send, as bytes.

#![expect(clippy::expect_used, reason = "the rig of the tests: a test fails by panicking")]

use super::{qr_code, scene};

/// A small JPEG that every profile approves; another for every seed.
///
/// # Panics
/// Never: a scene can be encoded.
pub fn photo(seed: u32) -> Vec<u8> {
    scene(320, 240, seed).jpeg(85).expect("a scene can be encoded")
}

/// A picture of a QR code with an address that the starter profile blocks; another for every path.
///
/// # Panics
/// Where the path does not fit into a code.
pub fn scam(path: &str) -> Vec<u8> {
    let address = format!("https://login.scam.example/{path}");
    qr_code(&address, 6).expect("it fits").png().expect("a code can be encoded")
}

/// Width and height by the frame header of a JPEG.
///
/// # Panics
/// Where it is none.
pub fn jpeg_size(bytes: &[u8]) -> (u16, u16) {
    assert!(bytes.starts_with(&[0xff, 0xd8, 0xff]), "no JPEG");
    let mut at = 2;
    loop {
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        if (0xc0..=0xc2).contains(&bytes[at + 1]) {
            let side = |n: usize| u16::from_be_bytes([bytes[at + n], bytes[at + n + 1]]);
            return (side(7), side(5));
        }
        at += 2 + length;
    }
}
