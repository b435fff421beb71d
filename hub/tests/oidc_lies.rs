//! A provider of identities that lies, is away, slow or endless, against the real hub on Postgres.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use rig::hub::Hub;
use rig::issuer::seconds;
use rig::provider::{Manner, Provider, Says, Signed};
use rig::trip::{come, hub, journal, lets_on, linked, out, there};
use serde_json::json;

/// Wrong attempts are many here; how many there may be is a test of its own.
fn forget(hub: &Hub) {
    hub.query("DELETE FROM login_failures");
}

type Lie = fn(&mut Says);
type Spoil = fn(&mut serde_json::Value);

fn claims(says: &mut Says, change: impl Fn(&mut serde_json::Value) + Send + 'static) {
    says.claims = Box::new(change);
}

#[test]
fn a_token_that_says_anything_else_lets_nobody_in() {
    let provider = Provider::start();
    let hub = hub(&provider);
    linked(&hub);
    let honest = || {
        forget(&hub);
        let names = provider.issuer();
        provider.says(|says| {
            says.names = Some(names);
            says.signed = Signed::Rs256;
            (says.kid, says.error) = ("one".into(), None);
            says.header = Box::new(|_| ());
            says.answer = Box::new(|_| ());
            claims(says, |_| ());
        });
    };
    for signed in [Signed::Rs256, Signed::Ps256, Signed::Es256, Signed::EdDsa] {
        provider.says(|says| says.signed = signed);
        assert!(lets_on(&come(&hub)), "{signed:?}");
    }
    let lies: [(&str, Lie); 38] = [
        ("unsigned", |says| says.signed = Signed::None),
        ("signed by the public key as a secret", |says| says.signed = Signed::Hs256),
        ("signed by another key of that name", |says| says.signed = Signed::Forged),
        ("without the signature", |says| says.signed = Signed::Missing),
        ("of another kind than its key", |says| {
            says.header = Box::new(|header| header["alg"] = json!("ES256"));
        }),
        ("by RSA of another kind", |says| {
            says.header = Box::new(|header| header["alg"] = json!("PS256"));
        }),
        ("by a longer hash", |says| {
            says.header = Box::new(|header| header["alg"] = json!("RS512"))
        }),
        ("of another name of a key", |says| {
            says.header = Box::new(|header| header["kid"] = json!("nobody's"));
        }),
        ("a key in the token", |says| {
            says.signed = Signed::Forged;
            says.header = Box::new(|header| header["jwk"] = json!({ "kty": "RSA" }));
        }),
        ("an access token", |says| {
            says.header = Box::new(|header| header["typ"] = json!("at+jwt"));
        }),
        ("with a demand", |says| {
            says.header = Box::new(|header| header["crit"] = json!(["x"]));
        }),
        ("of another login", |says| claims(says, |it| it["nonce"] = json!("x"))),
        ("of no login", |says| {
            claims(says, |it| drop(it.as_object_mut().unwrap().remove("nonce")));
        }),
        ("for another client", |says| claims(says, |it| it["aud"] = json!("another"))),
        ("for no client", |says| claims(says, |it| it["aud"] = json!([]))),
        ("for many clients", |says| claims(says, |it| it["aud"] = json!([it["aud"], "another"]))),
        ("asked for by another client", |says| claims(says, |it| it["azp"] = json!("another"))),
        ("asked for by one of many clients", |says| {
            claims(says, |it| {
                it["aud"] = json!([it["aud"], "another"]);
                it["azp"] = json!("another");
            });
        }),
        ("by another issuer", |says| claims(says, |it| it["iss"] = json!("https://evil.example"))),
        ("by nearly the issuer", |says| {
            claims(says, |it| it["iss"] = json!(format!("{}/", it["iss"].as_str().unwrap())));
        }),
        ("by no issuer", |says| claims(says, |it| drop(it.as_object_mut().unwrap().remove("iss")))),
        ("expired", |says| claims(says, |it| it["exp"] = json!(seconds(-90)))),
        ("for ever", |says| claims(says, |it| drop(it.as_object_mut().unwrap().remove("exp")))),
        ("from the future", |says| claims(says, |it| it["iat"] = json!(seconds(120)))),
        ("not yet", |says| claims(says, |it| it["nbf"] = json!(seconds(120)))),
        ("an old one", |says| claims(says, |it| it["iat"] = json!(seconds(-1000)))),
        ("without a date", |says| {
            claims(says, |it| drop(it.as_object_mut().unwrap().remove("iat")))
        }),
        ("of nobody", |says| claims(says, |it| drop(it.as_object_mut().unwrap().remove("sub")))),
        ("of an empty name", |says| claims(says, |it| it["sub"] = json!(""))),
        ("of a long name", |says| claims(says, |it| it["sub"] = json!("a".repeat(256)))),
        ("of a name with a null", |says| claims(says, |it| it["sub"] = json!("8f2c-ann\0"))),
        ("of two names", |says| {
            claims(says, |it| *it = json!(it.to_string().replace("{", "{\"sub\":\"root\",")));
        }),
        ("no claims", |says| claims(says, |it| *it = json!("nothing"))),
        ("no token", |says| says.answer = Box::new(|it| *it = json!({ "access_token": "x" }))),
        ("an empty one", |says| says.answer = Box::new(|it| it["id_token"] = json!(""))),
        ("two dots", |says| says.answer = Box::new(|it| it["id_token"] = json!(".."))),
        ("the answer names another issuer", |says| {
            says.names = Some("https://evil.example".into())
        }),
        ("the answer names none, as it promised", |says| says.names = None),
    ];
    let mut believed = Vec::new();
    for (what, lie) in lies {
        honest();
        provider.says(lie);
        let page = come(&hub);
        if lets_on(&page) || page.status != 401 || !page.body.contains("was not accepted") {
            believed.push((what, page.status));
        }
    }
    assert!(believed.is_empty(), "{believed:?}");
    honest();
    assert!(lets_on(&come(&hub)), "nothing of it stays");
    provider.says(|says| {
        claims(says, |it| {
            it["aud"] = json!([it["aud"], "another"]);
            it["azp"] = json!(rig::provider::CLIENT);
        })
    });
    assert!(lets_on(&come(&hub)), "for many, asked for by this one");
    honest();
    // What lies is told once for a while, beside the log.
    let told = journal(&hub, "oidc");
    assert_eq!(told, [format!("oidc.refuse|unknown person|{}|", provider.issuer())]);
    // A person who thinks better of it has tried nothing.
    provider.says(|says| says.error = Some("access_denied".into()));
    let page = come(&hub);
    assert!(page.status == 403 && page.body.contains("Our people did not let you in"), "{page:?}");
    assert_eq!(hub.query("SELECT count(*) FROM login_failures"), ["0"]);
    // Twenty wrong ones from one network are enough.
    provider.says(|says| (says.error, says.signed) = (None, Signed::None));
    (0..20).for_each(|n| assert_eq!(come(&hub).status, 401, "{n}"));
    provider.says(|says| says.signed = Signed::Rs256);
    assert_eq!(come(&hub).status, 429, "the right one neither");
}

