//! A policy with the cases that it carries, as it is released.

use super::policy_of;
use crate::Policy;
use crate::policy::cases::{Cases, Verdict};
use crate::problem::{Problem, Problems};

/// The key of cases, beside the policy.
const CASE: &str = "case";

/// A policy, and what came of its own cases.
#[derive(Debug)]
pub struct Tried {
    /// The policy.
    pub policy: Policy,
    /// In the order of the file; empty where it carries none.
    pub verdicts: Vec<Verdict>,
}

impl Tried {
    /// Reads a file as [`policy_of`] does, with cases as `weir policy test` takes them where it carries some, and judges each.
    ///
    /// # Errors
    /// Every mistake in policy and cases. A case that fails is none.
    pub fn read(text: &str) -> Result<Self, Problems> {
        let root = toml::from_str::<toml::Table>(text).ok();
        let Some((root, cases)) = root.and_then(|mut root| {
            let cases = root.remove(CASE)?;
            Some((root, cases))
        }) else {
            return Ok(Self { policy: policy_of(text)?, verdicts: Vec::new() });
        };
        let policy = policy_of(&written(&root)?).map_err(|without| in_place(text, without));
        let cases = Cases::parse(&written(&toml::Table::from_iter([(CASE.to_owned(), cases)]))?);
        match (policy, cases) {
            (Ok(policy), Ok(cases)) => {
                let verdicts = cases.run(&policy);
                Ok(Self { policy, verdicts })
            }
            (policy, cases) => {
                let both = [policy.err(), cases.err()];
                Err(Problems(both.into_iter().flatten().flat_map(|problems| problems.0).collect()))
            }
        }
    }

    /// The first of its cases that fails.
    pub fn failed(&self) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| !verdict.passed())
    }
}

fn written(table: &toml::Table) -> Result<String, Problems> {
    toml::to_string(table).map_err(|error| {
        let message = error.to_string();
        Problems(vec![Problem { key: String::new(), line: None, message }])
    })
}

/// The same mistakes with the lines of the whole file, where they show there too.
fn in_place(text: &str, without: Problems) -> Problems {
    let Err(Problems(all)) = policy_of(text) else { return without };
    let of_policy = |problem: &Problem| problem.key != CASE && !problem.key.starts_with("case[");
    let all: Vec<Problem> = all.into_iter().filter(of_policy).collect();
    if all.is_empty() { without } else { Problems(all) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const POLICY: &str = "name = \"p\"\nversion = 3\n\n[[rule]]\nid = \"nude\"\nwhen = 'nsfw.porn > 0.8'\ncategory = \"sexual\"\nseverity = \"high\"\nreason = \"nsfw\"\n";
    const CASES: &str = "\n[[case]]\nname = \"nude\"\nevidence.scores.nsfw_categories.porn = 0.9\nexpect = { status = \"rejected\" }\n\n[[case]]\nname = \"not\"\nexpect = { status = \"held\" }\n";

    #[test]
    fn cases_are_judged_and_a_policy_without_any_reads_as_before() {
        let tried = Tried::read(POLICY).unwrap();
        assert_eq!((tried.policy.id().as_str(), tried.verdicts.len()), ("p@3", 0));
        let tried = Tried::read(&format!("{POLICY}{CASES}")).unwrap();
        assert_eq!(tried.verdicts.iter().map(Verdict::passed).collect::<Vec<_>>(), [true, false]);
        assert_eq!(tried.failed().unwrap().name, "not");
    }

    #[test]
    fn mistakes_are_told_with_the_lines_of_the_file() {
        let wrong =
            POLICY.replace("nsfw.porn > 0.8", "nsfw.porn >").replace("\"high\"", "\"hihg\"");
        let told = |text: &str| Tried::read(text).unwrap_err();
        let with = told(&format!("{wrong}{CASES}"));
        assert_eq!(with, told(&wrong), "cases change nothing about it");
        assert!(with.0.iter().any(|problem| problem.line == Some(8)), "{with}");
        let both = told(&format!("{wrong}{CASES}expcet = 1\n"));
        assert!(both.0.len() > with.0.len() && both.to_string().contains("expcet"), "{both}");
        assert!(told("name = ").0[0].line.is_some());
    }
}
