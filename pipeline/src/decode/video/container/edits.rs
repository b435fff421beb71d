//! Edit lists (ISO/IEC 14496-12, 8.6.6): which stretches of a track's footage are shown.

use std::ops::Range;

use super::{be32, be64};

/// Most entries that are read; editors write a few.
const MAX_ENTRIES: usize = 100_000;

/// An edit list in units of the medium.
pub(super) struct Edits {
    /// Stretches of the medium in the order in which they are shown.
    shown: Vec<Range<i64>>,
    /// Whether all of them are shown at their own speed.
    plain: bool,
}

/// Reads the body of an `elst` box.
pub(super) fn read(body: &[u8], movie_scale: u32, scale: u32) -> Edits {
    let long = body.first() == Some(&1);
    let count = be32(body, 4).map_or(0, |n| n as usize);
    let mut edits = Edits { shown: Vec::new(), plain: count <= MAX_ENTRIES };
    for entry in 0..count.min(MAX_ENTRIES) {
        let at = 8 + entry * if long { 20 } else { 12 };
        let Some((duration, time, rate)) =
            (if long { long_entry(body, at) } else { short_entry(body, at) })
        else {
            break;
        };
        if time < 0 {
            // Nothing is shown for a while.
            continue;
        }
        edits.plain &= rate == 0x0001_0000;
        let length = u128::from(duration) * u128::from(scale) / u128::from(movie_scale.max(1));
        // A length of 0 means all that follows, as fragmented files have it; two units of rounding either way.
        let length =
            if duration == 0 { i64::MAX } else { i64::try_from(length + 2).unwrap_or(i64::MAX) };
        edits.shown.push(time..time.saturating_add(length));
    }
    edits
}

fn short_entry(body: &[u8], at: usize) -> Option<(u64, i64, u32)> {
    let time = be32(body, at + 4)?.cast_signed();
    Some((u64::from(be32(body, at)?), i64::from(time), be32(body, at + 8)?))
}

fn long_entry(body: &[u8], at: usize) -> Option<(u64, i64, u32)> {
    Some((be64(body, at)?, be64(body, at + 8)?.cast_signed(), be32(body, at + 16)?))
}

/// The body of an `elst` box of the same size that shows all of a track up to the sample at `last`.
pub(super) fn whole(body: &[u8], last: u64, movie_scale: u32, scale: u32) -> Vec<u8> {
    let length = u128::from(last) * u128::from(movie_scale) / u128::from(scale.max(1)) + 2;
    let long = body.first() == Some(&1);
    let mut bytes = body.get(..4).unwrap_or_default().to_vec();
    bytes.extend(1u32.to_be_bytes());
    if long {
        bytes.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(0u64.to_be_bytes());
    } else {
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(0u32.to_be_bytes());
    }
    bytes.extend(0x0001_0000u32.to_be_bytes());
    // Without room for an entry there is none now either.
    if bytes.len() > body.len() { Vec::new() } else { bytes }
}

impl Edits {
    /// Whether frames at any of these times of the medium are left out. Of a fragmented file, whose times are not in its
    /// index, whether anything could be.
    pub(super) fn hide(&self, mut times: impl Iterator<Item = i64>, fragmented: bool) -> bool {
        if self.shown.len() > 1 && !self.in_order() {
            // Sought through for each frame: bounded by what editors write.
            let few = self.shown.get(..self.shown.len().min(1000)).unwrap_or_default();
            return times.any(|t| !few.iter().any(|edit| edit.contains(&t)));
        }
        if fragmented {
            return self.shown.len() != 1
                || self.shown.iter().any(|edit| edit.start > 0 || edit.end < i64::MAX);
        }
        times.any(|t| {
            let behind = self.shown.partition_point(|edit| edit.start <= t);
            behind.checked_sub(1).and_then(|at| self.shown.get(at)).is_none_or(|e| t >= e.end)
        })
    }

    /// Whether the stretches follow each other, at their own speed: then all of the footage, looked at in its own
    /// order, shows what they show and in no longer time.
    pub(super) fn in_order(&self) -> bool {
        self.plain && self.shown.is_sorted_by(|a, b| a.end.saturating_sub(2) <= b.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `elst` with durations in ms, times in units of 1/1000 s.
    fn list(entries: &[(u32, i32, u32)]) -> Edits {
        let mut body = vec![0; 4];
        body.extend((entries.len() as u32).to_be_bytes());
        for (duration, time, rate) in entries {
            body.extend(duration.to_be_bytes());
            body.extend(time.to_be_bytes());
            body.extend((rate << 16).to_be_bytes());
        }
        read(&body, 1000, 1000)
    }

    fn hide(entries: &[(u32, i32, u32)]) -> bool {
        list(entries).hide((0..100).map(|i| 80 + i * 40), false)
    }

    #[test]
    fn a_list_that_only_makes_up_for_reordering_hides_nothing() {
        assert!(!hide(&[(4000, 80, 1)]));
        assert!(!hide(&[(200, -1, 1), (4000, 80, 1)]));
        assert!(!hide(&[(0, 0, 1)]));
        assert!(!hide(&[(2000, 80, 1), (2000, 2080, 1)]));
    }

    #[test]
    fn a_list_that_leaves_frames_out_is_found() {
        assert!(hide(&[(4000, 200, 1)]));
        assert!(hide(&[(3000, 80, 1)]));
        assert!(hide(&[(1000, 80, 1), (2000, 2080, 1)]));
        assert!(hide(&[]));
        assert!(hide(&[(40, 200, 1), (40, 200, 1)]));
    }

    #[test]
    fn repeats_and_dwells_are_not_in_order() {
        assert!(list(&[(1000, 80, 1), (2000, 2080, 1)]).in_order());
        assert!(!list(&[(2000, 2080, 1), (1000, 80, 1)]).in_order());
        assert!(!list(&[(40, 200, 1), (40, 200, 1)]).in_order());
        assert!(!list(&[(8000, 200, 0)]).in_order());
    }
}
