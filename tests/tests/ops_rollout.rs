//! A policy from the editor to the fleet, and back: the real hub, two real boxes, a release key that the hub does not have. The oracle is what boxes
//! decide.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::edge::{Edge, until};
use rig::hub::Hub;
use rig::media::photo;
use rig::ops::{Page, Person, Visitor};
use serde_json::{Value, json};

/// Rejects what says so; a case holds it to that.
const STRICT: &str = r#"name = "strict"
version = 2
required = []

[[rule]]
id = "post"
when = 'context.surface == "post"'
category = "spam"
severity = "high"
reason = "closed"

[[case]]
name = "posts are closed"
evidence.context.surface = "post"
expect = { status = "rejected" }
"#;

struct Site {
    hub: Hub,
    dir: tempfile::TempDir,
    north: Edge,
    south: Edge,
}

impl Site {
    fn new() -> Self {
        let mut hub = Hub::start();
        for tenant in ["default", "film"] {
            hub.run(&["tenant", "add", tenant]);
        }
        let dir = tempfile::tempdir().unwrap();
        let public =
            hub.run(&["key", "generate", dir.path().join("release.key").to_str().unwrap()]);
        hub.kill();
        hub.edit("[boxes]\n", &format!("[boxes]\nrelease_key = \"{public}\"\n"));
        hub.serve();
        let (north, south) = (edge(&hub, "north"), edge(&hub, "south"));
        Self { hub, dir, north, south }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn id(&self, name: &str) -> String {
        self.hub.query(&format!("SELECT box FROM boxes WHERE name = '{name}'")).remove(0)
    }

    /// What the release key's machine writes.
    fn signed(&self, version: &str, stages: &[&str]) -> String {
        std::fs::write(self.path("policy.toml"), STRICT).unwrap();
        let (key, file) = (self.path("release.key"), self.path("policy.toml"));
        let mut words =
            vec!["rollout", "sign", "--key", &key, "--name", "starter", "--version", version];
        words.extend(stages.iter().flat_map(|to| ["--to", to]));
        words.push(&file);
        self.hub.run(&words)
    }

    fn bring(&self, visitor: &Visitor<'_>, file: &str) -> Page {
        visitor.send("/ops/rollouts", &[("file", file), ("note", "fewer posts")])
    }

    /// How both boxes decide on a post.
    fn posts(&self, n: u32) -> [Value; 2] {
        [&self.north, &self.south].map(|edge| {
            let meta = json!({ "surface": "post" });
            let answer = edge.service().submit_with(&[("prefer", "wait=30")], &meta, &[&photo(n)]);
            answer.body["status"].clone()
        })
    }

    fn becomes(&self, what: &str, n: u32, want: [&str; 2]) {
        let mut n = n;
        until(what, || {
            n += 1;
            (self.posts(n) == want).then_some(())
        });
    }
}

fn edge(hub: &Hub, name: &str) -> Edge {
    let edge = Edge::new();
    hub.enroll_as(name, &edge.data(), &["default"]);
    edge.waits("connected", |state| state["path"] == "quic");
    edge
}

fn act<'a>(visitor: &Visitor<'_>, path: &str, what: &'a str, more: &[(&'a str, &'a str)]) -> Page {
    let mut form = vec![("what", what), ("why", "as planned")];
    form.extend_from_slice(more);
    visitor.send(path, &form)
}

fn ok(page: &Page) {
    assert_eq!(page.status, 303, "{page:?}");
}

fn refused(page: &Page, with: &str) {
    assert!(page.status >= 400 && page.body.contains(with), "{page:?}");
}

