//! Words of text tracks: subtitles and captions that a player lays over the picture.

use std::collections::BTreeSet;

use gstreamer as gst;

use super::select;

/// Most bytes of words that are kept of one item: the subtitles of an hour, and less than a message holds. What is
/// beyond is told.
const MAX_BYTES: usize = 48 << 10;

/// How a stream writes its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    /// None.
    Plain,
    /// Tags and entities, as Pango and WebVTT have them.
    Tags,
    /// Events of (Advanced) SubStation Alpha: eight fields, then words with overrides in braces.
    Events,
}

impl Markup {
    /// That of a stream of these caps; `None` where it is not one of words that can be read.
    pub(super) fn of(caps: &gst::CapsRef) -> Option<Self> {
        match select::codec_name(caps).as_str() {
            "text/x-raw" => match caps.structure(0).and_then(|s| s.get::<&str>("format").ok()) {
                Some("pango-markup") => Some(Self::Tags),
                _ => Some(Self::Plain),
            },
            "application/x-subtitle-vtt" => Some(Self::Tags),
            "application/x-ass" | "application/x-ssa" => Some(Self::Events),
            _ => None,
        }
    }

    /// The words alone.
    pub(super) fn strip(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Tags => entities(&without(text, '<', '>')),
            Self::Events => {
                let words = text.splitn(9, ',').nth(8).unwrap_or(text);
                without(words, '{', '}').replace("\\N", " ").replace("\\n", " ").replace("\\h", " ")
            }
        }
    }
}

/// The text without what lies between these two, if it is closed.
fn without(text: &str, open: char, close: char) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once(open) {
        out.push_str(before);
        match behind.split_once(close) {
            Some((_, after)) => rest = after,
            None => {
                out.push(open);
                rest = behind;
            }
        }
    }
    out + rest
}

fn entities(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'")];
    let text = named.iter().fold(text.to_owned(), |text, (name, sign)| text.replace(name, sign));
    text.replace("&amp;", "&")
}

/// The words of all text tracks so far, each line once.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// A line for each unit.
    pub(super) text: String,
    /// Whether there was more than is kept, or something that is not UTF-8.
    pub(super) more: bool,
    known: BTreeSet<String>,
}

impl Words {
    /// Adds the words of one unit.
    pub(super) fn add(&mut self, sample: &gst::Sample) {
        let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else { return };
        let (Some(markup), Ok(bytes)) = (Markup::of(caps), buffer.map_readable()) else {
            self.more = true;
            return;
        };
        self.more |= std::str::from_utf8(&bytes).is_err();
        self.line(&markup.strip(&String::from_utf8_lossy(&bytes)));
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if line.is_empty() || self.known.contains(line) {
            return;
        }
        if self.text.len() + line.len() >= MAX_BYTES {
            self.more = true;
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.known.insert(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_stripped_and_words_stay() {
        for (markup, text, words) in [
            (Markup::Plain, "a <b> & c", "a <b> & c"),
            (Markup::Tags, "<i>visit</i> a.example &amp; b &lt;3", "visit a.example & b <3"),
            (Markup::Tags, "2 < 3", "2 < 3"),
            (Markup::Events, "0,0,Default,,0,0,0,,{\\an8}one, two\\Nthree", "one, two three"),
        ] {
            assert_eq!(markup.strip(text), words);
        }
    }

    #[test]
    fn words_are_kept_once_and_more_than_fits_is_told() {
        let mut words = Words::default();
        ["one", "two", " one\0", ""].into_iter().for_each(|line| words.line(line));
        assert_eq!((words.text.as_str(), words.more), ("one\ntwo", false));
        words.line(&"x".repeat(MAX_BYTES));
        assert_eq!((words.text.as_str(), words.more), ("one\ntwo", true));
    }
}
