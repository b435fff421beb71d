//! Passkeys at the entrance and at one's own account. Each way has two steps: what the authenticator is to sign, asked for by a script, and a form that
//! carries what it says.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::entrance::{half, let_in, note_refused, refused, second_form};
use super::extract::Form;
use super::guard::{ASKED, HALF, cookie, from_here, ours, place, set_cookie};
use super::page::Refusal;
use crate::Error;
use crate::account::failure::Step;
use crate::account::knock::Attempt;
use crate::account::passkey::ceremony::{self, Known, Place, Wrong};
use crate::account::passkey::challenge::{self, Purpose};
use crate::account::passkey::{self, ALGORITHMS};
use crate::account::session::{self, Who};
use crate::account::{self, hashed, password, secret};
use crate::audit::{self, Actor, Deed};
use crate::http::Api;
use crate::http::server::Remote;
use crate::tongue::Tongue;

/// What a person reads of a passkey that did not do.
const NOT_ACCEPTED: &str =
    "That passkey was not accepted. Use your password and a code, or another passkey.";

/// The same of one that was to be added.
const NOT_ADDED: &str = "this passkey cannot be added: it was not asked for, came too late, or is of a kind that is not taken; the log says which";

/// What a passkey says when it is used.
#[derive(Deserialize)]
pub(super) struct Said {
    credential: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user_handle: String,
    next: Option<String>,
}

fn options(challenge: &[u8], rest: Value) -> Json<Value> {
    let mut key = json!({
        "challenge": BASE64URL.encode(challenge),
        "timeout": challenge::LIFE_S * 1000.0,
    });
    if let (Some(key), Value::Object(rest)) = (key.as_object_mut(), rest) {
        key.extend(rest);
    }
    Json(json!({ "publicKey": key }))
}

fn named(ids: &[Vec<u8>]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "type": "public-key", "id": BASE64URL.encode(id) })).collect()
}

/// `POST /ops/login/passkey/options`: the same for everybody.
pub(super) async fn asked_alone(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let place = place(&headers)?;
    let asked = secret()?;
    let client = api.pool().take().await?;
    if let Some(earlier) = cookie(&headers, ASKED) {
        challenge::forget(&client, &hashed(earlier)).await?;
    }
    let challenge = challenge::issue(&client, Purpose::Alone, &hashed(&asked), remote.ip()).await?;
    let options = options(&challenge, json!({ "rpId": place.rp, "userVerification": "required" }));
    Ok(([(header::SET_COOKIE, set_cookie(ASKED, &asked))], options).into_response())
}

/// `POST /ops/login/code/passkey/options`: after the password.
pub(super) async fn asked_as_second(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    from_here(&headers)?;
    let place = place(&headers)?;
    let Some(who) = half(&api, &headers).await? else {
        let what = "your password was too long ago: begin again";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, what));
    };
    let client = api.pool().take().await?;
    let ids = passkey::ids(&client, who.account.account, &place.rp).await?;
    if ids.is_empty() {
        return Err(Refusal::bad("you have no passkey for this address of the hub"));
    }
    let challenge = challenge::issue(&client, Purpose::Second, &who.session, remote.ip()).await?;
    let rest = json!({
        "rpId": place.rp,
        "userVerification": "discouraged",
        "allowCredentials": named(&ids),
    });
    Ok(options(&challenge, rest))
}

/// `POST /ops/login/passkey`: both factors at once, so it has to have seen its owner.
pub(super) async fn alone(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let place = place(&headers)?;
    let next = ours(said.next.as_deref());
    let mut client = api.pool().take().await?;
    let key = key_of(&client, &said).await?;
    let attempt = match &key {
        Some((account, _)) => Attempt::begin_code(&client, *account, remote.ip()).await,
        None => Attempt::begin_unknown(&client, remote.ip()).await,
    };
    let attempt = match attempt {
        Err(Error::Refused(wrong)) => {
            return refused((&api, tongue), StatusCode::TOO_MANY_REQUESTS, next, "", &wrong);
        }
        other => other?,
    };
    let asked = hashed(cookie(&headers, ASKED).unwrap_or_default());
    let told = Told { said: &said, place: &place, purpose: Purpose::Alone, cookie: &asked };
    match proved(&mut client, &api, &told, key.as_ref(), remote.ip()).await? {
        Ok(id) => {
            attempt.succeed(&client).await?;
            let account = account::find(&client, id).await?;
            let_in(&mut client, &api, &account, ("passkey", remote.ip()), next).await
        }
        Err(wrong) => {
            drop(client);
            tracing::info!(wrong, "a passkey was refused");
            let account = key.map(|(account, _)| account);
            note_refused(&api, account, Step::Passkey, &remote.ip().to_string()).await?;
            refused((&api, tongue), StatusCode::UNAUTHORIZED, next, "", NOT_ACCEPTED)
        }
    }
}