#[test]
fn a_policy_goes_out_stage_by_stage_and_comes_back_everywhere() {
    let site = Site::new();
    let hub = &site.hub;
    let ann = Person::new(hub, "ann", "admin", &[]);
    let (ann, ben) = (ann.visit(hub), Person::new(hub, "ben", "admin", &[]).visit(hub));
    assert_eq!(site.posts(1), ["approved", "approved"]);
    let (north, south) = (site.id("north"), site.id("south"));
    let stages = [&*format!("box/{north}"), "fleet"];
    ok(&site.bring(&ann, &site.signed("10", &stages)));
    refused(&site.bring(&ann, &site.signed("12", &stages)), "another roll-out of starter");
    let path = format!("/ops/rollouts/{}", hub.query("SELECT rollout FROM rollouts")[0]);
    assert_eq!(site.posts(10), ["approved", "approved"], "nothing went out yet");

    // In order only, and not while it is paused.
    refused(&act(&ann, &path, "advance", &[("stage", "2")]), "not this stage&#39;s turn");
    ok(&act(&ann, &path, "pause", &[]));
    refused(&act(&ann, &path, "advance", &[("stage", "1")]), "it is paused");
    ok(&act(&ann, &path, "resume", &[]));
    ok(&act(&ann, &path, "advance", &[("stage", "1")]));
    site.becomes("the pilot has it", 20, ["rejected", "approved"]);
    until("its receipt is there", || {
        ann.see(&path).body.contains("<strong>1</strong> of 1 boxes").then_some(())
    });

    // The fleet takes another person.
    ok(&act(&ann, &path, "advance", &[("stage", "2")]));
    assert_eq!(site.posts(40), ["rejected", "approved"], "not by one person");
    let approval = hub.query("SELECT approval FROM approvals WHERE settled_at IS NULL").remove(0);
    let settle = format!("/ops/approvals/{approval}");
    refused(&ann.send(&settle, &[("grant", "1")]), "somebody else has to approve");
    ok(&ben.send(&settle, &[("grant", "1")]));
    site.becomes("all have it", 50, ["rejected", "rejected"]);
    until("both receipts are there", || {
        ann.see(&path).body.contains("<strong>2</strong> of 2 boxes").then_some(())
    });
    // The pilot follows the fleet from here on.
    ok(&act(&ann, &path, "finish", &[]));
    until("the pilot's own is withdrawn", || {
        let sql = format!(
            "SELECT 1 FROM directive_receipts WHERE lane = 'box/{north}' AND seq = 2 AND refused IS NULL"
        );
        hub.query(&sql).pop()
    });
    assert_eq!(site.posts(70), ["rejected", "rejected"]);

    // And back, by one person, at once.
    ok(&act(&ben, &path, "back", &[]));
    site.becomes("both are as before", 80, ["approved", "approved"]);
    refused(&act(&ben, &path, "back", &[]), "taken back already");
    refused(&site.bring(&ann, &site.signed("11", &stages)), "sign it with 12 or more");
    ok(&site.bring(&ann, &site.signed("12", &[&format!("box/{south}")])));
    let deeds = "SELECT action FROM audit WHERE action LIKE 'rollout%' OR action LIKE 'approval%' ORDER BY seq";
    let expected = [
        "rollout.add",
        "rollout.pause",
        "rollout.resume",
        "rollout.advance",
        "rollout.advance.ask",
        "rollout.advance",
        "approval.grant",
        "rollout.finish",
        "rollout.back",
        "rollout.add",
    ];
    assert_eq!(hub.query(deeds), expected);
}

#[test]
fn a_stage_waits_for_boxes_that_have_not_taken_the_one_before() {
    let mut site = Site::new();
    let (north, south) = (site.id("north"), site.id("south"));
    let signed = site.signed("5", &[&format!("box/{south}"), &format!("box/{north}")]);
    site.south.kill();
    let hub = &site.hub;
    let ann = Person::new(hub, "ann", "admin", &[]).visit(hub);
    ok(&site.bring(&ann, &signed));
    let path = format!("/ops/rollouts/{}", hub.query("SELECT rollout FROM rollouts")[0]);
    ok(&act(&ann, &path, "advance", &[("stage", "1")]));
    refused(&act(&ann, &path, "advance", &[("stage", "2")]), "have not taken it up");
    ok(&act(&ann, &path, "advance", &[("stage", "2"), ("anyway", "1")]));
    let took = format!("SELECT 1 FROM directive_receipts WHERE lane = 'box/{north}'");
    until("the other has it", || hub.query(&took).pop());
    // Taken back before the first one ever heard of it: it ends as it was.
    ok(&act(&ann, &path, "back", &[]));
    site.south.start();
    let took = format!("SELECT seq FROM directive_receipts WHERE lane = 'box/{south}'");
    until("it heard of both", || (site.hub.query(&took).len() == 2).then_some(()));
    assert_eq!(site.posts(1), ["approved", "approved"]);
}

