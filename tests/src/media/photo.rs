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
