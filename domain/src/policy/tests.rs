//! What a policy promises, checked against tables written by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::Policy;
use crate::{Action, Evidence, Failure, Finding, Format, Media, MediaKind, Severity, Status};

const HEAD: &str = "name = \"t\"\nversion = 1\n";

fn rule(body: &str) -> String {
    format!(
        "{HEAD}[[rule]]\nid = \"r\"\nreason = \"why\"\nseverity = \"high\"\ncategory = \"sexual\"\n{body}\n"
    )
}

fn when(condition: &str) -> Policy {
    Policy::parse(&rule(&format!("when = '{condition}'"))).unwrap()
}

fn mistakes(text: &str) -> String {
    Policy::parse(text).unwrap_err().to_string()
}

fn finding(detector: &str, label: &str, score: f32) -> Finding {
    Finding {
        detector: detector.into(),
        model: "m@1".into(),
        label: label.into(),
        score,
        span: None,
        bbox: None,
        media: None,
        text: None,
    }
}

fn medium(kind: MediaKind) -> Media {
    Media {
        kind,
        format: Format::Unknown,
        width: None,
        height: None,
        duration_ms: None,
        sha256: String::new(),
        pdq: None,
        pdq_quality: None,
        faces: Vec::new(),
    }
}

fn caption() -> Evidence {
    Evidence { has_text: true, ..Evidence::default() }
}

fn run(detectors: &[&str]) -> Evidence {
    let mut evidence = caption();
    evidence.coverage.detectors_run = detectors.iter().map(|d| (*d).to_owned()).collect();
    evidence
}

fn fires(condition: &str, evidence: &Evidence) -> bool {
    match when(condition).decide(evidence).status {
        Status::Rejected => true,
        Status::Approved => false,
        other => panic!("{condition}: {other:?}"),
    }
}

#[test]
fn what_was_not_measured_does_not_fire_in_either_direction() {
    let nothing = caption();
    for condition in [
        "scores.blur_variance < 100",
        "!(scores.blur_variance < 100)",
        "!scores.has_face",
        "scores.estimated_age < 18 && true",
        "nsfw.porn > 0.5",
        "!(nsfw.porn > 0.5)",
        "labels.gore.blood > 0.1",
        "!found(\"faces\", \"face\")",
        "top(\"gore\", \"blood\") < 0.5",
        "media[0].width < 100",
        "findings.exists(f, f.score > 0.1)",
    ] {
        assert!(!fires(condition, &nothing), "{condition}");
    }
    for condition in [
        "true || scores.has_face",
        "scores.has_face || true",
        "!has(scores.has_face)",
        "size(findings) == 0",
    ] {
        assert!(fires(condition, &nothing), "{condition}");
    }
}

#[test]
fn values_mean_what_they_say() {
    let mut evidence = run(&["nsfw", "faces"]);
    evidence.scores.blur_variance = Some(100.0);
    evidence.scores.face_count = Some(2);
    evidence.scores.nsfw_categories.insert("sexy".into(), 0.7);
    evidence.scores.labels.insert("gore".into(), [("blood".to_owned(), 0.4)].into());
    evidence.findings =
        vec![finding("text", "term:hate:high", 0.9), finding("text", "term:spam:low", 0.4)];
    evidence.media = vec![medium(MediaKind::Video)];
    evidence.context.surface = "post".into();
    for (condition, expected) in [
        ("scores.blur_variance <= 100", true),
        ("scores.blur_variance < 100", false),
        ("scores.blur_variance == 100", true),
        ("scores.face_count == 2", true),
        ("scores.face_count > 1.5", true),
        ("nsfw.sexy >= 0.7", true),
        ("nsfw.sexy > 0.7", false),
        ("nsfw[\"sexy\"] >= 0.7 && !has(nsfw.porn)", true),
        ("labels.gore.blood > 0.3", true),
        ("labels[\"nsfw\"][\"sexy\"] > 0.6", true),
        ("found(\"text\", \"term:hate:\")", true),
        ("found(\"text\", \"term:hate:low\")", false),
        // Below the least confidence: not counted as found, still a score.
        ("found(\"text\", \"term:spam:\")", false),
        ("top(\"text\", \"term:spam:low\") >= 0.4", true),
        ("!found(\"faces\", \"face\")", true),
        ("top(\"faces\", \"face\") == 0.0", true),
        (
            "findings.exists(f, f.detector == \"text\" && f.label.matches(\"hate|spam\") && f.score > 0.8)",
            true,
        ),
        ("size(findings.filter(f, f.detector == \"text\")) == 1", true),
        ("findings.all(f, f.media == 0)", false),
        ("media.exists(m, m.kind == \"video\")", true),
        ("context.surface in [\"post\", \"story\"]", true),
        ("\"nsfw\" in coverage.detectors_run && !coverage.ended_early", true),
    ] {
        assert_eq!(fires(condition, &evidence), expected, "{condition}");
    }
}

