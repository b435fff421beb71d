//! A virus scanner in front of a policy. That there is one is a matter of the box, not of the policy's author, so no file
//! needs a line for it.

use super::condition::Condition;
use super::{Policy, Rule};
use crate::{Action, Category, Severity};

/// What the labels of a scanner's findings start with.
pub const MALWARE: &str = "malware:";

/// The reason that the platform is told.
const REASON: &str = "malware";

impl Policy {
    /// Puts a scanner in front: what the detector of this name finds under [`MALWARE`] is rejected, which settles the matter,
    /// and without it nothing is clean (the fail mode is that of the category `malware`, or the default). The policy's name
    /// tells of it, so that a verdict from before the scanner is not taken for one behind it.
    ///
    /// # Errors
    /// Where the name cannot stand in a condition.
    pub fn add_scanner(&mut self, detector: &str) -> Result<(), String> {
        let condition = Condition::compile(&format!("found(\"{detector}\", \"{MALWARE}\")"));
        self.rules.push(Rule {
            id: REASON.to_owned(),
            condition: condition.map_err(|mistakes| mistakes.join("; "))?,
            severity: Severity::High,
            action: Action::Reject,
            category: Category::Malware,
            reason: REASON.to_owned(),
            settles: true,
            surfaces: Vec::new(),
        });
        self.required.push(detector.to_owned());
        self.serves.entry(detector.to_owned()).or_insert_with(|| vec![Category::Malware]);
        self.scanner = Some(detector.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{Coverage, Evidence, Finding, Status};

    fn policy(fail: &str) -> Policy {
        let text = format!(
            "name = \"p\"\nversion = 1\ndescription = \"d\"\nrequired = [\"hash\"]\n[fail]\n{fail}\n\
             [[rule]]\nid = \"r\"\nwhen = 'found(\"hash\", \"bank:\")'\ncategory = \"listed\"\n\
             severity = \"high\"\nreason = \"listed\"\n"
        );
        let mut policy = Policy::parse(&text).unwrap();
        policy.add_scanner("clamav").unwrap();
        policy
    }

    fn evidence(run: &[&str], found: bool) -> Evidence {
        let finding = Finding {
            detector: "clamav".into(),
            model: "clamav".into(),
            label: "malware:Eicar".into(),
            score: 1.0,
            span: None,
            bbox: None,
            media: Some(0),
            text: None,
        };
        Evidence {
            findings: if found { vec![finding] } else { Vec::new() },
            has_text: true,
            coverage: Coverage {
                detectors_run: run.iter().map(|d| (*d).to_owned()).collect(),
                ended_early: found,
                ..Coverage::default()
            },
            ..Evidence::default()
        }
    }

    #[test]
    fn what_the_scanner_finds_is_rejected_and_settles_the_matter() {
        let policy = policy("");
        assert_eq!(policy.id(), "p@1+clamav");
        let found = evidence(&["clamav"], true);
        assert!(policy.settled(&found));
        let decision = policy.decide(&found);
        assert_eq!((decision.status, decision.complete), (Status::Rejected, true));
        assert_eq!((decision.severity, decision.reasons), (Severity::High, vec!["malware".into()]));
        assert_eq!(decision.categories.get(&Category::Malware), Some(&Severity::High));
        let clean = policy.decide(&evidence(&["hash", "clamav"], false));
        assert_eq!((clean.status, clean.complete), (Status::Approved, true));
    }

    #[test]
    fn without_the_scanner_the_fail_mode_decides_and_nothing_is_clean() {
        for (fail, status) in [
            ("", Status::Held),
            ("default = \"closed\"", Status::Rejected),
            ("malware = \"open\"", Status::Approved),
            ("spam = \"open\"", Status::Held),
        ] {
            let decision = policy(fail).decide(&evidence(&["hash"], false));
            assert_eq!((decision.status, decision.complete), (status, false), "{fail}");
            assert_eq!(decision.reasons, ["detector_missing:clamav"], "{fail}");
        }
    }
}
