//! Logging in by a provider of identities, by plain HTTPS against the real hub on Postgres: who may, and who may not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rig::hub::Hub;
use rig::ops::{PASSWORD, Person, Visitor};
use rig::provider::{Provider, Says, Signed};
use rig::trip::{
    SUBJECT, account, come, hub, hub_with, journal, lets_on, link, linked, out, sets, there,
};
use serde_json::json;

#[test]
fn who_is_linked_comes_in_with_a_second_factor_and_nobody_else_does() {
    let provider = Provider::start();
    let hub = hub(&provider);
    let login = hub.see("/ops/login?next=/ops/me", "");
    assert!(login.body.contains("href=\"/ops/login/oidc?next=/ops/me\""), "{login:?}");
    assert!(login.body.contains("Log in with Our people"), "{login:?}");
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let page = come(&hub);
    assert!(!lets_on(&page) && page.status == 403, "{page:?}");
    assert!(page.body.contains("No account here is linked to you at Our people"), "{page:?}");
    // Once in a while for each, so that nobody fills the journal.
    assert!(!lets_on(&come(&hub)));
    assert_eq!(journal(&hub, "oidc"), [format!("oidc.refuse|unknown person|{SUBJECT}|")]);

    assert!(!link(&hub, "nobody", SUBJECT));
    assert!(link(&hub, "ann", SUBJECT));
    Person::new(&hub, "ben", "moderator", &[]);
    assert!(!link(&hub, "ben", SUBJECT), "it is Ann's");
    assert!(!link(&hub, "ann", "another"), "she is somebody already");
    let page = come(&hub);
    assert!(lets_on(&page), "{page:?}");
    assert!(page.cookies.iter().any(|it| it.starts_with("__Host-weir-sent=;")), "{page:?}");
    let half = page.cookie("__Host-weir-half");
    assert_eq!(hub.see("/ops/me", &half.replace("-half", "")).status, 303, "it is half a session");
    let wrong = hub.send("/ops/login/code", &half, &[("code", "000000")]);
    assert_eq!(wrong.status, 401, "{wrong:?}");
    hub.query("UPDATE accounts SET totp_step = 0");
    let next = ("next", "/ops/me");
    let whole = hub.send("/ops/login/code", &half, &[("code", &ann.code(0)), next]);
    assert_eq!((whole.status, whole.location.as_str()), (303, "/ops/me"), "{whole:?}");
    let me = hub.see("/ops/me", &whole.cookie("__Host-weir"));
    assert!(me.body.contains(SUBJECT) && me.body.contains(&provider.issuer()), "{me:?}");
    assert_eq!(hub.see("/ops/login/code", &half).status, 303, "half a session ends with it");

    // Whoever is switched off stays out, and so does who has lost what was before an invitation.
    assert!(account(&hub, &["off", "ann"]));
    assert_eq!(come(&hub).status, 403);
    let told = journal(&hub, "account.(link|unlink|off)|session");
    let want = [
        format!("account.link|command line|ann|{SUBJECT}"),
        "session.refuse|unknown person|ann|code".into(),
        "session.begin|ann|ann|provider and code".into(),
        "account.off|command line|ann|".into(),
    ];
    assert_eq!(told, want);
    hub.query("UPDATE accounts SET disabled_at = NULL, grave_failure_noted_at = NULL");
    assert!(lets_on(&come(&hub)));
    hub.query("UPDATE accounts SET disabled_at = now()");
    assert_eq!(come(&hub).status, 403);
    let last = journal(&hub, "session.refuse").pop();
    assert_eq!(last.as_deref(), Some("session.refuse|unknown person|ann|provider"));
    hub.query("UPDATE accounts SET disabled_at = NULL");
    let settings = hub.settings();
    let line = hub.run(&["account", "invite", "ann", "--config", settings.to_str().unwrap()]);
    Person::invited(&hub, "ann", &line);
    assert_eq!(come(&hub).status, 403, "a new invitation ends links");
    assert!(link(&hub, "ann", SUBJECT) && account(&hub, &["unlink", "ann"]));
    assert!(!account(&hub, &["unlink", "ann"]), "there is nothing to unlink");
    assert_eq!(come(&hub).status, 403);
    // Nobody who was never set up comes in without password and second factor.
    assert!(account(&hub, &["add", "cleo", "--role", "admin"]) && link(&hub, "cleo", SUBJECT));
    assert_eq!(come(&hub).status, 403);
}