#[test]
fn mistakes_in_conditions_show_when_the_policy_is_read() {
    for (condition, says) in [
        ("score.nsfw_score > 1", "did you mean `scores`?"),
        ("scores.blurr_variance < 1", "did you mean `blur_variance`?"),
        ("false && scores.nope > 1", "unknown field `nope`"),
        ("true || findings.exists(f, f.lable == \"x\")", "did you mean `label`?"),
        ("scores.has_face > 1", "compares a condition"),
        ("scores.nsfw_score", "the condition gives a number"),
        ("scores.face_count + 0.5 > 1", "double("),
        ("fuond(\"a\", \"b\")", "did you mean `found`?"),
        ("found(\"hash\")", "is written `found("),
        ("found(context.surface, \"x\")", "in quotes"),
        ("context.surface.matches(\"(\")", "`matches`"),
        ("scores.nsfw_score >", "not valid CEL"),
        ("{\"a\": 1}.a > 0", "no use here"),
        ("findings.exists(a, findings.exists(b, findings.exists(c, true)))", "at most 2 loops"),
        ("1 / 0 > 1", "fails on a sample"),
        ("", "write a condition"),
    ] {
        let text = mistakes(&rule(&format!("when = '''{condition}'''")));
        assert!(
            text.contains(says) && text.starts_with("line 8: rule[1].when: "),
            "{condition}\n{text}"
        );
    }
    let long = format!("when = '{}true'", "true || ".repeat(300));
    assert!(mistakes(&rule(&long)).contains("split it"));
    let deep = format!("when = '{}true{}'", "(".repeat(400), ")".repeat(400));
    assert!(mistakes(&rule(&deep)).contains("not valid CEL"));
}

#[test]
fn every_mistake_is_told_at_once_with_line_and_remedy() {
    let text = r#"
name = "No Spaces"
versoin = 3
required = ["hash", 7]
undecodable = "ignore"
max_gap_ms = 0
[fail]
sexual/minor = "hold"
[[rule]]
id = "a"
when = "scores.x > 1"
severity = "hgih"
category = "nudity"
settles = "yes"
"#
    .replace("sexual/minor =", "\"sexual/minor\" =");
    let problems = Policy::parse(&text).unwrap_err();
    let told = problems.to_string();
    for line in [
        "line 2: name: write 1 to 64",
        "version: missing; write for example `version = 1`",
        "line 3: versoin: unknown key; did you mean `version`?",
        "line 4: required: write strings only",
        "line 5: undecodable: `ignore` is not known here; write one of hold, fail",
        "line 6: max_gap_ms: write a whole number from 1 to 600000",
        "line 8: fail.sexual/minor: `sexual/minor` is no category",
        "line 11: rule[1].when: unknown field `x`",
        "line 12: rule[1].severity: `hgih` is not known here; did you mean `high`?",
        "line 13: rule[1].category: `nudity` is no category",
        "line 14: rule[1].settles: write true or false",
        "rule[1].reason: missing",
    ] {
        assert!(told.contains(line), "{line}\n---\n{told}");
    }
    assert!(mistakes("name = \n[[").contains("line 1: not valid TOML"));
}

