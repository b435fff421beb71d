//! Access tokens of identity providers: JWTs signed with RS256 (RFC 7519, RFC 9068). Each tenant has its own provider, or its
//! own audience with a shared one; the token decides the tenant, and never says anything of another.

mod keys;
mod rs256;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::journal::{Actor, Code, TenantId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, dangerous};
use ring::hmac;
use serde::Deserialize;

use super::App;
use super::tenant::All;
use crate::config::{self, Jwks};
use keys::Found;
pub use keys::Keys;

/// Bytes of a token. What is longer carries more than a box asks for.
const MOST_BYTES: usize = 8 << 10;

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 30;

/// How often it is looked whether keys are due.
const TICK: Duration = Duration::from_secs(5);

/// Bytes of a subject's keyed hash that the journal names: 128 bits, so that no two persons meet.
const PSEUDONYM_BYTES: usize = 16;

/// The identity provider of one tenant.
pub struct Provider {
    issuer: String,
    audience: String,
    keys: Arc<Keys>,
    validation: Validation,
    /// For names of persons in the journal.
    pseudonyms: hmac::Key,
}

/// What a token says, after every check.
#[derive(Debug)]
pub struct Spoken {
    /// The tenant for which it was made.
    pub tenant: TenantId,
    /// How the journal names the bearer.
    pub actor: Actor,
    /// Scopes by name, also those that are none of ours.
    pub scopes: Vec<String>,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More bytes than any token needs.
    #[error("the token has more than 8192 bytes")]
    TooLong,
    /// Not three parts of base64url with JSON inside.
    #[error("this is no JWT")]
    Malformed,
    /// An algorithm other than RS256, `none` among them.
    #[error("tokens are signed with RS256 here")]
    Algorithm,
    /// No tenant has this provider.
    #[error("no tenant of this box has this token's issuer")]
    Issuer,
    /// Made for something else, or for two tenants at once.
    #[error("the token's audience is not one tenant of this box")]
    Audience,
    /// The provider does not know the key.
    #[error("the issuer has no such key")]
    Key,
    /// The signature is another's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    Early,
    /// Something that it must say is missing.
    #[error("the token needs iss, aud, exp, sub, and nbf or iat")]
    Claims,
    /// The provider's keys are not known yet.
    #[error("the issuer's keys cannot be had at the moment")]
    NoKeys,
}

impl Refused {
    /// For machines.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Key => "token_key_unknown",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::Early => "token_early",
            Self::Claims => "token_claims",
            Self::NoKeys => "keys_unavailable",
        }
    }
}

impl Provider {
    /// Its keys, for a reload.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// Reads the keys where none are known. `secret` is the tenant's.
    ///
    /// # Errors
    /// A file without a usable key.
    pub fn open(
        jwt: &config::Jwt,
        secret: &hmac::Key,
        agent: &ureq::Agent,
        known: Option<Arc<Keys>>,
    ) -> anyhow::Result<Self> {
        rs256::install();
        let open = || Keys::open(&jwt.jwks, agent).map(Arc::new);
        let keys = known
            .map_or_else(open, Ok)
            .with_context(|| format!("the keys of the issuer {}", jwt.issuer))?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&jwt.issuer]);
        validation.set_audience(&[&jwt.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // A key of its own, so that no author's name can be a person's.
        let key = hmac::sign(secret, b"weir persons 1");
        Ok(Self {
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            keys,
            validation,
            pseudonyms: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
        })
    }

    async fn check(&self, tenant: &TenantId, token: &str) -> Result<Spoken, Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        if header.alg != Algorithm::RS256 {
            return Err(Refused::Algorithm);
        }
        let key = match self.keys.find(header.kid.as_deref()).await {
            Found::Key(key) => key,
            Found::Unknown => return Err(Refused::Key),
            Found::Nothing => return Err(Refused::NoKeys),
        };
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation);
        let claims = claims.map_err(refused)?.claims;
        claims.check_start()?;
        Ok(Spoken {
            tenant: tenant.clone(),
            actor: Actor::Person(self.pseudonym(&claims.sub)),
            scopes: claims.scope.into_iter().chain(claims.scp).flat_map(Words::list).collect(),
        })
    }

    /// The name of a subject in the journal: always the same for the same person, and nobody's name without the
    /// tenant's secret.
    fn pseudonym(&self, subject: &str) -> Code {
        let hash = hmac::sign(&self.pseudonyms, subject.as_bytes());
        let short = hash.as_ref().iter().take(PSEUDONYM_BYTES);
        Code::lossy(&short.fold("jwt:".to_owned(), |name, byte| format!("{name}{byte:02x}")))
    }
}