/// `POST /ops/login/code/passkey`: in place of the code.
pub(super) async fn second(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Result<Response, Refusal> {
    from_here(&headers)?;
    let place = place(&headers)?;
    let next = ours(said.next.as_deref());
    let Some(who) = half(&api, &headers).await? else {
        return Ok(Redirect::to("/ops/login").into_response());
    };
    let me = who.account.account;
    let mut client = api.pool().take().await?;
    let attempt = match Attempt::begin_code(&client, me, remote.ip()).await {
        Err(Error::Refused(wrong)) => {
            drop(client);
            let status = StatusCode::TOO_MANY_REQUESTS;
            return second_form((&api, tongue), &who, status, next, Some(&wrong)).await;
        }
        other => other?,
    };
    let key = key_of(&client, &said).await?.filter(|(account, _)| *account == me);
    let purpose = Purpose::Second;
    let told = Told { said: &said, place: &place, purpose, cookie: &who.session };
    if let Err(wrong) = proved(&mut client, &api, &told, key.as_ref(), remote.ip()).await? {
        drop(client);
        tracing::info!(wrong, account = who.account.name, "a passkey was refused");
        note_refused(&api, Some(me), Step::Passkey, &remote.ip().to_string()).await?;
        let status = StatusCode::UNAUTHORIZED;
        return second_form((&api, tongue), &who, status, next, Some(NOT_ACCEPTED)).await;
    }
    attempt.succeed(&client).await?;
    session::close(&client, cookie(&headers, HALF).unwrap_or_default()).await?;
    let by = format!("{} and passkey", who.means);
    let_in(&mut client, &api, &who.account, (&by, remote.ip()), next).await
}

async fn key_of(client: &Client, said: &Said) -> Result<Option<(Uuid, Known)>, Error> {
    match ceremony::id(&said.credential) {
        Ok(id) => passkey::known(client, &id).await,
        Err(_) => Ok(None),
    }
}

/// What came, and what was asked of whom.
struct Told<'a> {
    said: &'a Said,
    place: &'a Place,
    purpose: Purpose,
    /// The hash of the cookie that was asked.
    cookie: &'a [u8],
}

/// Whose passkey signed what it was asked to, or why not. The challenge is used up either way.
async fn proved(
    client: &mut Client,
    api: &Api,
    told: &Told<'_>,
    key: Option<&(Uuid, Known)>,
    remote: IpAddr,
) -> Result<Result<Uuid, Wrong>, Error> {
    let Told { said, place, purpose, cookie } = told;
    let browser = match ceremony::Client::read(&said.client_data) {
        Ok(browser) => browser,
        Err(wrong) => return Ok(Err(wrong)),
    };
    if !challenge::take(client, *purpose, cookie, &browser.challenge).await? {
        return Ok(Err("it was not asked for, or was used, or came too late"));
    }
    let Some((account, known)) = key else { return Ok(Err("it is nobody's, or another's")) };
    let alone = *purpose == Purpose::Alone;
    // A passkey that finds its account by itself says whose it is.
    let owner = said.user_handle == BASE64URL.encode(account.as_bytes());
    if !owner && (alone || !said.user_handle.is_empty()) {
        return Ok(Err("it says that it is another's"));
    }
    let (data, signature) = (&said.authenticator_data, &said.signature);
    let used = match ceremony::used(&browser, data, signature, known, place, alone) {
        Ok(used) => used,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let id = ceremony::id(&said.credential).unwrap_or_default();
    if passkey::note_use(client, &id, used).await? {
        return Ok(Ok(*account));
    }
    let why = "its counter fell back: somebody may have a copy of it";
    let found = account::find(client, *account).await?;
    let deed = Deed {
        action: "passkey.refuse",
        subject: found.name,
        tenant: None,
        why,
        detail: json!({ "counter": used.counter }),
    };
    let remote = remote.to_string();
    audit::note_alone(client, api.hub_key()?, audit::stranger(&remote), &deed).await?;
    Ok(Err(why))
}

/// The password of who is in, once more: a browser left open is not enough to change how one gets in.
pub(super) async fn asked_again(
    api: &Api,
    who: &Who,
    given: String,
    remote: IpAddr,
) -> Result<(), Refusal> {
    let client = api.pool().take().await?;
    let attempt = match Attempt::begin(&client, &who.account.name, remote).await {
        Err(Error::Refused(wrong)) => {
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, wrong));
        }
        other => other?,
    };
    let query = "SELECT password FROM accounts WHERE account = $1";
    let kept = client.query_one(query, &[&who.account.account]).await?.try_get(0)?;
    drop(client);
    if !password::verify(given, kept).await? {
        let remote = remote.to_string();
        note_refused(api, Some(who.account.account), Step::Again, &remote).await?;
        return Err(Refusal::forbidden("that is not your password; nothing was changed"));
    }
    Ok(attempt.succeed(&*api.pool().take().await?).await?)
}

