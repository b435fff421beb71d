//! The provider, as the hub asks it: what it tells of itself and its keys, kept for a while, and what a code is worth. It is asked in five seconds, takes
//! a quarter of a mebibyte, and is followed nowhere else. A provider that is away keeps nobody from the other ways in.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::about::{self, About};
use super::flow::Flow;
use super::keys::{self, Key};
use super::settings::{Config, Second};
use super::token::{Expected, Lie, Person, Token};
use crate::Error;
use crate::account::now_s;

/// How long one question may take, and bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: u64 = 256 << 10;

/// Codes that are exchanged at once; further ones wait.
const AT_ONCE: usize = 8;

/// How long what it tells of itself is believed, and how long its keys: one that was withdrawn not longer than that.
const ABOUT: Duration = Duration::from_secs(3600);
const KEYS: Duration = Duration::from_secs(600);

/// After a failure it is left alone for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// Shortest time between two questions because of a key that nobody knows: whoever invents names of keys must not make the hub ask for each.
const UNKNOWN: Duration = Duration::from_secs(60);

/// Bytes of a client's secret.
const SECRET: u64 = 1024;

/// Where browsers come back to, at the hub's own address.
pub const BACK: &str = "/ops/login/oidc/back";

/// The provider.
pub struct Provider {
    config: Config,
    back: String,
    secret: Option<String>,
    agent: Agent,
    turns: Semaphore,
    about: Mutex<Kept<Arc<About>>>,
    keys: Mutex<Kept<Arc<Vec<Key>>>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({})", self.config.issuer)
    }
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It cannot be asked, or says nothing that the hub can use.
    #[error("{0}")]
    Away(String),
    /// It let nobody in, by its own word.
    #[error("it says `{0}`")]
    Declined(String),
    /// What came is not what it has to be.
    #[error("{0}")]
    Lie(Lie),
}

/// What a browser brings back from there.
#[derive(Debug, Default, Deserialize)]
pub struct Brought {
    /// Which flow it is of.
    pub state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// What it told, and when it was asked.
struct Kept<T> {
    value: Option<T>,
    good: Option<Instant>,
    asked: Option<Instant>,
    /// When it was last asked because of an unknown key.
    unknown: Option<Instant>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { value: None, good: None, asked: None, unknown: None }
    }
}

impl<T: Clone> Kept<T> {
    /// Whether it is time to ask: what is known is old, and nothing failed a moment ago.
    fn is_due(&self, life: Duration) -> bool {
        let within = |at: Option<Instant>, span| at.is_some_and(|at: Instant| at.elapsed() < span);
        !within(self.good, life) && !within(self.asked, PAUSE)
    }

    /// Takes an answer; where there is none the last good one stays.
    fn take(&mut self, answer: Result<T, String>) -> Result<T, Wrong> {
        let now = Instant::now();
        self.asked = Some(now);
        match (answer, &self.value) {
            (Ok(value), _) => {
                (self.value, self.good) = (Some(value.clone()), Some(now));
                Ok(value)
            }
            (Err(error), Some(value)) => {
                tracing::warn!(
                    error,
                    "the provider of identities tells nothing new; what it told last stays"
                );
                Ok(value.clone())
            }
            (Err(error), None) => Err(Wrong::Away(error)),
        }
    }

    fn known(&self) -> Result<T, Wrong> {
        let away = || Wrong::Away("it could not be asked a moment ago".into());
        self.value.clone().ok_or_else(away)
    }
}

