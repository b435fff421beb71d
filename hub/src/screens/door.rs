//! Around every screen: the language of a call, and the headers of every answer.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::guard::cookie;
use super::page::spoken;
use crate::tongue::Tongue;

/// What a page may load and do: only what the hub itself serves, no script or style in the markup, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The cookie of a language that was chosen at the entrance, and how long it holds, in seconds.
const COOKIE: &str = "__Host-weir-language";
const LIFE_S: u32 = 365 * 86_400;

/// Has every call know its language and every answer its headers.
pub(super) async fn pass(mut request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let chosen = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "language");
    let chosen = chosen.and_then(|(_, code)| Tongue::read(&code));
    let tongue = chosen.unwrap_or_else(|| of(request.headers()));
    request.extensions_mut().insert(tongue);
    let mut response = spoken(next.run(request).await, tongue);
    let headers = response.headers_mut();
    if let Some(chosen) = chosen {
        let code = chosen.code();
        let cookie =
            format!("{COOKIE}={code}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={LIFE_S}");
        if let Ok(cookie) = cookie.parse() {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    guarded(headers);
    response
}

/// What was chosen here before, then what the browser likes best.
fn of(headers: &HeaderMap) -> Tongue {
    let accepted = || {
        let header = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
        Tongue::accepted(header)
    };
    cookie(headers, COOKIE).and_then(Tongue::read).or_else(accepted).unwrap_or_default()
}

fn guarded(headers: &mut HeaderMap) {
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::CACHE_CONTROL, "no-store");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    // Not `no-referrer`: browsers would send forms with the origin `null`, which is refused.
    set(header::REFERRER_POLICY, "same-origin");
}