/// Who speaks with this token, among the providers of all tenants.
///
/// # Errors
/// Why it is not believed.
pub async fn check(tenants: &All, token: &str) -> Result<Spoken, Refused> {
    let (tenant, provider) = meant(tenants, token)?;
    provider.check(tenant, token).await
}

/// The provider that a token names. Nothing of the token is believed before that provider's key says so.
fn meant<'a>(tenants: &'a All, token: &str) -> Result<(&'a TenantId, &'a Provider), Refused> {
    if token.len() > MOST_BYTES {
        return Err(Refused::TooLong);
    }
    let named: Named = dangerous::insecure_decode_claims(token).map_err(refused)?;
    let (Some(issuer), Some(audience)) = (named.iss, named.aud) else {
        return Err(Refused::Claims);
    };
    let mut refusal = Refused::Issuer;
    let mut found = None;
    for (tenant, ready) in tenants {
        let Some(provider) = ready.provider.as_ref().filter(|p| p.issuer == issuer) else {
            continue;
        };
        refusal = Refused::Audience;
        // Made for two tenants at once, it would be up to us to choose.
        if audience.has(&provider.audience) && found.replace((tenant, provider)).is_some() {
            return Err(refusal);
        }
    }
    found.ok_or(refusal)
}

/// Whether a bearer's secret looks like a token rather than an API key.
pub fn is_token(secret: &str) -> bool {
    secret.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Asks for keys when they are due, until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        for provider in app.tenants.all().values().filter_map(|tenant| tenant.provider.as_ref()) {
            tokio::select! {
                () = provider.keys.refresh() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// What `weir config check` can say of a provider without asking it.
///
/// # Errors
/// Where its file has no usable key.
pub fn check_file(jwks: &Jwks, agent: &ureq::Agent) -> anyhow::Result<()> {
    match jwks {
        Jwks::File(_) => Keys::open(jwks, agent).map(drop),
        Jwks::Url(_) => Ok(()),
    }
}

fn refused(error: jsonwebtoken::errors::Error) -> Refused {
    match error.kind() {
        ErrorKind::ExpiredSignature => Refused::Expired,
        ErrorKind::ImmatureSignature => Refused::Early,
        ErrorKind::InvalidIssuer => Refused::Issuer,
        ErrorKind::InvalidAudience => Refused::Audience,
        ErrorKind::InvalidSignature => Refused::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Refused::Algorithm,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Refused::Claims,
        ErrorKind::InvalidSubject => Refused::Claims,
        _ => Refused::Malformed,
    }
}

/// What finds the provider.
#[derive(Deserialize)]
struct Named {
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(all) => all.iter().any(|one| one == audience),
        }
    }
}

/// What a token says of its bearer. Times are seconds since 1970, perhaps with a fraction.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    nbf: Option<f64>,
    iat: Option<f64>,
    scope: Option<Words>,
    scp: Option<Words>,
}

impl Claims {
    /// A token says since when it is valid: by `nbf`, or by `iat` where its provider writes no `nbf`.
    fn check_start(&self) -> Result<(), Refused> {
        let now = jsonwebtoken::get_current_timestamp() as f64;
        match self.nbf.or(self.iat) {
            Some(start) if start <= now + LEEWAY as f64 => Ok(()),
            Some(_) => Err(Refused::Early),
            None => Err(Refused::Claims),
        }
    }
}

/// Words with spaces between, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            Self::List(list) => list,
        }
    }
}
