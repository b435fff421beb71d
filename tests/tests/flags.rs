//! Feature flags from the hub's page to the platform that asks its box: real `weir` and `weir-hub` on Postgres. The oracle is what the box's API
//! answers to the platform.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::edge::{Edge, until};
use rig::hub::Hub;
use rig::ops::{Page, Person, Visitor};
use rig::weir;
use serde_json::{Value, json};

fn switch(visitor: &Visitor<'_>, name: &str, to: &str, what: &str) -> Page {
    let form = [("name", name), ("to", to), ("what", what), ("why", "the films are open")];
    visitor.send("/ops/flags", &form)
}

fn comes_to(edge: &Edge, flags: &Value) {
    until("flags", || {
        (edge.service().get("/v1/flags").body == json!({ "flags": flags })).then_some(())
    });
}

/// What the page says in the row of a flag, tags left out.
fn row(visitor: &Visitor<'_>, name: &str, to: &str) -> String {
    let page = visitor.see("/ops/flags");
    assert_eq!(page.status, 200, "{page:?}");
    let rows = page
        .body
        .split("</tr>")
        .filter_map(|row| row.split_once("<tr>"))
        .map(|(_, row)| row)
        .filter(|row| row.contains(&format!("<code>{name}</code>")));
    let mut rows = rows.map(|row| {
        let texts =
            row.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text.trim());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ")
    });
    rows.find(|row| row.starts_with(&format!("{name} | {to} | "))).unwrap_or_default()
}

fn comes_to_say(visitor: &Visitor<'_>, name: &str, to: &str, what: &str) {
    until(what, || row(visitor, name, to).contains(what).then_some(()));
}

#[test]
fn what_is_switched_at_the_hub_the_platform_reads_at_its_box() {
    let hub = Hub::start();
    for tenant in ["default", "film"] {
        hub.run(&["tenant", "add", tenant]);
    }
    let ann = Person::new(&hub, "ann", "admin", &[]);
    let ann = ann.visit(&hub);
    let (one, two) = (Edge::new(), Edge::new());
    hub.enroll_as("one", &one.data(), &["default"]);
    hub.enroll_as("two", &two.data(), &["film"]);
    for edge in [&one, &two] {
        edge.waits("connected", |state| state["path"] == "quic");
    }
    comes_to(&one, &json!({}));

    assert_eq!(switch(&ann, "movies", "fleet", "on").status, 303);
    comes_to(&one, &json!({ "movies": true }));
    comes_to(&two, &json!({ "movies": true }));
    comes_to_say(&ann, "movies", "the whole fleet", "on | 2, 0, 0");

    // Per site: of this tenant only, and its word goes before the one for all.
    assert_eq!(switch(&ann, "movies", "tenant/default", "off").status, 303);
    comes_to(&one, &json!({ "movies": false }));
    comes_to(&two, &json!({ "movies": true }));
    comes_to_say(&ann, "movies", "tenant/default", "off | 0, 1, 0");

    // By hand at the box, which the page tells from what was ordered.
    let data = two.data();
    let words = ["flag", "set", "movies", "off", "--data", data.to_str().unwrap()];
    assert_eq!(weir::run(words).code, Some(0));
    comes_to_say(&ann, "movies", "the whole fleet", "on | 1, 1, 0 | Not as ordered | two");
    let words = ["flag", "set", "night", "on", "--data", data.to_str().unwrap()];
    assert_eq!(weir::run(words).code, Some(0));
    comes_to_say(&ann, "night", "–", "by hand at the box");

    let audited = hub.query(
        "SELECT action || ' ' || subject || ' ' || (convert_from(record, 'utf8')::jsonb->>'why') FROM audit WHERE action = 'flag.order'",
    );
    assert_eq!(audited, vec!["flag.order movies the films are open"; 2]);
}

#[test]
fn flags_are_switched_only_by_whom_they_concern_and_with_a_name_and_a_reason() {
    let hub = Hub::start();
    for tenant in ["shop", "film"] {
        hub.run(&["tenant", "add", tenant]);
    }
    let limited = Person::new(&hub, "ben", "admin", &["shop"]);
    let limited = limited.visit(&hub);
    assert_eq!(switch(&limited, "a", "tenant/film", "on").status, 404);
    assert_eq!(switch(&limited, "a", "fleet", "on").status, 403);
    assert_eq!(switch(&limited, "a", "box/00000000-0000-0000-0000-000000000007", "on").status, 403);
    assert_eq!(switch(&limited, "a", "tenant/shop", "on").status, 303);
    let ann = Person::new(&hub, "ann", "admin", &[]);
    let ann = ann.visit(&hub);
    assert_eq!(switch(&ann, "b", "tenant/film", "on").status, 303);
    assert!(row(&limited, "b", "tenant/film").is_empty(), "another tenant's is not there");
    assert!(!row(&ann, "b", "tenant/film").is_empty());
    for (name, to, what) in [
        ("", "fleet", "on"),
        ("two words", "fleet", "on"),
        ("a", "nobody", "on"),
        ("a", "fleet", "perhaps"),
    ] {
        let page = switch(&ann, name, to, what);
        assert_eq!(page.status, 422, "{name} {to} {what}: {page:?}");
    }
    assert_eq!(switch(&ann, "a", "tenant/nobody", "on").status, 404);
    assert_eq!(switch(&ann, "a", "box/00000000-0000-0000-0000-000000000007", "on").status, 404);
    let without = [("name", "a"), ("to", "fleet"), ("what", "on"), ("why", "")];
    assert_eq!(ann.send("/ops/flags", &without).status, 422);
    assert_eq!(hub.query("SELECT count(*)::text FROM directives WHERE kind = 'flag'"), ["2"]);
}
