//! Errors as clients read them: problem+json (RFC 9457). What the log says is apart.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Error;

/// An error for a client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    /// For programs, where the status does not say it all.
    code: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), code: None }
    }

    /// One of which a program can tell what it is.
    pub fn coded(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Failed");
        Self { code: Some(code.to_owned()), ..Self::new(status, title, detail) }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad request", detail)
    }

    pub fn unauthorised() -> Self {
        let detail = "send `Authorization: Bearer TOKEN`; `weir-hub token create` makes one";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorised", detail)
    }

    pub fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }

    pub fn not_found() -> Self {
        Self::missing("there is nothing here; /openapi.json lists what there is")
    }

    pub fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    pub fn too_many() -> Self {
        let detail = "too many ask for certificates from here: try again in a minute";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail)
    }

    pub fn too_slow() -> Self {
        let detail = "the call took too long; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(detail) => Self::missing(detail),
            Error::Invalid(detail) => Self::bad(detail),
            Error::Refused(detail) => Self::new(StatusCode::FORBIDDEN, "Refused", detail),
            error => {
                // Names of hosts and tables are the log's alone.
                tracing::error!(%error, "a call failed");
                let detail = "the database is away or did not answer; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", detail)
            }
        }
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(code) = self.code {
            body["code"] = code.into();
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let value = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        let again = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Some("2"),
            StatusCode::TOO_MANY_REQUESTS => Some("60"),
            _ => None,
        };
        if let Some(seconds) = again {
            let value = header::HeaderValue::from_static(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}
