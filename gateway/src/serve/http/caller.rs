//! Who calls, and what they may.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use domain::journal::{Actor, TenantId};

use super::App;
use super::gatekeeper::CallerAddress;
use super::problem::{Outcome, Problem};

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
        let secret = bearer(parts)?;
        // From memory, which a revocation empties before it is answered.
        if let Some(key) = app.store.remembered_key(&secret) {
            return Ok(Self::of_key(&key));
        }
        match app.read(move |store| Ok(store.key(&secret).ok())).await? {
            Some(key) => Ok(Self::of_key(&key)),
            None => {
                // Whoever guesses keys is as anonymous as who sends none.
                if let Some(CallerAddress(address)) = parts.extensions.get() {
                    app.gatekeeper.check_rate(*address)?;
                }
                Err(unauthorised("credential_unknown", "this API key is unknown or revoked"))
            }
        }
    }
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
            "send an API key: `Authorization: Bearer …` (`weir token create` makes one)",
        )
    })
}

fn unauthorised(reason: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, reason, detail)
}