#[test]
fn a_policy_that_would_break_an_invariant_is_refused() {
    let with = |body: &str| {
        Policy::parse(&format!("{HEAD}[[rule]]\nid = \"r\"\nreason = \"why\"\n{body}"))
    };
    let bank = "found(\"hash\", \"bank:sexual/minors\")";
    for (category, severity, action, condition, allowed) in [
        ("sexual/minors", "critical", "", "nsfw.porn > 0.5", false),
        ("sexual/minors", "high", "", "nsfw.porn > 0.5", false),
        ("sexual/minors", "critical", "hide", "nsfw.porn > 0.5", true),
        ("sexual/minors", "low", "", "nsfw.porn > 0.5", false),
        ("sexual/minors", "critical", "", bank, true),
        ("sexual/minors", "critical", "", &format!("{bank} && nsfw.porn > 0.5"), true),
        ("sexual/minors", "critical", "", &format!("{bank} || nsfw.porn > 0.5"), false),
        ("sexual/minors", "critical", "", "found(\"hash\", \"bank:\")", false),
        ("sexual/minors", "critical", "", &format!("!{bank}"), false),
        ("underage", "high", "", "scores.estimated_age < 18", true),
        ("underage", "critical", "", "scores.estimated_age < 18", false),
        ("sexual", "critical", "", "scores.estimated_age < 18 && nsfw.porn > 0.5", false),
        ("sexual", "critical", "", "nsfw.porn > 0.5", true),
    ] {
        let action =
            if action.is_empty() { String::new() } else { format!("action = \"{action}\"\n") };
        let body = format!(
            "category = \"{category}\"\nseverity = \"{severity}\"\n{action}when = '{condition}'\n"
        );
        assert_eq!(with(&body).is_ok(), allowed, "{body}");
    }
}

#[test]
fn only_what_cannot_lapse_may_settle() {
    for (condition, allowed) in [
        ("found(\"text\", \"term:hate:\")", true),
        ("nsfw.porn > 0.8 || nsfw[\"hentai\"] >= 0.8 || labels.gore.blood > 0.9", true),
        ("0.8 < top(\"nsfw\", \"porn\") && context.surface == \"avatar\"", true),
        ("scores.nsfw_score > 0.9 && scores.face_count >= 1", true),
        ("scores.estimated_age < 18", true),
        ("!found(\"faces\", \"face\")", false),
        ("nsfw.neutral < 0.2", false),
        ("scores.blur_variance < 100", false),
        ("scores.estimated_age > 18", false),
        ("coverage.frames_seen > 3", false),
        ("findings.all(f, f.score > 0.9)", false),
        ("nsfw.porn > nsfw.neutral", false),
        ("has(nsfw.porn)", false),
        ("true", false),
    ] {
        let text = rule(&format!("when = '{condition}'\nsettles = true"));
        assert_eq!(Policy::parse(&text).is_ok(), allowed, "{condition}");
    }
    let held = rule("when = 'nsfw.porn > 0.8'\nsettles = true\naction = \"hide\"");
    assert!(mistakes(&held).contains("only a rule whose action is reject or ban"));
}

#[test]
fn settled_is_true_only_for_a_settling_rule_that_rejects() {
    let settling =
        Policy::parse(&rule("when = 'nsfw.porn > 0.8'\nsettles = true\nsurfaces = [\"post\"]"))
            .unwrap();
    let mut evidence = caption();
    evidence.scores.nsfw_categories.insert("porn".into(), 0.9);
    assert!(!settling.settled(&evidence), "another surface");
    evidence.context.surface = "post".into();
    assert!(settling.settled(&evidence));
    assert!(!when("nsfw.porn > 0.8").settled(&evidence), "not marked");
    evidence.scores.nsfw_categories.insert("porn".into(), 0.7);
    assert!(!settling.settled(&evidence));
}

/// Severity → action as FEATURES V3 has it, and action → status as DESIGN has it.
#[test]
fn severities_become_actions_and_statuses() {
    for (severity, action, status) in [
        ("safe", Action::Allow, Status::Approved),
        ("low", Action::Flag, Status::Approved),
        ("medium", Action::Hide, Status::Held),
        ("high", Action::Reject, Status::Rejected),
        ("critical", Action::Ban, Status::Rejected),
    ] {
        let policy =
            Policy::parse(&rule("when = 'true'").replace("\"high\"", &format!("\"{severity}\"")))
                .unwrap();
        let decision = policy.decide(&caption());
        assert_eq!(
            (decision.action, decision.status, decision.complete),
            (action, status, true),
            "{severity}"
        );
    }
}

