//! Who may pass: a whole session, the right that the screen needs, and for what changes something a form of our own.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use domain::journal::Sha256;

use super::FORM_BYTES;
use super::page::{Refusal, spoken};
use crate::account::Right;
use crate::account::passkey::ceremony::Place;
use crate::account::session::{self, Who};
use crate::http::Api;
use crate::tongue::{Text, Tongue};

/// The cookies: of a whole session, of half a one, and of who asked to log in by a passkey. The prefix has browsers take it from this host alone, over TLS (or from this machine).
pub(super) const COOKIE: &str = "__Host-weir";
pub(super) const HALF: &str = "__Host-weir-half";
pub(super) const ASKED: &str = "__Host-weir-asked";
/// Of who was sent to a provider of identities; it goes along when the provider sends them back, which is what `Lax` is for.
pub(super) const SENT: &str = "__Host-weir-sent";

/// A cookie's value.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs =
        all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// Sets a cookie, or takes it away where the value is empty.
pub(super) fn set_cookie(name: &str, value: &str) -> String {
    let life = if value.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{life}")
}

/// Lets nobody else through.
pub(super) async fn guard(
    State((api, right)): State<(Api, Right)>,
    request: Request,
    next: Next,
) -> Response {
    match pass(&api, right, request).await {
        Ok((tongue, request)) => spoken(next.run(request).await, tongue),
        Err(response) => *response,
    }
}

async fn pass(
    api: &Api,
    right: Right,
    request: Request,
) -> Result<(Tongue, Request), Box<Response>> {
    let refuse = |refusal: Refusal| Box::new(refusal.into_response());
    let whose = whose(api, request.headers()).await.map_err(refuse)?;
    let Some(mut who) = whose else {
        if request.method() != Method::GET {
            let what = "your session is over: log in again, nothing was changed";
            return Err(refuse(Refusal::new(StatusCode::UNAUTHORIZED, what)));
        }
        let path = request.uri().path_and_query().map_or("/ops", |path| path.as_str());
        let query: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        return Err(Box::new(Redirect::to(&format!("/ops/login?next={query}")).into_response()));
    };
    // What somebody chose for their account counts before what a browser says.
    let called = request.extensions().get::<Tongue>().copied().unwrap_or_default();
    who.tongue = who.account.language.unwrap_or(called);
    let tongue = who.tongue;
    let refuse = |refusal: Refusal| Box::new(spoken(refusal.into_response(), tongue));
    if !who.may(right) {
        let role = tongue.told(who.account.role.shown()).to_lowercase();
        let what = Text::from("a {role} may not {right}").with("role", role);
        let what = what.with("right", tongue.told(right.shown()));
        return Err(refuse(Refusal::forbidden(what)));
    }
    let mut request = match *request.method() {
        Method::GET | Method::HEAD => request,
        _ => of_our_own(&who, request).await.map_err(refuse)?,
    };
    request.extensions_mut().insert(who);
    Ok((tongue, request))
}

async fn whose(api: &Api, headers: &HeaderMap) -> Result<Option<Who>, Refusal> {
    let Some(cookie) = cookie(headers, COOKIE) else { return Ok(None) };
    Ok(session::whose(&*api.pool().take().await?, cookie, true).await?)
}

/// What changes something has to come from a form of this session.
async fn of_our_own(who: &Who, request: Request) -> Result<Request, Refusal> {
    from_here(request.headers())?;
    let (head, body) = request.into_parts();
    let body = to_bytes(body, FORM_BYTES).await;
    let body = body.map_err(|_| {
        let what = Text::from("a form has at most {many} KiB").with("many", FORM_BYTES >> 10);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, what)
    })?;
    let told = form_urlencoded::parse(&body).find(|(key, _)| key == "csrf");
    let told = told.map(|(_, value)| value.into_owned()).unwrap_or_default();
    // Compared by hash: no byte tells how far a guess was right.
    if Sha256::of(told.as_bytes()) != Sha256::of(who.csrf.as_bytes()) {
        let what = "this form is from another session or another site: load the page again; nothing was changed";
        return Err(Refusal::forbidden(what));
    }
    Ok(Request::from_parts(head, Body::from(body)))
}

/// Browsers say whence a form comes.
pub(super) fn from_here(headers: &HeaderMap) -> Result<(), Refusal> {
    let word = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = word("host").unwrap_or_default();
    let site = word("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let same = |origin: &str| origin.split_once("://").is_some_and(|(_, rest)| rest == host);
    if site && word("origin").is_none_or(same) {
        return Ok(());
    }
    Err(Refusal::forbidden("another site sent this form; nothing was changed"))
}

/// Where this is, as the browser has to name it to a passkey: by the name that [`from_here`] believes. Passkeys are made for a name, never
/// for an address, and browsers hold to it.
pub(super) fn place(headers: &HeaderMap) -> Result<Place, Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    let rp = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    if rp.is_empty() || !rp.chars().all(plain) || rp.parse::<std::net::Ipv4Addr>().is_ok() {
        let what = "passkeys need the hub's name in the address, not its number";
        return Err(Refusal::bad(what));
    }
    Ok(Place { origin: format!("https://{host}"), rp: rp.to_owned() })
}

/// Where to go after logging in: a path of ours, whatever an address says.
pub(super) fn ours(next: Option<&str>) -> &str {
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    match next {
        Some(next)
            if (next == "/ops" || next.starts_with("/ops/") || next.starts_with("/ops?"))
                && next.chars().all(plain) =>
        {
            next
        }
        _ => "/ops",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for bad in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "/opsx",
            "/ops\\@evil.example",
            "/ops/\r\nset-cookie: a=b",
            "javascript:alert(1)",
            "",
            "/v1/boxes",
        ] {
            assert_eq!(ours(Some(bad)), "/ops", "{bad}");
        }
        assert_eq!(ours(Some("/ops/review?tab=held")), "/ops/review?tab=held");
    }

    #[test]
    fn a_place_is_a_name_and_its_port() {
        let at = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("host", header::HeaderValue::from_static(host));
            place(&headers).ok().map(|place| (place.origin, place.rp))
        };
        let told = |origin: &str, rp: &str| Some((origin.to_owned(), rp.to_owned()));
        assert_eq!(at("Hub.example:8470"), told("https://hub.example:8470", "hub.example"));
        assert_eq!(at("hub.example:443"), told("https://hub.example", "hub.example"));
        for bad in ["192.0.2.1:8470", "[2001:db8::1]:8470", "a@b", ""] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_refused() {
        let with = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, header::HeaderValue::from_static(value));
            }
            from_here(&headers).is_ok()
        };
        assert!(with(&[("host", "hub.example"), ("origin", "https://hub.example")]));
        assert!(with(&[("host", "hub.example"), ("sec-fetch-site", "same-origin")]));
        assert!(!with(&[("host", "hub.example"), ("origin", "https://evil.example")]));
        assert!(!with(&[("host", "hub.example"), ("origin", "null")]));
        assert!(!with(&[("host", "hub.example"), ("sec-fetch-site", "same-site")]));
    }
}
