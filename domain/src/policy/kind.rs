//! The kinds of values in a condition, and the variables and functions that it may name.

use std::fmt;

/// The kind of a value, as far as it is known before evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Bool,
    Int,
    Double,
    Text,
    Null,
    List(Box<Kind>),
    /// Text → value; the keys are the operator's or a model's.
    Map(Box<Kind>),
    /// Fixed fields.
    Record(&'static [(&'static str, Field)]),
    /// Not known (an empty list's elements, or a mistake already noted).
    Any,
}

/// The kind of a field of a fixed record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field {
    Bool,
    Int,
    Double,
    Text,
    Texts,
}

const SCORES: &[(&str, Field)] = &[
    ("blur_variance", Field::Double),
    ("blur_score", Field::Double),
    ("has_face", Field::Bool),
    ("face_count", Field::Int),
    ("estimated_age", Field::Double),
    ("nsfw_score", Field::Double),
    ("text_likelihood", Field::Double),
    ("ocr_words", Field::Int),
    ("ocr_text", Field::Text),
];

const FINDING: &[(&str, Field)] = &[
    ("detector", Field::Text),
    ("model", Field::Text),
    ("label", Field::Text),
    ("score", Field::Double),
    ("start_ms", Field::Int),
    ("end_ms", Field::Int),
    ("media", Field::Int),
];

const MEDIUM: &[(&str, Field)] = &[
    ("kind", Field::Text),
    ("format", Field::Text),
    ("width", Field::Int),
    ("height", Field::Int),
    ("duration_ms", Field::Int),
];

const COVERAGE: &[(&str, Field)] = &[
    ("frames_seen", Field::Int),
    ("frames_skipped", Field::Int),
    ("max_gap_ms", Field::Int),
    ("throttled", Field::Bool),
    ("gap_in_force_ms", Field::Int),
    ("ended_early", Field::Bool),
    ("detectors_run", Field::Texts),
    ("detectors_missing", Field::Texts),
    ("ocr_gated", Field::Int),
];

const CONTEXT: &[(&str, Field)] = &[("surface", Field::Text), ("language", Field::Text)];

/// The variables, in the order of the documentation.
pub(super) const VARIABLES: [&str; 7] =
    ["scores", "nsfw", "labels", "findings", "media", "coverage", "context"];

/// The functions that a condition may call; operators and macros apart.
pub(super) const FUNCTIONS: [&str; 9] =
    ["found", "top", "size", "contains", "startsWith", "endsWith", "matches", "int", "double"];

impl Kind {
    /// The kind of a variable.
    pub(super) fn of_variable(name: &str) -> Option<Self> {
        Some(match name {
            "scores" => Self::Record(SCORES),
            "nsfw" => Self::Map(Box::new(Self::Double)),
            "labels" => Self::Map(Box::new(Self::Map(Box::new(Self::Double)))),
            "findings" => Self::List(Box::new(Self::Record(FINDING))),
            "media" => Self::List(Box::new(Self::Record(MEDIUM))),
            "coverage" => Self::Record(COVERAGE),
            "context" => Self::Record(CONTEXT),
            _ => return None,
        })
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Any)
    }

    /// Whether the two may be compared with `==`.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        self.unify(other).is_some() || (self.is_number() && other.is_number())
    }

    /// The one kind that both are, if there is one.
    pub(super) fn unify(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, k) | (k, Self::Any) => Some(k.clone()),
            (Self::List(a), Self::List(b)) => a.unify(b).map(|k| Self::List(Box::new(k))),
            (Self::Map(a), Self::Map(b)) => a.unify(b).map(|k| Self::Map(Box::new(k))),
            _ => (self == other).then(|| self.clone()),
        }
    }
}

impl From<Field> for Kind {
    fn from(field: Field) -> Self {
        match field {
            Field::Bool => Self::Bool,
            Field::Int => Self::Int,
            Field::Double => Self::Double,
            Field::Text => Self::Text,
            Field::Texts => Self::List(Box::new(Self::Text)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "a condition (true or false)",
            Self::Int => "a whole number",
            Self::Double => "a number with a point",
            Self::Text => "a text",
            Self::Null => "null",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Record(_) => "a group of fields",
            Self::Any => "a value",
        })
    }
}
