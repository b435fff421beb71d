//! What a worker's failure means for the item.

use domain::Failure;

use crate::decode::DecodeError;
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

/// Part of the item could be read and part not: what was not read may hold anything.
pub(super) fn damaged(media: usize) -> Failure {
    Failure {
        reason: "damaged".into(),
        detail: "the file is damaged or cut short; only a part of it could be read".into(),
        media: Some(media),
        permanent: false,
    }
}