impl Provider {
    /// With what the settings name; the provider itself is asked when somebody comes.
    ///
    /// # Errors
    /// [`Error::Invalid`] where a file cannot be used.
    pub fn open(config: Config, address: &str) -> Result<Self, Error> {
        let secret = config.secret.as_deref().map(secret).transpose()?;
        let roots = config.authorities.as_deref().map(roots).transpose()?;
        let tls = TlsConfig::builder().root_certs(roots.unwrap_or(RootCerts::WebPki)).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("weir-hub/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            back: format!("{address}{BACK}"),
            config,
            secret,
            agent,
            turns: Semaphore::new(AT_ONCE),
            about: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    /// What the button says.
    pub fn label(&self) -> &str {
        &self.config.label
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Whether this person need not show a second factor here.
    pub fn is_enough(&self, person: &Person) -> bool {
        self.config.second == Second::Provider && person.several
    }

    /// Where a browser is sent.
    ///
    /// # Errors
    /// [`Wrong::Away`].
    pub async fn way(&self, flow: &Flow) -> Result<String, Wrong> {
        let about = self.about().await?;
        let Config { client_id, scopes, acr_values, .. } = &self.config;
        let mut query = Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("response_mode", "query")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", &self.back)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce())
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        if !acr_values.is_empty() {
            query.append_pair("acr_values", &acr_values.join(" "));
        }
        let at = &about.authorization_endpoint;
        let joint = if at.contains('?') { '&' } else { '?' };
        Ok(format!("{at}{joint}{}", query.finish()))
    }

    /// Who came back.
    ///
    /// # Errors
    /// [`Wrong`].
    pub async fn person(&self, brought: &Brought, flow: &Flow) -> Result<Person, Wrong> {
        let about = self.about().await?;
        // Before the code goes anywhere: it may be another provider's, sent here to be told to this one.
        let named = brought.iss.as_deref();
        if named.map_or(about.names_itself, |iss| iss != self.config.issuer) {
            return Err(Wrong::Lie("the answer names another issuer, or none"));
        }
        if let Some(error) = &brought.error {
            return Err(Wrong::Declined(plain(error)));
        }
        let code = brought.code.as_deref().ok_or(Wrong::Lie("the answer has no code"))?;
        let text = self.exchange(&about, code, flow).await?;
        let token = Token::read(&text).map_err(Wrong::Lie)?;
        let keys = self.keys_for(&about, &token).await?;
        let key = keys::find(&keys, token.alg, token.kid.as_deref());
        let key = key.ok_or(Wrong::Lie("it has no key such as its ID token names"))?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &flow.nonce(),
            acr_values: &self.config.acr_values,
            now: now_s() as f64,
        };
        token.check(key, &expected).map_err(Wrong::Lie)
    }

    async fn about(&self) -> Result<Arc<About>, Wrong> {
        // Held while it is asked: others wait for the same answer.
        let mut kept = self.about.lock().await;
        if !kept.is_due(ABOUT) {
            return kept.known();
        }
        let answer = self.ask(about::place(&self.config.issuer)).await;
        let about = answer.and_then(|bytes| About::read(&bytes, &self.config));
        kept.take(about.map(Arc::new))
    }

    async fn keys_for(&self, about: &About, token: &Token<'_>) -> Result<Arc<Vec<Key>>, Wrong> {
        let mut kept = self.keys.lock().await;
        let is_known = |keys: &[Key]| keys::find(keys, token.alg, token.kid.as_deref()).is_some();
        let unknown = kept.value.as_ref().is_some_and(|keys| !is_known(keys))
            && kept.unknown.is_none_or(|at| at.elapsed() >= UNKNOWN);
        if unknown {
            kept.unknown = Some(Instant::now());
        } else if !kept.is_due(KEYS) {
            return kept.known();
        }
        let answer = self.ask(about.jwks_uri.clone()).await;
        kept.take(answer.and_then(|bytes| keys::read(&bytes)).map(Arc::new))
    }

    async fn ask(&self, place: String) -> Result<Vec<u8>, String> {
        let agent = self.agent.clone();
        let asked = off(move || {
            let answer = agent.get(&place).header("accept", "application/json").call();
            let (status, bytes) = read(answer).map_err(|error| format!("{place}: {error}"))?;
            match status {
                200 => Ok(bytes),
                status => Err(format!("{place} answers {status}")),
            }
        });
        asked.await
    }

    /// The ID token that a code is worth. The other token, which opens things at the provider, is not looked at.
    async fn exchange(&self, about: &About, code: &str, flow: &Flow) -> Result<String, Wrong> {
        let (body, basic) = self.form(about, code, flow);
        let (agent, place) = (self.agent.clone(), about.token_endpoint.clone());
        let turn = self.turns.acquire().await;
        let asked = off(move || {
            let mut call = agent.post(&place).header("accept", "application/json");
            call = call.header("content-type", "application/x-www-form-urlencoded");
            if let Some(basic) = basic {
                call = call.header("authorization", basic);
            }
            read(call.send(body)).map_err(|error| format!("{place}: {error}"))
        });
        let (status, bytes) = asked.await.map_err(Wrong::Away)?;
        drop(turn);
        told(status, &bytes)
    }

    /// What the token endpoint is sent, and by what the hub is known there.
    fn form(&self, about: &About, code: &str, flow: &Flow) -> (String, Option<String>) {
        let client_id = &self.config.client_id;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.back)
            .append_pair("code_verifier", &flow.verifier());
        if let Some(secret) = self.secret.as_ref().filter(|_| about.takes_basic()) {
            // Written as in a form first (RFC 6749, section 2.3.1).
            let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", part(client_id), part(secret));
            return (form.finish(), Some(format!("Basic {}", BASE64_STANDARD.encode(pair))));
        }
        form.append_pair("client_id", client_id);
        if let Some(secret) = &self.secret {
            form.append_pair("client_secret", secret);
        }
        (form.finish(), None)
    }
}

/// What the token endpoint said.
fn told(status: u16, bytes: &[u8]) -> Result<String, Wrong> {
    #[derive(Deserialize)]
    struct Tokens {
        id_token: String,
    }
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    if status == 200 {
        let tokens: Result<Tokens, _> = serde_json::from_slice(bytes);
        return Ok(tokens.map_err(|_| Wrong::Lie("it gave no ID token"))?.id_token);
    }
    let error = serde_json::from_slice(bytes).map(|refused: Refused| plain(&refused.error));
    match error.unwrap_or_default() {
        error if error == "invalid_grant" => Err(Wrong::Lie("it does not take the code")),
        error => Err(Wrong::Away(format!("for a code it answers {status} {error}"))),
    }
}

/// A word from elsewhere as the log may have it.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(64).collect()
}

