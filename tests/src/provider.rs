//! A provider of identities (OpenID Connect) on loopback that can lie: in what it tells of itself, in its tokens, and in how it answers.
#![expect(clippy::unwrap_used, reason = "the rig of the tests: a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64URL};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use crate::endpoint::read_request;
use crate::issuer::{Issuer, seconds};

/// What the hub is called here, and its secret: with signs that have to be written otherwise on their way.
pub const CLIENT: &str = "weir:hub";
/// The same.
pub const SECRET: &str = "s3cret %&+:/=?";

/// By what a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// RSA with PKCS #1 v1.5.
    Rs256,
    /// RSA-PSS.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// By nothing, and it says so.
    None,
    /// By the public key, as if it were a secret.
    Hs256,
    /// By another RSA key under the same name.
    Forged,
    /// It says RS256 and has no signature.
    Missing,
}

/// How it answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Not at all.
    Away,
    /// Later than anybody waits.
    Slow,
    /// Without end.
    Endless,
    /// By sending elsewhere, where the same would be.
    Elsewhere,
}

/// What it says; a test changes what it likes.
pub struct Says {
    /// Who is logged in here.
    pub subject: String,
    /// By what tokens are signed.
    pub signed: Signed,
    /// Under which name.
    pub kid: String,
    /// What is done to the header of a token.
    pub header: Box<dyn Fn(&mut Value) + Send>,
    /// What is done to its claims.
    pub claims: Box<dyn Fn(&mut Value) + Send>,
    /// What is done to the whole answer for a code.
    pub answer: Box<dyn Fn(&mut Value) + Send>,
    /// What is done to what it tells of itself.
    pub about: Box<dyn Fn(&mut Value) + Send>,
    /// Which issuer the answer of a browser names.
    pub names: Option<String>,
    /// The browser is sent back with this error.
    pub error: Option<String>,
    /// How it answers where not as it should, by the path.
    pub manners: BTreeMap<&'static str, Manner>,
    /// How often it was asked, by the path.
    pub asked: BTreeMap<String, usize>,
}

/// The provider, until it is dropped.
pub struct Provider {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    says: Says,
    issuer: String,
    rsa: Issuer,
    other: Issuer,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    /// What browsers were sent here with, by the code that they got.
    codes: BTreeMap<String, BTreeMap<String, String>>,
    gone: bool,
}

impl Provider {
    /// Starts one that says the truth.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let issuer = format!("http://127.0.0.1:{port}");
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let state = State {
            says: Says {
                subject: "8f2c-ann".into(),
                signed: Signed::Rs256,
                kid: "one".into(),
                header: Box::new(|_| ()),
                claims: Box::new(|_| ()),
                answer: Box::new(|_| ()),
                about: Box::new(|_| ()),
                names: Some(issuer.clone()),
                error: None,
                manners: BTreeMap::new(),
                asked: BTreeMap::new(),
            },
            issuer,
            rsa: Issuer::new("one", 2048),
            other: Issuer::new("one", 2048),
            p256: EcdsaKeyPair::from_pkcs8(kind, p256.as_ref(), &random).unwrap(),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap(),
            codes: BTreeMap::new(),
            gone: false,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().gone {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(&mut stream.unwrap(), &state));
            }
        });
        Self { port, state }
    }

    /// Its name.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Settings of a hub that believes it; the secret lies beside them.
    pub fn settings(&self) -> String {
        format!(
            "[screens.oidc]\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\nclient_secret_file = \"oidc.secret\"\nlabel = \"Our people\"\n",
            self.issuer()
        )
    }

    /// Changes what it says.
    ///
    /// # Panics
    /// Where a test failed while it did.
    pub fn says(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.lock().says);
    }

    /// How often it was asked at a path.
    pub fn asked(&self, path: &str) -> usize {
        self.lock().says.asked.get(path).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Its thread looks whether anybody is there when it is called: this is the last call.
        self.lock().gone = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Goes where a browser is sent; where it is sent next, or what it is told.
///
/// # Panics
/// Where nobody answers.
pub fn visit(address: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    let mut answer = agent.proxy(None).build().new_agent().get(address).call().unwrap();
    let location = answer.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    (status, location.unwrap_or_else(|| answer.body_mut().read_to_string().unwrap()))
}

/// Reads what forms and addresses carry.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        Some((unescaped(key), unescaped(value)))
    };
    text.split('&').filter_map(pair).collect()
}

fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn answer(stream: &mut TcpStream, state: &Mutex<State>) {
    // Whoever only looks whether somebody is there asks nothing.
    let Ok(request) = read_request(stream) else { return };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let target = head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut locked = state.lock().unwrap();
    *locked.says.asked.entry(path.to_owned()).or_default() += 1;
    let manner = locked.says.manners.get(path).copied();
    let path = path.strip_prefix("/elsewhere").unwrap_or(path);
    let (status, kind, text) = match path {
        "/.well-known/openid-configuration" => (200, "", locked.about().to_string()),
        "/keys" => (200, "", locked.keys().to_string()),
        "/authorize" => match locked.authorize(&pairs(query)) {
            Ok(location) => (302, "location", location),
            Err(wrong) => (400, "", wrong),
        },
        "/token" => {
            let (status, value) = locked.token(head, &pairs(body));
            (status, "", value.to_string())
        }
        _ => (404, "", String::new()),
    };
    drop(locked);
    let extra = if kind.is_empty() { String::new() } else { format!("{kind}: {text}\r\n") };
    let write = |stream: &mut TcpStream, bytes: &[u8]| stream.write_all(bytes).is_ok();
    match manner {
        Some(Manner::Away) => return,
        Some(Manner::Slow) => std::thread::sleep(Duration::from_secs(20)),
        Some(Manner::Elsewhere) => {
            let target = format!(
                "HTTP/1.1 307 X\r\nlocation: /elsewhere{target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            write(stream, target.as_bytes());
            return;
        }
        Some(Manner::Endless) => {
            write(stream, b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"a\":\"");
            while write(stream, &[b'a'; 4096]) {}
            return;
        }
        None => {}
    }
    let whole = format!(
        "HTTP/1.1 {status} X\r\n{extra}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    write(stream, whole.as_bytes());
}

impl State {
    fn about(&self) -> Value {
        let at = &self.issuer;
        let mut about = json!({
            "issuer": at,
            "authorization_endpoint": format!("{at}/authorize"),
            "token_endpoint": format!("{at}/token"),
            "jwks_uri": format!("{at}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        (self.says.about)(&mut about);
        about
    }

    fn keys(&self) -> Value {
        let mut rsa = self.rsa.jwk();
        rsa.as_object_mut().unwrap().remove("alg");
        let point = self.p256.public_key().as_ref();
        let (x, y) = (BASE64URL.encode(&point[1..33]), BASE64URL.encode(&point[33..]));
        let ed25519 = BASE64URL.encode(self.ed25519.public_key().as_ref());
        let mut keys = [
            rsa,
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": ed25519, "use": "sig" }),
            json!({ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" }),
        ];
        keys.iter_mut().for_each(|key| key["kid"] = json!(self.says.kid));
        json!({ "keys": keys })
    }

    fn authorize(&mut self, query: &BTreeMap<String, String>) -> Result<String, String> {
        let has = |key: &str, value: &str| match query.get(key) {
            Some(own) if own == value => Ok(()),
            own => Err(format!("{key} is {own:?}")),
        };
        has("response_type", "code")?;
        has("response_mode", "query")?;
        has("client_id", CLIENT)?;
        has("scope", "openid profile email")?;
        has("code_challenge_method", "S256")?;
        let back = query.get("redirect_uri").ok_or("no redirect_uri")?;
        let (state, _) = (&query["state"], &query["nonce"]);
        let mut all = vec![("state", state.clone())];
        match &self.says.error {
            Some(error) => all.push(("error", error.clone())),
            None => {
                let mut code = [0; 16];
                SystemRandom::new().fill(&mut code).unwrap();
                let code = BASE64URL.encode(code);
                self.codes.insert(code.clone(), query.clone());
                all.push(("code", code));
            }
        }
        all.extend(self.says.names.clone().map(|iss| ("iss", iss)));
        let pair = |(key, value): &(&str, String)| {
            let value: Vec<String> = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            format!("{key}={}", value.concat())
        };
        Ok(format!("{back}?{}", all.iter().map(pair).collect::<Vec<_>>().join("&")))
    }

    fn token(&mut self, head: &str, form: &BTreeMap<String, String>) -> (u16, Value) {
        let basic = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then(|| value.strip_prefix("Basic "))?
        });
        let given = match basic {
            Some(basic) => {
                let pair = String::from_utf8(BASE64_STANDARD.decode(basic).unwrap()).unwrap();
                let (client, secret) = pair.split_once(':').unwrap();
                (unescaped(client), unescaped(secret))
            }
            None => {
                let field = |key| form.get(key).cloned().unwrap_or_default();
                (field("client_id"), field("client_secret"))
            }
        };
        if given != (CLIENT.to_owned(), SECRET.to_owned()) {
            return (401, json!({ "error": "invalid_client" }));
        }
        let field = |key: &str| form.get(key).map(String::as_str).unwrap_or_default();
        // A code is good once.
        let asked = self.codes.remove(field("code"));
        let challenge = BASE64URL.encode(digest(&SHA256, field("code_verifier").as_bytes()));
        let asked = asked.filter(|asked| {
            field("grant_type") == "authorization_code"
                && asked["code_challenge"] == challenge
                && asked["redirect_uri"] == field("redirect_uri")
        });
        let Some(asked) = asked else { return (400, json!({ "error": "invalid_grant" })) };
        let mut claims = json!({
            "iss": self.issuer, "sub": self.says.subject, "aud": CLIENT, "nonce": asked["nonce"],
            "iat": seconds(0), "exp": seconds(300), "email": "ann@example.org",
        });
        (self.says.claims)(&mut claims);
        let mut answer = json!({
            "id_token": self.sign(&claims), "access_token": "opaque", "token_type": "Bearer",
        });
        (self.says.answer)(&mut answer);
        (200, answer)
    }

    fn sign(&self, claims: &Value) -> String {
        let alg = match self.says.signed {
            Signed::Rs256 | Signed::Forged | Signed::Missing => "RS256",
            Signed::Ps256 => "PS256",
            Signed::Es256 => "ES256",
            Signed::EdDsa => "EdDSA",
            Signed::None => "none",
            Signed::Hs256 => "HS256",
        };
        let mut header = json!({ "alg": alg, "typ": "JWT", "kid": self.says.kid });
        (self.says.header)(&mut header);
        // What a test puts down as text is meant as it is.
        let claims = claims.as_str().map_or_else(|| claims.to_string(), str::to_owned);
        let message =
            format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims));
        let bytes = message.as_bytes();
        let signature = match self.says.signed {
            Signed::Rs256 => self.rsa.signature(bytes),
            Signed::Ps256 => self.rsa.signature_pss(bytes),
            Signed::Forged => self.other.signature(bytes),
            Signed::Es256 => self.p256.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec(),
            Signed::EdDsa => self.ed25519.sign(bytes).as_ref().to_vec(),
            Signed::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.rsa.public_pem());
                hmac::sign(&key, bytes).as_ref().to_vec()
            }
            Signed::None | Signed::Missing => Vec::new(),
        };
        format!("{message}.{}", BASE64URL.encode(signature))
    }
}
