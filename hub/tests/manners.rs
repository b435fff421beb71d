//! What the screens keep for whoever uses them: what was typed, the way back, names, and other tenants' boxes out of sight.

use rig::hub::Hub;
use rig::ops::{Page, Person};
use uuid::Uuid;

const HOSTILE: &str = "<script>x</script>\"'&{why}";

/// The same as it stands in a page.
const ESCAPED: &str = "&#60;script&#62;x&#60;/script&#62;&#34;&#39;&#38;{why}";

/// A box that serves these tenants.
fn a_box(hub: &Hub, number: u128, name: &str, tenants: &[&str]) -> String {
    let of = Uuid::from_u128(number).to_string();
    hub.query(&format!("INSERT INTO boxes (box, name, public_key, serial, region) VALUES ('{of}', '{name}', decode(lpad('{number:x}', 64, '0'), 'hex'), 'x', '{name}-region')"));
    for tenant in tenants {
        hub.query(&format!("INSERT INTO box_tenants (box, tenant) VALUES ('{of}', '{tenant}')"));
    }
    of
}

fn an_item(hub: &Hub, of: &str, number: u128) -> String {
    let subject = Uuid::from_u128(number).to_string();
    hub.query(&format!(
        "INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, since, due_at)
         VALUES ('{of}', '{subject}', 'flagged', 'campus', 2, 'violence', '{{violence}}', 0, now(), now() + interval '1 day')"
    ));
    subject
}

fn has(page: &Page, what: &str) -> bool {
    page.body.contains(what)
}

#[test]
fn a_form_that_was_refused_comes_again_with_what_was_typed() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "campus"]);
    let of = a_box(&hub, 0xb0c5, "campus-north", &["campus"]);
    let subject = an_item(&hub, &of, 1000);
    let person = Person::new(&hub, "ann", "senior_moderator", &[]);
    let ann = person.visit(&hub);
    let path = format!("/ops/review/{of}/{subject}");
    assert_eq!(ann.send(&format!("{path}/claim"), &[]).status, 303);
    // 422: nothing names the policy.
    let form = [
        ("verb", "reject"),
        ("severity", "critical"),
        ("reason", HOSTILE),
        ("seen", "0"),
        ("remember", "1"),
    ];
    let page = ann.send(&format!("{path}/decide"), &form);
    assert_eq!(page.status, 422, "{page:?}");
    assert!(
        has(
            &page,
            "id=\"wrong\">Not done: choose the policy that it breaks: a rejection names one."
        ),
        "{page:?}"
    );
    assert!(
        has(&page, &format!("name=\"reason\" value=\"{ESCAPED}\"")) && !has(&page, "<script>x"),
        "{page:?}"
    );
    for chosen in [
        "value=\"reject\" data-key=\"t\" checked",
        "<option value=\"critical\" selected>",
        "name=\"remember\" value=\"1\" checked",
    ] {
        assert!(has(&page, chosen), "{chosen}: {page:?}");
    }
    // 409: the machine has spoken meanwhile.
    hub.query("UPDATE reviews SET number = 1");
    let form = [("verb", "approve"), ("severity", "low"), ("reason", "a film"), ("seen", "0")];
    let page = ann.send(&format!("{path}/decide"), &form);
    assert!(
        page.status == 409
            && has(&page, "there is a newer decision")
            && has(&page, "name=\"reason\" value=\"a film\""),
        "{page:?}"
    );
    assert!(
        has(&page, "name=\"seen\" value=\"1\""),
        "looked at again, it can be handed in: {page:?}"
    );
    // 409: another one has it in hand; the form is theirs, the words are not lost.
    hub.query("UPDATE reviews SET claimed_by = gen_random_uuid()");
    let page = ann.send(&format!("{path}/decide"), &form);
    assert!(page.status == 409 && has(&page, "id=\"typed\">What you wrote: “a film”"), "{page:?}");
    let page = ann.send(&format!("{path}/escalate"), &[("reason", "a film")]);
    assert!(page.status == 409 && has(&page, "What you wrote: “a film”"), "{page:?}");
    // 422: too long a comment.
    let long = "x".repeat(2001);
    let page = ann.send(&format!("{path}/comment"), &[("text", &long)]);
    assert!(
        page.status == 422 && has(&page, &format!("required>{long}</textarea>")),
        "{}",
        page.status
    );
    assert_eq!(hub.query("SELECT count(*) FROM review_decisions"), ["0"]);

    let hash = "ab".repeat(31);
    let form = [
        ("tenant", "campus"),
        ("of", "pdq"),
        ("hash", &hash),
        ("distance", "7"),
        ("category", "hate"),
        ("why", HOSTILE),
        ("what", "on"),
        ("protected", "1"),
    ];
    let page = ann.send("/ops/lists", &form);
    assert!(page.status == 422 && has(&page, "id=\"wrong\">Not done: "), "{page:?}");
    for typed in [
        &format!("value=\"{hash}\""),
        &format!("name=\"why\" value=\"{ESCAPED}\""),
        "name=\"distance\" value=\"7\"",
        "<option value=\"hate\" selected>",
        "name=\"protected\" value=\"1\" checked",
    ] {
        assert!(has(&page, typed), "{typed}: {page:?}");
    }
}

