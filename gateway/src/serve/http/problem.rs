//! Errors as problem+json (RFC 9457), with a machine-readable `reason`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::journal::Millis;
use serde::Serialize;

use crate::serve::spool::SpoolError;

/// What a client is told when its call fails. Says nothing of the inside; that is logged where it is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

/// A call's outcome.
pub type Outcome<T> = Result<T, Problem>;

/// The body. `instance` and `request_id` are known to the outermost layer only.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    reason: &'a str,
    request_id: &'a str,
}

impl Problem {
    /// A problem with one sentence on what to do.
    pub fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into(), retry_after: None }
    }

    /// 400: the call makes no sense.
    pub fn bad(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, detail)
    }

    /// 422: the call is well formed and cannot be done as it is.
    pub fn invalid(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 500 for what should not happen; the cause is logged under the request id.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a call failed");
        let detail = "the box could not do this; its log has the cause under the request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// 503 with a time.
    pub fn unavailable(reason: &'static str, detail: impl Into<String>, after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, detail).after(after)
    }

    /// 507: no room.
    pub fn full() -> Self {
        let detail = "the box has no room for more; what it accepted before is safe: try again later or on another box";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail)
            .after(Duration::from_secs(30))
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// With Retry-After.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// The response, for a call to `instance`.
    pub fn render(&self, instance: &str, request_id: &str) -> Response {
        let body = Body {
            r#type: format!("/docs#problem-{}", self.reason),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            reason: self.reason,
            request_id,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"weir\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Carries the problem to the outermost layer, which knows the rest.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match error {
            E::Busy(_) => Self::unavailable(
                "busy",
                "too many writes are waiting: try again in a second",
                Duration::from_secs(1),
            ),
            E::Full => Self::full(),
            E::ReadOnly | E::Closed => Self::unavailable(
                "store_unavailable",
                "the box cannot write at the moment",
                Duration::from_secs(10),
            ),
            E::NotFound(what) => Self::not_found(what),
            E::Conflict(what) => Self::new(StatusCode::CONFLICT, "conflict", what),
            E::Invalid(what) => Self::invalid("invalid", what),
            E::AuthorLimit { limit, retry_after } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "author_limit",
                format!("this author's {limit} media for an hour are used up"),
            )
            .after(retry_after),
            E::Barred { until } => {
                let detail = "this author is barred: strikes or an order of a moderator";
                let problem = Self::new(StatusCode::FORBIDDEN, "author_barred", detail);
                match until {
                    Some(until) => problem.after(from_now(until)),
                    None => problem,
                }
            }
            other => Self::internal(&other),
        }
    }
}

fn from_now(until: Millis) -> Duration {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64);
    Duration::from_millis((until.0 - now).max(0).cast_unsigned())
}

impl From<SpoolError> for Problem {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::TooLarge(most) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("a medium has more than {most} bytes"),
            ),
            SpoolError::Full => Self::full(),
            SpoolError::Io { .. } => Self::internal(&error),
        }
    }
}
