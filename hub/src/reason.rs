//! Why somebody does something: asked for wherever it goes into the audit journal.

use std::ops::RangeInclusive;

use crate::Error;

/// Characters of a reason.
pub(crate) const LENGTH: RangeInclusive<usize> = 3..=500;

/// A reason as it is kept.
///
/// # Errors
/// [`Error::Invalid`] where it says too little or too much.
pub(crate) fn given(text: &str) -> Result<&str, Error> {
    let text = text.trim();
    match LENGTH.contains(&text.chars().count()) {
        true => Ok(text),
        false => Err(Error::Invalid(
            "say why, in 3 to 500 characters: it is in the audit journal".into(),
        )),
    }
}
