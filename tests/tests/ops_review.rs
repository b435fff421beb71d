//! A moderator's day in a real browser: the real hub on Postgres, three real boxes. The oracle is what the boxes say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::browser::Browser;
use rig::edge::{Edge, until};
use rig::hub::Hub;
use rig::media::{photo, scene};
use rig::ops::Person;
use serde_json::{Value, json};

fn edge(hub: &Hub, name: &str) -> Edge {
    let edge = Edge::new();
    hub.enroll_as(name, &edge.data(), &["default"]);
    edge.waits("connected", |state| state["path"] == "quic");
    edge
}

/// Has the box judge a picture with a text that a person has to look at: it is held, with its media. Its id.
fn held(edge: &Edge, medium: &[u8], text: &str) -> String {
    let service = edge.service();
    let meta = json!({ "text": text, "language": "sw-KE" });
    let answer = service.submit_with(&[("prefer", "wait=30")], &meta, &[medium]);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("held")), "{answer:?}");
    answer.body["id"].as_str().unwrap().to_owned()
}

fn status(edge: &Edge, id: &str) -> Value {
    edge.service().get(&format!("/v1/submissions/{id}")).body["status"].clone()
}

/// What a box says of these bytes when somebody posts them.
fn posted(edge: &Edge, medium: &[u8]) -> Value {
    let meta = json!({});
    edge.service().submit_with(&[("prefer", "wait=30")], &meta, &[medium]).body["status"].clone()
}

#[test]
fn a_moderator_rejects_with_the_keyboard_and_all_three_boxes_refuse_it() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "default"]);
    let [one, two, three] =
        ["campus-north", "campus-south", "campus-lake"].map(|name| edge(&hub, name));
    let medium = scene(1600, 1200, 7).jpeg(90).unwrap();
    let text = "i want to kill myself <img src=x onerror=alert(1)> & \"friends\"";
    let id = held(&one, &medium, text);
    let kind = ("content-type", "application/json");
    let report =
        json!({ "submission": id, "reason": "other", "text": "look <script>alert(1)</script>" });
    let report = one.service().call("POST", "/v1/reports", &[kind], report.to_string().as_bytes());
    assert_eq!(report.status, 201, "{report:?}");
    until("the queue has the report", || hub.query("SELECT 1 FROM review_reports").pop());
    until("the queue has it", || hub.query("SELECT 1 FROM reviews WHERE open").pop());

    let person = Person::new(&hub, "zuri", "senior_moderator", &[]);
    let browser = Browser::start(1440, 900);
    person.log_in(&hub, &browser);
    browser.open(&format!("{}/ops/review?tab=reports", hub.address()));
    assert_eq!(browser.text("[data-tab=reports] .count"), "1");
    for (language, items) in [("fr", 0), ("sw", 1)] {
        browser.open(&format!("{}/ops/review?tab=reports&lang={language}", hub.address()));
        let rows = browser.run("return document.querySelectorAll('.items tbody tr').length");
        assert_eq!(rows, json!(items), "in {language}");
    }
    browser.keys("n");
    browser.appears("#decision-form");
    browser.until("return document.querySelector('#evidence .picture img')?.complete === true");
    let veiled = "return document.querySelector('#evidence .picture').classList.contains('veiled')";
    assert_eq!(browser.run(veiled), json!(true), "blurred until revealed");
    assert_eq!(browser.text("#caption"), text);
    let words = browser.run("return [...document.querySelectorAll('#evidence blockquote')].map((one) => one.textContent).join('|')");
    assert!(words.as_str().unwrap().contains("look <script>alert(1)</script>"), "{words}");
    browser.keys("r");
    browser
        .until("return !document.querySelector('#evidence .picture').classList.contains('veiled')");
    until("it is noted", || hub.query("SELECT 1 FROM audit WHERE action = 'review.reveal'").pop());

    browser.keys("t");
    browser.run("document.getElementById('category').value = 'violence'; document.querySelector('[name=remember]').checked = true");
    browser.run("document.getElementById('reason').focus()");
    browser.keys("Clear violation");
    browser.run("document.activeElement.blur()");
    browser.keys("s");
    browser.appears(".decided");
    until("the box did it", || (status(&one, &id) == json!("rejected")).then_some(()));
    until("all boxes refuse it", || {
        [&one, &two, &three]
            .iter()
            .all(|edge| posted(edge, &medium) == json!("rejected"))
            .then_some(())
    });
    let took = "SELECT round(extract(epoch FROM max(r.received_at - d.ordered_at)) * 1000) FROM directives d
        JOIN directive_receipts r USING (epoch, lane, seq) WHERE d.kind = 'list'";
    let receipts = "SELECT count(DISTINCT box) FROM directive_receipts r JOIN directives USING (epoch, lane, seq) WHERE kind = 'list' AND refused IS NULL";
    until("three receipts", || (hub.query(receipts)[0] == "3").then_some(()));
    eprintln!("the last of three boxes had it {} ms after the click", hub.query(took)[0]);
    assert_eq!(posted(&two, &photo(3)), json!("approved"), "another one not");

    // Taken back: as it was on its box, and no box refuses the medium any more.
    browser.open(&format!("{}/ops/review?tab=reports", hub.address()));
    let of = hub.query("SELECT box FROM reviews")[0].clone();
    browser.open(&format!("{}/ops/review/{of}/{id}", hub.address()));
    browser.reads(".receipt", "applied");
    browser.keys("u");
    browser.appears(".decided.gone");
    until("it is held again", || (status(&one, &id) == json!("held")).then_some(()));
    until("nobody refuses it any more", || {
        [&one, &two, &three]
            .iter()
            .all(|edge| posted(edge, &medium) == json!("approved"))
            .then_some(())
    });
    // The entries of the list may have been matched before the moderator's word came.
    let open = "SELECT tab FROM reviews WHERE open AND number >= 2";
    until("it waits again", || hub.query(open).pop());
    let actions = hub.query("SELECT action FROM audit WHERE action LIKE 'review%' ORDER BY seq");
    assert_eq!(actions, ["review.reveal", "review.decide", "review.undo"]);
    assert_eq!(browser.console(), Vec::<String>::new(), "no error, nothing refused by policy");
}
