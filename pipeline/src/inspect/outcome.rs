//! What a worker's failure means for the item.

use domain::Failure;

use crate::decode::{DecodeError, Unseen};
use crate::sandbox::protocol::WorkError;

/// The failure as the decision sees it. Damaged and unsupported bytes stay so on every other day; a dead or
/// slow worker may be our fault.
pub(super) fn failure_of(error: &WorkError, media: usize) -> Failure {
    let (reason, permanent) = match error {
        WorkError::Decode(DecodeError::Unsupported(_)) => ("unsupported", true),
        WorkError::Decode(DecodeError::Damaged(_)) => ("undecodable", true),
        WorkError::Decode(DecodeError::TooLarge(_)) => ("too_large", true),
        WorkError::Decode(DecodeError::Encrypted(_)) => ("encrypted", true),
        WorkError::Decode(DecodeError::Missing(_)) => ("decoder_missing", false),
        WorkError::Decode(DecodeError::Lost(_) | DecodeError::Unfit(_)) => ("decoder_lost", false),
        WorkError::Crashed(_) => ("worker_crashed", false),
        WorkError::TimedOut(_) => ("worker_timeout", false),
        WorkError::Lied(_) => ("worker_protocol", false),
        WorkError::Unavailable(_) => ("worker_unavailable", false),
    };
    let detail = match error {
        WorkError::Decode(error) => error.detail().to_owned(),
        other => other.to_string(),
    };
    Failure { reason: reason.into(), detail, media: Some(media), permanent }
}

/// The detectors needed longer than an item may take.
pub(super) fn overdue(media: usize) -> Failure {
    Failure {
        reason: "too_slow".into(),
        detail: "judging it whole would take longer than an item may; only a part was looked at"
            .into(),
        media: Some(media),
        permanent: false,
    }
}

/// Longer than the profile allows.
pub(super) fn too_long(media: usize, ms: u64, most_ms: u64) -> Failure {
    Failure {
        reason: "too_long".into(),
        detail: format!("it lasts {} s, and the profile allows {} s", ms / 1000, most_ms / 1000),
        media: Some(media),
        permanent: true,
    }
}

/// There is more for the eye than what was looked at.
pub(super) fn unseen(media: usize, what: Unseen) -> Failure {
    let (reason, detail) = match what {
        Unseen::Track => (
            "unseen_track",
            "one stream of pictures was looked at; there are further tracks, movies or programs",
        ),
        Unseen::Cover => ("unseen_cover", "a cover or attached picture was not looked at"),
        Unseen::Words => {
            ("unseen_words", "a subtitle or text track was not read, or not to its end")
        }
        Unseen::Edit => {
            ("unseen_edit", "an edit list leaves out footage, which other players show")
        }
        Unseen::Part => (
            "unseen_part",
            "something for the eye is appended to the picture, which was not looked at whole",
        ),
    };
    Failure { reason: reason.into(), detail: detail.into(), media: Some(media), permanent: false }
}

/// Part of the item could be read and part not: what was not read may hold anything.
pub(super) fn damaged(media: usize) -> Failure {
    Failure {
        reason: "damaged".into(),
        detail: "the file is damaged or cut short; only a part of it could be read".into(),
        media: Some(media),
        permanent: false,
    }
}
