//! All term lists in one automaton.
//!
//! The automaton (Aho–Corasick 1975) reads classes of letters with repeats collapsed, so that one pass over the text
//! meets every disguise; each candidate is then verified letter by letter against the folded text with a bit-parallel
//! automaton (Baeza-Yates & Gonnet 1992, with self-loops for repeats) and word boundaries. Three readings of
//! the text are searched: as written, with split-up words joined, and with masks (`f**k`) as wildcards. Every
//! reading is at most as long as the text, so the work is linear in it; [`Work`] counts it.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use domain::Severity;

use super::TextError;
use super::fold::{I_OR_L, Kind, Unit, fold};
use super::join::{is_split, joined};
use super::letters::{Stream, letters};
use super::terms::{Entry, Match, TermList};
use super::turned::upright;

/// Most terms reported for one text, gravest first.
const MAX_HITS: usize = 64;
/// Longest masked word that is tried, in characters.
const MAX_MASKED_CHARS: usize = 32;
/// Characters behind them that tell whether the word goes on.
const MASKED_TAIL: usize = 4;
/// Shortest term that a mask may hide: in shorter ones too little is left to tell.
const MIN_MASKED_TERM: usize = 4;
/// Digits looked at to see whether a word goes on behind them.
const BOUNDARY_DIGITS: usize = 3;

/// Elementary steps taken, the measure of hostile input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes read by the automaton.
    pub bytes: u64,
    /// Candidates that the automaton reported.
    pub candidates: u64,
    /// Units compared while verifying candidates and masked words.
    pub steps: u64,
}

/// A term found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    term: usize,
    /// Bytes of the original text.
    pub bytes: Range<usize>,
    /// 1 as listed, 0.9 disguised, 0.7 with masked letters.
    pub score: f32,
}

struct Term {
    entry: usize,
    label: usize,
    list: usize,
    severity: Severity,
}

enum Role {
    Term(usize),
    /// Harmless words for the terms of this entry.
    Exception(usize),
}

struct Pattern {
    role: Role,
    position: Match,
    chars: Vec<char>,
    /// Has a character that is no Latin letter: no disguise is undone.
    literal: bool,
}

impl Pattern {
    fn bits(&self, unit: &Unit) -> u64 {
        let readings = if self.literal || self.is_exception() { 0 } else { letters(unit.ch) };
        let ch = if unit.is_alphanumeric() || unit.kind == Kind::Symbol { unit.ch } else { ' ' };
        let matches = |p: char| {
            p == ch
                || (ch == I_OR_L && matches!(p, 'i' | 'l'))
                || (p.is_ascii_lowercase() && readings & (1 << (p as u32 - 'a' as u32)) != 0)
        };
        self.chars.iter().enumerate().fold(0, |bits, (i, p)| bits | (u64::from(matches(*p)) << i))
    }

    fn is_exception(&self) -> bool {
        matches!(self.role, Role::Exception(_))
    }
}

/// The compiled lists.
pub(super) struct Matcher {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    terms: Vec<Term>,
    models: Vec<String>,
    labels: Vec<String>,
    /// Patterns that a mask may hide, by first letter.
    maskable: [Vec<usize>; 26],
}

/// One reading of the text.
struct Reading<'u> {
    units: &'u [Unit],
    joined: bool,
}

impl Matcher {
    /// Compiles `lists` into one automaton.
    pub fn new(lists: &[TermList]) -> Result<Self, TextError> {
        let mut build = Builder::default();
        for (i, list) in lists.iter().enumerate() {
            for entry in &list.entries {
                build.entry(i, entry);
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&build.keys)
            .map_err(|e| TextError::TooLarge(e.to_string()))?;
        let mut maskable: [Vec<usize>; 26] = Default::default();
        for (i, p) in build.patterns.iter().enumerate() {
            if p.is_exception() || p.literal || p.chars.len() > MAX_MASKED_CHARS {
                continue;
            }
            let first = p.chars.first().and_then(|c| maskable.get_mut(*c as usize - 'a' as usize));
            if let Some(bucket) = first.filter(|_| p.chars.len() >= MIN_MASKED_TERM) {
                bucket.push(i);
            }
        }
        let models = lists.iter().map(TermList::model).collect();
        let Builder { patterns, terms, labels, .. } = build;
        Ok(Self { automaton, patterns, terms, models, labels, maskable })
    }

    /// The lists' names, in the order given.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// `model` and `label` of a hit.
    pub fn names(&self, hit: &Hit) -> (&str, &str) {
        let Some(term) = self.terms.get(hit.term) else { return ("", "") };
        (
            self.models.get(term.list).map_or("", String::as_str),
            self.labels.get(term.label).map_or("", String::as_str),
        )
    }

    /// Every term in the text once, gravest first; a term inside a graver or equal one is left out.
    pub fn find(&self, units: &[Unit], work: &mut Work) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.read(&Reading { units, joined: false }, &mut hits, work);
        let pieces = joined(units);
        if !pieces.is_empty() {
            self.read(&Reading { units: &pieces, joined: true }, &mut hits, work);
        }
        if let Some(upright) = upright(units) {
            self.read(&Reading { units: &upright, joined: false }, &mut hits, work);
        }
        self.unmask(units, &mut hits, work);
        self.gravest(hits)
    }

