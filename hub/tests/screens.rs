//! Who may do what at the screens, by plain HTTPS against the real hub on Postgres: cell by cell, and by those who try other ways.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hub::account::Role;
use hub::screens::table;
use rig::hub::Hub;
use rig::ops::{Page, Person, Visitor};
use uuid::Uuid;

/// A path of the table with something in the place of its names.
fn filled(path: &str, with: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { with } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

fn call(visitor: &Visitor<'_>, hub: &Hub, method: &str, path: &str) -> Page {
    match method {
        "GET" if path.ends_with("/live") => Page {
            status: hub.status(path, &visitor.cookie),
            location: String::new(),
            cookies: Vec::new(),
            headers: Vec::new(),
            body: String::new(),
        },
        "GET" => visitor.see(path),
        _ => visitor.send(path, &[]),
    }
}

#[test]
fn each_role_may_what_the_matrix_says_and_nothing_else() {
    let hub = Hub::start();
    let nobody = Uuid::from_u128(7).to_string();
    for role in Role::ALL {
        let visitor = Person::new(&hub, role.as_str(), role.as_str(), &[]).visit(&hub);
        for (method, path, right) in table() {
            if path == "/ops/leave" {
                continue;
            }
            let page = call(&visitor, &hub, method, &filled(path, &nobody));
            // Of what goes on for ever only the status is read.
            let said = page.body.contains(" may not ") || path.ends_with("/live");
            let refused = page.status == 403 && said;
            assert_eq!(refused, !role.may(right), "{role} {method} {path}: {page:?}");
            assert!(!matches!(page.status, 401 | 500..), "{role} {method} {path}: {page:?}");
        }
        assert_eq!(visitor.send("/ops/leave", &[]).status, 303);
        assert_eq!(visitor.see("/ops/me").status, 303, "the session is over");
    }
    let cells = table().len() * Role::ALL.len();
    assert!(cells > 150, "{cells} cells");
}

#[test]
fn without_a_session_nothing_opens_and_a_form_of_another_session_changes_nothing() {
    let hub = Hub::start();
    let (ann, ben) =
        (Person::new(&hub, "ann", "admin", &[]), Person::new(&hub, "ben", "admin", &[]));
    let (ann, ben) = (ann.visit(&hub), ben.visit(&hub));
    let nobody = Uuid::from_u128(7).to_string();
    for (method, path, _) in table() {
        let path = filled(path, &nobody);
        if method == "GET" {
            let page = hub.see(&path, "__Host-weir=0000");
            assert_eq!(page.status, 303, "{path}: {page:?}");
            assert!(page.location.starts_with("/ops/login?next=%2Fops"), "{page:?}");
            continue;
        }
        assert_eq!(hub.send(&path, "", &[("csrf", &ann.csrf)]).status, 401, "{path}");
        let forms = [
            hub.send(&path, &ann.cookie, &[]),
            hub.send(&path, &ann.cookie, &[("csrf", &ben.csrf)]),
            hub.send_with(
                &path,
                &[("cookie", &ann.cookie), ("origin", "https://evil.example")],
                &[("csrf", &ann.csrf)],
            ),
            hub.send_with(
                &path,
                &[("cookie", &ann.cookie), ("sec-fetch-site", "cross-site")],
                &[("csrf", &ann.csrf)],
            ),
        ];
        for page in forms {
            assert_eq!(page.status, 403, "{path}: {page:?}");
        }
    }
    assert_eq!(ann.see("/ops/me").status, 200, "nobody was logged out by it");
    let page = ann.see("/ops/me");
    let header = |name: &str| {
        page.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };
    assert!(header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("x-frame-options").as_deref(), Some("DENY"));
}

#[test]
fn a_cookie_from_before_is_never_a_session_and_half_a_one_opens_nothing() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let planted = "__Host-weir=planted";
    let visitor = ann.visit(&hub);
    assert_ne!(visitor.cookie, planted);
    assert_eq!(hub.see("/ops/me", planted).status, 303);
    let half = ann.half(&hub);
    assert_eq!(hub.see("/ops/me", &half).status, 303);
    assert_eq!(hub.see("/ops/me", &half.replace("__Host-weir-half", "__Host-weir")).status, 303);
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "/ops/../../evil"] {
        let page = hub.see(&format!("/ops/login?next={next}"), "");
        assert!(!page.body.contains("evil.example"), "{page:?}");
    }
    // The invitation was good once.
    let codes = hub.query("SELECT count(*) FROM invitations WHERE used_at IS NULL");
    assert_eq!(codes, ["0"]);
}

