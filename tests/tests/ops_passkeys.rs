//! Passkeys in a real browser with an authenticator at its side, against the real hub.

use rig::browser::Browser;
use rig::hub::Hub;
use rig::ops::{PASSWORD, Person};

#[test]
fn a_passkey_made_in_a_browser_opens_the_screens_and_only_with_its_owner_when_alone() {
    let hub = Hub::start();
    // Passkeys are made for names.
    let address = hub.address().replace("127.0.0.1", "localhost");
    let zuri = Person::new(&hub, "zuri", "moderator", &[]);
    let browser = Browser::start(1440, 900);
    let authenticator = browser.authenticator();
    zuri.log_in_at(&hub, &address, &browser);
    let open_me = || browser.open(&format!("{address}/ops/me"));
    let leave = || {
        browser.click("header .me button");
        browser.appears("[data-passkey='/ops/login/passkey/options'] button");
    };

    open_me();
    browser.click("#passkey-name");
    browser.keys("Zuri's laptop");
    browser.click("#passkey-password");
    browser.keys("another password");
    browser.click("#add-passkey button");
    browser.reads("#add-passkey .wrong", "that is not your password; nothing was changed.");
    browser.run("document.getElementById('passkey-password').value = ''");
    browser.click("#passkey-password");
    browser.keys(PASSWORD);
    browser.click("#add-passkey button");
    browser.appears("#remove-passkey");
    assert_eq!(browser.text("#gone option"), "Zuri's laptop");

    leave();
    zuri.enter(&address, &browser);
    browser.click("[data-passkey] button");
    browser.appears("header .me");
    leave();
    browser.click("[data-passkey] button");
    browser.appears("header .me");
    let by = hub.query("SELECT convert_from(record, 'utf8')::json->'detail'->>'by' FROM audit WHERE action = 'session.begin' ORDER BY seq");
    assert_eq!(by, ["password and code", "password and passkey", "passkey"]);

    // Alone it has to see its owner; after the password somebody's touch is enough.
    leave();
    browser.verified(&authenticator, false);
    browser.click("[data-passkey] button");
    browser.appears("[data-passkey] .wrong:not([hidden])");
    assert!(browser.text("[data-passkey] .wrong").starts_with("No passkey was used"));
    zuri.enter(&address, &browser);
    browser.click("[data-passkey] button");
    browser.appears("header .me");
    open_me();
    browser.click("#gone-password");
    browser.keys(PASSWORD);
    browser.click("#remove-passkey button");
    browser.appears(".done");
    assert!(!browser.has("#remove-passkey"));
    assert_eq!(hub.query("SELECT count(*) FROM passkeys"), ["0"]);
    // The browser says of each refusal that it was one; nothing else went wrong.
    let console = browser.console().into_iter().filter(|line| !line.contains("403"));
    assert_eq!(console.collect::<Vec<_>>(), Vec::<String>::new());
}
