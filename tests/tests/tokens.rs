//! Access tokens of identity providers at the real service: whose are believed, whose are not, and for which tenant.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rig::issuer::{Issuer, forged, jwks, message, seconds};
use rig::service::Service;
use rig::weir;
use serde_json::{Value, json};

const ISSUER: &str = "https://login.example.org/";

/// Claims that are good for the tenant `shop`.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "shop", "sub": "user-17", "scope": "openid modnet:submit modnet:read",
        "iat": seconds(0), "nbf": seconds(0), "exp": seconds(900),
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// A service with the tenants `shop` and `club`, whose provider is the same and whose audiences are not.
fn service(dir: &Path, jwks: &str, more: &str) -> Service {
    std::fs::create_dir_all(dir).unwrap();
    let config = dir.join("weir.toml");
    let tenant = |name: &str| {
        format!(
            "[tenant.{name}.jwt]\nissuer = \"{ISSUER}\"\naudience = \"{name}\"\njwks = \"{jwks}\"\n"
        )
    };
    let text = format!("[auth]\nrequired = true\n{more}{}{}", tenant("shop"), tenant("club"));
    std::fs::write(&config, text).unwrap();
    Service::start(&dir.join("data"), &["--config", config.to_str().unwrap()])
}

fn by_file(dir: &Path, issuers: &[&Issuer]) -> Service {
    let file = dir.join("jwks.json");
    std::fs::write(&file, jwks(issuers)).unwrap();
    service(dir, file.to_str().unwrap(), "")
}

/// Status and reason of a call under this token.
fn call(service: &Service, token: &str) -> (u16, String) {
    let bearer = format!("Bearer {token}");
    let answer = service.call("GET", "/v1/submissions", &[("authorization", &bearer)], b"");
    (answer.status, answer.body["reason"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn only_tokens_of_the_tenants_own_provider_are_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Issuer::new("k1", 2048), Issuer::new("k1", 2048));
    let weak = Issuer::new("weak", 1024);
    let service = by_file(dir.path(), &[&issuer, &weak]);
    assert_eq!(call(&service, &issuer.token(&claims())), (200, String::new()));
    // Azure's and Okta's way of telling scopes; several audiences; a provider without `nbf`; clocks that differ.
    for good in [
        with("aud", json!(["other", "shop"])),
        with("scope", json!(["modnet:read"])),
        without("nbf"),
        with("nbf", json!(seconds(10))),
        with("exp", json!(seconds(-10))),
    ] {
        assert_eq!(call(&service, &issuer.token(&good)), (200, String::new()), "{good}");
    }
    let mut scp = without("scope");
    scp["scp"] = json!("modnet:read");
    assert_eq!(call(&service, &issuer.token(&scp)).0, 200);

    let none = json!({ "alg": "none", "typ": "JWT", "kid": "k1" });
    let hs = json!({ "alg": "HS256", "typ": "JWT", "kid": "k1" });
    let mac = |secret: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        ring::hmac::sign(&key, message(&hs, &claims()).as_bytes()).as_ref().to_vec()
    };
    let mut broken = issuer.token(&claims());
    broken.replace_range(broken.len() - 8.., "AAAAAAAA");
    let swapped = {
        let (good, evil) = (
            issuer.token(&claims()),
            message(&json!({"alg":"RS256","kid":"k1"}), &with("sub", json!("admin"))),
        );
        format!("{evil}.{}", good.rsplit_once('.').unwrap().1)
    };
    let rs512 = json!({ "alg": "RS512", "kid": "k1" });
    let cases = [
        // The library knows no such algorithm, so that this is no token at all.
        ("token_malformed", forged(&none, &claims(), b"")),
        ("token_algorithm", forged(&hs, &claims(), &mac(&issuer.public_pem()))),
        ("token_algorithm", forged(&hs, &claims(), &mac(jwks(&[&issuer]).as_bytes()))),
        ("token_algorithm", issuer.sign(&rs512, &claims())),
        ("token_signature", stranger.token(&claims())),
        ("token_signature", broken),
        ("token_signature", swapped),
        ("token_key_unknown", Issuer::new("k2", 2048).token(&claims())),
        ("token_key_unknown", weak.token(&claims())),
        ("token_expired", issuer.token(&with("exp", json!(seconds(-60))))),
        ("token_early", issuer.token(&with("nbf", json!(seconds(60))))),
        ("token_early", {
            let mut claims = without("nbf");
            claims["iat"] = json!(seconds(60));
            issuer.token(&claims)
        }),
        ("token_audience", issuer.token(&with("aud", json!("other")))),
        ("token_audience", issuer.token(&with("aud", json!(["shop", "club"])))),
        ("token_issuer", issuer.token(&with("iss", json!("https://evil.example/")))),
        ("token_claims", issuer.token(&without("exp"))),
        ("token_claims", issuer.token(&with("exp", json!("tomorrow")))),
        ("token_claims", issuer.token(&without("iss"))),
        ("token_claims", issuer.token(&without("aud"))),
        ("token_too_long", issuer.token(&with("note", json!("x".repeat(8 << 10))))),
        ("token_malformed", "a.b.c".to_owned()),
        ("token_malformed", "..".to_owned()),
    ];
    for (reason, token) in cases {
        assert_eq!(call(&service, &token), (401, reason.to_owned()), "{token}");
    }
    for claims in [without("sub"), {
        let mut claims = without("nbf");
        claims.as_object_mut().unwrap().remove("iat");
        claims
    }] {
        assert_eq!(call(&service, &issuer.token(&claims)).0, 401, "{claims}");
    }
    // Believed, and not allowed.
    for scope in
        [with("scope", json!("openid")), without("scope"), with("scope", json!("modnet:readx"))]
    {
        assert_eq!(call(&service, &issuer.token(&scope)), (403, "scope_missing".into()), "{scope}");
    }
}

