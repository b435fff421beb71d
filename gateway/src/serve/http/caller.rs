//! Who calls, and what they may.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use domain::journal::{Actor, TenantId};

use super::App;
use super::gate::GATE;
use super::gatekeeper::{CallerAddress, Credential};
use super::problem::{Outcome, Problem};
use crate::serve::jwt::{self, Refused, Spoken};

/// What a credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Hand in submissions and read their state.
    Submit,
    /// Read verdicts.
    Read,
    /// Decide, keep lists and strikes.
    Review,
    /// Everything of the tenant.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Read, Self::Review, Self::Admin];

    /// As it stands in a token (FEATURES M4).
    pub fn name(self) -> &'static str {
        match self {
            Self::Submit => "modnet:submit",
            Self::Read => "modnet:read",
            Self::Review => "modnet:review",
            Self::Admin => "modnet:admin",
        }
    }
}

/// Who calls: known from the credential alone.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose data they see; the credential decides it.
    pub tenant: TenantId,
    /// How the journal names them.
    pub actor: Actor,
    /// What they may.
    pub scopes: Arc<[Scope]>,
}

impl Caller {
    fn of_key(key: &store::ApiKey) -> Self {
        let named = |scope: &&Scope| key.scopes.iter().any(|code| code.as_str() == scope.name());
        let scopes = Scope::ALL.iter().filter(named).copied().collect();
        Self { tenant: key.tenant.clone(), actor: Actor::Key(key.id), scopes }
    }

    fn of_token(spoken: Spoken) -> Self {
        let named = |scope: &&Scope| spoken.scopes.iter().any(|name| name == scope.name());
        let scopes = Scope::ALL.iter().filter(named).copied().collect();
        Self { tenant: spoken.tenant, actor: spoken.actor, scopes }
    }

    /// Whose calls are counted together.
    fn credential(&self) -> Option<Credential> {
        match &self.actor {
            Actor::Key(id) => Some(Credential::Key(*id)),
            Actor::Person(name) => Some(Credential::Person(self.tenant.clone(), name.clone())),
            _ => None,
        }
    }

    /// Whether they may; `modnet:admin` may all.
    ///
    /// # Errors
    /// 403 that names the scope.
    pub fn may(&self, scope: Scope) -> Outcome<()> {
        if self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        let detail = format!("this credential lacks the scope {}", scope.name());
        Err(Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail))
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        if let Some(caller) = app.gatekeeper.open() {
            return Ok(caller.clone());
        }
        match known(app, bearer(parts)?).await {
            Ok(caller) => {
                // The gate answers from memory, and a CDN asks for every picture of a page.
                let counted = parts.uri.path() != GATE;
                if let Some(credential) = caller.credential().filter(|_| counted) {
                    app.gatekeeper.check_credential(&credential)?;
                }
                Ok(caller)
            }
            Err(problem) => {
                // Whoever guesses keys is as anonymous as who sends none.
                if let Some(CallerAddress(address)) = parts.extensions.get() {
                    app.gatekeeper.check_rate(*address)?;
                }
                Err(problem)
            }
        }
    }
}

/// Whom a credential stands for.
async fn known(app: &Arc<App>, secret: String) -> Outcome<Caller> {
    if jwt::is_token(&secret) {
        let spoken = jwt::check(&app.tenants.all(), &secret).await;
        return spoken.map(Caller::of_token).map_err(token_problem);
    }
    // From memory, which a revocation empties before it is answered.
    if let Some(key) = app.store.remembered_key(&secret) {
        return Ok(Caller::of_key(&key));
    }
    let key = app.read(move |store| Ok(store.key(&secret).ok())).await?;
    key.map(|key| Caller::of_key(&key))
        .ok_or_else(|| unauthorised("credential_unknown", "this API key is unknown or revoked"))
}

fn token_problem(refused: Refused) -> Problem {
    let detail = refused.to_string();
    if refused == Refused::NoKeys {
        return Problem::unavailable(refused.reason(), detail, Duration::from_secs(60));
    }
    unauthorised(refused.reason(), &detail)
}

/// The secret of `Authorization: Bearer …`.
fn bearer(parts: &Parts) -> Outcome<String> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (value, more) = (values.next(), values.next());
    let secret = value.filter(|_| more.is_none()).and_then(|v| v.to_str().ok()).and_then(|v| {
        let (scheme, secret) = v.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim().to_owned())
    });
    secret.filter(|s| !s.is_empty()).ok_or_else(|| {
        unauthorised(
            "credential_missing",
            "send an API key or an access token: `Authorization: Bearer …` (`weir token create` makes a key)",
        )
    })
}

fn unauthorised(reason: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, reason, detail)
}
