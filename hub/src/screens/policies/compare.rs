//! What changed between two policies, line by line.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

/// Lines that stay the same around a change.
const AROUND: usize = 3;

/// Lines of a comparison, at most.
const MOST: usize = 2_000;

/// After so long lines are compared less well.
const PATIENCE: Duration = Duration::from_millis(500);

/// A line of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `added`, `removed`, `same`, or `gap` between places.
    pub kind: &'static str,
    /// Its number in the older text, and in the newer.
    pub before: Option<usize>,
    pub after: Option<usize>,
    pub text: String,
}

impl Line {
    /// The sign in front, for those who see no colours.
    pub fn sign(&self) -> &'static str {
        match self.kind {
            "added" => "+",
            "removed" => "−",
            "gap" => "…",
            _ => " ",
        }
    }
}

/// Nothing where they are the same.
pub(super) fn compare(before: &str, after: &str) -> Vec<Line> {
    let mut config = TextDiff::configure();
    let diff = config.timeout(PATIENCE).diff_lines(before, after);
    let mut lines = Vec::new();
    for (n, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if n > 0 {
            lines.push(Line { kind: "gap", before: None, after: None, text: String::new() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let kind = match change.tag() {
                ChangeTag::Insert => "added",
                ChangeTag::Delete => "removed",
                ChangeTag::Equal => "same",
            };
            let number = |index: Option<usize>| index.map(|index| index + 1);
            let (before, after) = (number(change.old_index()), number(change.new_index()));
            let text = change.value().trim_end_matches(['\n', '\r']).to_owned();
            lines.push(Line { kind, before, after, text });
        }
    }
    lines.truncate(MOST);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_shown_with_what_stands_around_it() {
        assert_eq!(compare("a\nb\n", "a\nb\n"), []);
        let long: Vec<String> = (1..=20).map(|n| format!("line {n}")).collect();
        let before = long.join("\n");
        let after = before.replace("line 10", "another");
        let lines = compare(&before, &after);
        let removed = lines.iter().find(|line| line.kind == "removed");
        assert_eq!(
            removed.map(|line| (line.before, line.text.as_str())),
            Some((Some(10), "line 10"))
        );
        let added = lines.iter().find(|line| line.kind == "added");
        assert_eq!(added.map(|line| (line.after, line.text.as_str())), Some((Some(10), "another")));
        assert_eq!(lines.len(), 8, "three lines on either side");
        let twice = compare(&before, &after.replace("line 1\n", ""));
        assert_eq!(twice.iter().filter(|line| line.kind == "gap").count(), 1);
    }
}
