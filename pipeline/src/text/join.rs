//! Words written in pieces: `f u c k`, `f.u.c.k`, `s.hit`, one letter a line, emoji between letters.

use super::fold::{Kind, Unit};
use super::letters::is_read_as_letter;

/// Most separators between two single letters of one word.
const MAX_GAP_LOOSE: usize = 3;
/// Most separators between longer pieces; none of them a space.
const MAX_GAP_TIGHT: usize = 2;
/// A piece this short beside another one is what makes a split suspicious: `push-it-now` is written so every day.
const SHORT_PIECE: usize = 2;

/// The pieces of every suspicious region run together, regions divided by one space. The `seam` of a unit says that
/// a word may begin there. Each unit occurs at most once, so the result is no longer than the input (twice over).
pub(super) fn joined(units: &[Unit]) -> Vec<Unit> {
    let mut out = Vec::new();
    let mut region: Vec<(usize, usize)> = Vec::new();
    for piece in (Pieces { units, at: 0 }) {
        if region.last().is_some_and(|last| !linked(units, *last, piece)) {
            flush(units, &mut region, &mut out);
        }
        region.push(piece);
    }
    flush(units, &mut region, &mut out);
    out
}

/// Whether the units `i` and `i + 1` of a joined stream came from different pieces.
pub(super) fn is_split(before: &Unit, after: &Unit) -> bool {
    before.end != after.start
}

struct Pieces<'u> {
    units: &'u [Unit],
    at: usize,
}

impl Pieces<'_> {
    fn is_part(&self, i: usize) -> bool {
        let Some(unit) = self.units.get(i) else { return false };
        let space = |j: Option<&Unit>| j.is_none_or(|u| u.kind == Kind::Space);
        let alone = || {
            space(i.checked_sub(1).and_then(|j| self.units.get(j))) && space(self.units.get(i + 1))
        };
        unit.is_alphanumeric()
            || (unit.kind == Kind::Leet && (is_read_as_letter(self.units, i) || alone()))
    }
}

impl Iterator for Pieces<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.units.len() && !self.is_part(self.at) {
            self.at += 1;
        }
        let start = self.at;
        while self.is_part(self.at) {
            self.at += 1;
        }
        (start < self.at).then_some((start, self.at))
    }
}

fn is_single(units: &[Unit], (start, end): (usize, usize)) -> bool {
    let Some(run) = units.get(start..end) else { return false };
    run.first().is_some_and(|first| run.iter().all(|u| u.ch == first.ch))
}

fn linked(units: &[Unit], before: (usize, usize), after: (usize, usize)) -> bool {
    let Some(gap) = units.get(before.1..after.0) else { return false };
    if gap.len() <= MAX_GAP_TIGHT && gap.iter().all(|u| u.kind != Kind::Space) {
        return true;
    }
    gap.len() <= MAX_GAP_LOOSE && is_single(units, before) && is_single(units, after)
}

fn flush(units: &[Unit], region: &mut Vec<(usize, usize)>, out: &mut Vec<Unit>) {
    let letters: usize = region.iter().map(|(s, e)| e - s).sum();
    let short = region.iter().any(|(s, e)| e - s <= SHORT_PIECE || is_single(units, (*s, *e)));
    if region.len() > 1 && letters > 2 && short {
        let mut word_may_begin = true;
        for (start, end) in region.iter() {
            for (i, unit) in units.get(*start..*end).unwrap_or_default().iter().enumerate() {
                out.push(Unit { seam: i == 0 && word_may_begin, ..*unit });
            }
            // `i a m a f o o l`: the one-letter words of chat.
            word_may_begin = end - start == 1
                && units.get(*start).is_some_and(|u| matches!(u.ch, 'a' | 'i' | 'u' | 'r'));
        }
        out.push(Unit { ch: ' ', start: 0, end: 0, kind: Kind::Space, seam: false, turned: false });
    }
    region.clear();
}
