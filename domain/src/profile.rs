//! Profiles: everything that a kind of platform needs, in one file.
//!
//! # File
//! ```toml
//! name = "photo-dating"
//! title = "Photos of a dating service"
//! description = "…"
//! surfaces = ["photo", "avatar"]        # empty: any
//!
//! [detectors.nsfw]                      # the name under which findings and rules know it
//! kind = "classifier"                   # hash, quality, classifier, faces, age, text, ocr, qr or link
//! model = "nsfwjs-mobilenet-v2"         # for classifier, faces and age: a name of the model catalogue
//!
//! [limits]                              # each has a default
//! max_media = 9
//!
//! [enforcement]                         # what follows for authors; each has a default
//! strikes_from = "high"                 # a rejection as grave as this gives a strike: low, medium, high or critical
//! strike_days = 90                      # that it counts
//! steps = [{ strikes = 1, penalty = "warn" }, { strikes = 2, penalty = "hide" }]   # then reject, ban
//! appeal_days = 14                      # that what was not approved is kept for an appeal
//!
//! [messages.fr]                         # language → reason → what the uploader reads
//! blurry = "…"
//!
//! [policy]                              # as in a policy file, see [`crate::policy`]
//! ```
//! A rule may name only detectors that are configured; findings of OCR'd words come from the detector of kind `text`,
//! those of a QR code's address from the one of kind `link`.

mod detector;
mod enforcement;
#[cfg(test)]
mod tests;
mod tried;

use std::collections::{BTreeMap, BTreeSet};

pub use detector::{Age, Classifier, Detector, Faces, Hash, Link, Ocr, Text};
pub use enforcement::Enforcement;
pub use tried::Tried;

use crate::{
    journal::Sha256,
    policy::{self, Policy},
    problem::{Problem, Problems, suggestion},
    reader::{Source, Table, subtable},
};

/// What a kind of platform needs: detectors, limits, messages and policy.
#[derive(Debug)]
pub struct Profile {
    /// Name, as in `--profile NAME`.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// A few sentences for people.
    pub description: String,
    /// Kinds of place that submissions come from; empty means any.
    pub surfaces: Vec<String>,
    /// Detectors by the name under which findings and rules know them.
    pub detectors: BTreeMap<String, Detector>,
    /// What is accepted at all.
    pub limits: Limits,
    /// What follows for authors.
    pub enforcement: Enforcement,
    /// Language (BCP 47) → reason → text for the uploader.
    pub messages: BTreeMap<String, BTreeMap<String, String>>,
    /// Of the text that it was read from: another one is another profile, whatever its versions say.
    pub digest: Sha256,
    /// How findings become decisions.
    pub policy: Policy,
}

/// What is accepted at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Media in one submission.
    pub max_media: u32,
    /// Bytes of one medium.
    pub max_bytes: u64,
    /// Pixels of one picture or frame.
    pub max_pixels: u64,
    /// Length of one video in milliseconds.
    pub max_duration_ms: u64,
    /// Submissions by one author in an hour; `None` is no limit.
    pub per_author_hour: Option<u32>,
}

impl Default for Limits {
    /// Nine photos a submission (FEATURES P2), 50 MP (DESIGN, Decoding), 200 MB, ten minutes.
    fn default() -> Self {
        Self {
            max_media: 9,
            max_bytes: 200_000_000,
            max_pixels: 50_000_000,
            max_duration_ms: 600_000,
            per_author_hour: None,
        }
    }
}

/// The profiles that are built in.
const EMBEDDED: [(&str, &str); 3] = [
    ("photo-dating", include_str!("../../profiles/photo-dating.toml")),
    ("short-video", include_str!("../../profiles/short-video.toml")),
    ("starter", include_str!("../../profiles/starter.toml")),
];

impl Profile {
    /// Reads and checks a profile.
    ///
    /// # Errors
    /// Every mistake in the file, each with its key, its line where known, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let (mut source, root) = Source::parse(text);
        let digest = Sha256::of(text.as_bytes());
        let profile = read(&mut source, Table::new("", None, &root), digest);
        source.finish(profile)
    }

    /// A built-in profile.
    ///
    /// # Errors
    /// Names the built-in profiles where there is none of that name.
    pub fn embedded(name: &str) -> Result<Self, Problems> {
        match EMBEDDED.iter().find(|(n, _)| *n == name) {
            Some((_, text)) => Self::parse(text),
            None => {
                let message =
                    format!("`{name}` is no built-in profile{}", suggestion(name, Self::names()));
                Err(Problems(vec![Problem { key: "profile".into(), line: None, message }]))
            }
        }
    }

    /// Names of the built-in profiles, sorted.
    pub fn names() -> [&'static str; 3] {
        EMBEDDED.map(|(name, _)| name)
    }

    /// The text of a built-in profile, to copy and change.
    pub fn embedded_text(name: &str) -> Option<&'static str> {
        EMBEDDED.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
    }

    /// The same profile with another policy.
    ///
    /// # Errors
    /// Where the policy requires or names detectors that the profile has not configured.
    pub fn with_policy(self, policy: Policy) -> Result<Self, Problems> {
        let problems = unconfigured(&policy, self.detectors.keys().map(String::as_str));
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self { policy, ..self })
    }

    /// Names of the models that its detectors need, sorted, each once.
    pub fn models(&self) -> Vec<&str> {
        let models: BTreeSet<&str> = self.detectors.values().filter_map(Detector::model).collect();
        models.into_iter().collect()
    }

    /// What the uploader reads for a reason: in the language, else its base language (`fr` for `fr-CA`), else English.
    pub fn message(&self, language: &str, reason: &str) -> Option<&str> {
        let base = language.split(['-', '_']).next().unwrap_or_default();
        let reason = reason.split(':').next().unwrap_or_default();
        [language, base, "en"]
            .into_iter()
            .find_map(|l| self.messages.get(l).and_then(|m| m.get(reason)))
            .map(String::as_str)
    }
}

