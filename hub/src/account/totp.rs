//! Time-based codes (RFC 6238): SHA-1, six digits, thirty seconds, as every authenticator has them.

use totp_rs::{Algorithm, Builder, Secret};

use crate::Error;

/// Bytes of a secret: as long as the hash (RFC 4226, section 4).
const BYTES: usize = 20;

/// Seconds of a step.
const STEP: u64 = 30;

/// Steps by which a clock may be off, either way.
const SKEW: u64 = 1;

/// A new secret.
///
/// # Errors
/// Where the system has no randomness.
pub fn secret() -> Result<Vec<u8>, Error> {
    super::random::<BYTES>().map(|bytes| bytes.to_vec())
}

/// For an authenticator, to be typed in.
pub fn typed(secret: &[u8]) -> String {
    Secret::from(secret).to_base32()
}

/// For an authenticator, as its QR code says it.
pub fn address(secret: &[u8], name: &str) -> String {
    format!("otpauth://totp/Weir:{name}?secret={}&issuer=Weir", typed(secret))
}

/// The step of a right code, later than the last one that was used; nothing where it is wrong or was used.
pub fn check(secret: &[u8], code: &str, now_s: u64, last: i64) -> Option<i64> {
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(STEP)
        .with_skew(0)
        .with_secret(Secret::from(secret))
        .build()
        .ok()?;
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let step = now_s / STEP;
    (step.saturating_sub(SKEW)..=step + SKEW)
        .filter(|step| totp.check(&code, step * STEP).is_some())
        .filter_map(|step| i64::try_from(step).ok())
        .find(|step| *step > last)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (now, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(check(secret, code, now, 0), Some((now / 30) as i64), "{now}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_minute_and_a_half() {
        let secret = b"12345678901234567890";
        let step = check(secret, "081 804", 1_111_111_109 + 30, 0).unwrap();
        assert_eq!(check(secret, "081804", 1_111_111_109 + 30, step), None, "used");
        assert_eq!(check(secret, "081804", 1_111_111_109 + 61, 0), None, "late");
        assert_eq!(check(secret, "081804", 1_111_111_109 - 61, 0), None, "early");
        assert_eq!(check(secret, "", 59, 0), None);
    }
}
