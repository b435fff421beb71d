#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn detector() -> TextDetector {
    TextDetector::new(&Config::default()).unwrap()
}

fn labels(text: &str) -> Vec<String> {
    detector().scan(text, None).into_iter().map(|f| f.label).collect()
}

#[test]
fn a_listed_word_is_found_and_a_word_that_contains_it_is_not() {
    assert_eq!(labels("oh fuck"), ["term:profanity:low"]);
    assert!(labels("Scunthorpe, Penistone and Essex").is_empty());
}
