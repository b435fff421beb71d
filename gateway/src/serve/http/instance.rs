//! The outermost layer: an id for each call, and problems in full.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client.
const ID_BYTES: usize = 128;

/// Gives every call an id (the client's own where it is printable), in the log and in the answer.
pub async fn layer(mut request: Request, next: Next) -> Response {
    let id = id(request.headers());
    let address = request.uri().clone();
    // The path may name a person; the route does not.
    let route = request.extensions().get::<MatchedPath>().map_or("", |route| route.as_str());
    let span = tracing::info_span!("call", %id, method = %request.method(), route);
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let mut response = next.run(request).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(address.path(), &id);
    } else if response.status().is_client_error() && is_plain(&response) {
        // What the framework refuses by itself has one line of text.
        response = Problem::new(response.status(), "refused", "this call cannot be understood")
            .render(address.path(), &id);
    }
    name(&mut response, &id);
    response
}

/// A call's id: the client's own where it is printable.
pub fn id(headers: &HeaderMap) -> String {
    let own = headers.get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    own.filter(|v| !v.is_empty() && v.len() <= ID_BYTES).map_or_else(new_id, str::to_owned)
}

/// Writes a call's id into its answer.
pub fn name(response: &mut Response, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// A name for a call. In the order of time from one millisecond to the next only: order within one would need a lock that
/// all calls share.
fn new_id() -> String {
    uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext)).to_string()
}

fn is_plain(response: &Response) -> bool {
    let kind = response.headers().get(axum::http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// 404.
pub async fn no_such_call(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_call",
        format!("there is nothing at {}", uri.path()),
    )
}

/// 405.
pub async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not possible at {}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", detail)
}
