//! Folding: Unicode text → the letters a reader sees, each with the bytes it came from.
//!
//! Case, compatibility forms (NFKD), diacritics, look-alike letters of other scripts, invisible characters,
//! HTML character references and tags, and right-to-left overrides are undone here. What stays ambiguous
//! (`1` is an i or an l, `*` hides any letter) is left as it is and resolved by the matcher, which knows the terms.
//! Ethiopic, Arabic, CJK and other scripts pass through; emoji stay as symbols.
//!
//! Time and memory are linear in the input: each character is read once (twice within a right-to-left override)
//! and yields at most 18 units, the longest compatibility decomposition in Unicode.

use unicode_normalization::char::decompose_compatible;

use super::drawn::{look_alike, strokes, upside_down};

/// Longest text that is folded, in bytes. Captions are shorter by an order of magnitude; the rest of a longer
/// text is not looked at, and [`Folded::truncated`] says so.
pub const MAX_BYTES: usize = 64 * 1024;

/// Longest HTML tag or character reference that is undone, in bytes.
const MAX_MARKUP_BYTES: usize = 64;

/// A capital I beside small letters: an i, or drawn like an l (`Iick`, `kiIl`).
pub(crate) const I_OR_L: char = 'ǀ';

/// What part a unit plays in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A letter of any script.
    Letter,
    /// A digit of any script.
    Digit,
    /// Punctuation that may stand for a letter here: `@ $ ! | + ( < € £ ¢`.
    Leet,
    /// Other punctuation.
    Punctuation,
    /// White space or a line break.
    Space,
    /// Emoji and other pictures.
    Symbol,
}

/// One folded character and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The folded character.
    pub ch: char,
    /// First byte in the original.
    pub start: u32,
    /// One past the last byte in the original.
    pub end: u32,
    /// Its part in a word.
    pub kind: Kind,
    /// Whether a word may begin here although the unit before is a letter: an apostrophe was dropped
    /// (`l'idiot`), or the matcher joined spaced-out letters.
    pub seam: bool,
    /// Whether it was drawn upside down (`ɟ`, `ʞ`), so that its word may have to be read from the other end.
    pub turned: bool,
}

impl Unit {
    /// Letter or digit.
    pub fn is_alphanumeric(self) -> bool {
        matches!(self.kind, Kind::Letter | Kind::Digit)
    }

    /// Anything that can be read as part of a word.
    pub fn is_wordlike(self) -> bool {
        matches!(self.kind, Kind::Letter | Kind::Digit | Kind::Leet)
    }
}

/// Folded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The units in reading order.
    pub units: Vec<Unit>,
    /// Whether the text was longer than [`MAX_BYTES`], so that its end was not looked at.
    pub truncated: bool,
}

impl Folded {
    /// The folded characters as a string, for people and tests.
    pub fn text(&self) -> String {
        self.units.iter().map(|u| u.ch).collect()
    }
}

/// The part of `text` that is looked at: at most [`MAX_BYTES`], cut between characters.
pub fn head(text: &str) -> &str {
    let mut limit = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(limit) {
        limit -= 1;
    }
    text.get(..limit).unwrap_or_default()
}

/// Folds at most [`MAX_BYTES`] of `text`.
pub fn fold(text: &str) -> Folded {
    let head = head(text);
    let mut folder = Folder { units: Vec::with_capacity(head.len()), ..Folder::default() };
    let mut at = 0;
    while let Some(rest) = head.get(at..) {
        let Some(c) = rest.chars().next() else { break };
        at += folder.take(c, rest, at);
        folder.small = c.is_lowercase();
    }
    folder.end_override();
    Folded { units: folder.units, truncated: head.len() < text.len() }
}

#[derive(Default)]
struct Folder {
    units: Vec<Unit>,
    /// An apostrophe was dropped after the last unit.
    seam: bool,
    /// The last character was a small letter.
    small: bool,
    /// Where a right-to-left override began.
    reversed_from: Option<usize>,
}