type Lie = fn(&mut Says);

fn claims(says: &mut Says, change: impl Fn(&mut serde_json::Value) + Send + 'static) {
    says.claims = Box::new(change);
}

#[test]
fn a_state_is_good_once_for_ten_minutes_in_one_browser() {
    let provider = Provider::start();
    let hub = hub(&provider);
    linked(&hub);
    let (cookie, way) = out(&hub);
    let back = there(&hub, &way);
    let (other, other_way) = out(&hub);
    for (what, cookie) in [("of another browser", other.as_str()), ("of no browser", "")] {
        let page = hub.see(&back, cookie);
        assert!(!lets_on(&page) && page.status == 401, "{what}: {page:?}");
    }
    assert_eq!(provider.asked("/token"), 0, "no code went anywhere");
    assert!(lets_on(&hub.see(&back, &cookie)), "of this one, at last");
    assert!(!lets_on(&hub.see(&back, &cookie)), "once");
    // Ann's code in another's login: the provider was told by whom it may be used.
    let (_, way) = out(&hub);
    let stolen = there(&hub, &way);
    let word = |back: &str, key: &str| {
        let (_, rest) = back.split_once(&format!("{key}=")).unwrap();
        rest.split('&').next().unwrap().to_owned()
    };
    let own = there(&hub, &other_way);
    let mixed = own.replace(&word(&own, "code"), &word(&stolen, "code"));
    let page = hub.see(&mixed, &other);
    assert!(!lets_on(&page) && page.status == 401, "{page:?}");
    assert_eq!(provider.asked("/token"), 2);
    let (cookie, way) = out(&hub);
    let back = there(&hub, &way);
    hub.query("UPDATE oidc_flows SET ends_at = now()");
    assert!(!lets_on(&hub.see(&back, &cookie)), "late");
    let made_up = "/ops/login/oidc/back?state=1234&code=5678";
    assert!(!lets_on(&hub.see(made_up, "__Host-weir-sent=1234")), "made up");
    assert_eq!(hub.see("/ops/login/oidc/back?language=fr", "").location, "/ops/login");
    assert_eq!(hub.see(&format!("{back}&state=1"), &cookie).status, 422, "said twice");

    // What the database has opens nothing: hashes alone, and neither nonce nor verifier.
    let (cookie, way) = out(&hub);
    let row = hub.query("SELECT to_json(f) FROM oidc_flows f").join("");
    let (_, secret) = cookie.split_once('=').unwrap();
    for (what, part) in
        [("cookie", secret), ("state", &word(&way, "state")), ("nonce", &word(&way, "nonce"))]
    {
        assert!(part.len() >= 43 && !row.contains(part), "{what}: {row}");
    }
    // The name of the hub is not what a call says.
    let page = hub.see_with("/ops/login/oidc", &[("host", "evil.example")]);
    assert!(page.status == 303 && !page.location.contains("evil"), "{page:?}");
    let page = hub.see_with("/ops/login/oidc", &[("sec-fetch-site", "cross-site")]);
    assert_eq!(page.status, 403, "no other site sends people out");
    let page = hub.see("/ops/login/oidc?next=https://evil.example", "");
    let cookie = page.cookie("__Host-weir-sent");
    let page = hub.see(&there(&hub, &page.location), &cookie);
    assert_eq!(page.location, "/ops/login/code?next=%2Fops", "{page:?}");
    let set = hub.see("/ops/login/oidc", "").cookies.pop().unwrap();
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{set}");
    // One network fills no table.
    let refused = (0..110).any(|_| hub.see("/ops/login/oidc", "").status == 429);
    assert!(refused);
    assert_eq!(hub.query("SELECT count(*) FROM oidc_flows"), ["100"]);
}

