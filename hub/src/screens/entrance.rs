//! In and out: password, then the code of the second factor; invitations; leaving. Passkeys have a file of their own.

use std::net::IpAddr;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use qrcode::QrCode;
use qrcode::render::svg;
use serde::Deserialize;
use serde_json::json;

use super::extract::{Form, Query};
use super::guard::{ASKED, COOKIE, HALF, cookie, from_here, ours, set_cookie};
use super::page::{Frame, Refusal, html};
use crate::account::failure::Step;
use crate::account::knock::Attempt;
use crate::account::session::{self, Who};
use crate::account::{self, Account, failure, passkey, password, seal, totp};
use crate::audit::{self, Actor, Deed};
use crate::http::Api;
use crate::http::server::Remote;
use crate::receipt::HubKey;
use crate::tongue::Tongue;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    frame: Frame,
    next: &'a str,
    name: &'a str,
    /// What the provider of identities is called, where there is one.
    provider: Option<&'a str>,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "code.html")]
struct Code<'a> {
    frame: Frame,
    next: &'a str,
    /// Whether the account has any.
    passkeys: bool,
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
    pub next: Option<String>,
    done: Option<String>,
    invitation: Option<String>,
}

/// `GET /ops/login`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(tongue): Extension<Tongue>,
    Query(way): Query<Way>,
) -> Result<Response, Refusal> {
    let next = ours(way.next.as_deref());
    let frame = frame(tongue, "Log in", next).with_done(way.done.as_deref());
    html(&Login { frame, next, name: "", provider: api.provider_label(), wrong: None })
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
    // What can be nobody's name would only fill the table of failures, or count as something else there.
    if !account::is_name(&name) {
        api.count_refused();
        return refused((&api, tongue), StatusCode::UNAUTHORIZED, next, &name, WRONG);
    }
    let began = tokio::time::Instant::now();
    let client = api.pool().take().await?;
    let attempt = match Attempt::begin(&client, &name, remote.ip()).await {
        Err(crate::Error::Refused(wrong)) => {
            return refused((&api, tongue), StatusCode::TOO_MANY_REQUESTS, next, &name, &wrong);
        }
        other => other?,
    };
    let query = "SELECT account, password FROM accounts WHERE name = $1 AND disabled_at IS NULL AND coalesce(totp_sealed, totp) IS NOT NULL";
    let row = client.query_opt(query, &[&name]).await?;
    let kept: Option<String> = row.as_ref().map(|row| row.try_get(1)).transpose()?.flatten();
    // Hashing takes its time: the connection is for others meanwhile.
    drop(client);
    let right = password::verify(entering.password, kept).await?;
    let account: Option<uuid::Uuid> = row.map(|row| row.try_get(0)).transpose()?;
    let remote = remote.ip().to_string();
    let (Some(account), true) = (account, right) else {
        note_refused(&api, account, Step::Password, &remote).await?;
        // The journal is written for those alone who have an account: nobody is to see it by the clock.
        tokio::time::sleep_until(began + REFUSAL).await;
        return refused((&api, tongue), StatusCode::UNAUTHORIZED, next, &name, WRONG);
    };
    let client = api.pool().take().await?;
    attempt.succeed(&client).await?;
    let half = session::open(&client, account, false, "password", &remote).await?;
    let to: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let to = Redirect::to(&format!("/ops/login/code?next={to}"));
    Ok(([(header::SET_COOKIE, set_cookie(HALF, &half))], to).into_response())
}

/// What is wrong, in the catalogue's words.
pub(super) const WRONG: &str = "Name or password is not right.";
pub(super) const WRONG_CODE: &str =
    "The code is not right, or was used already: take the next one.";
pub(super) const DIFFER: &str = "The two passwords differ.";

/// How long a refused password takes at least.
const REFUSAL: Duration = Duration::from_millis(400);

/// The first form once more, and why.
pub(super) fn refused(
    (api, tongue): (&Api, Tongue),
    status: StatusCode,
    next: &str,
    name: &str,
    wrong: &str,
) -> Result<Response, Refusal> {
    let frame = frame(tongue, "Log in", next);
    let (provider, wrong) = (api.provider_label(), Some(tongue.told(wrong)));
    let page = html(&Login { frame, next, name, provider, wrong })?;
    Ok((status, page).into_response())
}

/// Counts a login that failed, and writes it down where it is somebody's.
pub(super) async fn note_refused(
    api: &Api,
    account: Option<uuid::Uuid>,
    step: Step,
    remote: &str,
) -> Result<(), Refusal> {
    api.count_refused();
    if let Some(account) = account {
        let mut client = api.pool().take().await?;
        failure::note(&mut client, api.hub_key()?, account, step, remote).await?;
    }
    Ok(())
}

/// `GET /ops/login/code`.
pub(super) async fn show_code(
    State(api): State<Api>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Query(way): Query<Way>,
) -> Result<Response, Refusal> {
    let next = ours(way.next.as_deref());
    let Some(who) = half(&api, &headers).await? else {
        return Ok(Redirect::to("/ops/login").into_response());
    };
    second_form((&api, tongue), &who, StatusCode::OK, next, None).await
}

