//! Passkeys by plain HTTPS against the real hub on Postgres: what an honest authenticator may, and what a hostile one may not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use rig::authenticator::{Authenticator, MAY_MOVE, PRESENT, VERIFIED};
use rig::hub::Hub;
use rig::ops::{PASSWORD, Page, Person, Visitor};
use serde_json::{Value, json};

const HOST: &str = "hub.example";

type Form = Vec<(&'static str, String)>;
type Spoil = fn(&mut Authenticator);

/// Sends a form to the hub by its name, as passkeys need it.
fn send(hub: &Hub, path: &str, cookie: &str, form: &[(&str, String)]) -> Page {
    let form: Vec<(&str, &str)> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
    hub.send_with(path, &[("cookie", cookie), ("host", HOST)], &form)
}

/// What the hub asks an authenticator for.
fn asked(page: &Page) -> Value {
    assert_eq!(page.status, 200, "{page:?}");
    serde_json::from_str(&page.body).unwrap()
}

/// What a new passkey is asked for.
fn to_be_made(hub: &Hub, visitor: &Visitor<'_>, password: &str) -> Page {
    let form = [
        ("csrf", visitor.csrf.clone()),
        ("name", "my key".to_owned()),
        ("password", password.to_owned()),
    ];
    send(hub, "/ops/me/passkeys/options", &visitor.cookie, &form)
}

/// Adds what a form says.
fn add(hub: &Hub, visitor: &Visitor<'_>, mut form: Form) -> Page {
    form.extend([("csrf", visitor.csrf.clone()), ("name", "my key".to_owned())]);
    send(hub, "/ops/me/passkeys", &visitor.cookie, &form)
}

/// Adds an authenticator's passkey.
fn register(hub: &Hub, visitor: &Visitor<'_>, authenticator: &mut Authenticator) -> Page {
    let options = asked(&to_be_made(hub, visitor, PASSWORD));
    add(hub, visitor, authenticator.make(&options))
}

/// What anybody is asked for who comes with a passkey alone, and the cookie to come back with.
fn at_the_entrance(hub: &Hub) -> (Value, String) {
    let page = send(hub, "/ops/login/passkey/options", "", &[]);
    (asked(&page), page.cookie("__Host-weir-asked"))
}

/// Logs in by a passkey alone.
fn alone(hub: &Hub, authenticator: &Authenticator) -> Page {
    let (options, cookie) = at_the_entrance(hub);
    send(hub, "/ops/login/passkey", &cookie, &authenticator.answer(&options))
}

/// What is asked for after the password, and the cookie of half a session.
fn after_the_password(hub: &Hub, person: &Person) -> (Value, String) {
    let half = person.half(hub);
    (asked(&send(hub, "/ops/login/code/passkey/options", &half, &[])), half)
}

/// Logs in by password and passkey.
fn second(hub: &Hub, person: &Person, authenticator: &Authenticator) -> Page {
    let (options, half) = after_the_password(hub, person);
    send(hub, "/ops/login/code/passkey", &half, &authenticator.answer(&options))
}

/// Wrong attempts are many here; how many there may be is tested elsewhere.
fn forget(hub: &Hub) {
    hub.query("DELETE FROM login_failures");
}

fn lets_in(page: &Page) -> bool {
    let whole = page
        .cookies
        .iter()
        .any(|cookie| cookie.starts_with("__Host-weir=") && !cookie.starts_with("__Host-weir=;"));
    assert_eq!(whole, page.status == 303, "{page:?}");
    whole
}

/// A form with something else in a field.
fn with(form: &[(&'static str, String)], field: &str, value: &str) -> Form {
    let other = |(key, own): &(&'static str, String)| {
        (*key, if *key == field { value.to_owned() } else { own.clone() })
    };
    form.iter().map(other).collect()
}

#[test]
fn passkeys_of_every_kind_let_their_owner_in_and_are_gone_once_removed() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let visitor = ann.visit(&hub);
    let new = || Authenticator::new(HOST);
    for (n, mut one) in [new(), new().with_ed25519(), new().with_rsa()].into_iter().enumerate() {
        let page = register(&hub, &visitor, &mut one);
        assert_eq!((page.status, page.location.as_str()), (303, "/ops/me?done=saved"), "{page:?}");
        assert!(lets_in(&alone(&hub, &one)), "{n}");
        assert!(lets_in(&second(&hub, &ann, &one)), "{n}");
        // As a second factor it need not see its owner: the password did.
        one.flags = PRESENT;
        assert!(lets_in(&second(&hub, &ann, &one)), "{n}");
    }
    // So many logins have pushed the first one out.
    let visitor = ann.visit(&hub);
    let id = hub.query("SELECT encode(credential, 'hex') FROM passkeys").remove(0);
    let form = [("passkey", id.as_str()), ("password", "not the password")];
    assert_eq!(visitor.send("/ops/me/passkeys/remove", &form).status, 403);
    let form = [("passkey", id.as_str()), ("password", PASSWORD)];
    let other = Person::new(&hub, "ben", "moderator", &[]).visit(&hub);
    assert_eq!(other.send("/ops/me/passkeys/remove", &form).status, 404, "another's");
    assert_eq!(visitor.send("/ops/me/passkeys/remove", &form).status, 303);
    assert_eq!(hub.query("SELECT count(*) FROM passkeys"), ["2"]);
    let told = hub.query("SELECT action, convert_from(record, 'utf8')::json->'detail'->>'by' FROM audit WHERE subject = 'ann' AND action <> 'account.add' ORDER BY seq");
    let begun = [
        "session.begin|passkey",
        "session.begin|password and passkey",
        "session.begin|password and passkey",
    ];
    let mut want = vec!["account.accept|", "session.begin|password and code"];
    (0..3).for_each(|_| want.extend(["passkey.add|"].iter().chain(&begun)));
    want.extend(["session.begin|password and code", "session.refuse|", "passkey.remove|"]);
    assert_eq!(told, want);
    // A new invitation ends what was before it: whoever lost something may have lost them too.
    let settings = hub.settings();
    let line = hub.run(&["account", "invite", "ann", "--config", settings.to_str().unwrap()]);
    Person::invited(&hub, "ann", &line);
    assert_eq!(hub.query("SELECT count(*) FROM passkeys"), ["0"]);
}

#[test]
fn a_passkey_that_says_anything_else_lets_nobody_in() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let visitor = ann.visit(&hub);
    let mut key = Authenticator::new(HOST);
    key.counter = 7;
    assert_eq!(register(&hub, &visitor, &mut key).status, 303);
    let ben = Person::new(&hub, "ben", "admin", &[]);
    let mut bens = Authenticator::new(HOST);
    assert_eq!(register(&hub, &ben.visit(&hub), &mut bens).status, 303);
    key.counter = 8;
    assert!(lets_in(&alone(&hub, &key)), "as it should be");

    let hostile: [(&str, Spoil); 7] = [
        ("another site's page", |key| key.origin = "https://hub.example.evil.example".into()),
        ("without TLS", |key| key.origin = "http://hub.example".into()),
        ("another port", |key| key.origin = "https://hub.example:8443".into()),
        ("another name", |key| key.rp = "evil.example".into()),
        ("nobody touched it", |key| key.flags &= !PRESENT),
        ("it may be copied now", |key| key.flags |= MAY_MOVE),
        ("a counter that stands", |key| key.counter = 8),
    ];
    for (what, spoil) in hostile {
        let (before, counter) = ((key.origin.clone(), key.rp.clone(), key.flags), key.counter);
        key.counter = 100;
        spoil(&mut key);
        assert!(!lets_in(&alone(&hub, &key)), "{what}");
        assert!(!lets_in(&second(&hub, &ann, &key)), "{what}");
        ((key.origin, key.rp, key.flags), key.counter) = (before, counter);
        forget(&hub);
    }
    key.counter = 9;
    key.flags &= !VERIFIED;
    assert!(!lets_in(&alone(&hub, &key)), "it did not see its owner");
    key.flags |= VERIFIED;
    assert!(lets_in(&alone(&hub, &key)), "nothing was used up");
    let copies = "SELECT count(*) FROM audit WHERE action = 'passkey.refuse' AND subject = 'ann'";
    assert_eq!(hub.query(copies), ["2"], "a counter that stands is told");

    key.counter = 10;
    let (options, cookie) = at_the_entrance(&hub);
    let right = key.answer(&options);
    let enter = |form: &Form| send(&hub, "/ops/login/passkey", &cookie, form);
    let last = &right[3].1;
    let swapped = if last.ends_with('A') { "B" } else { "A" };
    let cases = [
        ("another's signature", with(&right, "signature", &bens.answer(&options)[3].1)),
        ("no signature", with(&right, "signature", "")),
        ("a changed signature", with(&right, "signature", &format!("{swapped}{}", &last[1..]))),
        ("says that it is Ben's", with(&right, "user_handle", &bens.user)),
        ("says not whose it is", with(&right, "user_handle", "")),
        ("Ben's passkey", with(&right, "credential", &BASE64URL.encode(&bens.id))),
        ("nobody's passkey", with(&right, "credential", &BASE64URL.encode([1; 32]))),
        ("no passkey", with(&right, "credential", "*")),
    ];
    for (what, form) in cases {
        // Each is asked anew, so that it is refused for what it is.
        let hash = "sha256(decode(translate($q$CH$q$, '-_', '+/') || '=', 'base64'))";
        let challenge = options["publicKey"]["challenge"].as_str().unwrap();
        hub.query(&format!(
            "INSERT INTO challenges SELECT {}, 'alone', sha256('{}'), 'x', now() + interval '1 minute' ON CONFLICT DO NOTHING",
            hash.replace("CH", challenge),
            cookie.split_once('=').unwrap().1
        ));
        assert!(!lets_in(&enter(&form)), "{what}");
        forget(&hub);
        assert_eq!(hub.query("SELECT count(*) FROM challenges"), ["0"], "{what}: asked once");
    }
    // Ben's own passkey, after Ann's password.
    assert!(!lets_in(&second(&hub, &ann, &bens)));
    assert!(lets_in(&alone(&hub, &key)), "the same one is right when it is asked again");
}

#[test]
fn a_challenge_is_good_once_for_a_while_for_one_purpose_and_one_cookie() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let visitor = ann.visit(&hub);
    let mut key = Authenticator::new(HOST);
    assert_eq!(register(&hub, &visitor, &mut key).status, 303);
    let enter = |cookie: &str, form: &Form| send(&hub, "/ops/login/passkey", cookie, form);

    let (options, cookie) = at_the_entrance(&hub);
    let form = key.answer(&options);
    assert!(lets_in(&enter(&cookie, &form)));
    assert!(!lets_in(&enter(&cookie, &form)), "once");
    let (options, cookie) = at_the_entrance(&hub);
    let (_, other) = at_the_entrance(&hub);
    let form = key.answer(&options);
    assert!(!lets_in(&enter(&other, &form)), "of another browser");
    assert!(!lets_in(&enter("", &form)), "of no browser");
    assert!(lets_in(&enter(&cookie, &form)), "of this one");
    let (options, cookie) = at_the_entrance(&hub);
    hub.query("UPDATE challenges SET ends_at = now() - interval '1 second'");
    assert!(!lets_in(&enter(&cookie, &key.answer(&options))), "late");
    let made_up = json!({ "publicKey": { "challenge": BASE64URL.encode([5; 32]) } });
    assert!(!lets_in(&enter(&cookie, &key.answer(&made_up))), "made up");
    forget(&hub);

    // What is asked after the password needs no eye on the owner, so it must not do at the entrance.
    let (options, half) = after_the_password(&hub, &ann);
    let asked = half.replace("weir-half", "weir-asked");
    assert!(!lets_in(&enter(&asked, &key.answer(&options))));
    let (options, cookie) = at_the_entrance(&hub);
    let half = ann.half(&hub);
    let second = send(&hub, "/ops/login/code/passkey", &half, &key.answer(&options));
    assert!(!lets_in(&second));
    assert!(lets_in(&enter(&cookie, &key.answer(&options))), "it was not used up by that");

    // Everybody is asked the same.
    let mut asked = [at_the_entrance(&hub).0, at_the_entrance(&hub).0];
    for options in &mut asked {
        options["publicKey"]["challenge"] = json!("");
    }
    assert_eq!(asked[0], asked[1]);
    // Passkeys are made for names; this is its number.
    assert_eq!(hub.send("/ops/login/passkey/options", "", &[]).status, 422);
    // One network fills no table.
    let refused = (0..40).any(|_| send(&hub, "/ops/login/passkey/options", "", &[]).status == 403);
    assert!(refused);
    assert_eq!(hub.query("SELECT count(*) FROM challenges WHERE purpose = 'alone'"), ["30"]);
    let page =
        hub.send_with("/ops/login/passkey/options", &[("origin", "https://evil.example")], &[]);
    assert_eq!(page.status, 403, "{page:?}");
}

