//! Cases: what a policy must decide on given evidence, for `weir policy test FILE CASES`.
//!
//! ```toml
//! [[case]]
//! name = "a nude photo is rejected"
//! evidence.scores.nsfw_categories.porn = 0.9
//! evidence.findings = [{ detector = "nsfw", label = "porn", score = 0.9 }]
//! expect = { status = "rejected", reasons = ["nsfw"], complete = true }
//! ```
//! `evidence` has the fields of [`Evidence`]; what is left out is as after a clean, whole scan: there was a caption, and
//! every detector that the policy requires or names ran. A finding scores 1 where it says nothing else.
//! `expect` needs `status`; `severity`, `action`, `reasons` (all, in order), `categories` and `complete` where told.

use std::fmt;

use serde_json::{Map, Value, json};

use super::Policy;
use crate::{
    Evidence,
    problem::{Problem, Problems, suggestion},
};

/// A checked file of cases.
#[derive(Clone, Debug)]
pub struct Cases(Vec<Case>);

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The case's name.
    pub name: String,
    /// What differs; empty when the case passed.
    pub differences: Vec<Difference>,
}

/// One field that is not as expected, both sides as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Field of the decision.
    pub field: String,
    /// What the case expects.
    pub expected: String,
    /// What the policy decided.
    pub got: String,
}

#[derive(Clone, Debug)]
struct Case {
    name: String,
    evidence: Value,
    expect: Map<String, Value>,
}

const EXPECTED: [&str; 6] = ["status", "severity", "action", "reasons", "categories", "complete"];

impl Cases {
    /// Reads and checks a file of cases.
    ///
    /// # Errors
    /// Every mistake in the file: unknown keys and values of the wrong kind by the name of their case.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let root: Map<String, Value> = toml::from_str(text).map_err(|error| {
            let line =
                error.span().and_then(|s| text.get(..s.start)).map(|t| t.matches('\n').count() + 1);
            Problems(vec![Problem {
                key: String::new(),
                line,
                message: format!("not valid TOML: {}", error.message()),
            }])
        })?;
        let mut problems = Vec::new();
        for key in root.keys().filter(|key| *key != "case") {
            problem(&mut problems, key, format!("unknown key{}", suggestion(key, ["case"])));
        }
        let mut cases: Vec<Case> = Vec::new();
        let listed = root.get("case").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if listed.is_empty() {
            problem(
                &mut problems,
                "case",
                "write at least one `[[case]]` with name, evidence and expect".into(),
            );
        }
        for (i, value) in listed.iter().enumerate() {
            if let Some(case) = read(&mut problems, i, value) {
                if cases.iter().any(|c| c.name == case.name) {
                    problem(
                        &mut problems,
                        &case.name,
                        "an earlier case has this name; choose another".into(),
                    );
                }
                cases.push(case);
            }
        }
        if problems.is_empty() { Ok(Self(cases)) } else { Err(Problems(problems)) }
    }

    /// Judges every case, in the order of the file.
    pub fn run(&self, policy: &Policy) -> Vec<Verdict> {
        self.0.iter().map(|case| case.run(policy)).collect()
    }
}

impl Verdict {
    /// Whether the policy decided as expected.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.passed() { "ok  " } else { "FAIL" }, self.name)?;
        for Difference { field, expected, got } in &self.differences {
            write!(
                f,
                "\n       {field}\n         - expected {expected}\n         + got      {got}"
            )?;
        }
        Ok(())
    }
}

impl Case {
    fn run(&self, policy: &Policy) -> Verdict {
        let evidence = complete(&self.evidence, &policy.detectors());
        // Checked when the file was read; the policy adds names of detectors only.
        let evidence = serde_json::from_value::<Evidence>(evidence).unwrap_or_default();
        let decision = serde_json::to_value(policy.decide(&evidence)).unwrap_or_default();
        let mut differences = Vec::new();
        for (field, expected) in &self.expect {
            let got = decision.get(field).cloned().unwrap_or_default();
            if got != *expected {
                let (field, expected, got) = (field.clone(), expected.to_string(), got.to_string());
                differences.push(Difference { field, expected, got });
            }
        }
        Verdict { name: self.name.clone(), differences }
    }
}

fn read(problems: &mut Vec<Problem>, index: usize, value: &Value) -> Option<Case> {
    let place = format!("case[{}]", index + 1);
    let Some(table) = value.as_object() else {
        problem(problems, &place, "write a table: `[[case]]`".into());
        return None;
    };
    let Some(name) = table.get("name").and_then(Value::as_str) else {
        problem(problems, &place, "write a `name` that says what must hold".into());
        return None;
    };
    for key in table.keys() {
        if !["name", "evidence", "expect"].contains(&key.as_str()) {
            let hint = suggestion(key, ["name", "evidence", "expect"]);
            problem(problems, &format!("{name}: {key}"), format!("unknown key{hint}"));
        }
    }
    let evidence = table.get("evidence").cloned().unwrap_or_else(|| json!({}));
    let whole = complete(&evidence, &[]);
    match serde_json::from_value::<Evidence>(whole) {
        Err(error) => problem(problems, &format!("{name}: evidence"), error.to_string()),
        Ok(read) => {
            let known = serde_json::to_value(&read).unwrap_or_default();
            unknown(problems, &format!("{name}: evidence"), &evidence, &known);
        }
    }
    let expect = table.get("expect").and_then(Value::as_object).cloned().unwrap_or_default();
    if !expect.contains_key("status") {
        let message = "write the `status`: approved, rejected, held or failed";
        problem(problems, &format!("{name}: expect"), message.into());
    }
    for (key, value) in &expect {
        check_expected(problems, &format!("{name}: expect.{key}"), key, value);
    }
    Some(Case { name: name.to_owned(), evidence, expect })
}