#[test]
fn another_node_takes_what_one_began() {
    let provider = Provider::start();
    let mut hub = hub(&provider);
    linked(&hub);
    let (cookie, way) = out(&hub);
    let back = there(&hub, &way);
    // Nothing of it is in the memory of who began it.
    hub.kill();
    hub.serve();
    assert!(lets_on(&hub.see(&back, &cookie)));
}

#[test]
fn several_factors_at_the_provider_count_where_the_settings_and_the_token_say_so() {
    let several = |says: &mut Says| claims(says, |it| it["amr"] = json!(["pwd", "mfa"]));
    let provider = Provider::start();
    provider.says(several);
    let plain = hub(&provider);
    linked(&plain);
    assert!(lets_on(&come(&plain)), "ours is asked for all the same");
    drop(plain);

    let hub = hub_with(&provider, "second_factor = \"provider\"\nacr_values = [\"gold\"]\n");
    linked(&hub);
    let page = come(&hub);
    assert_eq!((page.status, page.location.as_str()), (303, "/ops/me"), "{page:?}");
    assert_eq!(hub.see("/ops/me", &page.cookie("__Host-weir")).status, 200);
    assert_eq!(journal(&hub, "session.begin"), ["session.begin|ann|ann|provider"]);
    let (_, way) = out(&hub);
    assert!(way.contains("acr_values=gold"), "{way}");
    let lesser: [Lie; 5] = [
        |says| claims(says, |_| ()),
        |says| claims(says, |it| it["amr"] = json!(["pwd"])),
        |says| claims(says, |it| it["amr"] = json!("mfa")),
        |says| claims(says, |it| it["acr"] = json!("silver")),
        |says| claims(says, |it| it["acr"] = json!(["gold"])),
    ];
    for (n, lesser) in lesser.into_iter().enumerate() {
        provider.says(lesser);
        assert!(lets_on(&come(&hub)), "{n}");
    }
    provider.says(|says| claims(says, |it| it["acr"] = json!("gold")));
    assert!(sets(&come(&hub), "__Host-weir"));
}

/// Begins to link one's own account: the cookie, and the way out.
fn begin_link(visitor: &Visitor<'_>) -> (String, String) {
    let page = visitor.send("/ops/me/oidc", &[("password", PASSWORD)]);
    assert_eq!(page.status, 200, "{page:?}");
    let (_, rest) = page.body.split_once("id=\"way\" href=\"").unwrap();
    let way = rest.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&");
    (page.cookie("__Host-weir-sent"), way)
}