#[test]
fn a_new_passkey_needs_the_password_and_whole_words_of_an_authenticator() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let visitor = ann.visit(&hub);
    assert_eq!(to_be_made(&hub, &visitor, "not the password").status, 403);
    assert_eq!(hub.query("SELECT count(*) FROM challenges"), ["0"]);
    let key = Authenticator::new(HOST);
    let refused = |what: &str, spoil: &dyn Fn(&mut Form, &mut Authenticator)| {
        let options = asked(&to_be_made(&hub, &visitor, PASSWORD));
        let mut other = Authenticator::new(HOST);
        spoil(&mut Vec::new(), &mut other);
        let mut form = other.make(&options);
        spoil(&mut form, &mut other);
        let page = add(&hub, &visitor, form);
        assert!(matches!(page.status, 413 | 422), "{what}: {page:?}");
        assert_eq!(hub.query("SELECT count(*) FROM passkeys"), ["0"], "{what}");
    };
    let attest = |form: &mut Form, bytes: &[u8]| {
        if let Some(field) = form.iter_mut().find(|(key, _)| *key == "attestation") {
            field.1 = BASE64URL.encode(bytes);
        }
    };
    refused("another site", &|_, key| key.origin = "https://evil.example".into());
    refused("another name", &|_, key| key.rp = "example".into());
    refused("nobody touched it", &|_, key| key.flags = 0);
    refused("copied, and may not be", &|_, key| key.flags |= 16);
    refused("a short id", &|_, key| key.id = vec![1; 15]);
    refused("a long id", &|_, key| key.id = vec![1; 1024]);
    refused("no new key", &|form, key| attest(form, &Authenticator::attestation(&key.data(false))));
    refused("what follows", &|form, key| {
        attest(form, &[Authenticator::attestation(&key.data(true)), vec![0]].concat());
    });
    refused("what follows the key", &|form, key| {
        attest(form, &Authenticator::attestation(&[key.data(true), vec![0]].concat()));
    });
    let other = |from: &'static [u8], to: &'static [u8]| {
        move |form: &mut Form, key: &mut Authenticator| {
            let data = key.data(true);
            let at = data.windows(from.len()).position(|part| part == from).unwrap();
            let data = [&data[..at], to, &data[at + from.len()..]].concat();
            attest(form, &Authenticator::attestation(&data));
        }
    };
    refused("ES384", &other(&[3, 0x26, 0x20], &[3, 0x38, 34, 0x20]));
    refused("another curve", &other(&[0x20, 1, 0x21], &[0x20, 2, 0x21]));
    refused("two algorithms", &other(&[0xa5, 1, 2, 3, 0x26], &[0xa6, 1, 2, 3, 0x27, 3, 0x26]));
    refused("nested without end", &|form, _| attest(form, &[0x81; 10_000]));
    refused("a length of all memory", &|form, _| {
        attest(
            form,
            &[
                0xa1, 0x68, b'a', b'u', b't', b'h', b'D', b'a', b't', b'a', 0x5b, 0x7f, 255, 255,
                255, 255, 255, 255, 255,
            ],
        );
    });
    refused("very long", &|form, _| attest(form, &[0; 17 << 10]));
    let whole = Authenticator::attestation(&key.data(true));
    for length in (0..whole.len()).step_by(11) {
        refused("cut off", &|form, _| attest(form, &whole[..length]));
    }

    let mut key = key;
    let options = asked(&to_be_made(&hub, &visitor, PASSWORD));
    let form = key.make(&options);
    let ben = Person::new(&hub, "ben", "moderator", &[]).visit(&hub);
    assert_eq!(add(&hub, &ben, form.clone()).status, 422, "of another session");
    assert_eq!(add(&hub, &visitor, form.clone()).status, 303);
    assert_eq!(add(&hub, &visitor, form).status, 422, "once");
    let options = asked(&to_be_made(&hub, &ben, PASSWORD));
    assert_eq!(add(&hub, &ben, key.make(&options)).status, 422, "it is Ann's");
}