/// A word that no decision ever holds would make a case that cannot pass.
fn check_expected(problems: &mut Vec<Problem>, place: &str, key: &str, value: &Value) {
    let read = match key {
        "status" => serde_json::from_value::<crate::Status>(value.clone()).err(),
        "severity" => serde_json::from_value::<crate::Severity>(value.clone()).err(),
        "action" => serde_json::from_value::<crate::Action>(value.clone()).err(),
        "reasons" => serde_json::from_value::<Vec<String>>(value.clone()).err(),
        "categories" => serde_json::from_value::<
            std::collections::BTreeMap<crate::Category, crate::Severity>,
        >(value.clone())
        .err(),
        "complete" => serde_json::from_value::<bool>(value.clone()).err(),
        _ => return problem(problems, place, format!("unknown key{}", suggestion(key, EXPECTED))),
    };
    if let Some(error) = read {
        problem(problems, place, error.to_string());
    }
}

/// The evidence with defaults for all that is left out.
fn complete(evidence: &Value, detectors: &[String]) -> Value {
    let mut whole = serde_json::to_value(Evidence { has_text: true, ..Evidence::default() })
        .unwrap_or_default();
    if let Some(run) = whole.pointer_mut("/coverage/detectors_run") {
        *run = json!(detectors);
    }
    merge(&mut whole, evidence);
    let finding = json!({
        "detector": "", "model": "case@1", "label": "", "score": 1.0,
        "span": null, "bbox": null, "media": null, "text": null,
    });
    let medium = json!({
        "kind": "image", "format": "jpeg", "width": null, "height": null, "duration_ms": null,
        "sha256": "", "pdq": null, "pdq_quality": null, "faces": [],
    });
    let failure =
        json!({ "reason": "undecodable", "detail": "", "media": null, "permanent": false });
    for (list, default) in [("findings", finding), ("media", medium), ("failures", failure)] {
        for item in whole.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mut filled = default.clone();
            merge(&mut filled, item);
            *item = filled;
        }
    }
    whole
}

/// Lays `over` over `base`, tables key by key.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Notes every key that reading dropped.
fn unknown(problems: &mut Vec<Problem>, place: &str, written: &Value, known: &Value) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                match known.get(key) {
                    Some(known) => unknown(problems, &format!("{place}.{key}"), value, known),
                    None => {
                        let hint = suggestion(key, known.keys().map(String::as_str));
                        problem(problems, &format!("{place}.{key}"), format!("unknown key{hint}"));
                    }
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (i, (written, known)) in written.iter().zip(known).enumerate() {
                unknown(problems, &format!("{place}[{}]", i + 1), written, known);
            }
        }
        _ => {}
    }
}

fn problem(problems: &mut Vec<Problem>, key: &str, message: String) {
    problems.push(Problem { key: key.to_owned(), line: None, message });
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{Profile, profile};

    #[test]
    fn the_shipped_cases_pass_on_the_shipped_profiles() {
        for (name, cases) in [
            ("starter", include_str!("../../../profiles/cases/starter.toml")),
            ("photo-dating", include_str!("../../../profiles/cases/photo-dating.toml")),
            ("short-video", include_str!("../../../profiles/cases/short-video.toml")),
        ] {
            let policy = profile::policy_of(Profile::embedded_text(name).unwrap()).unwrap();
            let cases = Cases::parse(cases).unwrap();
            let failed: Vec<String> = cases
                .run(&policy)
                .iter()
                .filter(|v| !v.passed())
                .map(ToString::to_string)
                .collect();
            assert!(failed.is_empty(), "{name}\n{}", failed.join("\n"));
        }
    }

    #[test]
    fn a_failing_case_shows_both_sides_and_a_bad_case_is_refused() {
        let cases = Cases::parse(
            "[[case]]\nname = \"c\"\nevidence.scores.nsfw_categories.porn = 0.9\nexpect = { status = \"approved\", complete = true }\n",
        )
        .unwrap();
        let policy = Policy::parse(
            "name = \"t\"\nversion = 1\n[[rule]]\nid = \"r\"\nwhen = \"nsfw.porn > 0.5\"\ncategory = \"sexual\"\nseverity = \"high\"\nreason = \"nsfw\"\n",
        )
        .unwrap();
        let verdict = &cases.run(&policy)[0];
        assert_eq!(verdict.differences.len(), 1);
        let text = verdict.to_string();
        assert!(
            text.contains("FAIL c")
                && text.contains("- expected \"approved\"")
                && text.contains("+ got      \"rejected\"")
        );

        let bad = "[[case]]\nname = \"c\"\nevidence.scores.blurr = 1\nevidence.findings = [{ lable = \"x\" }]\n\
               expect = { status = \"aproved\", reason = [] }\n[[case]]\nexpct = 1\n";
        let told = Cases::parse(bad).unwrap_err().to_string();
        for part in [
            "evidence.scores.blurr: unknown",
            "did you mean `label`?",
            "expect.status: unknown variant",
            "did you mean `reasons`?",
            "case[2]: write a `name`",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
    }

    #[test]
    fn the_example_of_the_handbook_is_a_policy_and_its_cases_pass() {
        let handbook = include_str!("../../../docs/policy.md");
        let mut blocks =
            handbook.split("```toml\n").skip(1).map(|b| b.split("```").next().unwrap());
        let policy = Policy::parse(blocks.next().unwrap()).unwrap_or_else(|e| panic!("{e}"));
        let cases = Cases::parse(blocks.next().unwrap()).unwrap_or_else(|e| panic!("{e}"));
        for verdict in cases.run(&policy) {
            assert!(verdict.passed(), "{verdict}");
        }
    }
}