fn read(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, Vec<u8>), ureq::Error> {
    let answer = answer?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().into_with_config().limit(MOST_BYTES).read_to_vec()?))
}

/// Off the runtime's threads: it waits for a network.
async fn off<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("the hub is stopping".into()))
}

fn unusable(key: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Invalid(format!("screens.oidc.{key}: {}: {why}", path.display()))
}

/// Reads a secret, which nobody else may read.
fn secret(path: &Path) -> Result<String, Error> {
    let bad = |why: &dyn std::fmt::Display| unusable("client_secret_file", path, why);
    let file = fs::File::open(path).map_err(|error| bad(&error))?;
    let about = file.metadata().map_err(|error| bad(&error))?;
    if about.permissions().mode() & 0o007 != 0 {
        return Err(bad(&"everybody on this machine may read it: chmod 600"));
    }
    let mut text = String::new();
    file.take(SECRET + 1).read_to_string(&mut text).map_err(|error| bad(&error))?;
    let text = text.trim();
    if text.is_empty() || text.len() as u64 > SECRET || text.chars().any(char::is_control) {
        return Err(bad(&"it has to hold the secret on one line, and nothing else"));
    }
    Ok(text.to_owned())
}

fn roots(path: &Path) -> Result<RootCerts, Error> {
    let bad = |why: &dyn std::fmt::Display| unusable("ca_file", path, why);
    let pem = fs::read(path).map_err(|error| bad(&error))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(one) = item.map_err(|error| bad(&error))? {
            roots.push(one);
        }
    }
    match roots.is_empty() {
        true => Err(bad(&"it has no certificate in PEM")),
        false => Ok(RootCerts::new_with_certs(&roots)),
    }
}