#[test]
fn failed_logins_are_told_once_in_a_while_and_strangers_names_never() {
    let hub = Hub::start();
    let ann = Person::new(&hub, "ann", "moderator", &[]);
    let guess = |name: &str| {
        let page = hub.send("/ops/login", "", &[("name", name), ("password", "wrong wrong wrong")]);
        assert_eq!(page.status, 401, "{page:?}");
    };
    for _ in 0..3 {
        guess("ann");
        guess("nobody");
    }
    guess("code of somebody");
    let told = || {
        hub.query("SELECT actor, subject, convert_from(record, 'utf8')::json->'detail'->>'step' FROM audit WHERE action = 'session.refuse' ORDER BY seq")
    };
    assert_eq!(told(), ["unknown person|ann|password"]);
    let (_, metrics) = hub.get("/metrics", "");
    assert!(metrics.contains("weir_hub_logins_refused_total 7\n"), "{metrics}");
    assert_eq!(
        hub.query("SELECT count(*) FROM login_failures WHERE counted LIKE '%code of%'"),
        ["0"]
    );
    // That somebody has the password is not hidden by guesses from before.
    let half = ann.half(&hub);
    assert_eq!(hub.send("/ops/login/code", &half, &[("code", "000000")]).status, 401);
    assert_eq!(told().last().unwrap(), "unknown person|ann|code");
    guess("ann");
    assert_eq!(told().len(), 2);
    hub.query("UPDATE accounts SET failure_noted_at = now() - interval '16 minutes'");
    guess("ann");
    assert_eq!(told().len(), 3);
    let visitor = ann.visit(&hub);
    assert_eq!(visitor.send("/ops/leave", &[]).status, 303);
    let ends = hub.query("SELECT actor, subject FROM audit WHERE action = 'session.end'");
    assert_eq!(ends, ["ann|ann"]);
}
