//! Keys at the ops screens in a real browser: single ones that can be switched off, and the list that Ctrl-K opens.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::axe;
use rig::browser::Browser;
use rig::hub::Hub;
use rig::ops::Person;
use serde_json::json;

const BOX: &str = "00000000-0000-0000-0000-00000000b0c5";
const ITEM: &str = "01900000-0000-7000-8000-0000000003e8";

/// Escape, and the arrow down, as WebDriver names them.
const ESCAPE: &str = "\u{e00c}";
const DOWN: &str = "\u{e015}";
const ENTER: &str = "\u{e007}";

fn fill(hub: &Hub) {
    hub.run(&["tenant", "add", "campus"]);
    hub.query(&format!(
        "INSERT INTO boxes (box, name, public_key, serial) VALUES ('{BOX}', 'box', decode(repeat('00', 32), 'hex'), 'x');
         INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, since, due_at)
             VALUES ('{BOX}', '{ITEM}', 'flagged', 'campus', 2, 'violence', '{{violence}}', 0, now(), now() + interval '1 day')"
    ));
}

fn open(browser: &Browser) {
    browser.control('k');
    browser.until("return document.getElementById('palette').open");
}

/// What the list offers now.
fn offered(browser: &Browser) -> Vec<String> {
    let all = "return [...document.querySelectorAll('#palette [role=option]')].map((one) => one.textContent)";
    serde_json::from_value(browser.run(all)).unwrap()
}

fn path(browser: &Browser) -> String {
    browser.run("return location.pathname + location.search").as_str().unwrap().to_owned()
}

#[test]
fn the_list_offers_what_the_page_does_and_nothing_that_one_may_not() {
    let hub = Hub::start();
    fill(&hub);
    let browser = Browser::start(1280, 900);
    Person::new(&hub, "zuri", "moderator", &[]).log_in(&hub, &browser);
    let item = format!("{}/ops/review/{BOX}/{ITEM}", hub.address());
    browser.open(&item);
    browser.until("return document.querySelector('[aria-busy]') === null");
    browser.tab_to("nav a[href='/ops/verdicts']");
    open(&browser);
    assert_eq!(
        offered(&browser),
        ["Claim", "Review", "Verdicts", "Hash lists", "Policies", "Roll-outs", "zuri"]
    );
    // A screen reader hears which one is chosen.
    let active = "const input = document.activeElement; return document.getElementById(input.getAttribute('aria-activedescendant')).textContent + input.getAttribute('aria-expanded')";
    assert_eq!(browser.run(active), json!("Claimtrue"));
    browser.keys(DOWN);
    assert_eq!(browser.run(active), json!("Reviewtrue"));
    browser.keys("fleet");
    assert!(offered(&browser).is_empty(), "a moderator sees no boxes");
    assert_eq!(browser.text("#palette [role=status]"), "Nothing of that name.");
    browser.keys(ESCAPE);
    browser.until("return !document.getElementById('palette').open");
    let back = "return document.activeElement.getAttribute('href')";
    assert_eq!(browser.run(back), json!("/ops/verdicts"), "the focus is where it was");

    // Claimed, rejected and handed in without a mouse.
    open(&browser);
    browser.keys(format!("claim{ENTER}"));
    browser.appears("#decision-form");
    open(&browser);
    browser.keys("take down");
    assert_eq!(offered(&browser), ["Reject (take down)"]);
    browser.keys(ENTER);
    browser.until("return document.querySelector('[name=verb][value=reject]').checked");

    // An id and a hash are looked up.
    let hash = "ab".repeat(32);
    for text in [ITEM, &hash, "0123456789abcdef"] {
        browser.open(&item);
        open(&browser);
        browser.keys(text);
        assert_eq!(offered(&browser), [format!("Look up verdicts: {text}")]);
        browser.keys(ENTER);
        browser.appears("#q");
        assert_eq!(path(&browser), format!("/ops/verdicts?q={text}"));
        assert_eq!(browser.run("return document.getElementById('q').value"), json!(text));
    }
    hub.query("UPDATE accounts SET role = 'observer'");
    browser.open(&format!("{}/ops/fleet", hub.address()));
    open(&browser);
    browser.keys(ITEM);
    assert!(offered(&browser).is_empty(), "who may not look verdicts up is offered no look");
}

#[test]
fn the_list_reads_for_everybody_in_every_language_light_and_dark() {
    let hub = Hub::start();
    fill(&hub);
    let browser = Browser::start(1280, 900);
    Person::new(&hub, "zuri", "senior_moderator", &[]).log_in(&hub, &browser);
    let script = axe::script();
    let mut wrong = Vec::new();
    for (code, verdicts) in
        [("en", "Verdicts"), ("fr", "Verdicts"), ("sw", "Hukumu"), ("am", "ብይኖች")]
    {
        hub.query(&format!("UPDATE accounts SET language = '{code}'"));
        browser.open(&format!("{}/ops/review", hub.address()));
        open(&browser);
        assert!(
            offered(&browser).contains(&verdicts.to_owned()),
            "{code}: {:?}",
            offered(&browser)
        );
        for dark in [false, true] {
            browser.dark(dark);
            wrong.extend(
                axe::violations(&browser, &script).into_iter().map(|one| format!("{code}: {one}")),
            );
        }
        browser.keys("qqqq");
        wrong.extend(
            axe::violations(&browser, &script)
                .into_iter()
                .map(|one| format!("{code}, nothing found: {one}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(browser.console(), Vec::<String>::new(), "no error, nothing refused by policy");
}

#[test]
fn single_keys_do_nothing_where_they_are_switched_off_and_the_list_still_opens() {
    let hub = Hub::start();
    fill(&hub);
    let browser = Browser::start(1280, 900);
    Person::new(&hub, "zuri", "moderator", &[]).log_in(&hub, &browser);
    let claimed = "SELECT count(*) FROM reviews WHERE claimed_by IS NOT NULL";
    browser.open(&format!("{}/ops/me", hub.address()));
    browser.click("[name=keys]");
    browser.click("[aria-labelledby=reading] button");
    browser.appears("main > .done");
    browser.open(&format!("{}/ops/review/{BOX}/{ITEM}", hub.address()));
    browser.until("return document.querySelector('[aria-busy]') === null");
    assert!(!browser.has("kbd"), "no key on any button");
    browser.keys("s");
    // The next key is heard after that one: had it done something, the page would be another.
    open(&browser);
    assert_eq!(hub.query(claimed), ["0"]);
    browser.keys(format!("claim{ENTER}"));
    browser.appears("#decision-form");
    assert_eq!(hub.query(claimed), ["1"]);

    hub.query("UPDATE accounts SET keys = true");
    browser.open(&format!("{}/ops/review/{BOX}/{ITEM}", hub.address()));
    browser.until("return document.querySelector('[aria-busy]') === null");
    browser.keys("c");
    browser.appears("[data-live]");
    assert_eq!(hub.query(claimed), ["0"], "switched on again, they do");
}
