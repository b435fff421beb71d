//! In and out: password, then the code of the second factor; invitations; leaving.

use std::net::IpAddr;

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use qrcode::QrCode;
use qrcode::render::svg;
use serde::Deserialize;
use serde_json::json;

use super::guard::{COOKIE, HALF, cookie, from_here, ours, set_cookie};
use super::page::{Frame, Refusal, html};
use crate::account::knock::Attempt;
use crate::account::session::{self, Who};
use crate::account::{self, password, totp};
use crate::audit::{self, Actor, Deed};
use crate::http::Api;
use crate::http::server::Remote;
use crate::tongue::Tongue;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    frame: Frame,
    next: &'a str,
    name: &'a str,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "code.html")]
struct Code<'a> {
    frame: Frame,
    next: &'a str,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome<'a> {
    frame: Frame,
    name: &'a str,
    invitation: &'a str,
    /// The second factor's secret as a picture, and to be typed.
    picture: String,
    typed: String,
    wrong: Option<String>,
}

/// What addresses of the entrance carry.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Way {
    next: Option<String>,
    done: Option<String>,
    invitation: Option<String>,
}

/// `GET /ops/login`.
pub(super) async fn show(
    Extension(tongue): Extension<Tongue>,
    Query(way): Query<Way>,
) -> Result<Response, Refusal> {
    let next = ours(way.next.as_deref());
    let frame = frame(tongue, "Log in", next).with_done(way.done.as_deref());
    html(&Login { frame, next, name: "", wrong: None })
}

/// A page of the entrance leads on to the same place in another language.
fn frame(tongue: Tongue, title: &'static str, next: &str) -> Frame {
    Frame::outside(tongue, title).carrying("next", next)
}

/// What the first form sends.
#[derive(Deserialize)]
pub(super) struct Entering {
    name: String,
    password: String,
    next: Option<String>,
}

/// `POST /ops/login`: the password, for half a session.
pub(super) async fn enter(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Form(entering): Form<Entering>,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let next = ours(entering.next.as_deref());
    let name = entering.name.trim().to_lowercase();
    let again = |status: StatusCode, wrong: String| {
        let frame = frame(tongue, "Log in", next);
        let wrong = Some(tongue.told(&wrong));
        let page = html(&Login { frame, next, name: &name, wrong });
        page.map(|page| (status, page).into_response())
    };
    // Names are short; what is longer would only fill the table of failures.
    if name.len() > 64 || name.contains('\0') {
        return again(StatusCode::UNAUTHORIZED, WRONG.to_owned());
    }
    let client = api.pool().take().await?;
    let attempt = match Attempt::begin(&client, &name, remote.ip()).await {
        Err(crate::Error::Refused(wrong)) => return again(StatusCode::TOO_MANY_REQUESTS, wrong),
        other => other?,
    };
    let query = "SELECT account, password FROM accounts WHERE name = $1 AND disabled_at IS NULL AND totp IS NOT NULL";
    let row = client.query_opt(query, &[&name]).await?;
    let kept: Option<String> = row.as_ref().map(|row| row.try_get(1)).transpose()?.flatten();
    // Hashing takes its time: the connection is for others meanwhile.
    drop(client);
    let right = password::verify(entering.password, kept).await?;
    let (Some(row), true) = (row, right) else {
        return again(StatusCode::UNAUTHORIZED, WRONG.to_owned());
    };
    let client = api.pool().take().await?;
    attempt.succeed(&client).await?;
    let half = session::open(&client, row.try_get(0)?, false, &remote.ip().to_string()).await?;
    let to: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let to = Redirect::to(&format!("/ops/login/code?next={to}"));
    Ok(([(header::SET_COOKIE, set_cookie(HALF, &half))], to).into_response())
}

/// What is wrong, in the catalogue's words.
pub(super) const WRONG: &str = "Name or password is not right.";
pub(super) const WRONG_CODE: &str =
    "The code is not right, or was used already: take the next one.";
pub(super) const DIFFER: &str = "The two passwords differ.";

/// `GET /ops/login/code`.
pub(super) async fn show_code(
    Extension(tongue): Extension<Tongue>,
    Query(way): Query<Way>,
) -> Result<Response, Refusal> {
    let next = ours(way.next.as_deref());
    html(&Code { frame: frame(tongue, "Second factor", next), next, wrong: None })
}

/// What the second form sends.
#[derive(Deserialize)]
pub(super) struct Proving {
    code: String,
    next: Option<String>,
}

