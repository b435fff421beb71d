//! Which letters a folded character may stand for, and the classes under which characters that can be read as
//! one another meet.

use super::fold::{I_OR_L, Kind, Unit};

/// A set of `a..=z`, bit 0 for `a`.
pub(super) type Letters = u32;

const fn set(letters: &[u8]) -> Letters {
    let mut bits = 0;
    let mut i = 0;
    while i < letters.len() {
        bits |= 1 << (letters[i] - b'a');
        i += 1;
    }
    bits
}

/// The letters that `ch` may be read as; empty when it can only be itself.
pub(super) fn letters(ch: char) -> Letters {
    match ch {
        'v' => set(b"vu"),
        'z' => set(b"zs"),
        'q' => set(b"qg"),
        'a'..='z' => 1 << (ch as u32 - 'a' as u32),
        '@' | '4' => set(b"a"),
        '8' => set(b"b"),
        '(' | '<' | '¢' => set(b"c"),
        '3' | '€' => set(b"e"),
        '6' | '9' => set(b"g"),
        '1' | '!' | '|' | I_OR_L => set(b"il"),
        '£' => set(b"l"),
        '0' => set(b"o"),
        '5' | '$' => set(b"s"),
        '7' | '+' => set(b"t"),
        '2' => set(b"z"),
        _ => 0,
    }
}

/// One representative for all characters that share a reading: `i l 1 ! | £`, `u v`, `s z 5 $ 2`, `g q 6 9`…
pub(super) fn class(ch: char) -> char {
    match ch {
        'l' | '1' | '!' | '|' | '£' | I_OR_L => 'i',
        'v' => 'u',
        'z' | '5' | '$' | '2' => 's',
        'q' | '6' | '9' => 'g',
        '@' | '4' => 'a',
        '8' => 'b',
        '(' | '<' | '¢' => 'c',
        '3' | '€' => 'e',
        '0' => 'o',
        '7' | '+' => 't',
        other => other,
    }
}

/// Units as the bytes that the automaton reads: classes, with repeats and runs of separators collapsed.
#[derive(Default)]
pub(super) struct Stream {
    /// Class bytes; ASCII for Latin letters, UTF-8 for the rest, one space between words.
    pub bytes: Vec<u8>,
    /// For each byte the index of the first unit that it stands for.
    first: Vec<u32>,
    units: u32,
}

impl Stream {
    /// Collapses `units`.
    pub fn new(units: &[Unit]) -> Self {
        let mut stream = Self {
            bytes: Vec::with_capacity(units.len()),
            first: Vec::with_capacity(units.len()),
            units: units.len() as u32,
        };
        let mut last = '\0';
        for (i, unit) in units.iter().enumerate() {
            let c = match unit.kind {
                Kind::Letter | Kind::Digit => class(unit.ch),
                Kind::Leet if is_read_as_letter(units, i) => class(unit.ch),
                Kind::Symbol => unit.ch,
                Kind::Leet | Kind::Punctuation | Kind::Space => ' ',
            };
            if c == last {
                continue;
            }
            last = c;
            let mut buffer = [0; 4];
            for b in c.encode_utf8(&mut buffer).bytes() {
                stream.bytes.push(b);
                stream.first.push(i as u32);
            }
        }
        stream
    }

    /// The unit that byte `at` begins with; one past the last unit at the end.
    pub fn unit(&self, at: usize) -> usize {
        self.first.get(at).copied().unwrap_or(self.units) as usize
    }
}

/// Whether the punctuation at `i` sits in a word as a letter would: `sh!t`, `a$$`, `@ss`, but not `wow!`.
pub(super) fn is_read_as_letter(units: &[Unit], i: usize) -> bool {
    let Some(unit) = units.get(i) else { return false };
    let word = |j: Option<usize>| {
        j.and_then(|j| units.get(j)).is_some_and(|u| {
            u.is_alphanumeric() || (u.kind == Kind::Leet && matches!(u.ch, '$' | '@' | '!'))
        })
    };
    let (before, after) = (word(i.checked_sub(1)), word(Some(i + 1)));
    match unit.ch {
        '$' => before || after,
        '@' => after,
        _ => before && after,
    }
}
