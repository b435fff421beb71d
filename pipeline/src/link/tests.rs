#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn detector() -> LinkDetector {
    let blocked = vec!["scam.example".to_owned(), "müller.example".to_owned()];
    LinkDetector::new(&Config { blocked, ..Config::default() }).unwrap()
}

fn labels(text: &str) -> Vec<String> {
    detector().scan(text).into_iter().map(|f| f.label).collect()
}

#[test]
fn each_trick_has_its_label() {
    for (text, label) in [
        ("win at hxxp://www.scam[.]example/now", "link:blocked"),
        ("scam dot example", "link:blocked"),
        ("http://xn--mller-kva.example", "link:blocked"),
        ("http://paypal.com@evil.example/", "link:userinfo"),
        ("https://paypa1.com/login", "link:lookalike"),
        ("g00gle.com", "link:lookalike"),
        ("https://xn--pypal-4ve.com", "link:lookalike"),
        ("https://pаypal.com", "link:punycode"),
        ("http://xn--mller-kva.de", "link:punycode"),
        ("bit.ly/3xyz", "link:shortener"),
        ("http://192.168.0.1/x", "link:ip"),
        ("http://3232235521/", "link:ip"),
        ("http://0x7f.1/", "link:ip"),
        ("http://[::1]/", "link:ip"),
    ] {
        assert!(labels(text).iter().any(|l| l == label), "{text}: {:?}", labels(text));
    }
}

#[test]
fn hosts_that_are_read_as_a_blocked_one_are_blocked() {
    for text in [
        "https://sсam.example",
        "https://ѕсаm.example/x",
        "www.5cam.example",
        "https://xn--sam-4ed.example",
        "ｓｃａｍ.example",
        "scam%2Eexample",
        "https://www.scam\u{fe52}example",
    ] {
        assert!(labels(text).iter().any(|l| l == "link:blocked"), "{text}: {:?}", labels(text));
    }
    // Neighbours in plain letters may be honest: a person looks.
    assert_eq!(labels("scarn.example"), ["link:lookalike"]);
    assert!(labels("https://seam.example https://scan.example").is_empty());
}

#[test]
fn honest_links_pass() {
    for text in [
        "https://www.paypal.com/ca/home",
        "see google.ca and apple.com",
        "müller.de",
        "bob@gmail.com",
        "https://myscam.example.org",
        "rated 4.5 out of 5.0",
        "例え.jp",
        "https://пример.рф",
    ] {
        assert!(labels(text).is_empty(), "{text}: {:?}", labels(text));
    }
}

#[test]
fn trusted_domains_are_left_alone_and_bad_entries_are_all_named() {
    let config = Config { trusted: vec!["paypa1.com".to_owned()], ..Config::default() };
    assert!(LinkDetector::new(&config).unwrap().scan("paypa1.com").is_empty());
    let blocked = vec!["ok.example".to_owned(), "xn--a".to_owned(), " ".to_owned()];
    let error = LinkDetector::new(&Config { blocked, ..Config::default() }).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("xn--a") && text.contains("\" \""), "{text}");
}

#[test]
fn a_flood_of_links_is_cut_with_a_label_and_the_block_list_still_speaks() {
    let mut text: String = (0..1000).map(|i| format!("h{i}.example ")).collect();
    text.push_str("www.scam.example");
    let found = labels(&text);
    assert!(found.contains(&"link:many".to_owned()) && found.contains(&"link:blocked".to_owned()));
}

#[test]
fn a_long_text_says_that_its_end_was_not_read() {
    let text = format!("{} scam.example", "x ".repeat(fold::MAX_BYTES));
    assert_eq!(labels(&text), ["link:truncated"]);
}
