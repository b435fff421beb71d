//! A text with what stands in its places.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

use super::{Tongue, catalogue};

/// A text whose places `{name}` are filled as it is written: what is put into one is never looked at for others.
#[derive(Clone, Debug)]
pub struct Text {
    pattern: Cow<'static, str>,
    with: Vec<(&'static str, String)>,
}

impl Text {
    /// Fills a place.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.with.push((name, value.to_string()));
        self
    }

    /// In this language. What is no text of ours (a name, a sentence that was put together) stays as it is.
    #[must_use]
    pub fn within(self, tongue: Tongue) -> Self {
        let Cow::Borrowed(english) = self.pattern else { return self };
        let pattern = match catalogue::find(tongue, english) {
            Some((_, catalogue::Entry::Plain(text))) => text,
            _ => english,
        };
        Self { pattern: Cow::Borrowed(pattern), ..self }
    }

    /// As HTML: what stands between backticks is code, between asterisks strong. All else is escaped.
    pub fn rich(&self) -> Markup {
        let (mut html, mut code, mut strong) = (String::new(), false, false);
        self.walk(|piece, ours| {
            for c in piece.chars() {
                match c {
                    '`' if ours => html.push_str(flip(&mut code, "<code>", "</code>")),
                    '*' if ours => html.push_str(flip(&mut strong, "<strong>", "</strong>")),
                    '&' => html.push_str("&amp;"),
                    '<' => html.push_str("&lt;"),
                    '>' => html.push_str("&gt;"),
                    '"' => html.push_str("&quot;"),
                    '\'' => html.push_str("&#39;"),
                    c => html.push(c),
                }
            }
        });
        Markup(html)
    }

    /// Each piece in turn, and whether it is the text's own.
    fn walk(&self, mut take: impl FnMut(&str, bool)) {
        let mut rest = self.pattern.as_ref();
        while let Some((before, after)) = rest.split_once('{') {
            take(before, true);
            let place = after.split_once('}').and_then(|(name, after)| {
                let value = self.with.iter().find(|(own, _)| *own == name);
                value.map(|(_, value)| (value, after))
            });
            match place {
                Some((value, after)) => {
                    take(value, false);
                    rest = after;
                }
                None => {
                    take("{", true);
                    rest = after;
                }
            }
        }
        take(rest, true);
    }
}

fn flip(on: &mut bool, begin: &'static str, end: &'static str) -> &'static str {
    *on = !*on;
    if *on { begin } else { end }
}

impl From<&'static str> for Text {
    fn from(english: &'static str) -> Self {
        Self { pattern: Cow::Borrowed(english), with: Vec::new() }
    }
}

impl From<&'static String> for Text {
    fn from(text: &'static String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        // Whatever stands in it, it has no places.
        let with = vec![("all", text)];
        Self { pattern: Cow::Owned("{all}".to_owned()), with }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut done = Ok(());
        self.walk(|piece, _| done = done.and_then(|()| f.write_str(piece)));
        done
    }
}

/// HTML of ours.
#[derive(Clone, Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// A key that can be pressed, as it stands on a button.
    pub fn key(key: char) -> Self {
        let mut html = String::new();
        // Writing to a string cannot fail.
        let _ = write!(html, " <kbd>{key}</kbd>");
        Self(html)
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_fills_nothing_and_is_no_markup() {
        let text = Text::from("`{a}` for *{b}*").with("a", "{b} <i>").with("b", "*x* `y` & z");
        assert_eq!(text.to_string(), "`{b} <i>` for **x* `y` & z*");
        assert_eq!(
            text.rich().to_string(),
            "<code>{b} &lt;i&gt;</code> for <strong>*x* `y` &amp; z</strong>"
        );
        assert_eq!(Text::from("{a} {b}".to_owned()).with("a", 1).to_string(), "{a} {b}");
        assert_eq!(Text::from("{a} { {c}").with("a", 1).to_string(), "1 { {c}");
    }
}