#[test]
fn a_token_speaks_for_one_tenant_and_the_journal_names_its_bearer_by_pseudonym() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("k1", 2048);
    let service = by_file(dir.path(), &[&issuer]);
    let bearer = |audience: &str| format!("Bearer {}", issuer.token(&with("aud", json!(audience))));
    let (shop, club) = (bearer("shop"), bearer("club"));
    let made = service.submit_with(
        &[("authorization", &shop), ("prefer", "wait=30")],
        &json!({ "text": "hello" }),
        &[],
    );
    assert_eq!(made.status, 200, "{made:?}");
    let path = format!("/v1/submissions/{}", made.body["id"].as_str().unwrap());
    let status =
        |bearer: &str| service.call("GET", &path, &[("authorization", bearer)], b"").status;
    assert_eq!((status(&shop), status(&club)), (200, 404));
    let data = service.data().to_owned();
    service.stop();
    let bytes: Vec<u8> = std::fs::read_dir(&data)
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().unwrap().is_file())
        .flat_map(|entry| std::fs::read(entry.path()).unwrap())
        .collect();
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    assert!(has(b"jwt:") && !has(b"user-17"), "the subject's pseudonym, never the subject");
}

/// A provider's address: answers each call with what stands in the cell, and counts the calls.
fn provider(keys: Arc<Mutex<String>>, calls: Arc<Mutex<u32>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            *calls.lock().unwrap() += 1;
            let body = keys.lock().unwrap().clone();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn keys_by_address_follow_the_provider_who_is_not_asked_for_every_invented_name() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new, next) =
        (Issuer::new("old", 2048), Issuer::new("new", 2048), Issuer::new("next", 2048));
    let (keys, calls) = (Arc::new(Mutex::new(jwks(&[&old]))), Arc::new(Mutex::new(0)));
    let port = provider(Arc::clone(&keys), Arc::clone(&calls));
    let url = format!("http://127.0.0.1:{port}/jwks.json");
    let service = service(dir.path(), &url, "[fetch]\nallow = [\"127.0.0.0/8\"]\n");
    assert_eq!(call(&service, &old.token(&claims())).0, 200);
    let asked = *calls.lock().unwrap();
    assert_eq!(asked, 2, "once for each tenant");
    keys.lock().unwrap().clone_from(&jwks(&[&new]));
    assert_eq!(call(&service, &new.token(&claims())).0, 200, "the unknown key was asked for");
    assert_eq!(call(&service, &old.token(&claims())), (401, "token_key_unknown".into()));
    // Asked a moment ago: neither a newer key nor any invented name makes the box ask again.
    keys.lock().unwrap().clone_from(&jwks(&[&next]));
    for _ in 0..20 {
        assert_eq!(call(&service, &next.token(&claims())).0, 401);
    }
    assert_eq!(*calls.lock().unwrap(), 3);
}