#[test]
fn submit_and_next_tells_what_was_done_and_leads_back() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "campus"]);
    let of = a_box(&hub, 0xb0c5, "campus-north", &["campus"]);
    let (first, second) = (an_item(&hub, &of, 1000), an_item(&hub, &of, 1001));
    let (ann, ben) =
        (Person::new(&hub, "ann", "moderator", &[]), Person::new(&hub, "ben", "moderator", &[]));
    let (ann, ben) = (ann.visit(&hub), ben.visit(&hub));
    let at = ann.send("/ops/review/next", &[("tab", "flagged")]).location;
    assert!(at.contains(&first), "{at}");
    let form = [("verb", "approve"), ("reason", "no violation"), ("seen", "0"), ("then", "next")];
    let gone = ann.send(&format!("/ops/review/{of}/{first}/decide"), &form);
    assert!(gone.status == 303 && gone.location.contains(&second), "{gone:?}");
    let decision = hub.query("SELECT decision FROM review_decisions").remove(0);
    let page = ann.see(&gone.location);
    assert!(
        has(&page, &format!("The item before, {}: <strong>approve</strong>.", &first[28..])),
        "{page:?}"
    );
    let undo = format!("/ops/review/{of}/decisions/{decision}/undo");
    assert!(has(&page, &format!("action=\"{undo}\"")), "{page:?}");
    // It is told to whoever made it, and only while it stands.
    assert!(!has(&ben.see(&gone.location), &undo));
    for made in ["x", "x/y", &format!("{of}/{of}"), "%3Cscript%3E/1"] {
        let page = ann.see(&format!("/ops/review/{of}/{second}?made={made}"));
        assert!(page.status == 200 && !has(&page, "The item before"), "{made}: {page:?}");
    }
    // The queue tells of the last one.
    let gone = ann.send(&format!("/ops/review/{of}/{second}/decide"), &form);
    assert!(gone.location.contains("done=empty&made="), "{gone:?}");
    assert!(has(&ann.see(&gone.location), &format!("The item before, {}", &second[28..])));
    assert_eq!(ann.send(&undo, &[]).status, 303);
    assert!(
        !has(
            &ann.see(&format!("/ops/review/{of}/{second}?made={of}/{decision}")),
            "The item before"
        ),
        "it was taken back"
    );
}

#[test]
fn what_waits_for_a_second_person_is_told_by_names() {
    let hub = Hub::start();
    let of = a_box(&hub, 0xb0c5, "campus-north", &[]);
    let (ann, _) =
        (Person::new(&hub, "ann", "admin", &[]), Person::new(&hub, "ben", "observer", &[]));
    let ann = ann.visit(&hub);
    hub.query("UPDATE accounts SET shown = 'Benedikta' WHERE name = 'ben'");
    let ben = hub.query("SELECT account FROM accounts WHERE name = 'ben'").remove(0);
    let why = ("why", "she runs the boxes now");
    assert_eq!(
        ann.send(&format!("/ops/accounts/{ben}"), &[("what", "role"), ("role", "admin"), why])
            .status,
        303
    );
    assert_eq!(ann.send(&format!("/ops/fleet/{of}"), &[("what", "revoke"), why]).status, 303);
    let page = ann.see("/ops/approvals");
    assert!(has(&page, "<h2>Benedikta becomes Admin</h2>"), "{page:?}");
    assert!(has(&page, "<h2>campus-north is cut off for good</h2>"), "{page:?}");
    assert!(!has(&page, &ben) && !has(&page, &of), "{page:?}");
}