/// Reads and checks a file that holds either a policy or a whole profile, and gives its policy.
///
/// # Errors
/// As [`Policy::parse`] and [`Profile::parse`].
pub fn policy_of(text: &str) -> Result<Policy, Problems> {
    let is_profile = toml::from_str::<toml::Table>(text)
        .is_ok_and(|table| table.contains_key("policy") || table.contains_key("detectors"));
    if is_profile {
        Profile::parse(text).map(|profile| profile.policy)
    } else {
        Policy::parse(text)
    }
}

fn read(source: &mut Source<'_>, mut table: Table<'_, '_>, digest: Sha256) -> Option<Profile> {
    let name = policy::slug(source, &mut table, "name", "\"photo-dating\"");
    let title = table.string(source, "title").map(|t| t.value);
    if !table.has("title") {
        table.missing(source, "title", "\"Photos of a dating service\"");
    }
    let description = table.string(source, "description").map(|d| d.value).unwrap_or_default();
    let surfaces: Vec<_> = table.strings(source, "surfaces");
    let detectors = match table.table(source, "detectors") {
        Some(detectors) => detector::all(source, &detectors),
        None => {
            table.missing(
                source,
                "detectors",
                "… (a table `[detectors.<name>]` for each, with its `kind`)",
            );
            BTreeMap::new()
        }
    };
    let limits = table.table(source, "limits").map_or_else(Limits::default, |t| limits(source, t));
    let enforcement = table
        .table(source, "enforcement")
        .map(|t| enforcement::read(source, t))
        .unwrap_or_default();
    let messages =
        table.table(source, "messages").map(|t| messages(source, &t)).unwrap_or_default();
    let policy = match table.table(source, "policy") {
        Some(policy) => policy::read(source, policy),
        None => {
            table.missing(source, "policy", "… (a table `[policy]`, as in a policy file)");
            None
        }
    };
    table.finish(source);
    if let Some(policy) = &policy {
        let names = detector::names(&detectors);
        for problem in unconfigured(policy, names.iter().map(String::as_str)) {
            source.push(problem);
        }
        let surfaces: Vec<&str> = surfaces.iter().map(|s| s.value.as_str()).collect();
        for surface in policy.surfaces() {
            if !surfaces.is_empty() && !surfaces.contains(&surface) {
                let hint = suggestion(surface, surfaces.iter().copied());
                source.report(
                    "policy.rule",
                    None,
                    format!("`{surface}` is no surface of this profile{hint}"),
                );
            }
        }
    }
    let detectors = detectors.into_iter().filter_map(|(name, d)| d.map(|d| (name, d))).collect();
    let surfaces = surfaces.into_iter().map(|s| s.value).collect();
    Some(Profile {
        name: name?,
        title: title?,
        description,
        surfaces,
        detectors,
        limits,
        enforcement,
        messages,
        digest,
        policy: policy?,
    })
}

/// Detectors that the policy relies on and nobody configured.
fn unconfigured<'n>(policy: &Policy, configured: impl Iterator<Item = &'n str>) -> Vec<Problem> {
    let configured: Vec<&str> = configured.collect();
    let named = policy.detectors();
    let missing = named.iter().filter(|name| !configured.contains(&name.as_str()));
    missing
        .map(|name| {
            let message = format!(
                "the policy relies on `{name}`, which is not configured: add `[detectors.{name}]`"
            );
            Problem { key: "detectors".into(), line: None, message }
        })
        .collect()
}

fn limits(source: &mut Source<'_>, mut table: Table<'_, '_>) -> Limits {
    let default = Limits::default();
    let small = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
    let limits = Limits {
        max_media: table
            .integer(source, "max_media", 1..=64)
            .map_or(default.max_media, |v| small(v.value)),
        max_bytes: table
            .integer(source, "max_bytes", 1..=1 << 40)
            .map_or(default.max_bytes, |v| v.value),
        max_pixels: table
            .integer(source, "max_pixels", 1..=1 << 30)
            .map_or(default.max_pixels, |v| v.value),
        max_duration_ms: table
            .integer(source, "max_duration_ms", 1..=86_400_000)
            .map_or(default.max_duration_ms, |v| v.value),
        per_author_hour: table
            .integer(source, "per_author_hour", 1..=1_000_000)
            .map(|v| small(v.value)),
    };
    table.finish(source);
    limits
}

fn messages(
    source: &mut Source<'_>,
    table: &Table<'_, '_>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut messages = BTreeMap::new();
    for (language, value) in table.entries() {
        let Some(reasons) = subtable(source, &table.key(&language), value) else { continue };
        let mut texts = BTreeMap::new();
        for (reason, text) in reasons.entries() {
            match text.get_ref().as_str() {
                Some(words) => drop(texts.insert(reason, words.to_owned())),
                None => source.report(
                    &reasons.key(&reason),
                    Some(text.span()),
                    "write a text in quotes",
                ),
            }
        }
        messages.insert(language, texts);
    }
    messages
}
