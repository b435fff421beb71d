//! Content categories: stable slugs, and how other taxonomies name them.

use std::{fmt, str::FromStr};

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
    /// Harms the machine that opens it.
    #[serde(rename = "malware")]
    Malware,
}

/// A label of AWS Rekognition's content moderation, as its `ModerationLabel` carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AwsLabel {
    /// `Name`.
    pub name: &'static str,
    /// `ParentName`; empty at the first level.
    pub parent_name: &'static str,
    /// `TaxonomyLevel`, 1 to 3.
    pub taxonomy_level: u8,
}

/// A slug that names no category.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{slug}` is no category; the categories are {known}", slug = .0, known = Category::slugs().join(", "))]
pub struct UnknownCategory(pub String);

impl Category {
    /// All categories, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::SexualMinors,
        Self::Sexual,
        Self::Hate,
        Self::Harassment,
        Self::Violence,
        Self::ViolenceGraphic,
        Self::SelfHarm,
        Self::Illicit,
        Self::Spam,
        Self::Profanity,
        Self::Underage,
        Self::Quality,
        Self::Listed,
        Self::Malware,
    ];

    /// The stable slug, the same as the serialised form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SexualMinors => "sexual/minors",
            Self::Sexual => "sexual",
            Self::Hate => "hate",
            Self::Harassment => "harassment",
            Self::Violence => "violence",
            Self::ViolenceGraphic => "violence/graphic",
            Self::SelfHarm => "self-harm",
            Self::Illicit => "illicit",
            Self::Spam => "spam",
            Self::Profanity => "profanity",
            Self::Underage => "underage",
            Self::Quality => "quality",
            Self::Listed => "listed",
            Self::Malware => "malware",
        }
    }

    /// The slugs of [`Category::ALL`].
    pub fn slugs() -> Vec<&'static str> {
        Self::ALL.iter().map(|category| category.as_str()).collect()
    }

    /// The nearest label of AWS Rekognition's content moderation (model version 7: three levels).
    ///
    /// `None` where that taxonomy, which knows pictures only, has no word for it. It has no label for child
    /// safety either: `sexual/minors` is exported as the label that hides most.
    pub fn aws(self) -> Option<AwsLabel> {
        let (name, parent_name, taxonomy_level) = match self {
            Self::SexualMinors | Self::Sexual => ("Explicit", "", 1),
            Self::Hate => ("Hate Symbols", "", 1),
            Self::Harassment => ("Rude Gestures", "", 1),
            Self::Profanity => ("Middle Finger", "Rude Gestures", 2),
            Self::Violence => ("Violence", "", 1),
            Self::ViolenceGraphic => ("Graphic Violence", "Violence", 2),
            Self::SelfHarm => ("Self-Harm", "Graphic Violence", 3),
            Self::Illicit => ("Drugs & Tobacco", "", 1),
            Self::Spam | Self::Underage | Self::Quality | Self::Listed | Self::Malware => {
                return None;
            }
        };
        Some(AwsLabel { name, parent_name, taxonomy_level })
    }

    /// The category of the OpenAI moderation endpoint (omni-moderation), `None` where it has none.
    pub fn openai(self) -> Option<&'static str> {
        match self {
            Self::SexualMinors
            | Self::Sexual
            | Self::Hate
            | Self::Harassment
            | Self::Violence
            | Self::ViolenceGraphic
            | Self::SelfHarm
            | Self::Illicit => Some(self.as_str()),
            Self::Spam
            | Self::Profanity
            | Self::Underage
            | Self::Quality
            | Self::Listed
            | Self::Malware => None,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(slug: &str) -> Result<Self, UnknownCategory> {
        Self::ALL
            .into_iter()
            .find(|category| category.as_str() == slug)
            .ok_or_else(|| UnknownCategory(slug.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The slugs are stored and sent: this list may grow and never change.
    const SLUGS: [&str; 14] = [
        "sexual/minors",
        "sexual",
        "hate",
        "harassment",
        "violence",
        "violence/graphic",
        "self-harm",
        "illicit",
        "spam",
        "profanity",
        "underage",
        "quality",
        "listed",
        "malware",
    ];

    /// Every category name of the OpenAI moderation endpoint (`omni-moderation-latest`).
    const OPENAI: [&str; 13] = [
        "sexual",
        "sexual/minors",
        "hate",
        "hate/threatening",
        "harassment",
        "harassment/threatening",
        "violence",
        "violence/graphic",
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "illicit",
        "illicit/violent",
    ];

    /// The first level of AWS Rekognition's taxonomy.
    const AWS_TOP: [&str; 10] = [
        "Explicit",
        "Non-Explicit Nudity of Intimate parts and Kissing",
        "Swimwear or Underwear",
        "Violence",
        "Visually Disturbing",
        "Drugs & Tobacco",
        "Alcohol",
        "Rude Gestures",
        "Gambling",
        "Hate Symbols",
    ];

    #[test]
    fn slugs_are_stable_and_read_back() {
        assert_eq!(Category::slugs(), SLUGS);
        for category in Category::ALL {
            assert_eq!(category.as_str().parse::<Category>(), Ok(category));
            let json = serde_json::to_string(&category).unwrap();
            assert_eq!(json, format!("\"{category}\""), "serde and as_str agree");
        }
        let error = "sexual/minor".parse::<Category>().unwrap_err().to_string();
        assert!(error.contains("`sexual/minor`") && error.contains("sexual/minors,"), "{error}");
    }

    #[test]
    fn every_category_of_harm_maps_to_names_that_the_other_taxonomies_have() {
        for category in Category::ALL {
            if let Some(name) = category.openai() {
                assert!(OPENAI.contains(&name), "{category}");
            }
            if let Some(label) = category.aws() {
                let top = label.taxonomy_level == 1;
                assert_eq!(top, label.parent_name.is_empty(), "{category}");
                assert_eq!(top, AWS_TOP.contains(&label.name), "{category}");
            }
            let ours = [
                Category::Spam,
                Category::Underage,
                Category::Quality,
                Category::Listed,
                Category::Malware,
            ];
            assert_eq!(category.aws().is_none(), ours.contains(&category), "{category}");
        }
    }
}
