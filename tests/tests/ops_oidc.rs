//! Logging in by a provider of identities that others made, in a real browser, against the real hub.

use rig::axe;
use rig::browser::Browser;
use rig::foreign::Foreign;
use rig::hub::Hub;
use rig::ops::{PASSWORD, Person};
use rig::provider::SECRET;

/// Types a name there, and agrees.
fn be(browser: &Browser, name: &str) {
    browser.appears("input[name=login]");
    browser.click("input[name=login]");
    browser.keys(name);
    browser.click("input[name=password]");
    browser.keys("anything");
    browser.click("button[type=submit]");
    browser.until("return !document.querySelector('input[name=login]') && !!document.querySelector('button[type=submit]')");
    browser.click("button[type=submit]");
}

#[test]
fn an_account_is_linked_and_opened_in_a_browser_at_a_provider_that_others_made() {
    let Some(mut provider) = Foreign::place() else {
        eprintln!("SKIPPED: no oidc-provider: scripts/oidc.sh installs it");
        return;
    };
    let mut hub = Hub::start_with(&provider.settings(), &[("oidc.secret", SECRET)]);
    let zuri = Person::new(&hub, "zuri", "moderator", &[]);
    let browser = Browser::start(1440, 900);
    let address = hub.address();
    let script = axe::script();
    let fine = |at: &str| assert_eq!(axe::violations(&browser, &script), [""; 0], "{at}");

    zuri.log_in(&hub, &browser);
    provider.start(&address, "ES256");
    browser.open(&format!("{address}/ops/me"));
    browser.click("#link-password");
    browser.keys(PASSWORD);
    browser.click("#link button");
    browser.appears("#way");
    fine("the way out");
    browser.click("#way");
    be(&browser, "zuri-at-work");
    browser.appears(".done");
    browser.appears("#unlink");
    fine("my account");
    assert_eq!(hub.query("SELECT subject FROM oidc_links"), ["zuri-at-work"]);

    for (n, alg) in ["ES256", "RS256", "PS256", "EdDSA"].into_iter().enumerate() {
        // Started anew it knows nobody any more and has another key; a hub would ask for keys once a minute only.
        provider.start(&address, alg);
        hub.kill();
        hub.serve();
        browser.click("header .me button");
        browser.appears("#provider");
        if n == 0 {
            fine("the entrance");
        }
        browser.click("#provider");
        be(&browser, "zuri-at-work");
        browser.appears("#code");
        hub.query("UPDATE accounts SET totp_step = 0");
        browser.keys(zuri.code(0));
        browser.click("main button");
        browser.appears("header .me");
    }
    let by = hub.query("SELECT convert_from(record, 'utf8')::json->'detail'->>'by' FROM audit WHERE action = 'session.begin' ORDER BY seq");
    assert_eq!(by[0], "password and code");
    assert_eq!(by[1..], ["provider and code"; 4]);

    browser.click("header .me button");
    browser.appears("#provider");
    provider.start(&address, "RS256");
    hub.kill();
    hub.serve();
    browser.click("#provider");
    be(&browser, "somebody-else");
    browser.appears("#provider");
    browser.reads(".wrong", "No account here is linked to you at Our people: ask an admin.");
    let told = hub.query("SELECT subject FROM audit WHERE action = 'oidc.refuse'");
    assert_eq!(told, ["somebody-else"]);
    // A page of ours sends forms to the hub alone: the way out must be none.
    let console = browser.console().into_iter().filter(|line| line.contains("Security Policy"));
    assert_eq!(console.collect::<Vec<_>>(), Vec::<String>::new());
}
