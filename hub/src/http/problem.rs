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
}

impl Problem {
    pub fn bad(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, title: "Bad request", detail: detail.into() }
    }

    pub fn unauthorised() -> Self {
        let detail = "send `Authorization: Bearer TOKEN`; `weir-hub token create` makes one".into();
        Self { status: StatusCode::UNAUTHORIZED, title: "Unauthorised", detail }
    }

    pub fn forbidden(detail: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, title: "Forbidden", detail: detail.to_owned() }
    }

    pub fn not_found() -> Self {
        Self::missing("there is nothing here; /openapi.json lists what there is")
    }

    pub fn missing(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, title: "Not found", detail: detail.into() }
    }

    pub fn too_many() -> Self {
        let detail = "too many ask for certificates from here: try again in a minute".into();
        Self { status: StatusCode::TOO_MANY_REQUESTS, title: "Too many requests", detail }
    }

    pub fn too_slow() -> Self {
        let detail = "the call took too long; try again".into();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, title: "Unavailable", detail }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(detail) => {
                Self { status: StatusCode::NOT_FOUND, title: "Not found", detail }
            }
            Error::Invalid(detail) => Self::bad(detail),
            Error::Refused(detail) => {
                Self { status: StatusCode::FORBIDDEN, title: "Refused", detail }
            }
            error => {
                // Names of hosts and tables are the log's alone.
                tracing::error!(%error, "a call failed");
                let detail = "the database is away or did not answer; try again".into();
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self { status, title: "Unavailable", detail }
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
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
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