    fn severity(&self, hit: &Hit) -> Severity {
        self.terms.get(hit.term).map_or(Severity::Safe, |t| t.severity)
    }

    fn gravest(&self, mut hits: Vec<Hit>) -> Vec<Hit> {
        let mut seen = vec![false; self.terms.len()];
        hits.retain(|h| seen.get_mut(h.term).is_some_and(|s| !std::mem::replace(s, true)));
        hits.sort_by_key(|h| (std::cmp::Reverse((self.severity(h), h.bytes.len())), h.bytes.start));
        hits.truncate(MAX_HITS);
        let mut kept: Vec<Hit> = Vec::new();
        for hit in hits {
            let inside = |k: &Hit| k.bytes.start <= hit.bytes.start && hit.bytes.end <= k.bytes.end;
            if !kept.iter().any(inside) {
                kept.push(hit);
            }
        }
        kept
    }

    fn read(&self, reading: &Reading, hits: &mut Vec<Hit>, work: &mut Work) {
        let stream = Stream::new(reading.units);
        work.bytes += stream.bytes.len() as u64;
        let mut exceptions: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
        let mut found: Vec<(usize, usize, Range<usize>, f32)> = Vec::new();
        for m in self.automaton.find_overlapping_iter(&stream.bytes) {
            work.candidates += 1;
            let Some(pattern) = self.patterns.get(m.pattern().as_usize()) else { continue };
            let Some(range) = verify(pattern, reading, &stream, m.range(), work) else { continue };
            match pattern.role {
                Role::Exception(entry) => exceptions.entry(entry).or_default().push(range),
                Role::Term(term) => {
                    let entry = self.terms.get(term).map_or(0, |t| t.entry);
                    let exact = !reading.joined && range.len() == pattern.chars.len();
                    let matched = reading.units.get(range.clone()).unwrap_or_default();
                    let plain = matched
                        .iter()
                        .zip(&pattern.chars)
                        .all(|(u, p)| as_written(u.ch) == *p || *p == ' ');
                    found.push((term, entry, range, if exact && plain { 1.0 } else { 0.9 }));
                }
            }
        }
        exceptions.values_mut().for_each(|ranges| ranges.sort_by_key(|r| r.start));
        for (term, entry, range, score) in found {
            if exceptions.get(&entry).is_some_and(|e| covered(e, &range)) {
                continue;
            }
            let Some(units) = reading.units.get(range) else { continue };
            hits.push(Hit { term, bytes: span(units), score });
        }
    }

    /// Words and phrases with masked letters, each compared with the terms of the same first letter.
    fn unmask(&self, units: &[Unit], hits: &mut Vec<Hit>, work: &mut Work) {
        let mut masks =
            units.iter().enumerate().filter(|(_, u)| is_mask(u)).map(|(i, _)| i).peekable();
        for start in 0..units.len() {
            while masks.next_if(|&mask| mask < start).is_some() {}
            let Some(&mask) = masks.peek() else { return };
            let Some(first) = units.get(start).filter(|u| u.kind == Kind::Letter) else { continue };
            let in_word = start
                .checked_sub(1)
                .and_then(|i| units.get(i))
                .is_some_and(|u| u.is_alphanumeric() || is_strong_mask(u));
            if in_word && !first.seam || mask - start > MAX_MASKED_CHARS {
                continue;
            }
            let Some(bucket) =
                (first.ch as usize).checked_sub('a' as usize).and_then(|b| self.maskable.get(b))
            else {
                continue;
            };
            let end = units.len().min(start + MAX_MASKED_CHARS + MASKED_TAIL);
            let Some(words) = units.get(start..end) else { continue };
            for pattern in bucket.iter().filter_map(|&i| self.patterns.get(i)) {
                let Role::Term(term) = pattern.role else { continue };
                let grave = self.terms.get(term).is_some_and(|t| t.severity >= Severity::High);
                if let Some(len) = unmasked(pattern, words, grave, work) {
                    let bytes = span(words.get(..len).unwrap_or_default());
                    hits.push(Hit { term, bytes, score: 0.7 });
                }
            }
        }
    }
}