#[test]
fn what_is_not_signed_for_it_or_makes_no_sense_is_not_brought() {
    let site = Site::new();
    let hub = &site.hub;
    let ann = Person::new(hub, "ann", "admin", &[]).visit(hub);
    let (north, film) = (site.id("north"), "tenant/film");
    let good = site.signed("3", &[&format!("box/{north}"), film]);
    let read = || serde_json::from_str::<Value>(&good).unwrap();
    let send = |file: &Value| site.bring(&ann, &file.to_string());
    let mut forged = read();
    let other = forged["stages"][1]["go"]["signature"].clone();
    forged["stages"][0]["go"]["signature"] = other;
    refused(&send(&forged), "stage 1: it is not signed by the release key");
    let mut swapped = read();
    swapped["stages"].as_array_mut().unwrap().reverse();
    refused(&send(&swapped), "narrow stages come first");
    let mut one_way = read();
    one_way["stages"][1]["back"] = one_way["stages"][1]["go"].clone();
    refused(&send(&one_way), "stage 2: its way back is not of the same");
    let mut twice = read();
    twice["stages"][1] = twice["stages"][0].clone();
    refused(&send(&twice), "is a stage twice");
    refused(&send(&json!({ "stages": [] })), "a roll-out has stages");
    refused(&site.bring(&ann, "{}"), "this is no file of");
    refused(&site.bring(&ann, &site.signed("3", &["tenant/nobody"])), "nobody");
    let nobody = "box/00000000-0000-0000-0000-000000000007";
    assert_eq!(site.bring(&ann, &site.signed("3", &[nobody])).status, 404);
    assert_eq!(hub.query("SELECT count(*) FROM rollouts"), ["0"]);
    // Somebody for one tenant sees none of it, and brings nothing.
    let eve = Person::new(hub, "eve", "admin", &["film"]).visit(hub);
    assert_eq!(site.bring(&eve, &good).status, 403);
    ok(&send(&read()));
    let id = hub.query("SELECT rollout FROM rollouts").remove(0);
    assert_eq!(eve.see(&format!("/ops/rollouts/{id}")).status, 403);
    assert_eq!(act(&eve, &format!("/ops/rollouts/{id}"), "advance", &[("stage", "1")]).status, 403);
    // At the command line nothing is signed that boxes would refuse.
    let failing = STRICT.replace("status = \"rejected\"", "status = \"approved\"");
    std::fs::write(site.path("failing.toml"), failing).unwrap();
    let (key, file) = (site.path("release.key"), site.path("failing.toml"));
    let mut sign = hub.command(&["rollout", "sign", "--key", &key, "--name", "starter"]);
    let told = sign.args(["--version", "1", "--to", "fleet", &file]).output().unwrap();
    assert!(!told.status.success());
    assert!(String::from_utf8_lossy(&told.stderr).contains("a case of its own fails"), "{told:?}");
}

#[test]
fn the_editor_checks_compares_and_tries_out_on_boxes() {
    let site = Site::new();
    let hub = &site.hub;
    let ann = Person::new(hub, "ann", "admin", &[]).visit(hub);
    assert_eq!(site.posts(1), ["approved", "approved"]);
    until("the hub has both", || (hub.query("SELECT 1 FROM verdicts").len() == 2).then_some(()));
    let check = |visitor: &Visitor<'_>, text: &str, more: &[(&str, &str)]| {
        let mut form = vec![("text", text)];
        form.extend_from_slice(more);
        visitor.send("/ops/policies/edit", &form)
    };
    let page = check(&ann, STRICT, &[("with", "profile/starter")]);
    assert!(page.body.contains("strict@2 can be read"), "{page:?}");
    assert!(
        page.body.contains("1 of 1 hold") && page.body.contains("<tr class=\"added\">"),
        "{page:?}"
    );
    let wrong = STRICT.replace("\"high\"", "\"hihg\"");
    let page = check(&ann, &wrong, &[]);
    assert!(
        page.body.contains("data-line=\"9\"") && page.body.contains("did you mean"),
        "{page:?}"
    );
    let hostile = "name = \"</textarea><script>alert(1)</script>\"";
    let page = check(&ann, hostile, &[]);
    assert!(!page.body.contains("<script>alert"), "{page:?}");
    // Tried out on what both saw.
    let page = check(&ann, STRICT, &[("what", "try"), ("tenant", "default"), ("days", "1")]);
    assert!(page.body.contains("2 of 2 would be decided otherwise"), "{page:?}");
    assert_eq!(page.body.matches("approved → rejected: 1").count(), 2, "{page:?}");
    assert_eq!(site.posts(1), ["approved", "approved"], "nothing has changed by it");
    refused(
        &check(&ann, STRICT, &[("what", "try"), ("tenant", "default"), ("days", "400")]),
        "1 to 90",
    );
    // Kept as a draft, and taken out as it was written, with lines as files have them.
    let sent = STRICT.replace('\n', "\r\n");
    ok(&ann.send("/ops/policies/drafts", &[("text", &sent), ("note", "try me")]));
    let draft = hub.query("SELECT draft FROM drafts").remove(0);
    assert_eq!(ann.see(&format!("/ops/policies/drafts/{draft}")).body, STRICT);
    assert!(ann.see("/ops/policies").body.contains("try me"));
    // Who only looks may try, and keeps nothing.
    let eve = Person::new(hub, "eve", "analyst", &["film"]).visit(hub);
    assert_eq!(check(&eve, STRICT, &[]).status, 200);
    assert_eq!(eve.send("/ops/policies/drafts", &[("text", STRICT)]).status, 403);
    assert_eq!(
        check(&eve, STRICT, &[("what", "try"), ("tenant", "default"), ("days", "1")]).status,
        404
    );
    assert_eq!(eve.see(&format!("/ops/policies/drafts/{draft}")).status, 403);
}
