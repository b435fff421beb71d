//! AVI (RIFF): lists that reach behind the end of the file.

use std::fs::File;

use super::{Promise, stretch};

/// Most `RIFF` lists of one file; OpenDML writes one for each gigabyte.
const MAX_LISTS: usize = 1_000;

pub(super) fn read(file: &File, size: u64, promise: &mut Promise) {
    let mut at = 0;
    for _ in 0..MAX_LISTS {
        let head = stretch(file, at, 8);
        let Some(length) = head.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
        else {
            return;
        };
        // Writers that cannot go back leave 0 or all ones.
        if !head.starts_with(b"RIFF") || length == 0 || length == u32::MAX {
            return;
        }
        let end = at.saturating_add(8).saturating_add(u64::from(length));
        promise.cut_short |= end > size;
        at = end.saturating_add(end & 1);
    }
}