#[test]
fn an_owner_links_and_unlinks_with_the_password_in_one_session() {
    let provider = Provider::start();
    let hub = hub(&provider);
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let (anns, bens) = (ann.visit(&hub), Person::new(&hub, "ben", "moderator", &[]).visit(&hub));
    let page = anns.send("/ops/me/oidc", &[("password", "not the password")]);
    assert_eq!(
        (page.status, hub.query("SELECT count(*) FROM oidc_flows")),
        (403, vec!["0".into()])
    );
    let with = |cookie: &str, visitor: &Visitor<'_>| format!("{cookie}; {}", visitor.cookie);
    let links =
        || hub.query("SELECT a.name, l.subject FROM oidc_links l JOIN accounts a USING (account)");

    // What Ann began is finished neither in Ben's session nor without one, nor does it let anybody in.
    for cookie in [
        |c: &str, b: &Visitor<'_>| format!("{c}; {}", b.cookie),
        |c: &str, _: &Visitor<'_>| c.to_owned(),
    ] {
        let (sent, way) = begin_link(&anns);
        let page = hub.see(&there(&hub, &way), &cookie(&sent, &bens));
        assert!(!lets_on(&page) && page.status == 401, "{page:?}");
        assert!(links().is_empty());
    }
    let (sent, way) = begin_link(&anns);
    provider.says(|says| says.signed = Signed::None);
    assert_eq!(hub.see(&there(&hub, &way), &with(&sent, &anns)).status, 401, "a lie links nobody");
    provider.says(|says| says.signed = Signed::EdDsa);
    let (sent, way) = begin_link(&anns);
    let page = hub.see(&there(&hub, &way), &with(&sent, &anns));
    assert_eq!((page.status, page.location.as_str()), (303, "/ops/me?done=saved"), "{page:?}");
    assert_eq!(links(), [format!("ann|{SUBJECT}")]);
    assert!(lets_on(&come(&hub)));
    let (sent, way) = begin_link(&bens);
    assert_eq!(hub.see(&there(&hub, &way), &with(&sent, &bens)).status, 422, "it is Ann's");
    // A login that Ben began is no link of Ann's.
    provider.says(|says| says.subject = "ben".into());
    let (sent, way) = out(&hub);
    assert_eq!(hub.see(&there(&hub, &way), &with(&sent, &anns)).status, 403);
    assert_eq!(links(), [format!("ann|{SUBJECT}")]);

    let unlink = |password| anns.send("/ops/me/oidc/unlink", &[("password", password)]).status;
    assert_eq!((unlink("not the password"), links().len()), (403, 1));
    assert_eq!((unlink(PASSWORD), links().len()), (303, 0));
    assert_eq!(unlink(PASSWORD), 404);
    let told = journal(&hub, "account.(link|unlink)");
    assert_eq!(
        told,
        [format!("account.link|ann|ann|{SUBJECT}"), format!("account.unlink|ann|ann|{SUBJECT}")]
    );
}

#[test]
fn bad_settings_are_told_at_the_start_and_without_any_there_is_no_button() {
    let mut hub = Hub::start();
    assert!(!hub.see("/ops/login", "").body.contains("oidc"));
    for path in ["/ops/login/oidc", "/ops/login/oidc/back?state=a&code=b"] {
        assert_eq!(hub.see(path, "").status, 404, "{path}");
    }
    hub.kill();
    let good = std::fs::read_to_string(hub.settings()).unwrap();
    let secret = hub.dir().join("oidc.secret");
    std::fs::write(&secret, "secret\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&secret, mode).unwrap();
    let start = |more: &str| {
        std::fs::write(
            hub.settings(),
            format!("{good}\n[screens.oidc]\nclient_id = \"weir\"\n{more}"),
        )
        .unwrap();
        let mut command = hub.command(&["serve", "--config"]);
        let output = command.arg(hub.settings()).output().unwrap();
        assert!(!output.status.success(), "{more}");
        String::from_utf8(output.stderr).unwrap()
    };
    let issuer = "issuer = \"https://id.example\"\n";
    for (more, what) in [
        ("issuer = \"http://id.example\"\n".to_owned(), "screens.oidc.issuer: `http://id.example`"),
        (format!("{issuer}scopes = [\"email\"]\n"), "screens.oidc.scopes: `openid`"),
        (format!("{issuer}secret = \"x\"\n"), "unknown field `secret`"),
        (format!("{issuer}acr_values = [\"gold\"]\n"), "screens.oidc.acr_values: "),
        (format!("{issuer}client_secret_file = \"none\"\n"), "No such file"),
        (format!("{issuer}client_secret_file = \"oidc.secret\"\n"), "chmod 600"),
        (format!("{issuer}ca_file = \"oidc.secret\"\n"), "it has no certificate in PEM"),
    ] {
        let told = start(&more);
        assert!(told.contains(what), "{what}: {told}");
    }
}
