//! People at the hub's screens: invited, let in, in a browser or by plain calls.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "the rig of the tests: a test fails by panicking"
)]

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::browser::Browser;
use crate::hub::Hub;

/// The password of all of them.
pub const PASSWORD: &str = "quiet green harbour";

/// Somebody with an account that is set up.
pub struct Person {
    /// What they log in with.
    pub name: String,
    /// Of the second factor.
    secret: Vec<u8>,
}

/// What a screen answered.
#[derive(Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// Where it sends on to.
    pub location: String,
    /// What cookies it sets.
    pub cookies: Vec<String>,
    /// All headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Somebody who is in, without a browser.
pub struct Visitor<'a> {
    hub: &'a Hub,
    /// The cookie of their session.
    pub cookie: String,
    /// What their forms carry.
    pub csrf: String,
}

impl Person {
    /// Adds an account by the command line, and sets it up by its invitation.
    ///
    /// # Panics
    /// Where any step is refused.
    pub fn new(hub: &Hub, name: &str, role: &str, tenants: &[&str]) -> Self {
        let settings = hub.settings();
        let mut words =
            vec!["account", "add", name, "--role", role, "--config", settings.to_str().unwrap()];
        words.extend(tenants.iter().flat_map(|tenant| ["--tenant", tenant]));
        Self::invited(hub, name, &hub.run(&words))
    }

    /// Sets an account up by the line of its invitation.
    ///
    /// # Panics
    /// Where any step is refused.
    pub fn invited(hub: &Hub, name: &str, address: &str) -> Self {
        let (_, invitation) = address.split_once("invitation=").unwrap();
        let page = hub.see(&format!("/ops/welcome?invitation={invitation}"), "");
        let (_, rest) = page.body.split_once("<code id=\"key\">").unwrap();
        let person =
            Self { name: name.to_owned(), secret: base32(rest.split_once('<').unwrap().0) };
        let code = person.code(0);
        let form = [
            ("invitation", invitation),
            ("password", PASSWORD),
            ("again", PASSWORD),
            ("code", &code),
        ];
        let done = hub.send("/ops/welcome", "", &form);
        assert_eq!(done.status, 303, "{done:?}");
        person
    }

    /// The secret of the second factor.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The code of so many steps from now (RFC 6238).
    pub fn code(&self, ahead: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = sign(&key, &(now / 30 + ahead).to_be_bytes());
        let hash = tag.as_ref();
        let at = usize::from(hash[19] & 15);
        let word = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", word % 1_000_000)
    }

    /// A code is good once: those that were used are forgotten, so that tests need not wait for the next.
    fn fresh(&self, hub: &Hub) {
        hub.query(&format!("UPDATE accounts SET totp_step = 0 WHERE name = '{}'", self.name));
    }

    /// Logs in without a browser.
    ///
    /// # Panics
    /// Where any step is refused.
    pub fn visit<'a>(&self, hub: &'a Hub) -> Visitor<'a> {
        self.fresh(hub);
        let first = hub.send("/ops/login", "", &[("name", &self.name), ("password", PASSWORD)]);
        assert_eq!(first.status, 303, "{first:?}");
        let half = first.cookie("__Host-weir-half");
        let code = self.code(0);
        let second = hub.send("/ops/login/code", &half, &[("code", &code), ("next", "/ops/me")]);
        assert_eq!((second.status, second.location.as_str()), (303, "/ops/me"), "{second:?}");
        let cookie = second.cookie("__Host-weir");
        let me = hub.see("/ops/me", &cookie);
        assert_eq!(me.status, 200, "{me:?}");
        let (_, rest) = me.body.split_once("name=\"csrf\" value=\"").unwrap();
        Visitor { hub, cookie, csrf: rest.split_once('"').unwrap().0.to_owned() }
    }

    /// The right password.
    pub fn knock(&self, hub: &Hub) -> Page {
        hub.send("/ops/login", "", &[("name", &self.name), ("password", PASSWORD)])
    }

    /// The cookie of half a session.
    pub fn half(&self, hub: &Hub) -> String {
        self.knock(hub).cookie("__Host-weir-half")
    }

    /// The code of a login a moment ago, once more.
    pub fn code_again(&self, hub: &Hub) -> Page {
        let half = self.half(hub);
        hub.send("/ops/login/code", &half, &[("code", &self.code(0))])
    }

    /// Types name and password at the entrance.
    pub fn enter(&self, address: &str, browser: &Browser) {
        browser.open(&format!("{address}/ops"));
        browser.appears("#password");
        browser.click("#name");
        browser.keys(&self.name);
        browser.click("#password");
        browser.keys(PASSWORD);
        browser.click("main button");
        browser.appears("#code");
    }

    /// Logs in as a person does: types, presses enter.
    pub fn log_in(&self, hub: &Hub, browser: &Browser) {
        self.log_in_at(hub, &hub.address(), browser);
    }

    /// The same where the browser calls the hub by another name.
    pub fn log_in_at(&self, hub: &Hub, address: &str, browser: &Browser) {
        self.fresh(hub);
        self.enter(address, browser);
        browser.keys(self.code(0));
        browser.click("main button");
        browser.appears("header .me");
    }
}

