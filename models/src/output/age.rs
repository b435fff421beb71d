//! Age in years, as one number.

use super::Output;

/// Oldest age that is reported: the oldest verified human life, rounded up.
const MAX_YEARS: f32 = 123.0;

pub(super) fn decode(items: &[&[f32]]) -> Result<Output, String> {
    match items {
        [[years]] if years.is_finite() => Ok(Output::Age { years: years.clamp(0.0, MAX_YEARS) }),
        _ => Err("one finite number was expected".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_clamped_and_nonsense_is_an_error() {
        assert_eq!(decode(&[&[31.5]]), Ok(Output::Age { years: 31.5 }));
        assert_eq!(decode(&[&[-2.0]]), Ok(Output::Age { years: 0.0 }));
        assert!(decode(&[&[f32::NAN]]).is_err());
        assert!(decode(&[&[1.0, 2.0]]).is_err());
        assert!(decode(&[]).is_err());
    }
}
