//! What is wrong with a file that an operator wrote, all of it at once.

use std::fmt;

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, for example `rule[2].when`; empty for the file as a whole.
    pub key: String,
    /// Line in the file, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Every mistake found in one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// ` Did you mean …?` where one of `known` is within two edits of `word` (one for words of three letters or fewer), else all of them.
pub fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let limit = if word.chars().count() < 4 { 1 } else { 2 };
    let near = known.iter().map(|k| (distance(word, k), k)).min();
    match near {
        Some((d, k)) if d <= limit => format!("; did you mean `{k}`?"),
        _ if known.is_empty() => String::new(),
        _ => format!("; write one of {}", known.join(", ")),
    }
}

/// Edit distance with insertion, deletion and substitution (Levenshtein), in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut previous = i + 1;
        let mut next = vec![previous];
        for ((cb, up), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            previous = (previous + 1).min(up + 1).min(diagonal + usize::from(ca != *cb));
            next.push(previous);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_suggested_and_a_far_one_gets_the_list() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let known = ["severity", "surfaces", "when"];
        assert_eq!(suggestion("severty", known), "; did you mean `severity`?");
        assert_eq!(suggestion("wen", known), "; did you mean `when`?");
        assert_eq!(suggestion("colour", known), "; write one of severity, surfaces, when");
    }
}
