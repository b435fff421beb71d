//! Content categories: stable slugs, and how other taxonomies name them.

use serde::{Deserialize, Serialize};

/// What kind of harm or defect. Slugs are stable: they are stored, journaled and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Category {
    /// Sexual content that involves, or seems to involve, a minor.
    #[serde(rename = "sexual/minors")]
    SexualMinors,
    /// Nudity and sexual content.
    #[serde(rename = "sexual")]
    Sexual,
    /// Hate on grounds of a protected trait.
    #[serde(rename = "hate")]
    Hate,
    /// Harassment and insult.
    #[serde(rename = "harassment")]
    Harassment,
    /// Violence.
    #[serde(rename = "violence")]
    Violence,
    /// Gore.
    #[serde(rename = "violence/graphic")]
    ViolenceGraphic,
    /// Suicide and self-harm.
    #[serde(rename = "self-harm")]
    SelfHarm,
    /// Drugs, weapons, crime.
    #[serde(rename = "illicit")]
    Illicit,
    /// Spam and scams.
    #[serde(rename = "spam")]
    Spam,
    /// Swearing that is aimed at no one.
    #[serde(rename = "profanity")]
    Profanity,
    /// The subject seems to be under age where adults only are admitted (not sexual).
    #[serde(rename = "underage")]
    Underage,
    /// Not good enough for the surface: blurred, no face, a screenshot.
    #[serde(rename = "quality")]
    Quality,
    /// On a list of the operator's.
    #[serde(rename = "listed")]
    Listed,
}