#[test]
fn guessing_ends_after_five_and_a_code_is_good_once() {
    let hub = Hub::start();
    let (ann, ben) =
        (Person::new(&hub, "ann", "moderator", &[]), Person::new(&hub, "ben", "moderator", &[]));
    let guess = |name: &str| {
        hub.send("/ops/login", "", &[("name", name), ("password", "wrong wrong wrong")])
    };
    for _ in 0..5 {
        assert_eq!(guess("ann").status, 401);
    }
    assert_eq!(guess("ann").status, 429);
    assert_eq!(ann.knock(&hub).status, 429, "the right one neither");
    ben.visit(&hub);
    // Who does not exist is as wrong as who does.
    let (known, unknown) = (guess("ben"), guess("nobody"));
    assert_eq!((known.status, known.body.replace("ben", "nobody")), (unknown.status, unknown.body));
    // The database says it for all nodes, and forgets after a quarter of an hour.
    hub.query("UPDATE login_failures SET at = at - interval '16 minutes'");
    ann.visit(&hub);
    assert_eq!(ann.code_again(&hub).status, 401, "the same code once more");
}

/// A box and an item of each tenant, straight into the tables.
fn items(hub: &Hub, tenants: &[&str]) -> Vec<(String, String)> {
    let of = Uuid::from_u128(0xb0c5).to_string();
    hub.query(&format!("INSERT INTO boxes (box, name, public_key, serial) VALUES ('{of}', 'box', decode(repeat('00', 32), 'hex'), 'x')"));
    let item = |(n, tenant): (usize, &&str)| {
        let subject = Uuid::from_u128(1000 + n as u128).to_string();
        hub.query(&format!(
            "INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, since, due_at)
             VALUES ('{of}', '{subject}', 'flagged', '{tenant}', 2, 'violence', '{{violence}}', 0, now(), now() + interval '1 day')"
        ));
        (of.clone(), subject)
    };
    tenants.iter().enumerate().map(item).collect()
}

#[test]
fn another_tenants_item_is_not_there_by_whichever_way() {
    let hub = Hub::start();
    for tenant in ["campus", "film"] {
        hub.run(&["tenant", "add", tenant]);
    }
    let items = items(&hub, &["campus", "film"]);
    let ann = Person::new(&hub, "ann", "senior_moderator", &["campus"]).visit(&hub);
    let (of, other) = &items[1];
    for (method, path, _) in
        table().iter().filter(|(_, path, _)| path.starts_with("/ops/review/{box}/{subject}"))
    {
        let path = path.replace("{box}", of).replace("{subject}", other);
        let form = [
            ("verb", "approve"),
            ("reason", "because"),
            ("seen", "0"),
            ("text", "hello"),
            ("to", ""),
        ];
        let page = if *method == "GET" { ann.see(&path) } else { ann.send(&path, &form) };
        assert_eq!(page.status, 404, "{path}: {page:?}");
    }
    hub.query("SELECT ensure_day(now()::date)");
    hub.query(&format!("INSERT INTO verdicts VALUES ('{of}', 1, 1, 1, '{other}', 0, NULL, true, 0, now(), 'film', 'held', 'high', 'hide', 'p@1', '[]', '{{}}')"));
    hub.query(&format!(
        "INSERT INTO review_decisions (box, subject, decision, tab, tenant, verb, seen, policy, reason, remember, account, actor)
         VALUES ('{of}', '{other}', '{of}', 'flagged', 'film', 'approve', 0, 'none', 'x', false, '{of}', 'x')"
    ));
    assert_eq!(ann.send(&format!("/ops/review/{of}/decisions/{of}/undo"), &[]).status, 404);
    hub.query("DELETE FROM review_decisions");
    assert_eq!(ann.see(&format!("/ops/verdicts/{of}/{other}")).status, 404);
    assert_eq!(ann.see(&format!("/ops/verdicts/{of}/{other}/proof")).status, 403);
    assert!(!ann.see("/ops/verdicts").body.contains(&other[28..]));
    let list = [
        ("tenant", "film"),
        ("what", "on"),
        ("of", "sha256"),
        ("category", "hate"),
        ("why", "because"),
        ("hash", &"ab".repeat(32)),
    ];
    assert_eq!(ann.send("/ops/lists", &list).status, 404);
    let queue = ann.see("/ops/review");
    assert!(queue.body.contains(&items[0].1[28..]) && !queue.body.contains(&items[1].1[28..]));
    let bulk = [("item", format!("{of}/{other}/0"))];
    let form = [("item", bulk[0].1.as_str()), ("verb", "approve"), ("reason", "because")];
    assert_eq!(ann.send("/ops/review/bulk", &form).status, 303);
    assert_eq!(hub.query("SELECT count(*) FROM review_decisions"), ["0"]);
    assert_eq!(hub.query("SELECT count(*) FROM directives"), ["0"]);
}