impl Folder {
    /// Folds the character `c` that begins `rest` at byte `at`; gives the number of bytes consumed.
    fn take(&mut self, c: char, rest: &str, at: usize) -> usize {
        match c {
            'a'..='z' => self.push(c, Kind::Letter, at, 1),
            '&' => {
                if let Some((decoded, len)) = reference(rest) {
                    self.unicode(decoded, at, len);
                    return len;
                }
                self.push(c, Kind::Punctuation, at, 1);
            }
            '<' => {
                if let Some((breaks, len)) = tag(rest) {
                    if breaks {
                        self.push(' ', Kind::Space, at, len);
                    }
                    return len;
                }
                self.ascii(c, at, 1);
            }
            'I' if self.beside_small(rest) => self.push(I_OR_L, Kind::Letter, at, 1),
            '|' | '/' | '\\' | '(' | '[' | '>' => {
                if let Some((letter, len)) = strokes(rest, self.follows_letter()) {
                    self.push(letter, Kind::Letter, at, len);
                    return len;
                }
                self.ascii(c, at, 1);
            }
            _ if c.is_ascii() => self.ascii(c, at, 1),
            _ => self.unicode(c, at, c.len_utf8()),
        }
        c.len_utf8()
    }

    /// Whether the capital I that begins `rest` stands beside a small letter.
    fn beside_small(&self, rest: &str) -> bool {
        let after = rest.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
        after || self.small
    }

    fn follows_letter(&self) -> bool {
        self.units.last().is_some_and(|u| u.is_wordlike())
    }

    fn push(&mut self, ch: char, kind: Kind, at: usize, len: usize) {
        // Offsets fit: the input is capped at MAX_BYTES.
        let (start, end) = (at as u32, (at + len) as u32);
        let unit = Unit { ch, start, end, kind, seam: self.seam, turned: false };
        self.seam = false;
        self.units.push(unit);
    }

    fn ascii(&mut self, c: char, at: usize, len: usize) {
        match c {
            'A'..='Z' | 'a'..='z' => self.push(c.to_ascii_lowercase(), Kind::Letter, at, len),
            '0'..='9' => self.push(c, Kind::Digit, at, len),
            '\'' | '`' => self.seam = true,
            '\n' => {
                self.end_override();
                self.push(' ', Kind::Space, at, len);
            }
            ' ' | '\t' | '\r' | '\x0b' | '\x0c' => self.push(' ', Kind::Space, at, len),
            '@' | '$' | '!' | '|' | '+' | '(' | '<' => self.push(c, Kind::Leet, at, len),
            _ if c.is_ascii_control() => {}
            _ => self.push(c, Kind::Punctuation, at, len),
        }
    }

    fn unicode(&mut self, c: char, at: usize, len: usize) {
        match c {
            '\u{202e}' => {
                self.end_override();
                self.reversed_from = Some(self.units.len());
                return;
            }
            '\u{202c}' | '\u{2029}' => self.end_override(),
            '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{ff07}' | '´' => {
                self.seam = true;
                return;
            }
            _ => {}
        }
        if is_invisible(c) || is_mark(c) {
            return;
        }
        if let Some(letter) = upside_down(c) {
            self.push(letter, Kind::Letter, at, len);
            if let Some(unit) = self.units.last_mut() {
                unit.turned = true;
            }
            return;
        }
        if let Some(letters) = look_alike(c) {
            letters.chars().for_each(|l| self.ascii(l, at, len));
            return;
        }
        decompose_compatible(c, |part| self.part(part, at, len));
    }

    /// One character of a decomposition.
    fn part(&mut self, c: char, at: usize, len: usize) {
        if c.is_ascii() {
            return self.ascii(c, at, len);
        }
        if is_mark(c) || is_invisible(c) {
            return;
        }
        for lower in c.to_lowercase() {
            if let Some(letters) = look_alike(lower) {
                letters.chars().for_each(|l| self.ascii(l, at, len));
            } else if !is_mark(lower) {
                self.push(lower, kind(lower), at, len);
            }
        }
    }

    fn end_override(&mut self) {
        if let Some(run) = self.reversed_from.take().and_then(|from| self.units.get_mut(from..)) {
            run.reverse();
        }
    }
}

