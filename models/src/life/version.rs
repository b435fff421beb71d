//! Which of two versions is the later one.

use std::cmp::Ordering;

/// Compares versions part by part: runs of digits as numbers, other runs by their bytes, so that 1.10 is later than 1.9.
/// A version that goes on where the other ends is the later one.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    for (a, b) in one.iter().zip(&other) {
        let order = match (number(a), number(b)) {
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            _ => a.cmp(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

/// Runs of digits and runs of letters; what is between them only divides.
fn parts(version: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for word in version.split(['.', '-', '_', '+']).filter(|word| !word.is_empty()) {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let digits = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
            let (part, more) = rest.split_at(end);
            parts.push(part);
            rest = more;
        }
    }
    parts
}

/// The digits of a number without zeros before them, so that any length compares.
fn number(part: &str) -> Option<&str> {
    part.starts_with(|c: char| c.is_ascii_digit()).then(|| part.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_are_told_as_people_mean_them() {
        let rising =
            ["0", "1", "1.0", "1.1", "1.9", "1.10", "2-b1", "2-b2", "2-b10", "10", "2026.07"];
        for (n, one) in rising.iter().enumerate() {
            for (m, other) in rising.iter().enumerate() {
                assert_eq!(compare(one, other), n.cmp(&m), "{one} and {other}");
            }
        }
        assert_eq!(compare("1.01", "1.1"), Ordering::Equal);
        assert_eq!(
            compare("99999999999999999999999", "99999999999999999999998"),
            Ordering::Greater
        );
    }
}