#[test]
fn of_many_who_decide_one_item_at_once_one_does() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "campus"]);
    let (of, subject) = items(&hub, &["campus"]).remove(0);
    let people: Vec<Person> =
        (0..4).map(|n| Person::new(&hub, &format!("m{n}"), "moderator", &[])).collect();
    let visitors: Vec<Visitor<'_>> = people.iter().map(|person| person.visit(&hub)).collect();
    let path = format!("/ops/review/{of}/{subject}");
    let claimed = |visitor: &Visitor<'_>| visitor.send(&format!("{path}/claim"), &[]).status;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = visitors.iter().map(|v| scope.spawn(move || claimed(v))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    let winner = statuses.iter().position(|status| *status == 303).unwrap();
    let form = [("verb", "approve"), ("reason", "no violation"), ("seen", "0")];
    // The one who has it sends the form from two windows, the others try as well.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let (path, form) = (&path, &form);
        let all: Vec<_> = visitors
            .iter()
            .chain([&visitors[winner]])
            .map(|v| scope.spawn(move || v.send(&format!("{path}/decide"), form).status))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 4, "{statuses:?}");
    assert_eq!(hub.query("SELECT count(*) FROM review_decisions"), ["1"]);
    assert_eq!(hub.query("SELECT count(*) FROM directives"), ["1"]);
    assert_eq!(hub.query("SELECT count(*) FROM audit WHERE action = 'review.decide'"), ["1"]);
}

#[test]
fn what_takes_two_people_is_not_done_by_one() {
    let hub = Hub::start();
    let (of, _) = items(&hub, &["campus"]).remove(0);
    let (ann, ben) =
        (Person::new(&hub, "ann", "admin", &[]), Person::new(&hub, "ben", "admin", &[]));
    let (ann, ben) = (ann.visit(&hub), ben.visit(&hub));
    // Whoever hands out the invitation could be the other person.
    assert_eq!(
        ann.send(
            "/ops/accounts",
            &[("name", "eve"), ("shown", ""), ("role", "admin"), ("tenants", "")]
        )
        .status,
        200
    );
    assert_eq!(hub.query("SELECT role FROM accounts WHERE name = 'eve'"), ["observer"]);
    hub.query("UPDATE accounts SET role = 'admin' WHERE name = 'eve'; DELETE FROM approvals");
    let settings = hub.settings();
    let line = hub.run(&["account", "invite", "eve", "--config", settings.to_str().unwrap()]);
    let eve = Person::invited(&hub, "eve", &line).visit(&hub);
    let revoke =
        ann.send(&format!("/ops/fleet/{of}"), &[("what", "revoke"), ("why", "it was stolen")]);
    assert_eq!(revoke.status, 303, "{revoke:?}");
    let state = || hub.query("SELECT state FROM boxes");
    assert_eq!(state(), ["enrolled"]);
    let id = hub.query("SELECT approval FROM approvals").remove(0);
    let path = format!("/ops/approvals/{id}");
    assert_eq!(ann.send(&path, &[("grant", "1")]).status, 403, "not by who asked");
    assert_eq!(eve.send(&path, &[("grant", "1")]).status, 403, "not by whom they let in");
    assert_eq!(state(), ["enrolled"]);
    assert_eq!(ben.send(&path, &[("grant", "1")]).status, 303);
    assert_eq!(state(), ["revoked"]);
    assert_eq!(ben.send(&path, &[("grant", "1")]).status, 404, "once");
    let actions = hub.query(
        "SELECT action FROM audit WHERE action LIKE 'approval%' OR action LIKE 'box%' ORDER BY seq",
    );
    assert_eq!(actions, ["box.revoke.ask", "approval.grant"]);
}

