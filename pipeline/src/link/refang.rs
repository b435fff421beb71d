//! Undoes the ways of writing an address so that it is no link.

use super::extract::is_common_tld;
use crate::text::fold::is_invisible;

/// Most blanks that are passed over beside a dot or within brackets.
const MAX_BLANKS: usize = 3;
/// Most labels of a name whose dots are written with blanks.
const MAX_LABELS: usize = 5;
/// Top-level domains that are no words: `evil. com` is a domain where `it ended. It` is none.
const NO_WORDS: [&str; 18] = [
    "com", "net", "org", "info", "biz", "xyz", "io", "ru", "cn", "tk", "ml", "ga", "cf", "gq",
    "uk", "fr", "de", "app",
];

/// Refanged text and, for each of its bytes and its end, the byte in the original.
///
/// Undone are `hxxp`, `h**p`, `[.]`, `(dot)`, `[:]`, `(at)`, ` dot `, `evil . com`, `evil .com`, `%2E` and other
/// encoded letters, full stops of other scripts and widths, and invisible characters.
pub(super) fn refang(text: &str) -> (String, Vec<u32>) {
    let mut refang = Refang {
        plain: String::with_capacity(text.len()),
        origin: Vec::with_capacity(text.len() + 1),
    };
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(c) = rest.chars().next() else { break };
        let Some((written, len)) = refang.undone(rest, c) else {
            refang.write(c, at);
            at += c.len_utf8();
            continue;
        };
        written.chars().for_each(|c| refang.write(c, at));
        at += len;
    }
    refang.origin.push(at as u32);
    (refang.plain, refang.origin)
}

struct Refang {
    plain: String,
    origin: Vec<u32>,
}

impl Refang {
    fn write(&mut self, c: char, at: usize) {
        self.plain.push(c);
        self.origin.extend(std::iter::repeat_n(at as u32, c.len_utf8()));
    }

    /// What the disguise that begins `rest` stands for, and its length; `None` where there is none.
    fn undone(&mut self, rest: &str, c: char) -> Option<(String, usize)> {
        let as_is = |written: &str, len: usize| Some((written.to_owned(), len));
        match c {
            'h' | 'H' => {
                let scheme = ["hxxp", "h**p"].iter().any(|from| starts(rest, from));
                if scheme { as_is("http", 4) } else { None }
            }
            '%' => percent(rest),
            '[' | '(' | '{' => {
                let (written, len) = bracketed(rest)?;
                self.drop_blanks();
                Some((written.to_owned(), len))
            }
            ' ' | '\u{a0}' => self.spaced(rest),
            _ if is_dot(c) => {
                if let Some(len) = self.dotted(rest) {
                    return as_is(".", len);
                }
                // A middle dot is a full stop only within a name.
                let real = c != '\u{b7}' || ends_name(rest.get(c.len_utf8()..)?, is_common_tld);
                if real && c != '.' { as_is(".", c.len_utf8()) } else { None }
            }
            _ if is_invisible(c) => as_is("", c.len_utf8()),
            _ => None,
        }
    }

    /// ` dot `, ` . `, ` .` between the labels of a name.
    fn spaced(&self, rest: &str) -> Option<(String, usize)> {
        self.follows_label().then_some(())?;
        let (blanks, tail) = without_blanks(rest);
        let word = ["dot ", "point "].iter().find(|word| starts(tail, word));
        let dot = word
            .map(|w| w.len())
            .or_else(|| tail.chars().next().filter(|&c| is_dot(c)).map(char::len_utf8))?;
        let (after, name) = without_blanks(tail.get(dot..)?);
        ends_name(name, is_common_tld).then(|| (".".to_owned(), blanks + dot + after))
    }

    /// `evil. com`: the length of the dot and the blanks behind it.
    fn dotted(&self, rest: &str) -> Option<usize> {
        self.follows_label().then_some(())?;
        let dot = rest.chars().next()?.len_utf8();
        let (blanks, name) = without_blanks(rest.get(dot..)?);
        let no_word = |tld: &str| NO_WORDS.contains(&tld);
        (blanks > 0 && ends_name(name, no_word)).then_some(dot + blanks)
    }

    fn follows_label(&self) -> bool {
        self.plain.chars().next_back().is_some_and(char::is_alphanumeric)
    }

