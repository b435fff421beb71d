//! What a profile promises.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{Detector, Profile, policy_of};
use crate::Policy;

#[test]
fn the_built_in_profiles_are_whole() {
    for name in Profile::names() {
        let profile = Profile::embedded(name).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        assert_eq!(profile.name, name);
        for reason in profile.policy.reasons() {
            for language in profile.messages.keys() {
                assert!(
                    profile.messages[language].contains_key(reason),
                    "{name}: no message {language}.{reason}"
                );
            }
        }
    }
    assert!(
        Profile::embedded("starter").unwrap().models().is_empty(),
        "starter needs no neural model"
    );
    let models = ["face-api-age", "nsfwjs-mobilenet-v2", "yunet-n"];
    let dating = Profile::embedded("photo-dating").unwrap();
    assert_eq!(dating.models(), models);
    assert_eq!(dating.messages.keys().collect::<Vec<_>>(), ["am", "en", "fr", "sw"]);
    assert_eq!(Profile::embedded("short-video").unwrap().policy.max_gap_ms(), 1000);
    assert!(
        Profile::embedded("startr").unwrap_err().to_string().contains("did you mean `starter`?")
    );
}

#[test]
fn a_message_falls_back_to_the_base_language_and_then_to_english() {
    let profile = Profile::embedded("photo-dating").unwrap();
    let french = profile.message("fr", "blurry").unwrap();
    assert_eq!(profile.message("fr-CA", "blurry"), Some(french));
    assert_eq!(profile.message("de", "blurry"), profile.message("en", "blurry"));
    assert!(profile.message("fr", "detector_missing:age").is_some());
    assert_eq!(profile.message("fr", "no_such_reason"), None);
}

const PROFILE: &str = r#"
name = "p"
title = "P"
surfaces = ["post"]
[detectors.nsfw]
kind = "classifer"
[detectors.look]
kind = "classifier"
modle = "m"
[detectors.age]
kind = "age"
model = "a"
[detectors.text]
kind = "text"
patterns = { phone = "(" }
[limits]
max_media = 900
[messages.fr]
blurry = 3
[policy]
name = "p"
version = 1
required = ["hash", "nsfw"]
[[policy.rule]]
id = "r"
when = 'found("gore", "blood")'
category = "violence"
severity = "high"
reason = "gore"
surfaces = ["pots"]
"#;

#[test]
fn every_mistake_of_a_profile_is_told_at_once() {
    let told = Profile::parse(PROFILE).unwrap_err().to_string();
    for line in [
        "line 6: detectors.nsfw.kind: `classifer` is no kind of detector; did you mean `classifier`?",
        "line 9: detectors.look.modle: unknown key; did you mean `model`?",
        "detectors.look.model: missing",
        "detectors.age.faces: `faces` is no detector of kind faces",
        "detectors.text.patterns.phone: not a regular expression",
        "limits.max_media: write a whole number from 1 to 64",
        "messages.fr.blurry: write a text in quotes",
        "the policy relies on `hash`, which is not configured",
        "the policy relies on `gore`, which is not configured",
        "`pots` is no surface of this profile; did you mean `post`?",
    ] {
        assert!(told.contains(line), "{line}\n---\n{told}");
    }
    assert!(!told.contains("relies on `nsfw`"), "it is there, only wrong:\n{told}");
}

#[test]
fn another_policy_takes_the_place_of_the_profile_s_own_where_its_detectors_are_there() {
    let policy = |detector: &str| {
        let text = format!(
            "name = \"other\"\nversion = 7\nrequired = [\"{detector}\"]\n[[rule]]\nid = \"r\"\nwhen = 'true'\n\
             category = \"listed\"\nseverity = \"low\"\nreason = \"r\"\n"
        );
        Policy::parse(&text).unwrap()
    };
    let starter = Profile::embedded("starter").unwrap();
    let starter = starter.with_policy(policy("hash")).unwrap();
    assert_eq!(starter.policy.id(), "other@7");
    let told = starter.with_policy(policy("nsfw")).unwrap_err().to_string();
    assert!(told.contains("relies on `nsfw`"), "{told}");
}

#[test]
fn a_file_may_be_a_policy_or_a_profile() {
    let text = Profile::embedded_text("starter").unwrap();
    assert_eq!(policy_of(text).unwrap().id(), "starter@1");
    let told = policy_of("[detectors]\n").unwrap_err().to_string();
    assert!(told.contains("policy: missing"), "{told}");
    assert!(policy_of("name = \"p\"\n").unwrap_err().to_string().contains("version: missing"));
}

#[test]
fn options_have_the_published_defaults() {
    let starter = Profile::embedded("starter").unwrap();
    match &starter.detectors["text"] {
        Detector::Text(text) => assert_eq!(text.lists, None, "all shipped lists"),
        other => panic!("{other:?}"),
    }
    assert_eq!(starter.limits.max_media, 9);
}