#[derive(Default)]
struct Builder {
    keys: Vec<Vec<u8>>,
    patterns: Vec<Pattern>,
    terms: Vec<Term>,
    labels: Vec<String>,
    entries: usize,
}

impl Builder {
    fn entry(&mut self, list: usize, entry: &Entry) {
        let severity = slug(&entry.severity);
        let label = format!("term:{}:{severity}", slug(&entry.category));
        let label = self.labels.iter().position(|l| *l == label).unwrap_or_else(|| {
            self.labels.push(label);
            self.labels.len() - 1
        });
        for term in &entry.terms {
            let id = self.terms.len();
            self.terms.push(Term { entry: self.entries, label, list, severity: entry.severity });
            let folded = fold(&term.trim().to_lowercase()).text();
            let words: String = folded.split_whitespace().collect::<Vec<_>>().join(" ");
            self.pattern(Role::Term(id), entry.position, &words);
            if words.contains(' ') {
                // Spelled out or as a hashtag.
                self.pattern(Role::Term(id), Match::Word, &words.replace(' ', ""));
            } else if let Some(rest) = words.strip_prefix('f') {
                self.pattern(Role::Term(id), entry.position, &format!("ph{rest}"));
            }
        }
        for word in &entry.exceptions {
            let role = Role::Exception(self.entries);
            self.pattern(role, Match::Substring, &fold(&word.trim().to_lowercase()).text());
        }
        self.entries += 1;
    }

    fn pattern(&mut self, role: Role, position: Match, words: &str) {
        let units = fold(words).units;
        let chars: Vec<char> = units
            .iter()
            .map(|u| if u.is_alphanumeric() || u.kind == Kind::Symbol { u.ch } else { ' ' })
            .collect();
        let literal = !chars.iter().all(|c| c.is_ascii_lowercase() || *c == ' ');
        self.keys.push(Stream::new(&units).bytes);
        self.patterns.push(Pattern { role, position, chars, literal });
    }
}

/// The name under which serde knows a unit variant.
fn slug<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(s)) => s,
        _ => String::new(),
    }
}

/// The units that `pattern` covers, when the letters and the word boundaries agree.
fn verify(
    pattern: &Pattern,
    reading: &Reading,
    stream: &Stream,
    bytes: Range<usize>,
    work: &mut Work,
) -> Option<Range<usize>> {
    let units = reading.units;
    let width = |i: usize| stream.bytes.get(i).map_or(1, |b| utf8_len(*b));
    let last_byte = (bytes.start..bytes.end)
        .rev()
        .find(|i| stream.bytes.get(*i).is_some_and(|b| b & 0xc0 != 0x80))?;
    let first_run = stream.unit(bytes.start)..stream.unit(bytes.start + width(bytes.start));
    let (last_run, end) = (stream.unit(last_byte), stream.unit(bytes.end));
    let goal = 1_u64 << (pattern.chars.len() - 1).min(63);
    let (mut state, mut start, mut stop) = (0_u64, None, None);
    for i in first_run.start..end {
        work.steps += 1;
        let unit = units.get(i)?;
        if reading.joined && unit.kind == Kind::Space {
            return None;
        }
        let enters = i < first_run.end && may_begin(pattern, reading, i);
        state = ((state << 1) | state | u64::from(enters)) & pattern.bits(unit);
        if state != 0 && start.is_none() {
            start = Some(i);
        }
        if state == 0 {
            if i >= first_run.end {
                break;
            }
            start = None;
        }
        if i >= last_run && state & goal != 0 && may_end(pattern, units, i + 1) {
            stop = Some(i + 1);
        }
    }
    let range = start?..stop?;
    legible(pattern, units.get(range.clone())?).then_some(range)
}

