//! Who calls, and what they may.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::journal::{Actor, TenantId};

use super::App;
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
        app.gatekeeper.caller(parts)
    }
}