#[test]
fn the_navigation_leads_nowhere_that_one_may_not_go() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "film"]);
    for (name, role, tenants) in [
        ("ann", "admin", &[][..]),
        ("eve", "admin", &["film"]),
        ("ben", "senior_moderator", &["film"]),
        ("zoe", "analyst", &["film"]),
    ] {
        let who = Person::new(&hub, name, role, tenants).visit(&hub);
        let page = who.see("/ops/me");
        let nav = page.body.split("</nav>").next().unwrap_or_default();
        let links: Vec<&str> = nav
            .split("<a href=\"/ops/")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('"')?.0))
            .collect();
        assert!(links.contains(&"policies"), "{name}: {links:?}");
        assert_eq!(links.contains(&"rollouts"), tenants.is_empty(), "{name}: {links:?}");
        for link in links {
            assert_eq!(who.see(&format!("/ops/{link}")).status, 200, "{name}: {link}");
        }
    }
}

#[test]
fn boxes_of_other_tenants_are_not_there_for_who_sees_some() {
    let hub = Hub::start();
    for tenant in ["campus", "film"] {
        hub.run(&["tenant", "add", tenant]);
    }
    let campus = a_box(&hub, 1, "campus-north", &["campus"]);
    let film = a_box(&hub, 2, "film-south", &["film"]);
    let both = a_box(&hub, 3, "shared-east", &["campus", "film"]);
    let names =
        |page: &Page| ["campus-north", "film-south", "shared-east"].map(|name| has(page, name));
    hub.query(&format!(
        "INSERT INTO box_models (box, model, stage, cause, at) SELECT box, 'm@1', 'active', 'command', 0 FROM boxes;
         INSERT INTO box_flags (box, flag, is_on, at) SELECT '{both}', f, true, 0 FROM unnest(ARRAY['tenant/campus:a', 'tenant/film:b', 'c']) f"
    ));
    let flags = |page: &Page| ["campus:a", "film:b", "<code>c<"].map(|flag| has(page, flag));
    let all = Person::new(&hub, "ann", "senior_moderator", &[]).visit(&hub);
    assert_eq!(names(&all.see("/ops/fleet")), [true; 3]);
    assert_eq!(names(&all.see("/ops/models")), [true; 3]);
    assert_eq!(flags(&all.see("/ops/flags")), [true; 3]);
    assert!(has(&all.see("/ops/overview"), "<small>of 3</small>"), "boxes");
    for (name, role) in [("ben", "senior_moderator"), ("eve", "admin")] {
        let some = Person::new(&hub, name, role, &["campus"]).visit(&hub);
        let list = some.see("/ops/fleet");
        assert_eq!(names(&list), [true, false, true], "{role}: {list:?}");
        assert!(has(&list, "<dt>Boxes</dt><dd>2</dd>") && !has(&list, "film"), "{list:?}");
        assert_eq!(names(&some.see("/ops/models")), [true, false, true], "{role}");
        assert_eq!(flags(&some.see("/ops/flags")), [true, false, true], "{role}");
        assert!(has(&some.see("/ops/overview"), "<small>of 2</small>"), "{role}: boxes");
        let status = |of: &str| some.see(&format!("/ops/fleet/{of}")).status;
        assert_eq!([&campus, &film, &both].map(|of| status(of)), [200, 404, 200], "{role}");
        assert!(
            !has(&some.see(&format!("/ops/fleet/{both}")), "film"),
            "nor whom it serves beside"
        );
        if role == "senior_moderator" {
            assert_eq!(
                names(&some.see("/ops/review")),
                [true, false, true],
                "regions to choose from"
            );
        }
    }
}