#[test]
fn a_provider_that_is_away_slow_or_endless_keeps_nobody_from_the_password() {
    let provider = Provider::start();
    let all = ["/.well-known/openid-configuration", "/token", "/keys"];
    provider.says(|says| says.manners = [(all[0], Manner::Away)].into());
    let hub = hub(&provider);
    let ann = linked(&hub);
    let page = hub.see("/ops/login/oidc", "");
    assert!(page.status == 503 && page.body.contains("cannot be asked"), "{page:?}");
    ann.visit(&hub);
    let asked = provider.asked(all[0]);
    (0..5).for_each(|_| assert_eq!(hub.see("/ops/login/oidc", "").status, 503));
    assert!(provider.asked(all[0]) <= asked + 1, "it is left alone for a while");
    provider.says(|says| says.manners.clear());
    let begun = Instant::now();
    while hub.see("/ops/login/oidc", "").status != 303 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never comes back");
        std::thread::sleep(Duration::from_millis(200));
    }
    for path in &all[1..] {
        for manner in [Manner::Away, Manner::Slow, Manner::Endless, Manner::Elsewhere] {
            provider.says(|says| says.manners = [(*path, manner)].into());
            let (asked, begun) = (provider.asked(path), Instant::now());
            // For keys it is left alone for a while each time.
            while provider.asked(path) == asked {
                let (cookie, way) = out(&hub);
                let (back, sent) = (there(&hub, &way), Instant::now());
                let page = hub.see(&back, &cookie);
                assert!(!lets_on(&page) && page.status == 503, "{path} {manner:?}: {page:?}");
                assert!(sent.elapsed() < Duration::from_secs(12), "{path} {manner:?}");
                assert!(begun.elapsed() < Duration::from_secs(30), "{path} is not asked any more");
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(provider.asked(&format!("/elsewhere{path}")), 0, "it is not followed");
        }
    }
    provider.says(|says| says.manners.clear());
    // Nobody is locked out because of it.
    assert_eq!(hub.query("SELECT count(*) FROM login_failures"), ["0"]);
    let begun = Instant::now();
    while !lets_on(&come(&hub)) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never comes back");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_a_provider_tells_of_itself_has_to_be_its_own() {
    let wrong: [(&str, Spoil); 4] = [
        ("another issuer", |it| it["issuer"] = json!("http://127.0.0.1:1")),
        ("no TLS", |it| it["token_endpoint"] = json!("http://id.example/token")),
        ("no PKCE", |it| it["code_challenge_methods_supported"] = json!(["plain"])),
        ("no secret", |it| {
            it["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"])
        }),
    ];
    let provider = Provider::start();
    let mut hub = hub(&provider);
    linked(&hub);
    for (what, lie) in wrong {
        provider.says(|says| says.about = Box::new(lie));
        hub.kill();
        hub.serve();
        assert_eq!(hub.see("/ops/login/oidc", "").status, 503, "{what}");
    }
    provider.says(|says| {
        let post = json!(["client_secret_post"]);
        says.about = Box::new(move |it| it["token_endpoint_auth_methods_supported"] = post.clone());
    });
    hub.kill();
    hub.serve();
    assert!(lets_on(&come(&hub)), "the secret in the form");
}

#[test]
fn a_new_key_is_found_at_once_and_made_up_ones_are_asked_for_once_a_minute() {
    let provider = Provider::start();
    let hub = hub(&provider);
    linked(&hub);
    assert!(lets_on(&come(&hub)) && lets_on(&come(&hub)));
    assert_eq!(provider.asked("/keys"), 1, "they are kept");
    assert_eq!(provider.asked("/.well-known/openid-configuration"), 1);
    provider.says(|says| says.kid = "two".into());
    assert!(lets_on(&come(&hub)), "the provider has another key");
    assert_eq!(provider.asked("/keys"), 2);
    for n in 0..4 {
        provider.says(|says| {
            says.header = Box::new(move |header| header["kid"] = json!(format!("made up {n}")));
        });
        assert!(!lets_on(&come(&hub)));
    }
    assert_eq!(provider.asked("/keys"), 2);
    provider.says(|says| {
        says.header = Box::new(|header| drop(header.as_object_mut().unwrap().remove("kid")))
    });
    assert!(lets_on(&come(&hub)), "without a name it is the only one of its kind");
}