/// Whose half a session it is.
pub(super) async fn half(api: &Api, headers: &HeaderMap) -> Result<Option<Who>, Refusal> {
    let half = cookie(headers, HALF).unwrap_or_default();
    Ok(session::whose(&*api.pool().take().await?, half, false).await?)
}

/// The form of the second factor, and why it comes again.
pub(super) async fn second_form(
    (api, tongue): (&Api, Tongue),
    who: &Who,
    status: StatusCode,
    next: &str,
    wrong: Option<&str>,
) -> Result<Response, Refusal> {
    let all = passkey::list(&*api.pool().take().await?, who.account.account).await?;
    let frame = frame(tongue, "Second factor", next);
    let wrong = wrong.map(|wrong| tongue.told(wrong));
    let page = html(&Code { frame, next, passkeys: !all.is_empty(), wrong })?;
    Ok((status, page).into_response())
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
    let Some(who) = half(&api, &headers).await? else {
        return Ok(Redirect::to("/ops/login").into_response());
    };
    let mut client = api.pool().take().await?;
    let attempt = match Attempt::begin_code(&client, who.account.account, remote.ip()).await {
        Err(crate::Error::Refused(wrong)) => {
            drop(client);
            let status = StatusCode::TOO_MANY_REQUESTS;
            return second_form((&api, tongue), &who, status, next, Some(&wrong)).await;
        }
        other => other?,
    };
    if !is_right(&client, api.hub_key()?, &who, &proving.code).await? {
        drop(client);
        note_refused(&api, Some(who.account.account), Step::Code, &remote.ip().to_string()).await?;
        let status = StatusCode::UNAUTHORIZED;
        return second_form((&api, tongue), &who, status, next, Some(WRONG_CODE)).await;
    }
    attempt.succeed(&client).await?;
    session::close(&client, cookie(&headers, HALF).unwrap_or_default()).await?;
    let by = format!("{} and code", who.means);
    let_in(&mut client, &api, &who.account, (&by, remote.ip()), next).await
}

/// Whether the code is right; it is used up then, at every node.
async fn is_right(
    client: &tokio_postgres::Client,
    key: &HubKey,
    who: &Who,
    code: &str,
) -> Result<bool, crate::Error> {
    let me = who.account.account;
    let query = "SELECT totp_sealed, totp, totp_step FROM accounts WHERE account = $1";
    let row = client.query_one(query, &[&me]).await?;
    let (sealed, open): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
    // A node of an earlier release may have left it open a moment ago.
    if open.is_some() {
        seal::all(client, key).await?;
    }
    let secret = match (open, sealed) {
        (Some(open), _) => open,
        (None, Some(sealed)) => key.sealer().open(me, &sealed)?,
        (None, None) => return Ok(false),
    };
    let step = totp::check(&secret, code, account::now_s(), row.try_get(2)?);
    let Some(step) = step else { return Ok(false) };
    let used = "UPDATE accounts SET totp_step = $2 WHERE account = $1 AND totp_step < $2";
    Ok(client.execute(used, &[&me, &step]).await? == 1)
}

/// Lets somebody in who has shown, by these means and from there, that they are who they say: a whole session, and on to where they wanted.
pub(super) async fn let_in(
    client: &mut tokio_postgres::Client,
    api: &Api,
    account: &Account,
    (by, remote): (&str, IpAddr),
    next: &str,
) -> Result<Response, Refusal> {
    let remote = remote.to_string();
    let transaction = client.transaction().await?;
    let whole = session::open(transaction.client(), account.account, true, by, &remote).await?;
    let subject = account.name.clone();
    let detail = json!({ "by": by });
    let deed = Deed { action: "session.begin", subject, tenant: None, why: "", detail };
    let actor = Actor { account: Some(account.account), shown: &account.shown, remote: &remote };
    audit::note(transaction.client(), api.hub_key()?, actor, &deed).await?;
    transaction.commit().await?;
    let mut response = Redirect::to(next).into_response();
    for (name, value) in [(COOKIE, whole.as_str()), (HALF, ""), (ASKED, "")] {
        let value = set_cookie(name, value).parse().map_err(|_| Refusal::bad("no cookie"))?;
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// `POST /ops/leave`.
pub(super) async fn leave(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(cookie) = cookie(&headers, COOKIE) {
        let mut client = api.pool().take().await?;
        let transaction = client.transaction().await?;
        session::close(transaction.client(), cookie).await?;
        let subject = who.account.name.clone();
        let detail = json!({});
        let deed = Deed { action: "session.end", subject, tenant: None, why: "", detail };
        audit::note(transaction.client(), api.hub_key()?, (&who).into(), &deed).await?;
        transaction.commit().await?;
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
    let invited = account::invited(&client, api.hub_key()?, invitation).await?;
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
