//! Every page of the ops screens in a real browser, narrow and wide, light and dark: nothing that axe-core finds against WCAG A and AA, nothing that
//! runs over the edge, no script of anybody's. `PICTURES=FOLDER` keeps a picture of each.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rig::axe;
use rig::browser::Browser;
use rig::hub::Hub;
use rig::ops::Person;
use serde_json::Value;

const BOX: &str = "00000000-0000-0000-0000-00000000b0c5";
const ROLLOUT: &str = "01900000-0000-7000-8000-0000000005e5";
const ITEM: &str = "01900000-0000-7000-8000-0000000003e8";

/// What somebody would write who wants it to run.
const HOSTILE: &str = "<script>document.title=1</script><img src=x onerror=document.title=1>\"'&";

/// A day of a small fleet, straight into the tables.
fn fill(hub: &Hub) {
    for tenant in ["campus", "film"] {
        hub.run(&["tenant", "add", tenant]);
    }
    hub.query("SELECT ensure_day((now() AT TIME ZONE 'UTC')::date - 1)");
    let quoted = HOSTILE.replace('\'', "''");
    hub.query(&format!(
        "INSERT INTO boxes (box, name, public_key, serial, release, region, seen_at) VALUES
             ('{BOX}', '{quoted}', decode(repeat('00', 32), 'hex'), 'abc', '0.1.0', 'north', now()),
             (gen_random_uuid(), 'campus-south', decode(repeat('01', 32), 'hex'), 'abd', '0.1.0', '', now() - interval '3 days');
         INSERT INTO alarms (box, kind, code) VALUES ('{BOX}', 'fork', 'epoch/0011');
         INSERT INTO cursors VALUES ('{BOX}', 1, 0, 17, decode(repeat('00', 32), 'hex'));
         INSERT INTO presence (box, online, telemetry, telemetry_at) VALUES ('{BOX}', true, '{{\"queue\": 3, \"gpu\": {{\"celsius\": 61.5}}, \"mode\": \"{}\"}}', now());
         INSERT INTO submissions VALUES ('{BOX}', '{ITEM}', 'campus', 'post', 77, true, 0, now());
         INSERT INTO media VALUES ('{BOX}', '{ITEM}', decode(repeat('ab', 32), 'hex'), 'image', 1000, now());
         INSERT INTO verdicts SELECT CASE n WHEN 1000 THEN '{BOX}'::uuid ELSE '{BOX}'::uuid END, 1, 1, n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 0, NULL,
             n % 9 <> 0, 1790000000000, now() - n % 23 * interval '1 hour', 'campus', (ARRAY['approved', 'approved', 'held', 'rejected'])[1 + n % 4],
             (ARRAY['safe', 'low', 'medium', 'high', 'critical'])[1 + n % 5], 'hide', 'starter@1', '[\"explicit\"]', '{{\"violence\": {{\"severity\": \"high\", \"score_thousandths\": 912}}}}'
             FROM generate_series(900, 1100) n;
         INSERT INTO reviews (box, subject, tab, tenant, severity, category, categories, number, reports, appealed, since, due_at, escalated)
             SELECT '{BOX}', ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, (ARRAY['flagged', 'held', 'reports', 'appeals'])[1 + n % 4], 'campus', n % 5,
             'violence', '{{violence,hate}}', 0, n % 7, CASE WHEN n % 4 = 3 THEN 0 END, now() - n % 50 * interval '1 hour', now() + (20 - n % 50) * interval '1 hour', n % 11 = 0
             FROM generate_series(1000, 1120) n;
         INSERT INTO reviews (box, subject, tab, tenant, severity, categories, since, due_at) VALUES ('{BOX}', '00000000-0000-0000-0000-00000000004d', 'accounts', 'campus', 3, '{{}}', now(), now());
         INSERT INTO list_entries SELECT 'campus', sha256(n::text::bytea), CASE WHEN n % 2 = 0 THEN 31 ELSE -1 END, n = 4, 'violence', n <> 3, n = 2, n <> 1, '{quoted}' FROM generate_series(1, 5) n;
         INSERT INTO releases VALUES (1, 'fleet', 1, 'policy', 'starter', 4, 'name = \"p\"', '{quoted}'), (1, 'tenant/campus', 2, 'bank', 'known', 1, 'name = \"known\"', 'ops');
         INSERT INTO rollouts (rollout, kind, name, version, content, note) VALUES ('{ROLLOUT}', 'policy', 'starter', 5, E'name = \"p\"\nversion = 5\n# {quoted}', '{quoted}');
         INSERT INTO rollout_stages VALUES ('{ROLLOUT}', 2, 'fleet', '', '', '', '');
         INSERT INTO rollout_stages VALUES ('{ROLLOUT}', 1, 'box/{BOX}', '', '', '', '', 1, 1, now() - interval '2 hours', '{quoted}');
         INSERT INTO directives (epoch, lane, seq, kind, ordered_by, bytes, signatures) VALUES (1, 'box/{BOX}', 1, 'release', 'ops', '', '{{}}'), (1, 'fleet', 1, 'release', 'ops', '', '{{}}'), (1, 'tenant/campus', 2, 'release', 'ops', '', '{{}}');
         INSERT INTO directive_receipts (box, epoch, lane, seq, refused, at, received_at) VALUES ('{BOX}', 1, 'box/{BOX}', 1, 'unusable', 0, now());
         INSERT INTO blobs (sha256, bytes, name) VALUES (decode(repeat('cd', 32), 'hex'), 123456789, '{quoted}');
         INSERT INTO box_models (box, model, stage, cause, seen, refused, errors, control_seen, control_refused, at) VALUES
             ('{BOX}', 'nsfw@7', 'retired', 'drift', 120, 31, 0, 2400, 140, 1790000000000), ('{BOX}', 'nsfw@6', 'active', 'superseded', 0, 0, 0, 0, 0, 1790000000000);
         INSERT INTO box_bundles (box, bundle, installed, what, at) VALUES ('{BOX}', repeat('cd', 8), false, 'no_room', 1790000000000);
         INSERT INTO box_flags (box, flag, is_on, at) VALUES ('{BOX}', 'movies', true, 1790000000000), ('{BOX}', 'tenant/campus:night', false, 1790000000000);
         INSERT INTO review_comments VALUES ('{BOX}', '{ITEM}', gen_random_uuid(), gen_random_uuid(), '{quoted}', now(), '{quoted}');",
        HOSTILE.replace(['\\', '"'], "").replace('\'', "''")
    ));
    hub.order("fleet", r#"{"kind":"flag","name":"movies","on":true}"#);
    hub.order("tenant/campus", r#"{"kind":"flag","name":"movies","on":false}"#);
    hub.order("fleet", &format!(r#"{{"kind":"bundle","sha256":"{}"}}"#, "cd".repeat(32)));
}

/// Whether something sticks out to the side.
fn overflows(browser: &Browser) -> bool {
    browser
        .run("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
        == Value::Bool(true)
}

fn look(browser: &Browser, name: &str, script: &str, wrong: &mut Vec<String>) {
    let pictures = std::env::var_os("PICTURES");
    for dark in [false, true] {
        browser.dark(dark);
        for width in [360, 768, 1440] {
            browser.resize(width, 900);
            let at = format!("{name}-{width}{}", if dark { "-dark" } else { "" });
            if overflows(browser) {
                wrong.push(format!("{at}: wider than the window"));
            }
            // Colours and names are the same at each width, but what is hidden is not looked at.
            if width != 768 {
                wrong.extend(
                    axe::violations(browser, script).into_iter().map(|one| format!("{at}: {one}")),
                );
            }
            if let Some(folder) = &pictures {
                let file = Path::new(folder).join(format!("{at}.png"));
                std::fs::write(file, browser.picture()).unwrap();
            }
        }
    }
    if browser.run("return document.title") == "1" {
        wrong.push(format!("{name}: a script of somebody's has run"));
    }
    // That a page is missing is what the browser says of it.
    let console = browser.console().into_iter().filter(|line| !line.contains("404 (Not Found)"));
    wrong.extend(console.map(|line| format!("{name}: {line}")));
}

/// The editor, after mistakes and after a comparison.
fn policy(hub: &Hub, browser: &Browser, script: &str, wrong: &mut Vec<String>) {
    browser.open(&format!("{}/ops/policies/edit?profile=starter", hub.address()));
    browser.run("const text = document.getElementById('text'); text.value = text.value.replace('version = 1', 'version = 2').replace('[policy]', '[polcy]'); return true");
    browser.click("button[value=check]");
    browser.appears(".problems [data-line]");
    browser.click(".problems [data-line]");
    browser.until("return document.activeElement.id === 'text' && document.activeElement.selectionEnd > document.activeElement.selectionStart");
    look(browser, "policy-wrong", script, wrong);
    browser.run("const text = document.getElementById('text'); text.value = text.value.replace('[polcy]', '[policy]'); return true");
    browser.click("button[value=check]");
    browser.appears(".diff .added");
    look(browser, "policy-compared", script, wrong);
}

#[test]
fn every_page_reads_at_every_width_for_everybody_and_runs_nobodys_script() {
    let hub = Hub::start();
    fill(&hub);
    let script = axe::script();
    let browser = Browser::start(1440, 900);
    let mut wrong = Vec::new();
    browser.open(&format!("{}/ops", hub.address()));
    look(&browser, "login", &script, &mut wrong);
    let settings = hub.settings();
    let address = hub.run(&[
        "account",
        "add",
        "guest",
        "--role",
        "observer",
        "--config",
        settings.to_str().unwrap(),
    ]);
    browser.open(&address);
    look(&browser, "welcome", &script, &mut wrong);

    let person = Person::new(&hub, "zuri", "senior_moderator", &[]);
    person.log_in(&hub, &browser);
    let quoted = HOSTILE.replace('\'', "''");
    hub.query(&format!(
        "INSERT INTO passkeys (credential, account, name, rp, public_key, counter, may_move, moved)
         SELECT sha256('x'), account, '{quoted}', 'hub.example', 'x', 0, true, true FROM accounts WHERE name = 'zuri'"
    ));
    let item = format!("/ops/review/{BOX}/{ITEM}");
    for (name, path) in [
        ("queue", "/ops/review"),
        ("queue-appeals", "/ops/review?tab=appeals&severity=2"),
        ("queue-empty", "/ops/review?tab=held&tenant=film"),
        ("item", item.as_str()),
        ("author", &format!("/ops/review/{BOX}/00000000-0000-0000-0000-00000000004d")),
        ("overview", "/ops/overview"),
        ("verdicts", "/ops/verdicts"),
        ("verdict", &format!("/ops/verdicts/{BOX}/{ITEM}")),
        ("fleet", "/ops/fleet"),
        ("lists", "/ops/lists"),
        ("models", "/ops/models"),
        ("flags", "/ops/flags"),
        ("policies", "/ops/policies"),
        ("rollouts", "/ops/rollouts"),
        ("me", "/ops/me"),
        (
            "missing",
            "/ops/review/00000000-0000-0000-0000-000000000001/00000000-0000-0000-0000-000000000001",
        ),
    ] {
        browser.open(&format!("{}{path}", hub.address()));
        if name == "item" {
            browser.until("return document.querySelector('[aria-busy]') === null");
        }
        look(&browser, name, &script, &mut wrong);
    }
    browser.open(&format!("{}{item}", hub.address()));
    browser.until("return document.querySelector('[aria-busy]') === null");
    browser.keys("s");
    browser.appears("#decision-form");
    browser.until("return document.querySelector('[aria-busy]') === null");
    look(&browser, "item-claimed", &script, &mut wrong);

    policy(&hub, &browser, &script, &mut wrong);

    hub.query("UPDATE accounts SET role = 'admin' WHERE name = 'zuri'");
    let ask = Person::new(&hub, "ann", "admin", &[]).visit(&hub);
    let asked = ask.send(&format!("/ops/fleet/{BOX}"), &[("what", "revoke"), ("why", HOSTILE)]);
    assert_eq!(asked.status, 303, "{asked:?}");
    let guest = hub.query("SELECT account FROM accounts WHERE name = 'guest'").remove(0);
    for (name, path) in [
        ("fleet-admin", "/ops/fleet"),
        ("box", &format!("/ops/fleet/{BOX}")),
        ("models-admin", "/ops/models"),
        ("flags-admin", "/ops/flags"),
        ("rollouts-admin", "/ops/rollouts"),
        ("rollout", &format!("/ops/rollouts/{ROLLOUT}")),
        ("accounts", "/ops/accounts"),
        ("account", &format!("/ops/accounts/{guest}")),
        ("approvals", "/ops/approvals"),
        ("erasures", "/ops/erasures"),
        ("audit", "/ops/audit?verify=1"),
    ] {
        browser.open(&format!("{}{path}", hub.address()));
        look(&browser, name, &script, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// In the languages that are not English words are longer, and letters taller.
#[test]
fn every_page_reads_in_every_language_on_a_phone() {
    let hub = Hub::start();
    fill(&hub);
    let script = axe::script();
    let browser = Browser::start(360, 900);
    let mut wrong = Vec::new();
    let mut at = |name: &str, code: &str| {
        browser.resize(360, 900);
        let read = browser.run("return document.documentElement.lang");
        let found = axe::violations(&browser, &script).into_iter();
        wrong.extend(found.map(|one| format!("{name} in {code}: {one}")));
        if read != code {
            wrong.push(format!("{name} says that it is in {read}, not {code}"));
        }
        if overflows(&browser) {
            wrong.push(format!("{name} in {code}: wider than the window"));
        }
        if let Some(folder) = std::env::var_os("PICTURES") {
            let file = Path::new(&folder).join(format!("{name}-{code}.png"));
            std::fs::write(file, browser.picture()).unwrap();
        }
    };
    for code in ["fr", "sw", "am"] {
        browser.open(&format!("{}/ops/login?language={code}", hub.address()));
        at("login", code);
    }
    let person = Person::new(&hub, "zuri", "senior_moderator", &[]);
    person.log_in(&hub, &browser);
    hub.query("UPDATE reviews SET claimed_by = (SELECT account FROM accounts), claimed_until = now() + interval '1 day' WHERE severity = 4");
    let ask = Person::new(&hub, "ann", "admin", &[]).visit(&hub);
    let asked = ask.send(&format!("/ops/fleet/{BOX}"), &[("what", "revoke"), ("why", "stolen")]);
    assert_eq!(asked.status, 303, "{asked:?}");
    let ann = hub.query("SELECT account FROM accounts WHERE name = 'ann'").remove(0);
    let claimed = hub.query("SELECT subject FROM reviews WHERE severity = 4 LIMIT 1").remove(0);
    let pages = [
        ("queue", "senior_moderator", "/ops/review".to_owned()),
        ("item", "senior_moderator", format!("/ops/review/{BOX}/{ITEM}")),
        ("item-claimed", "senior_moderator", format!("/ops/review/{BOX}/{claimed}")),
        (
            "author",
            "senior_moderator",
            format!("/ops/review/{BOX}/00000000-0000-0000-0000-00000000004d"),
        ),
        ("lists", "senior_moderator", "/ops/lists".to_owned()),
        ("overview", "admin", "/ops/overview".to_owned()),
        ("verdicts", "admin", "/ops/verdicts".to_owned()),
        ("verdict", "admin", format!("/ops/verdicts/{BOX}/{ITEM}")),
        ("fleet", "admin", "/ops/fleet".to_owned()),
        ("box", "admin", format!("/ops/fleet/{BOX}")),
        ("models", "admin", "/ops/models".to_owned()),
        ("flags", "admin", "/ops/flags".to_owned()),
        ("erasures", "admin", "/ops/erasures".to_owned()),
        ("audit", "admin", "/ops/audit?verify=1".to_owned()),
        ("accounts", "admin", "/ops/accounts".to_owned()),
        ("account", "admin", format!("/ops/accounts/{ann}")),
        ("approvals", "admin", "/ops/approvals".to_owned()),
        ("me", "admin", "/ops/me".to_owned()),
        ("refused", "admin", "/ops/review".to_owned()),
    ];
    for code in ["fr", "sw", "am"] {
        for (name, role, path) in &pages {
            hub.query(&format!(
                "UPDATE accounts SET role = '{role}', language = '{code}' WHERE name = 'zuri'"
            ));
            browser.open(&format!("{}{path}", hub.address()));
            browser.until("return document.querySelector('[aria-busy]') === null");
            at(name, code);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
