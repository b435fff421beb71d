//! Sample tables of a track (ISO/IEC 14496-12, 8.6.1, 8.7): when each sample is shown, and where the last byte lies.

use super::be32;
use super::be64;
use super::movie::child;

/// Most samples whose times are looked at; two hours at 120 frames a second have 864,000.
const MAX_SAMPLES: usize = 1_000_000;

/// Time of each sample in units of the medium, in decode order.
pub(super) fn times(table: &[u8]) -> impl Iterator<Item = i64> {
    let steps = child(table, b"stts").unwrap_or_default();
    let shifts = child(table, b"ctts");
    let mut time = 0i64;
    let decoded = runs(steps).map(move |step| {
        let now = time;
        time = time.saturating_add(i64::from(step));
        now
    });
    let shifts = shifts.map(runs).into_iter().flatten().chain(std::iter::repeat(0));
    // Offsets are unsigned in version 0; writers that mean less than zero write it so all the same.
    let shown =
        decoded.zip(shifts).map(|(t, shift)| t.saturating_add(i64::from(shift.cast_signed())));
    shown.take(MAX_SAMPLES)
}

/// The values of a table of (count, value), one for each sample.
fn runs(body: &[u8]) -> impl Iterator<Item = u32> {
    let count = be32(body, 4).unwrap_or(0) as usize;
    (0..count)
        .map_while(|i| Some((be32(body, 8 + i * 8)?, be32(body, 12 + i * 8)?)))
        .flat_map(|(count, value)| std::iter::repeat_n(value, count as usize))
}

/// The end of the byte that lies farthest, 0 where there is no sample.
pub(super) fn end(table: &[u8]) -> u64 {
    let (chunks, wide) = match (child(table, b"stco"), child(table, b"co64")) {
        (Some(body), _) => (body, false),
        (None, Some(body)) => (body, true),
        _ => return 0,
    };
    let Some(sizes) = child(table, b"stsz") else { return 0 };
    let same = be32(sizes, 4).unwrap_or(0);
    let samples = be32(sizes, 8).unwrap_or(0) as usize;
    let mut layout = Layout { body: child(table, b"stsc").unwrap_or_default(), entry: 0 };
    let (mut farthest, mut sample) = (0u64, 0usize);
    for chunk in 0..be32(chunks, 4).unwrap_or(0) {
        let at = 8 + chunk as usize * if wide { 8 } else { 4 };
        let offset = if wide { be64(chunks, at) } else { be32(chunks, at).map(u64::from) };
        let Some(offset) = offset else { break };
        let count = layout.samples_of(chunk).min(samples.saturating_sub(sample));
        if count == 0 {
            continue;
        }
        let length = if same > 0 {
            u64::from(same).saturating_mul(count as u64)
        } else {
            (sample..sample + count)
                .map_while(|i| be32(sizes, 12 + i * 4))
                .fold(0u64, |sum, size| sum.saturating_add(u64::from(size)))
        };
        sample += count;
        farthest = farthest.max(offset.saturating_add(length));
    }
    farthest
}

/// How many samples each chunk has, by runs of chunks (`stsc`).
struct Layout<'a> {
    body: &'a [u8],
    entry: usize,
}

impl Layout<'_> {
    /// Samples of a chunk, counted from 0; asked in rising order.
    fn samples_of(&mut self, chunk: u32) -> usize {
        let first = |entry: usize| be32(self.body, 8 + entry * 12);
        while self.entry + 1 < be32(self.body, 4).unwrap_or(0) as usize
            && first(self.entry + 1).is_some_and(|next| next <= chunk.saturating_add(1))
        {
            self.entry += 1;
        }
        be32(self.body, 8 + self.entry * 12 + 4).unwrap_or(0) as usize
    }
}