#[test]
fn the_gravest_wins_and_reasons_come_gravest_first_each_once() {
    let mut text = HEAD.to_owned();
    for (id, severity, action, category, reason) in [
        ("a", "low", "", "profanity", "swearing"),
        ("b", "medium", "", "harassment", "insult"),
        ("c", "high", "", "hate", "hate"),
        ("d", "low", "reject", "quality", "blurry"),
        ("e", "high", "", "violence", "hate"),
        ("f", "high", "hide", "hate", "look"),
    ] {
        let action =
            if action.is_empty() { String::new() } else { format!("action = \"{action}\"\n") };
        text += &format!(
            "[[rule]]\nid = \"{id}\"\nwhen = 'true'\nseverity = \"{severity}\"\n{action}category = \"{category}\"\nreason = \"{reason}\"\n"
        );
    }
    let decision = Policy::parse(&text).unwrap().decide(&caption());
    assert_eq!(decision.reasons, ["hate", "blurry", "look", "insult", "swearing"]);
    assert_eq!((decision.status, decision.severity), (Status::Rejected, Severity::High));
    let json = serde_json::to_value(&decision).unwrap();
    let expected = serde_json::json!({
        "hate": "high", "harassment": "medium", "violence": "high", "profanity": "low", "quality": "low",
    });
    assert_eq!(json["categories"], expected);
    assert_eq!((json["policy"].as_str(), json["status"].as_str()), (Some("t@1"), Some("rejected")));
}

#[test]
fn only_a_verified_bank_match_rejects_for_children() {
    // The condition holds wherever a bank of children matched or, by a trick, where the label only looks like one.
    let policy = Policy::parse(
        &rule("when = 'found(\"hash\", \"bank:sexual/minors\")'")
            .replace("\"sexual\"", "\"sexual/minors\"")
            .replace("\"high\"", "\"critical\""),
    )
    .unwrap();
    for (label, status, action) in [
        ("bank:sexual/minors:ncmec", Status::Rejected, Action::Ban),
        ("bank:sexual/minors-lookalike:x", Status::Held, Action::Hide),
        ("bank:sexual:adult", Status::Approved, Action::Allow),
    ] {
        let mut evidence = run(&["hash"]);
        evidence.findings.push(finding("hash", label, 1.0));
        let decision = policy.decide(&evidence);
        assert_eq!((decision.status, decision.action), (status, action), "{label}");
    }
}