#[test]
fn a_reload_while_the_provider_is_away_locks_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("k1", 2048);
    let (keys, calls) = (Arc::new(Mutex::new(jwks(&[&issuer]))), Arc::new(Mutex::new(0)));
    let port = provider(Arc::clone(&keys), Arc::clone(&calls));
    let url = format!("http://127.0.0.1:{port}/jwks.json");
    let service = service(dir.path(), &url, "[fetch]\nallow = [\"127.0.0.0/8\"]\n");
    assert_eq!(call(&service, &issuer.token(&claims())).0, 200);
    "<html>".clone_into(&mut keys.lock().unwrap());
    let run = weir::run(["reload", "--data", service.data().to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(call(&service, &issuer.token(&claims())), (200, String::new()));
}

#[test]
fn without_its_providers_keys_a_box_starts_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("k1", 2048);
    let (keys, calls) = (Arc::new(Mutex::new("<html>".to_owned())), Arc::new(Mutex::new(0)));
    let port = provider(Arc::clone(&keys), Arc::clone(&calls));
    let url = format!("http://127.0.0.1:{port}/jwks.json");
    let open = service(&dir.path().join("open"), &url, "[fetch]\nallow = [\"127.0.0.0/8\"]\n");
    assert_eq!(call(&open, &issuer.token(&claims())), (503, "keys_unavailable".into()));
    drop(open);
    // Loopback is no public address: the provider is not asked unless its network is allowed.
    let asked = *calls.lock().unwrap();
    let closed = service(&dir.path().join("closed"), &url, "");
    assert_eq!(call(&closed, &issuer.token(&claims())).0, 503);
    assert_eq!(*calls.lock().unwrap(), asked);
}

#[test]
fn a_credential_has_its_share_of_the_second_and_takes_nothing_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::new("k1", 2048);
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, jwks(&[&issuer])).unwrap();
    let limits = "[limits]\ncredential_per_second = 2\n";
    let service = service(dir.path(), file.to_str().unwrap(), limits);
    let busy = format!("Bearer {}", issuer.token(&claims()));
    let calls =
        (0..30).map(|_| service.call("GET", "/v1/submissions", &[("authorization", &busy)], b""));
    let (good, refused): (Vec<_>, Vec<_>) = calls.partition(|answer| answer.status == 200);
    assert!(good.len() >= 2 && !refused.is_empty(), "{good:?}");
    for answer in refused {
        assert_eq!((answer.status, &answer.body["reason"]), (429, &json!("credential_rate")));
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    // The gate answers whatever a CDN asks.
    for _ in 0..30 {
        let gate = "/v1/gate?sha256=00";
        let answer = service.call("GET", gate, &[("authorization", &busy)], b"");
        assert_eq!(answer.header("x-weir-reason"), None, "{answer:?}");
    }
    let other = issuer.token(&with("sub", json!("user-18")));
    assert_eq!(call(&service, &other).0, 200);
}

#[test]
fn mistakes_about_providers_are_told_before_anything_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (config, weak) = (dir.path().join("weir.toml"), dir.path().join("weak.json"));
    std::fs::write(&weak, jwks(&[&Issuer::new("weak", 1024)])).unwrap();
    let check = |text: String| {
        std::fs::write(&config, text).unwrap();
        let run = weir::run(["config", "check", "--config", config.to_str().unwrap()]);
        assert_eq!(run.code, Some(64), "{run:#?}");
        run.stderr
    };
    let jwt = |tenant: &str, jwks: &str| {
        format!("[tenant.{tenant}.jwt]\nissuer = \"i\"\naudience = \"a\"\njwks = \"{jwks}\"\n")
    };
    let url = "https://login.example.org/jwks";
    let both = [jwt("shop", url), jwt("club", url)].concat();
    let told = check(format!("{both}[tenant.x.jwt]\njwks = \"http://a.example/\"\n"));
    for part in
        ["would speak for both", "tenant.x.jwt.issuer: missing", "tenant.x.jwt.audience: missing"]
    {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
    for plain in ["http://a.example/", "http://127.0.0.1:80@a.example/", "ftp://a.example/"] {
        assert!(check(jwt("shop", plain)).contains("tenant.shop.jwt.jwks"), "{plain}");
    }
    let told = check(jwt("shop", weak.to_str().unwrap()));
    assert!(told.contains("weak: it has 1024 bits"), "{told}");
    assert!(check(jwt("shop", "/nowhere.json")).contains("cannot read /nowhere.json"));
}
