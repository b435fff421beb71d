//! An identity provider's keys (JWKS, RFC 7517): out of a file or from an address, kept, and asked for again in time. When
//! they cannot be had the last good ones stay in force: a provider that is away for an hour locks nobody out.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde::Deserialize;

use super::rs256::trimmed;
use crate::config::Jwks;
use crate::secret;

/// How often keys are asked for: after that long a key that was withdrawn is not believed any more.
const PERIOD: Duration = Duration::from_secs(600);

/// Shortest time between two questions because of an unknown key, and after a failure: whoever invents key names must
/// not make the box call the provider for each.
const PAUSE: Duration = Duration::from_secs(60);

/// Bytes of a key set. The largest ones in the field have some ten thousand.
const MOST_BYTES: u64 = 256 << 10;

/// Bits that a modulus needs (RFC 7518, section 3.3), and the most that are worth the time.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The keys of one provider.
pub struct Keys {
    source: Source,
    state: RwLock<State>,
    /// Held by whoever asks the provider: one at a time.
    asking: tokio::sync::Mutex<()>,
}

enum Source {
    File(PathBuf),
    Url(String, ureq::Agent),
}

/// What came of looking for a key.
pub enum Found {
    /// This one.
    Key(Arc<DecodingKey>),
    /// The provider has no key of that name.
    Unknown,
    /// The provider has not told any key yet.
    Nothing,
}

impl Keys {
    /// Reads the file, or asks the address for the first time.
    ///
    /// # Errors
    /// Where a file has no usable key. An address may be out of reach at the start: boxes start without a network, too.
    pub fn open(jwks: &Jwks, agent: &ureq::Agent) -> anyhow::Result<Self> {
        let source = match jwks {
            Jwks::File(path) => Source::File(path.clone()),
            Jwks::Url(url) => Source::Url(url.clone(), agent.clone()),
        };
        let mut state = State::new(Instant::now());
        match source.load() {
            Ok(keys) => state.good(keys, Instant::now()),
            Err(error) if matches!(source, Source::File(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no keys yet; asking again in a minute"
                );
            }
        }
        Ok(Self { source, state: RwLock::new(state), asking: tokio::sync::Mutex::new(()) })
    }

    /// The key of that name; without a name the only one there is. Asks the provider when it is unknown.
    pub async fn find(self: &Arc<Self>, kid: Option<&str>) -> Found {
        if let Some(key) = self.read(|state| state.key(kid)) {
            return Found::Key(key);
        }
        let turn = self.asking.lock().await;
        // Somebody else may have asked while this call waited for its turn.
        if self.read(|state| state.key(kid).is_none()) && self.write(|s| s.may_ask(Instant::now()))
        {
            self.load().await;
        }
        drop(turn);
        self.read(|state| match state.key(kid) {
            Some(key) => Found::Key(key),
            None if state.keys.is_empty() => Found::Nothing,
            None => Found::Unknown,
        })
    }

    /// Asks again where it is time.
    pub async fn refresh(self: &Arc<Self>) {
        if self.read(|state| state.is_due(Instant::now())) {
            let turn = self.asking.lock().await;
            self.load().await;
            drop(turn);
        }
    }

    async fn load(self: &Arc<Self>) {
        let keys = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || keys.source.load()).await;
        let now = Instant::now();
        match loaded.context("the reading failed").and_then(|loaded| loaded) {
            Ok(keys) => self.write(|state| state.good(keys, now)),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no new keys; the last good ones stay"
                );
                self.write(|state| state.next = now + PAUSE);
            }
        }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known, and when it is to be asked for again.
struct State {
    keys: Vec<Key>,
    next: Instant,
    /// When an unknown key was last asked for.
    asked: Option<Instant>,
}

impl State {
    fn new(now: Instant) -> Self {
        Self { keys: Vec::new(), next: now + PAUSE, asked: None }
    }

    fn key(&self, kid: Option<&str>) -> Option<Arc<DecodingKey>> {
        let found = match (kid, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), keys) => keys.iter().find(|key| key.kid.as_deref() == kid),
        };
        found.map(|key| Arc::clone(&key.key))
    }

    fn good(&mut self, keys: Vec<Key>, now: Instant) {
        (self.keys, self.next) = (keys, now + PERIOD);
    }

    fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Whether an unknown key may be asked for now; if so, this is noted as done.
    fn may_ask(&mut self, now: Instant) -> bool {
        let may = self.asked.is_none_or(|asked| now >= asked + PAUSE);
        if may {
            self.asked = Some(now);
        }
        may
    }
}

struct Key {
    kid: Option<String>,
    key: Arc<DecodingKey>,
}

