//! What addresses and forms carry. What does not read is refused as everything else is: a page, in the language of whoever sent it.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::page::Refusal;
use crate::tongue::Text;

/// A form, as [`axum::extract::Form`] reads it.
pub(super) struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Form::from_request(request, state).await;
        read.map(|axum::extract::Form(form)| Self(form)).map_err(|error| {
            let what =
                "this form cannot be read ({what}): load the page again; nothing was changed";
            Refusal::bad(Text::from(what).with("what", error.body_text()))
        })
    }
}

/// What stands behind the `?`, as [`axum::extract::Query`] reads it.
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(query)| Self(query)).map_err(|error| {
            let what = "this address cannot be read ({what}): go by the links of the pages";
            Refusal::bad(Text::from(what).with("what", error.body_text()))
        })
    }
}

/// Names in a path, as [`axum::extract::Path`] reads them. What is no name is nobody's.
pub(super) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(path)| Self(path))
            .map_err(|_| Refusal::missing("there is no such page: part of its address is missing"))
    }
}