#[test]
fn an_appeal_is_decided_by_another_person_and_a_decision_of_the_machine_is_enough_for_it() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "campus"]);
    let (of, subject) = items(&hub, &["campus"]).remove(0);
    hub.query("SELECT ensure_day(now()::date)");
    // As it comes from a box: the queue never heard of the machine's decision.
    hub.query("UPDATE reviews SET tab = 'appeals', appealed = 0, number = NULL");
    hub.query(&format!("INSERT INTO verdicts VALUES ('{of}', 1, 1, 1, '{subject}', 0, NULL, true, 0, now(), 'campus', 'rejected', 'high', 'reject', 'p@1', '[]', '{{}}')"));
    let names = ["ann", "ben", "cat"];
    let roles = ["senior_moderator", "senior_moderator", "moderator"];
    let people: Vec<Person> =
        names.iter().zip(roles).map(|(name, role)| Person::new(&hub, name, role, &[])).collect();
    let [ann, ben, cat] = [0, 1, 2].map(|n| people[n].visit(&hub));
    let first = hub.query("SELECT account FROM accounts WHERE name = 'ann'").remove(0);
    hub.query(&format!(
        "INSERT INTO review_decisions (box, subject, decision, tab, tenant, verb, seen, policy, reason, remember, account, actor)
         VALUES ('{of}', '{subject}', '{of}', 'flagged', 'campus', 'dismiss', NULL, 'none', 'x', false, '{first}', 'ann')"
    ));
    let path = format!("/ops/review/{of}/{subject}");
    let form = [("verb", "approve"), ("reason", "it is a painting"), ("seen", "0")];
    assert_eq!(cat.send(&format!("{path}/claim"), &[]).status, 409, "not by a moderator");
    assert_eq!(ann.send(&format!("{path}/claim"), &[]).status, 303);
    let again = ann.send(&format!("{path}/decide"), &form);
    assert!(
        again.status == 409 && again.body.contains("somebody else decides the appeal"),
        "{again:?}"
    );
    assert_eq!(ann.send(&format!("{path}/release"), &[("tab", "appeals")]).status, 303);
    assert_eq!(
        ann.send("/ops/review/next", &[("tab", "appeals")]).location,
        "/ops/review?tab=appeals&done=empty"
    );
    assert_eq!(ben.send("/ops/review/next", &[("tab", "appeals")]).location, path);
    let done = ben.send(&format!("{path}/decide"), &form);
    assert_eq!(done.status, 303, "{done:?}");
    let children = [
        ("verb", "reject"),
        ("category", "sexual/minors"),
        ("severity", "critical"),
        ("reason", "because"),
        ("seen", "0"),
    ];
    hub.query("DELETE FROM review_decisions; UPDATE reviews SET open = true, tab = 'flagged', appealed = NULL");
    assert_eq!(cat.send(&format!("{path}/claim"), &[]).status, 303);
    assert_eq!(cat.send(&format!("{path}/decide"), &children).status, 409, "escalate it");
    assert_eq!(cat.send(&format!("{path}/escalate"), &[]).status, 303);
    assert_eq!(cat.send(&format!("{path}/claim"), &[]).status, 409);
}

#[test]
fn an_erasure_names_nobody_and_is_ordered_once_a_second_person_approves() {
    let hub = Hub::start();
    hub.run(&["tenant", "add", "campus"]);
    let (ann, ben) =
        (Person::new(&hub, "ann", "support", &[]), Person::new(&hub, "ben", "admin", &[]));
    let (ann, ben) = (ann.visit(&hub), ben.visit(&hub));
    let form = [("tenant", "campus"), ("author", "zuri@example.org"), ("why", "they asked us to")];
    assert_eq!(ann.send("/ops/erasures", &form).status, 303);
    assert_eq!(hub.query("SELECT count(*) FROM directives"), ["0"]);
    let id = hub.query("SELECT approval FROM approvals").remove(0);
    assert_eq!(ben.send(&format!("/ops/approvals/{id}"), &[("grant", "1")]).status, 303);
    assert_eq!(hub.query("SELECT kind, lane FROM directives"), ["erase|tenant/campus"]);
    assert!(ann.see("/ops/erasures").body.contains("tenant/campus 1"));
    let kept = "SELECT string_agg(a::text, '') || (SELECT string_agg(convert_from(record, 'utf8'), '') FROM audit) FROM approvals a";
    assert!(!hub.query(kept).remove(0).contains("zuri@"));
}