/// `POST /ops/login/code`: the second factor, for a whole session.
pub(super) async fn code(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Form(proving): Form<Proving>,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let next = ours(proving.next.as_deref());
    let mut client = api.pool().take().await?;
    let half = cookie(&headers, HALF).unwrap_or_default();
    let Some(who) = session::whose(&client, half, false).await? else {
        return Ok(Redirect::to("/ops/login").into_response());
    };
    let again = |status: StatusCode, wrong: String| {
        let frame = frame(tongue, "Second factor", next);
        html(&Code { frame, next, wrong: Some(tongue.told(&wrong)) })
            .map(|page| (status, page).into_response())
    };
    let attempt = match Attempt::begin_code(&client, who.account.account, remote.ip()).await {
        Err(crate::Error::Refused(wrong)) => return again(StatusCode::TOO_MANY_REQUESTS, wrong),
        other => other?,
    };
    if !is_right(&client, &who, &proving.code).await? {
        return again(StatusCode::UNAUTHORIZED, WRONG_CODE.to_owned());
    }
    attempt.succeed(&client).await?;
    session::close(&client, half).await?;
    let whole = whole(&mut client, &api, &who, remote.ip()).await?;
    let cookies = [
        (header::SET_COOKIE, set_cookie(COOKIE, &whole)),
        (header::SET_COOKIE, set_cookie(HALF, "")),
    ];
    let mut response = Redirect::to(next).into_response();
    for (name, value) in cookies {
        let value = value.parse().map_err(|_| Refusal::bad("no cookie"))?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// Whether the code is right; it is used up then, at every node.
async fn is_right(
    client: &tokio_postgres::Client,
    who: &Who,
    code: &str,
) -> Result<bool, crate::Error> {
    let query = "SELECT totp, totp_step FROM accounts WHERE account = $1";
    let row = client.query_one(query, &[&who.account.account]).await?;
    let (secret, last): (Option<Vec<u8>>, i64) = (row.try_get(0)?, row.try_get(1)?);
    let step = secret.and_then(|secret| totp::check(&secret, code, account::now_s(), last));
    let Some(step) = step else { return Ok(false) };
    let used = "UPDATE accounts SET totp_step = $2 WHERE account = $1 AND totp_step < $2";
    Ok(client.execute(used, &[&who.account.account, &step]).await? == 1)
}

async fn whole(
    client: &mut tokio_postgres::Client,
    api: &Api,
    who: &Who,
    remote: IpAddr,
) -> Result<String, Refusal> {
    let remote = remote.to_string();
    let transaction = client.transaction().await?;
    let cookie = session::open(transaction.client(), who.account.account, true, &remote).await?;
    let deed = Deed {
        action: "session.begin",
        subject: who.account.name.clone(),
        tenant: None,
        why: "",
        detail: json!({}),
    };
    let actor = Actor { remote: &remote, ..who.into() };
    audit::note(transaction.client(), api.hub_key()?, actor, &deed).await?;
    transaction.commit().await?;
    Ok(cookie)
}

/// `POST /ops/leave`.
pub(super) async fn leave(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(cookie) = cookie(&headers, COOKIE) {
        session::close(&*api.pool().take().await?, cookie).await?;
    }
    let gone = [(header::SET_COOKIE, set_cookie(COOKIE, ""))];
    Ok((gone, Redirect::to("/ops/login?done=left")).into_response())
}

/// `GET /ops/welcome`: what an invitation leads to.
pub(super) async fn welcome(
    State(api): State<Api>,
    Extension(tongue): Extension<Tongue>,
    Query(way): Query<Way>,
) -> Result<Response, Refusal> {
    let invitation = way.invitation.unwrap_or_default();
    welcomed(&api, tongue, &invitation, None).await
}

async fn welcomed(
    api: &Api,
    tongue: Tongue,
    invitation: &str,
    wrong: Option<&str>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let invited = account::invited(&client, invitation).await?;
    let name = &invited.account.name;
    let address = totp::address(&invited.totp, name);
    let code = QrCode::new(address).map_err(|_| Refusal::bad("no QR code"))?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    let picture = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, picture);
    let typed = totp::typed(&invited.totp);
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let frame = Frame::outside(tongue, "Welcome").carrying("invitation", invitation);
    let wrong = wrong.map(|wrong| tongue.told(wrong));
    let page = html(&Welcome { frame, name, invitation, picture, typed, wrong })?;
    Ok((status, page).into_response())
}

/// What the invitation's form sends.
#[derive(Deserialize)]
pub(super) struct Accepting {
    invitation: String,
    password: String,
    again: String,
    code: String,
}

/// `POST /ops/welcome`.
pub(super) async fn accept(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Form(accepting): Form<Accepting>,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let Accepting { invitation, password, again, code } = accepting;
    if password != again {
        return welcomed(&api, tongue, &invitation, Some(DIFFER)).await;
    }
    let mut client = api.pool().take().await?;
    let remote = remote.ip().to_string();
    let key = api.hub_key()?;
    let accepted = account::accept(&mut client, key, &invitation, password, &code, &remote).await;
    if let Err(crate::Error::Invalid(wrong)) = accepted {
        drop(client);
        return welcomed(&api, tongue, &invitation, Some(&wrong)).await;
    }
    accepted?;
    Ok(Redirect::to("/ops/login?done=saved").into_response())
}
