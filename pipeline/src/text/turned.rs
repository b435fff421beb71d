//! Text written upside down: `ʞɔnɟ`.

use super::fold::{Kind, Unit};

/// Fewest letters that only an upside-down alphabet has; phonetic script uses them one at a time.
const LEAST_TURNED: usize = 2;

/// The stretch that is written upside down, read the right way round: from its other end, with the letters exchanged that
/// are each other's turned form. `None` where there is none. It spans the words from the first turned letter to the
/// last.
pub(super) fn upright(units: &[Unit]) -> Option<Vec<Unit>> {
    let mut turned = units.iter().enumerate().filter(|(_, u)| u.turned).map(|(i, _)| i);
    let first = turned.next()?;
    let (last, count) = turned.fold((first, 1), |(_, count), i| (i, count + 1));
    if count < LEAST_TURNED {
        return None;
    }
    let space = |u: &Unit| u.kind == Kind::Space;
    let start = units.get(..first)?.iter().rposition(space).map_or(0, |i| i + 1);
    let end = units.get(last..)?.iter().position(space).map_or(units.len(), |i| last + i);
    Some(units.get(start..end)?.iter().rev().map(|u| Unit { ch: counterpart(u), ..*u }).collect())
}

/// What an ordinary letter shows when it is turned round.
fn counterpart(unit: &Unit) -> char {
    match unit.ch {
        ch if unit.turned => ch,
        'n' => 'u',
        'u' => 'n',
        'p' => 'd',
        'd' => 'p',
        'q' => 'b',
        'b' => 'q',
        'm' => 'w',
        'w' => 'm',
        ch => ch,
    }
}