#[test]
fn a_hub_with_somebody_watching_stops_in_order() {
    let mut hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]).visit(&hub);
    let watching = hub.watch("/ops/review/live", &ann.cookie);
    drop(ann);
    assert_eq!(hub.stop(), Some(0));
    drop(watching);
}

#[test]
fn an_audit_entry_that_was_changed_taken_out_or_put_in_is_told() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "admin", &[]).visit(&hub);
    let held = |page: &Page| page.body.contains("id=\"verified\"");
    assert!(held(&ann.see("/ops/audit?verify=1")));
    for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"] {
        assert!(hub.try_query(sql).is_err(), "{sql}");
    }
    let off = "SET session_replication_role = replica; ";
    for (change, back) in [
        (
            "UPDATE audit SET actor = 'eve' WHERE seq = 2",
            "UPDATE audit SET actor = convert_from(record, 'utf8')::json->>'actor' WHERE seq = 2",
        ),
        (
            "UPDATE audit SET record = convert_to(replace(convert_from(record, 'utf8'), 'ann', 'eve'), 'utf8') WHERE seq = 1",
            "UPDATE audit SET record = convert_to(replace(convert_from(record, 'utf8'), 'eve', 'ann'), 'utf8') WHERE seq = 1",
        ),
        (
            "UPDATE audit SET seq = seq + 100 WHERE seq = 2",
            "UPDATE audit SET seq = seq - 100 WHERE seq = 102",
        ),
    ] {
        hub.query(&format!("{off}{change}"));
        let page = ann.see("/ops/audit?verify=1");
        assert!(page.body.contains("id=\"broken\"") && !held(&page), "{change}");
        hub.query(&format!("{off}{back}"));
        assert!(held(&ann.see("/ops/audit?verify=1")), "{back}");
    }
    // A key that somebody puts into the database vouches for nothing.
    hub.query("INSERT INTO hub_keys (public_key) VALUES (decode('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', 'hex'))");
    hub.query(&format!(
        "{off}UPDATE audit SET signature = decode(repeat('00', 64), 'hex') WHERE seq = 1"
    ));
    assert!(ann.see("/ops/audit?verify=1").body.contains("no key of this hub signed it"));
    // An export is noted, and its link is nobody else's.
    let page = ann.send("/ops/audit/export", &[("format", "csv")]);
    let (_, rest) = page.body.split_once("id=\"download\" href=\"").unwrap();
    let link = rest.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&");
    let csv = ann.see(&link);
    assert_eq!(csv.status, 200, "{csv:?}");
    assert!(
        csv.body.starts_with("seq,at_ms,actor") && csv.body.contains("\"audit.export\""),
        "{csv:?}"
    );
    let ben = Person::new(&hub, "ben", "admin", &[]).visit(&hub);
    assert_eq!(ben.see(&link).status, 403);
    assert_eq!(ann.see(&link.replace("format=csv", "format=json")).status, 403);
}

#[test]
fn what_does_not_read_is_refused_on_a_page_in_the_language_of_its_reader() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "admin", &[]).visit(&hub);
    hub.query("UPDATE accounts SET language = 'fr' WHERE name = 'ann'");
    let twice = [("name", "a"), ("name", "b"), ("to", "fleet"), ("what", "on"), ("why", "a test")];
    let nobody = Uuid::from_u128(7);
    for (page, status) in [
        (ann.send("/ops/flags", &twice), 422),
        (ann.send("/ops/flags", &[("name", "a")]), 422),
        (ann.see("/ops/verdicts?status=held&status=failed"), 422),
        (ann.see("/ops/fleet/nobody"), 404),
        (ann.see(&format!("/ops/verdicts/{nobody}/x")), 404),
    ] {
        assert_eq!(page.status, status, "{page:?}");
        assert!(page.body.starts_with("<!doctype html>"), "{page:?}");
        assert!(page.body.contains("lang=\"fr\""), "{page:?}");
    }
    assert_eq!(hub.query("SELECT count(*)::text FROM directives"), ["0"]);
}