/// Every combination of what may be wrong with a scan, under every mode: the safety rule V6 and the statuses.
#[test]
fn an_incomplete_scan_is_never_clean_whatever_the_policy_says() {
    let mut tried = 0;
    for mode in ["open", "hold", "closed"] {
        for undecodable in ["hold", "fail"] {
            for audio in ["hold", "judge"] {
                for settles in [false, true] {
                    let body = format!("when = 'nsfw.porn > 0.8'\nsettles = {settles}");
                    let text = rule(&body).replace(
                        "version = 1\n",
                        &format!(
                            "version = 1\nrequired = [\"nsfw\", \"hash\"]\nundecodable = \"{undecodable}\"\n\
                             audio_only = \"{audio}\"\nmax_gap_ms = 1000\n[fail]\ndefault = \"{mode}\"\n"
                        ),
                    );
                    let policy = Policy::parse(&text).unwrap();
                    for bits in 0..1_u32 << 9 {
                        check(&policy, mode, undecodable, audio, settles, bits);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert_eq!(tried, 24 * 512);
}

fn check(policy: &Policy, mode: &str, undecodable: &str, audio: &str, settles: bool, bits: u32) {
    let bit = |n: u32| bits >> n & 1 == 1;
    let (fires, missing, named, gap) = (bit(0), bit(1), bit(2), bit(3));
    let (permanent, passing, ended, sound, unknown) = (bit(4), bit(5), bit(6), bit(7), bit(8));
    let mut evidence = run(if missing { &["hash"] } else { &["hash", "nsfw"] });
    if named {
        evidence.coverage.detectors_missing = vec!["hash".into()];
    }
    evidence.coverage.max_gap_ms = if gap { 1001 } else { 1000 };
    evidence.coverage.ended_early = ended;
    if fires {
        evidence.scores.nsfw_categories.insert("porn".into(), 0.9);
    }
    for (is, reason, permanent) in
        [(permanent, "undecodable", true), (passing, "worker_timeout", false)]
    {
        if is {
            evidence.failures.push(Failure {
                reason: reason.into(),
                detail: String::new(),
                media: Some(9),
                permanent,
            });
        }
    }
    if sound {
        evidence.media.push(medium(MediaKind::Audio));
    }
    if unknown {
        evidence.media.push(medium(MediaKind::Unknown));
    }
    let decision = policy.decide(&evidence);
    let place = format!("{mode} {undecodable} {audio} settles={settles} {bits:09b} {decision:?}");

    let whole = !(missing || named || gap || permanent || passing || ended || unknown);
    let settled = ended && fires && settles;
    assert_eq!(decision.complete, whole || settled, "complete: {place}");
    assert!(decision.action != Action::Allow || whole, "V6: {place}");
    if permanent || passing || unknown {
        assert_ne!(decision.status, Status::Approved, "failures are never approved: {place}");
    }

    let ended_by_rule = ended && fires && settles;
    let seen = ended_by_rule || !(missing || named || gap);
    let groundless = ended && !ended_by_rule;
    let held = passing
        || unknown
        || groundless
        || (permanent && undecodable == "hold")
        || (sound && audio == "hold")
        || (!seen && mode == "hold");
    let expected = if fires || (!seen && mode == "closed") {
        Status::Rejected
    } else if held {
        Status::Held
    } else if permanent {
        Status::Failed
    } else {
        Status::Approved
    };
    assert_eq!(decision.status, expected, "{place}");
    if expected == Status::Approved {
        assert_eq!(decision.action == Action::Flag, !whole, "open approves with a flag: {place}");
    }
    if !seen && missing {
        assert!(decision.reasons.contains(&"detector_missing:nsfw".to_owned()), "{place}");
    }
}

#[test]
fn the_fail_mode_is_the_gravest_of_the_categories_served() {
    let text = rule("when = 'true'").replace(
        "version = 1\n",
        "version = 1\nrequired = [\"a\", \"b\", \"c\"]\n[fail]\ndefault = \"hold\"\nspam = \"open\"\nhate = \"closed\"\n\
         [serves]\na = [\"spam\"]\nb = [\"spam\", \"hate\"]\n",
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(
        ["a", "b", "c"].map(|d| format!("{:?}", policy.fail_mode(d))),
        ["Open", "Closed", "Hold"]
    );
}

#[test]
fn nothing_at_all_is_not_clean() {
    let decision = when("nsfw.porn > 0.5").decide(&Evidence::default());
    assert_eq!((decision.status, decision.complete), (Status::Held, false));
}

#[test]
fn a_rule_that_cannot_be_evaluated_holds_the_item() {
    let mut evidence = caption();
    evidence.scores.face_count = Some(0);
    let decision = when("10 / scores.face_count > 2").decide(&evidence);
    assert_eq!((decision.status, decision.complete), (Status::Held, false));
    assert_eq!(decision.reasons, ["rule_error:r"]);
}

#[test]
fn of_too_many_findings_the_gravest_are_kept_and_found_sees_all() {
    let mut evidence = run(&["x", "hash"]);
    evidence.findings = (0..5_000).map(|i| finding("x", &format!("weak{i}"), 0.5)).collect();
    evidence.findings.push(finding("x", "grave", 0.99));
    evidence.findings.push(finding("hash", "bank:listed:b", 0.6));
    for condition in [
        "size(findings) == 256",
        "findings.exists(f, f.label == \"grave\") && findings.exists(f, f.detector == \"hash\")",
        "found(\"x\", \"weak4999\")",
        "findings.exists(a, findings.exists(b, a.label == \"grave\" && b.detector == \"hash\"))",
    ] {
        assert!(fires(condition, &evidence), "{condition}");
    }
}

#[test]
fn a_score_that_is_no_number_hides_nothing() {
    let mut evidence = run(&["x"]);
    evidence.findings = vec![finding("x", "y", f32::NAN)];
    evidence.scores.blur_variance = Some(f32::NAN);
    assert!(fires("found(\"x\", \"y\")", &evidence));
    assert!(!fires("!(scores.blur_variance < 100)", &evidence), "no number is not measured");
}