/// A numeric or one of the commonest named HTML character references at the start of `rest`: the character and
/// the length in bytes.
fn reference(rest: &str) -> Option<(char, usize)> {
    let window = rest.as_bytes().get(..rest.len().min(12))?;
    let end = window.iter().position(|b| *b == b';')?;
    let name = rest.get(1..end)?;
    let c = match name {
        "amp" => '&',
        "lt" => '\u{2039}',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "shy" => '\u{ad}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((c, end + 1))
}

/// An HTML tag at the start of `rest`: whether it breaks the line, and its length in bytes.
fn tag(rest: &str) -> Option<(bool, usize)> {
    let window = rest.as_bytes().get(1..rest.len().min(MAX_MARKUP_BYTES))?;
    let end = window.iter().position(|b| matches!(b, b'>' | b'<' | b'\n'))?;
    let inner = window.get(..end)?;
    let name = inner.strip_prefix(b"/").unwrap_or(inner);
    if window.get(end) != Some(&b'>') || !name.first()?.is_ascii_alphabetic() {
        return None;
    }
    let name = name.split(|b| !b.is_ascii_alphanumeric()).next()?.to_ascii_lowercase();
    let breaks = matches!(
        name.as_slice(),
        b"br"
            | b"p"
            | b"div"
            | b"li"
            | b"ul"
            | b"ol"
            | b"td"
            | b"tr"
            | b"hr"
            | b"img"
            | b"h1"
            | b"h2"
    );
    Some((breaks, end + 2))
}

/// Characters that take no room on the screen.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Marks that decorate a letter without making another one: the combining-diacritic blocks, Hebrew points and
/// Arabic vowel signs. Vowel signs of Indic scripts and the Ethiopic syllables are letters in their own right.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{640}' | '\u{135d}'..='\u{135f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

fn kind(c: char) -> Kind {
    if c.is_alphabetic() || matches!(c, '\u{900}'..='\u{dff}') {
        Kind::Letter
    } else if c.is_numeric() {
        Kind::Digit
    } else if c.is_whitespace() {
        Kind::Space
    } else if matches!(c, '€' | '£' | '¢') {
        Kind::Leet
    } else if matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1ffff}') {
        Kind::Symbol
    } else {
        Kind::Punctuation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_fold_to_the_letters_a_reader_sees() {
        let plain = "phucking";
        for disguise in [
            "PhUcKiNg",
            "p\u{200b}h\u{200d}u\u{ad}c\u{feff}king",
            "ṕh́úćḱíńǵ",
            "рhuсkіng",
            "ｐｈｕｃｋｉｎｇ",
            "𝐩𝐡𝐮𝐜𝐤𝐢𝐧𝐠",
            "𝓅𝒽𝓊𝒸𝓀𝒾𝓃ℊ",
            "ⓟⓗⓤⓒⓚⓘⓝⓖ",
            "🅿🅷🆄🅲🅺🅸🅽🅶",
            "ᴘʜᴜᴄᴋɪɴɢ",
            "\u{202e}gnikcuhp\u{202c}",
            "<b>ph</b>ucking",
            "&#112;&#104;&#117;&#x63;&#107;&#105;&#110;&#103;",
        ] {
            assert_eq!(fold(disguise).text(), plain, "{disguise}");
        }
    }

    #[test]
    fn other_scripts_and_emoji_are_kept() {
        assert_eq!(fold("ሰላም ዓለም 🙂").text(), "ሰላም ዓለም 🙂");
        assert_eq!(fold("हिन्दी").text(), "हिन्दी");
        assert_eq!(fold("你好").text(), "你好");
    }

    #[test]
    fn every_unit_points_at_the_bytes_it_came_from() {
        let text = "é &#65;ﬁ<br>𝐱";
        for u in fold(text).units {
            let original = &text[u.start as usize..u.end as usize];
            let want = match original {
                "é" => "e",
                " " | "<br>" => " ",
                "&#65;" => "a",
                "ﬁ" => "fi",
                "𝐱" => "x",
                other => panic!("unexpected span {other:?}"),
            };
            assert!(want.contains(u.ch), "{original} → {}", u.ch);
        }
    }

    #[test]
    fn a_flood_yields_bounded_units_and_a_long_text_says_it_was_cut() {
        let zalgo = format!("a{}b", "\u{301}".repeat(20_000));
        assert_eq!(fold(&zalgo).text(), "ab");
        assert!(!fold(&zalgo).truncated);
        let long = "é".repeat(MAX_BYTES);
        let folded = fold(&long);
        assert!(folded.truncated && folded.units.len() == MAX_BYTES / 2);
        let widest = "\u{fdfa}".repeat(MAX_BYTES / 3);
        assert!(fold(&widest).units.len() <= MAX_BYTES / 3 * 18);
    }
}