    /// Takes back blanks at the end, where a bracket shows that a name goes on.
    fn drop_blanks(&mut self) {
        let kept = self.plain.trim_end_matches(' ').len();
        if self.plain.len() - kept <= MAX_BLANKS {
            self.plain.truncate(kept);
            self.origin.truncate(kept);
        }
    }
}

/// Whether `text` begins with the ASCII word, in any case.
fn starts(text: &str, word: &str) -> bool {
    text.as_bytes().get(..word.len()).is_some_and(|h| h.eq_ignore_ascii_case(word.as_bytes()))
}

/// The length of a few blanks at the start, and what follows.
fn without_blanks(text: &str) -> (usize, &str) {
    let blank = |c: &char| matches!(c, ' ' | '\u{a0}');
    let len = text.chars().take(MAX_BLANKS).take_while(blank).map(char::len_utf8).sum();
    (len, text.get(len..).unwrap_or_default())
}

/// Full stops that are read as the dot of a name: those of UTS 46, 4.5, and others drawn alike.
fn is_dot(c: char) -> bool {
    matches!(
        c,
        '.' | '\u{b7}'
            | '\u{6d4}'
            | '\u{701}'
            | '\u{702}'
            | '\u{2024}'
            | '\u{3002}'
            | '\u{a4f8}'
            | '\u{fe52}'
            | '\u{ff0e}'
            | '\u{ff61}'
            | '\u{1d16d}'
    )
}

/// Whether `text` begins with labels, dots and blanks between them, of which the last is a top-level domain: not in
/// `polka dot dress`.
fn ends_name(mut text: &str, is_tld: impl Fn(&str) -> bool) -> bool {
    for _ in 0..MAX_LABELS {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '-').unwrap_or(text.len());
        let label = text.get(..end).unwrap_or_default();
        if label.is_empty() || label.len() > 63 {
            return false;
        }
        let rest = text.get(end..).unwrap_or_default();
        let (_, after) = without_blanks(rest);
        match after.chars().next().filter(|&c| is_dot(c)) {
            Some(dot) => {
                (_, text) = without_blanks(after.get(dot.len_utf8()..).unwrap_or_default())
            }
            None => return is_tld(&label.to_ascii_lowercase()),
        }
        if is_tld(&label.to_ascii_lowercase()) {
            return true;
        }
    }
    false
}

/// `[.]`, `( dot )`, `[at]`, `[://]` and the like, with blanks around a dot: what it stands for, and its length.
fn bracketed(rest: &str) -> Option<(&'static str, usize)> {
    const WORDS: [(&str, &str); 7] = [
        ("dot", "."),
        ("point", "."),
        ("at", "@"),
        ("@", "@"),
        ("://", "://"),
        (":", ":"),
        ("/", "/"),
    ];
    let (before, inner) = without_blanks(rest.get(1..)?);
    let dot = inner.chars().next().filter(|&c| is_dot(c)).map(|c| (".", c.len_utf8()));
    let word = || WORDS.iter().find(|(w, _)| starts(inner, w)).map(|(w, to)| (*to, w.len()));
    let (written, len) = dot.or_else(word)?;
    let (after, close) = without_blanks(inner.get(len..)?);
    if !close.starts_with([']', ')', '}']) {
        return None;
    }
    let (behind, _) = without_blanks(close.get(1..)?);
    let swallowed = if written == "." { behind } else { 0 };
    Some((written, 1 + before + len + after + 1 + swallowed))
}

/// Percent-encoded letters, digits, dots and hyphens, and characters beyond ASCII, which browsers decode in host names;
/// what divides the parts of an address stays encoded.
fn percent(rest: &str) -> Option<(String, usize)> {
    let byte = |i: usize| {
        let hex = rest.get(i..i + 3)?.strip_prefix('%')?;
        u8::from_str_radix(hex, 16).ok()
    };
    let first = byte(0)?;
    let len = match first {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    let bytes: Vec<u8> = (0..len).map_while(|i| byte(3 * i)).collect();
    let decoded = String::from_utf8(bytes).ok()?;
    let c = decoded.chars().next()?;
    let plain = c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || !c.is_ascii();
    let written = if is_dot(c) { ".".to_owned() } else { decoded };
    plain.then_some((written, 3 * len))
}