impl Source {
    fn load(&self) -> anyhow::Result<Vec<Key>> {
        match self {
            Self::File(path) => {
                let text = secret::read_public(path)?;
                parse(&text).with_context(|| format!("{} cannot be used", path.display()))
            }
            Self::Url(url, agent) => {
                let fetch = || -> anyhow::Result<Vec<Key>> {
                    let answer = agent.get(url).call()?;
                    ensure!(answer.status() == 200, "it answers {}", answer.status());
                    let body = answer.into_body().into_with_config().limit(MOST_BYTES);
                    parse(&body.read_to_vec()?)
                };
                fetch().with_context(|| format!("cannot get keys from {url}"))
            }
        }
    }
}

/// The members of a JWK that matter here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The keys of a set that can check RS256. Others (elliptic curves, encryption) are passed over: sets hold many kinds.
///
/// # Errors
/// Where none can.
fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(bytes)
        .context("this is no JWKS; it looks like {\"keys\": [{\"kty\": \"RSA\", …}]}")?;
    let (mut keys, mut refused) = (Vec::new(), Vec::new());
    for value in set.keys {
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
        let signs = jwk.r#use.as_deref().is_none_or(|u| u == "sig");
        if jwk.kty != "RSA" || !signs || jwk.alg.as_deref().is_some_and(|a| a != "RS256") {
            continue;
        }
        let kid = jwk.kid.clone();
        match rsa(&jwk) {
            Ok(key) => keys.push(Key { kid, key: Arc::new(key) }),
            Err(error) => {
                refused.push(format!("{}: {error}", kid.as_deref().unwrap_or("without a name")));
            }
        }
    }
    if keys.is_empty() {
        bail!("it has no RSA key for RS256 of 2048 to 8192 bits ({})", refused.join("; "));
    }
    for key in refused {
        tracing::warn!(key, "a key of an identity provider is not used");
    }
    Ok(keys)
}

fn rsa(jwk: &Jwk) -> anyhow::Result<DecodingKey> {
    let (n, e) = (jwk.n.as_deref().unwrap_or_default(), jwk.e.as_deref().unwrap_or_default());
    let key = DecodingKey::from_rsa_components(n, e).context("n or e is no base64url")?;
    let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() else { bail!("no RSA key") };
    let n = trimmed(n);
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    ensure!(BITS.contains(&bits), "it has {bits} bits");
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

    use rig::issuer::Issuer;
    use serde_json::json;

    use super::*;

    fn set(keys: &[serde_json::Value]) -> Vec<u8> {
        json!({ "keys": keys }).to_string().into_bytes()
    }

    #[test]
    fn only_rsa_keys_that_are_long_enough_and_made_for_signing_count() {
        let (good, weak) = (Issuer::new("good", 2048).jwk(), Issuer::new("weak", 1024).jwk());
        let with = |name: &str, value: &str| {
            let mut jwk = good.clone();
            jwk[name] = value.into();
            jwk
        };
        let other = json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "ec" });
        let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "good" });
        let names = |keys: &[serde_json::Value]| {
            let parsed = parse(&set(keys)).map_err(|e| e.to_string())?;
            Ok(parsed.into_iter().filter_map(|k| k.kid).collect::<Vec<_>>())
        };
        let all = [other.clone(), secret, weak.clone(), good.clone()];
        assert_eq!(names(&all), Ok::<_, String>(vec!["good".to_owned()]));
        for keys in [
            vec![],
            vec![other],
            vec![with("use", "enc")],
            vec![with("alg", "RS512")],
            vec![with("n", "!")],
            vec![json!("nonsense")],
        ] {
            assert!(names(&keys).is_err(), "{keys:?}");
        }
        let told = names(&[weak]).unwrap_err();
        assert!(told.contains("weak: it has 1024 bits"), "{told}");
        assert!(parse(b"<html>").is_err());
    }

    #[test]
    fn a_key_without_a_name_is_taken_only_where_it_is_the_only_one() {
        let (a, b) = (Issuer::new("a", 2048).jwk(), Issuer::new("b", 2048).jwk());
        let now = Instant::now();
        let mut state = State::new(now);
        state.good(parse(&set(std::slice::from_ref(&a))).unwrap(), now);
        assert!(state.key(None).is_some() && state.key(Some("a")).is_some());
        assert!(state.key(Some("b")).is_none());
        state.good(parse(&set(&[a, b])).unwrap(), now);
        assert!(state.key(None).is_none() && state.key(Some("b")).is_some());
    }

    #[test]
    fn keys_are_asked_for_every_ten_minutes_and_for_unknown_ones_once_a_minute() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut state = State::new(start);
        assert!(!state.is_due(start) && state.is_due(start + 60 * second));
        state.good(Vec::new(), start);
        assert!(!state.is_due(start + 599 * second) && state.is_due(start + 600 * second));
        assert!(state.may_ask(start));
        assert!(!state.may_ask(start + 59 * second));
        assert!(state.may_ask(start + 60 * second));
        assert!(!state.may_ask(start + 119 * second));
    }
}