/// What the form asks for that adds one.
#[derive(Deserialize)]
pub(super) struct Adding {
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    client_data: String,
    #[serde(default)]
    attestation: String,
}

/// `POST /ops/me/passkeys/options`: after the password, which the challenge then stands for.
pub(super) async fn asked_to_be_made(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Extension(Remote(remote)): Extension<Remote>,
    headers: HeaderMap,
    Form(adding): Form<Adding>,
) -> Result<Json<Value>, Refusal> {
    let place = place(&headers)?;
    passkey::named(&adding.name)?;
    asked_again(&api, &who, adding.password, remote.ip()).await?;
    let client = api.pool().take().await?;
    let account = &who.account;
    let had = passkey::ids(&client, account.account, &place.rp).await?;
    let challenge = challenge::issue(&client, Purpose::Add, &who.session, remote.ip()).await?;
    let kind = |alg: &i32| json!({ "type": "public-key", "alg": alg });
    let rest = json!({
        "rp": { "id": place.rp, "name": "Weir" },
        "user": {
            "id": BASE64URL.encode(account.account.as_bytes()),
            "name": account.name,
            "displayName": account.shown,
        },
        "pubKeyCredParams": ALGORITHMS.iter().map(kind).collect::<Vec<_>>(),
        "excludeCredentials": named(&had),
        "authenticatorSelection": { "residentKey": "preferred", "userVerification": "preferred" },
        "attestation": "none",
    });
    Ok(options(&challenge, rest))
}

/// `POST /ops/me/passkeys`.
pub(super) async fn add(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    Form(adding): Form<Adding>,
) -> Result<Redirect, Refusal> {
    let place = place(&headers)?;
    let refuse = |wrong: Wrong| {
        tracing::info!(wrong, account = who.account.name, "a new passkey was refused");
        Refusal::bad(NOT_ADDED)
    };
    let browser = ceremony::Client::read(&adding.client_data).map_err(refuse)?;
    let mut client = api.pool().take().await?;
    if !challenge::take(&client, Purpose::Add, &who.session, &browser.challenge).await? {
        return Err(refuse("it was not asked for, or came too late"));
    }
    let made = ceremony::made(&browser, &adding.attestation, &place).map_err(refuse)?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    passkey::add(within, who.account.account, &adding.name, &place.rp, &made).await?;
    note(within, &api, &who, "passkey.add", adding.name.trim()).await?;
    transaction.commit().await?;
    Ok(Redirect::to("/ops/me?done=saved"))
}

/// What the form asks for that removes one.
#[derive(Deserialize)]
pub(super) struct Removing {
    passkey: String,
    password: String,
}

/// `POST /ops/me/passkeys/remove`.
pub(super) async fn remove(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Extension(Remote(remote)): Extension<Remote>,
    Form(removing): Form<Removing>,
) -> Result<Redirect, Refusal> {
    asked_again(&api, &who, removing.password, remote.ip()).await?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let name = passkey::remove(within, who.account.account, &removing.passkey).await?;
    note(within, &api, &who, "passkey.remove", &name).await?;
    transaction.commit().await?;
    Ok(Redirect::to("/ops/me?done=saved"))
}

async fn note(
    client: &Client,
    api: &Api,
    who: &Who,
    action: &str,
    name: &str,
) -> Result<(), Error> {
    let subject = who.account.name.clone();
    let detail = json!({ "passkey": name });
    let deed = Deed { action, subject, tenant: None, why: "", detail };
    audit::note(client, api.hub_key()?, Actor::from(who), &deed).await
}
