//! The limits, held against what a pre-parse read, before a decoder allocates.

use crate::decode::{DecodeError, Limits};

/// Decoded bytes below which the ratio is not asked: what any small picture of flat colour may come to.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// Most bytes that one animation may come to when all its frames are decoded, whatever the ratio: about four
/// seconds of work. The CPU limit of the worker stands behind it.
const WORK_BYTES: u64 = 8 << 30;

/// Checks the size of one picture.
pub(super) fn check_size(width: u32, height: u32, limits: &Limits) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::Damaged(format!("the header says {width} × {height} pixels")));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        let mega = pixels / 1_000_000;
        let most = limits.max_pixels / 1_000_000;
        return Err(DecodeError::TooLarge(format!(
            "{width} × {height} is {mega} megapixels, the limit is {most}"
        )));
    }
    if width.max(height) > limits.max_side {
        let most = limits.max_side;
        return Err(DecodeError::TooLarge(format!(
            "{width} × {height}: the limit for a side is {most}"
        )));
    }
    Ok(())
}

/// Checks what all frames together decode to, in bytes, against the length of the file.
pub(super) fn check_ratio(
    decoded: u64,
    encoded: usize,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let most = (encoded as u64).saturating_mul(u64::from(limits.max_ratio)).max(RATIO_FREE_BYTES);
    if decoded <= most.min(WORK_BYTES) {
        return Ok(());
    }
    let mib = decoded >> 20;
    Err(DecodeError::TooLarge(format!(
        "{encoded} bytes decode to {mib} MiB; the limit is {} times as much, and {} MiB",
        limits.max_ratio,
        WORK_BYTES >> 20
    )))
}

/// Whether a decoder's word on the size is the pre-parse's.
pub(super) fn check_agreement(parsed: (u32, u32), decoder: (u32, u32)) -> Result<(), DecodeError> {
    if parsed == decoder {
        return Ok(());
    }
    let ((w, h), (dw, dh)) = (parsed, decoder);
    Err(DecodeError::Damaged(format!(
        "the header says {w} × {h} pixels and the decoder {dw} × {dh}"
    )))
}

/// Checks what composing all frames costs, in bytes.
pub(super) fn check_work(bytes: u64) -> Result<(), DecodeError> {
    if bytes <= WORK_BYTES {
        return Ok(());
    }
    let (gib, most) = (bytes >> 30, WORK_BYTES >> 30);
    Err(DecodeError::TooLarge(format!("its frames come to {gib} GiB, the limit is {most}")))
}
