//! The languages of the screens: which one somebody reads, and what is written in it.
//!
//! Templates and code are written in English; `locales/*.toml` has the other languages, by the English text. What is not there
//! stays English. A test walks templates and sources and names each text that a language lacks.

mod catalogue;
mod text;

use serde::{Serialize, Serializer};

pub use text::{Markup, Text};

use catalogue::Entry;

/// A language of the screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tongue {
    /// As all is written.
    #[default]
    English,
    /// French.
    French,
    /// Swahili.
    Swahili,
    /// Amharic.
    Amharic,
}

impl Tongue {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::English, Self::French, Self::Swahili, Self::Amharic];

    /// As stored, and as `lang` and `Accept-Language` have it (BCP 47).
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
            Self::Swahili => "sw",
            Self::Amharic => "am",
        }
    }

    /// As those who read it call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
            Self::Swahili => "Kiswahili",
            Self::Amharic => "አማርኛ",
        }
    }

    /// Reads a code.
    pub fn read(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tongue| tongue.code() == code)
    }

    /// The one that a browser likes best (`Accept-Language`, RFC 9110); nothing where it takes none of ours.
    pub fn accepted(header: &str) -> Option<Self> {
        let mut best = None;
        for part in header.split(',') {
            let (range, rest) = part.split_once(';').unwrap_or((part, ""));
            let weight = rest.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok());
            let main = range.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            let (Some(tongue), Some(weight)) = (Self::read(&main), weight) else { continue };
            // Of two that are liked as much the first one counts; what is worth nothing is not wanted.
            if weight > best.map_or(0.0_f32, |(_, most)| most) {
                best = Some((tongue, weight));
            }
        }
        best.map(|(tongue, _)| tongue)
    }

    /// A text of the catalogue.
    pub fn t(self, english: &'static str) -> Text {
        Text::from(english).within(self)
    }

    /// A text with a number `{n}`, in the form that the number takes.
    pub fn n(self, one: &'static str, many: &'static str, n: impl ToString) -> Text {
        let n = n.to_string();
        let pattern = match (catalogue::find(self, many), self.is_one(&n)) {
            (Some((_, Entry::Forms { one, .. })), true) => one,
            (Some((_, Entry::Forms { other, .. })), false) => other,
            (Some((_, Entry::Plain(text))), _) => text,
            (None, true) => one,
            (None, false) => many,
        };
        Text::from(pattern).with("n", n)
    }

    /// A sentence or a word that comes from elsewhere: translated where the catalogue has it, as it is where not.
    pub fn told(self, sentence: &str) -> String {
        match catalogue::find(self, sentence) {
            Some((_, Entry::Plain(text))) => text.clone(),
            _ => sentence.to_owned(),
        }
    }

    /// Whether a number takes the form of one (CLDR: French and Amharic count nothing as one, too).
    fn is_one(self, n: &str) -> bool {
        match self {
            Self::English | Self::Swahili => n == "1",
            Self::French | Self::Amharic => matches!(n, "0" | "1"),
        }
    }
}

impl Serialize for Tongue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_what_it_likes_best_of_what_there_is() {
        for (header, tongue) in [
            ("fr", Some(Tongue::French)),
            ("fr-CA,fr;q=0.9,en;q=0.8", Some(Tongue::French)),
            ("de, sw;q=0.3, en;q=0.2", Some(Tongue::Swahili)),
            ("en;q=0.5, AM-et;q=0.7", Some(Tongue::Amharic)),
            ("de,pt;q=0.5", None),
            ("fr;q=0", None),
            ("*", None),
            ("fr;q=much, sw;q=0.1", Some(Tongue::Swahili)),
            ("", None),
        ] {
            assert_eq!(Tongue::accepted(header), tongue, "{header}");
        }
    }

    #[test]
    fn numbers_take_the_form_that_the_language_has_for_them() {
        let faces = |tongue: Tongue, n: i32| tongue.n("{n} late", "{n} late", n).to_string();
        assert_eq!(faces(Tongue::English, 3), "3 late");
        assert_eq!(
            [0, 1, 2].map(|n| faces(Tongue::French, n)),
            ["0 en retard", "1 en retard", "2 en retard"]
        );
        let boxes = |tongue: Tongue, n: i32| {
            tongue.n("{n} face, boxed.", "{n} faces, boxed.", n).to_string()
        };
        assert_eq!(
            [0, 1, 2].map(|n| boxes(Tongue::English, n)),
            ["0 faces, boxed.", "1 face, boxed.", "2 faces, boxed."]
        );
        assert_eq!(
            [0, 1, 2].map(|n| boxes(Tongue::French, n)),
            ["0 visage encadré.", "1 visage encadré.", "2 visages encadrés."]
        );
    }
}