fn utf8_len(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

fn may_begin(pattern: &Pattern, reading: &Reading, i: usize) -> bool {
    let units = reading.units;
    let before = i.checked_sub(1).and_then(|j| Some((units.get(j)?, units.get(i)?)));
    let Some((before, unit)) = before else { return true };
    if reading.joined && before.kind != Kind::Space && !is_split(before, unit) {
        return false;
    }
    !pattern.position.needs_start() || is_boundary(units, i, true)
}

fn may_end(pattern: &Pattern, units: &[Unit], i: usize) -> bool {
    if !pattern.position.needs_end() || is_boundary(units, i, false) {
        return true;
    }
    if pattern.position != Match::Word || pattern.literal {
        return false;
    }
    let ch = |j: usize| units.get(j).map(|u| u.ch);
    match ch(i) {
        Some('s' | 'z') => is_boundary(units, i + 1, false),
        Some('e') if ch(i + 1) == Some('s') => is_boundary(units, i + 2, false),
        _ => false,
    }
}

/// Whether a word can begin (`before`) or end between the units `i - 1` and `i`. A digit ends a word unless letters
/// go on behind it: `twat1` but not `ass1gn`.
fn is_boundary(units: &[Unit], i: usize, before: bool) -> bool {
    if units.get(i).is_some_and(|u| u.seam) {
        return true;
    }
    for step in 0..=BOUNDARY_DIGITS {
        let j = if before { i.checked_sub(step + 1) } else { Some(i + step) };
        let Some(unit) = j.and_then(|j| units.get(j)) else { return true };
        match unit.kind {
            Kind::Letter => return is_unspaced(unit.ch),
            Kind::Digit => {}
            _ => return true,
        }
    }
    true
}

/// Scripts that are written without spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

/// Whether enough plain letters are left: `455` and the road A55 are numbers.
fn legible(pattern: &Pattern, matched: &[Unit]) -> bool {
    let count = |kind: Kind| matched.iter().filter(|u| u.kind == kind).count();
    let letters = count(Kind::Letter);
    pattern.literal || letters >= 2 || (letters == 1 && count(Kind::Leet) > 0)
}

/// A letter as an unsuspecting reader takes it.
fn as_written(ch: char) -> char {
    if ch == I_OR_L { 'i' } else { ch }
}

/// Whether one of the `ranges`, sorted by start, covers `range`.
fn covered(ranges: &[Range<usize>], range: &Range<usize>) -> bool {
    let until = ranges.partition_point(|r| r.start <= range.start);
    // An exception is a word: of those that begin at or before the term only the nearest few can reach its end.
    ranges.get(..until).unwrap_or_default().iter().rev().take(8).any(|r| r.end >= range.end)
}

/// The bytes of the original that `units` came from.
fn span(units: &[Unit]) -> Range<usize> {
    let start = units.iter().map(|u| u.start).min().unwrap_or(0);
    let end = units.iter().map(|u| u.end).max().unwrap_or(0);
    start as usize..end as usize
}

/// A star, or a picture, which hides any letter.
fn is_strong_mask(unit: &Unit) -> bool {
    matches!(unit.ch, '*' | '#' | '%') || unit.kind == Kind::Symbol
}

fn is_mask(unit: &Unit) -> bool {
    is_strong_mask(unit) || matches!(unit.ch, '-' | '_' | '.' | '?')
}

/// How many units of `word` spell `pattern` when each mask hides one letter: a star any letter, a hyphen or
/// dot a vowel. Half of the letters must show; of a grave term the first and the last suffice (`n****r`).
fn unmasked(pattern: &Pattern, word: &[Unit], grave: bool, work: &mut Work) -> Option<usize> {
    let len = pattern.chars.len();
    let (mut hidden, mut weak, mut blanks) = (0, 0, 0);
    for (i, p) in pattern.chars.iter().enumerate() {
        work.steps += 1;
        let unit = word.get(i)?;
        if *p == ' ' {
            if unit.kind != Kind::Space {
                return None;
            }
            blanks += 1;
            continue;
        }
        if letters(unit.ch) & (1 << (*p as u32 - 'a' as u32)) != 0 {
            continue;
        }
        let vowel = matches!(p, 'a' | 'e' | 'i' | 'o' | 'u');
        if is_strong_mask(unit) {
            hidden += 1;
        } else if is_mask(unit) && vowel && weak == 0 {
            weak += 1;
        } else {
            return None;
        }
    }
    hidden += weak;
    let shown = len - blanks - hidden;
    let ends_show = word.get(len - 1).is_some_and(|u| u.kind == Kind::Letter);
    let enough = shown * 2 >= len - blanks || (grave && shown >= 2 && ends_show);
    (hidden > 0 && enough && may_end(pattern, word, len)).then_some(len)
}