impl Visitor<'_> {
    /// Looks at a screen.
    pub fn see(&self, path: &str) -> Page {
        self.hub.see(path, &self.cookie)
    }

    /// Sends a form of one's own session.
    pub fn send(&self, path: &str, form: &[(&str, &str)]) -> Page {
        let mut form = form.to_vec();
        form.push(("csrf", &self.csrf));
        self.hub.send(path, &self.cookie, &form)
    }
}

impl Visitor<'_> {
    /// Sends a form where the hub may be gone.
    pub fn try_send(&self, path: &str, form: &[(&str, &str)]) -> Option<Page> {
        let mut form = form.to_vec();
        form.push(("csrf", &self.csrf));
        self.hub.try_send(path, &[("cookie", &self.cookie)], &form)
    }
}

impl Hub {
    /// Looks at a screen that goes on for as long as this is kept; its beginning has come.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn watch(&self, path: &str, cookie: &str) -> impl Sized + use<> {
        let call =
            screens(&self.dir().join("authority.pem")).get(format!("{}{path}", self.address()));
        let answer = call.header("cookie", cookie).call().unwrap();
        assert_eq!(answer.status(), 200);
        answer
    }

    /// Looks at a screen, with a cookie where one is given. Redirects are not followed.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn see(&self, path: &str, cookie: &str) -> Page {
        let call =
            screens(&self.dir().join("authority.pem")).get(format!("{}{path}", self.address()));
        page(call.header("cookie", cookie).call().unwrap())
    }

    /// Looks at a screen with these headers.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn see_with(&self, path: &str, headers: &[(&str, &str)]) -> Page {
        let agent = screens(&self.dir().join("authority.pem"));
        let mut call = agent.get(format!("{}{path}", self.address()));
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        page(call.call().unwrap())
    }

    /// The status of a screen that goes on for as long as one looks.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn status(&self, path: &str, cookie: &str) -> u16 {
        let call =
            screens(&self.dir().join("authority.pem")).get(format!("{}{path}", self.address()));
        call.header("cookie", cookie).call().unwrap().status().as_u16()
    }

    /// Sends a form.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn send(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> Page {
        self.send_with(path, &[("cookie", cookie)], form)
    }

    /// Sends a form with these headers.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn send_with(&self, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Page {
        self.try_send(path, headers, form).expect("the hub answers")
    }

    /// The same where it may not answer.
    pub fn try_send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Option<Page> {
        let agent = screens(&self.dir().join("authority.pem"));
        let mut call = agent.post(format!("{}{path}", self.address()));
        for (name, value) in headers {
            call = call.header(*name, *value);
        }
        Some(page(call.send_form(form.iter().copied()).ok()?))
    }
}

impl Page {
    /// A cookie that it sets, with its name.
    ///
    /// # Panics
    /// Where it sets none of that name.
    pub fn cookie(&self, name: &str) -> String {
        let start = format!("{name}=");
        let set = self.cookies.iter().find(|cookie| cookie.starts_with(&start)).unwrap();
        set.split(';').next().unwrap().to_owned()
    }
}

fn base32(text: &str) -> Vec<u8> {
    let mut bits = 0_u64;
    let (mut many, mut bytes) = (0, Vec::new());
    for c in text.trim_end_matches('=').bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|own| *own == c).unwrap();
        bits = bits << 5 | value as u64;
        many += 5;
        if many >= 8 {
            many -= 8;
            bytes.push((bits >> many & 255) as u8);
        }
    }
    bytes
}

/// One that follows no redirects: a test looks at each by itself.
fn screens(authority: &Path) -> ureq::Agent {
    let root = Certificate::from_pem(&std::fs::read(authority).unwrap()).unwrap();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
    let agent = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false);
    agent.max_redirects(0).build().new_agent()
}

fn page(mut answer: ureq::http::Response<ureq::Body>) -> Page {
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let all = |name: &str| answer.headers().get_all(name).iter().map(text).collect::<Vec<_>>();
    Page {
        status: answer.status().as_u16(),
        location: all("location").pop().unwrap_or_default(),
        cookies: all("set-cookie"),
        headers: answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: answer.body_mut().read_to_string().unwrap_or_default(),
    }
}
