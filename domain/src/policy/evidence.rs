//! Of what a picture may be kept for a review or an appeal.

use super::Policy;
use crate::{
    Category, Decision,
    reader::{Source, Table},
};

impl Policy {
    /// Whether evidence may be kept of what this decision is about: not where it touches `sexual/minors`, unless the policy
    /// says so, and never of malware.
    pub fn may_keep_evidence(&self, decision: &Decision) -> bool {
        let touches = |category| decision.categories.contains_key(&category);
        !touches(Category::Malware) && (self.evidence_of_minors || !touches(Category::SexualMinors))
    }
}

/// Reads `[evidence]`: whether also of `sexual/minors`.
pub(super) fn table(source: &mut Source<'_>, table: &mut Table<'_, '_>) -> bool {
    let Some(mut evidence) = table.table(source, "evidence") else { return false };
    let minors = evidence.boolean(source, "sexual_minors");
    evidence.finish(source);
    minors.is_some_and(|minors| minors.value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::{Action, Severity, Status};

    const RULE: &str = "[[rule]]\nid = \"r\"\nwhen = 'found(\"hash\", \"bank:\")'\ncategory = \"listed\"\n\
         severity = \"high\"\nreason = \"listed\"\n";

    fn policy(evidence: &str) -> Result<Policy, String> {
        let text = format!("name = \"p\"\nversion = 1\n{evidence}\n{RULE}");
        Policy::parse(&text).map_err(|mistakes| mistakes.to_string())
    }

    fn decision(categories: &[Category]) -> Decision {
        Decision {
            status: Status::Held,
            complete: true,
            severity: Severity::High,
            action: Action::Hide,
            reasons: Vec::new(),
            categories: categories.iter().map(|c| (*c, Severity::High)).collect::<BTreeMap<_, _>>(),
            policy: "p@1".into(),
        }
    }

    #[test]
    fn nothing_is_kept_of_abused_children_unless_the_policy_names_it_and_never_of_malware() {
        use Category::{Malware, Sexual, SexualMinors};
        let (silent, named) =
            (policy("").unwrap(), policy("[evidence]\nsexual_minors = true").unwrap());
        for (categories, of_silent, of_named) in [
            (&[][..], true, true),
            (&[Sexual], true, true),
            (&[Sexual, SexualMinors], false, true),
            (&[Malware], false, false),
            (&[SexualMinors, Malware], false, false),
        ] {
            let decision = decision(categories);
            let kept = [&silent, &named].map(|policy| policy.may_keep_evidence(&decision));
            assert_eq!(kept, [of_silent, of_named], "{categories:?}");
        }
        let off = policy("[evidence]\nsexual_minors = false").unwrap();
        assert!(!off.may_keep_evidence(&decision(&[SexualMinors])));
    }

    #[test]
    fn mistakes_in_the_table_are_told() {
        for (text, told) in [
            ("[evidence]\nsexual_minors = \"yes\"", "evidence.sexual_minors"),
            ("[evidence]\nminors = true", "evidence.minors: unknown key"),
        ] {
            let said = policy(text).unwrap_err();
            assert!(said.contains(told), "{said}");
        }
    }
}
