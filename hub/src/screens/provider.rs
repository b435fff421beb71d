//! In by a provider of identities (OpenID Connect): out to it by a link, and back with what it says. One's own account is linked in the same way, after the password.

use std::net::IpAddr;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use super::entrance::{Way, let_in, note_refused, refused};
use super::extract::{Form, Query};
use super::guard::{COOKIE, HALF, SENT, cookie, from_here, ours, set_cookie};
use super::page::{Frame, Refusal, html};
use super::passkeys::asked_again;
use crate::Error;
use crate::account::failure::{self, Step};
use crate::account::knock::Attempt;
use crate::account::oidc::flow::{self, Flow, LIFE_S};
use crate::account::oidc::provider::Brought;
use crate::account::oidc::token::Person;
use crate::account::oidc::{self, Provider, Wrong};
use crate::account::session::{self, Who};
use crate::account::{self, Account};
use crate::audit::{self, Actor, Deed};
use crate::http::Api;
use crate::http::server::Remote;
use crate::tongue::{Text, Tongue};

/// What people read.
const NONE: &str = "this hub has no provider of identities";
const AWAY: &str =
    "{label} cannot be asked at the moment. Log in with your password, or try again.";
const DECLINED: &str = "{label} did not let you in.";
const NOT_BELIEVED: &str =
    "What {label} said was not accepted; the log of the hub says why. Log in with your password.";
const NOT_LINKED: &str = "No account here is linked to you at {label}: ask an admin.";
const OVER: &str = "That login was begun elsewhere, is over, or took too long: try again.";

fn provider(api: &Api) -> Result<&Provider, Refusal> {
    api.provider().ok_or_else(|| Refusal::missing(NONE))
}

/// A sentence about the provider.
fn about(text: &'static str, provider: &Provider) -> Text {
    Text::from(text).with("label", provider.label())
}

/// The cookie of who is sent there: it need not outlive what it is for.
fn sent(flow: &Flow) -> String {
    format!("{}; Max-Age={LIFE_S}", set_cookie(SENT, &flow.cookie))
}

/// What a wrong answer is told as, and with which status. What was really wrong is the log's.
fn told(provider: &Provider, wrong: &Wrong) -> (StatusCode, Text) {
    tracing::warn!(error = %wrong, issuer = provider.issuer(), "the provider of identities lets nobody in");
    match wrong {
        Wrong::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, about(AWAY, provider)),
        Wrong::Declined(_) => (StatusCode::FORBIDDEN, about(DECLINED, provider)),
        Wrong::Lie(_) => (StatusCode::UNAUTHORIZED, about(NOT_BELIEVED, provider)),
    }
}

/// `GET /ops/login/oidc`: out. A link and no form, since a page of ours may send forms to the hub alone.
pub(super) async fn leave_for(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Query(way): Query<Way>,
) -> Result<Response, Refusal> {
    // Another site must not send people out in the hub's name.
    from_here(&headers)?;
    let provider = provider(&api)?;
    let next = ours(way.next.as_deref());
    let earlier = cookie(&headers, SENT).unwrap_or_default();
    let client = api.pool().take().await?;
    let flow = match flow::begin(&client, None, earlier, next, remote.ip()).await {
        Err(Error::Refused(wrong)) => {
            return refused((&api, tongue), StatusCode::TOO_MANY_REQUESTS, next, "", &wrong);
        }
        other => other?,
    };
    // The provider takes its time: the connection is for others meanwhile.
    drop(client);
    match provider.way(&flow).await {
        Ok(way) => Ok(([(header::SET_COOKIE, sent(&flow))], Redirect::to(&way)).into_response()),
        Err(wrong) => {
            let (status, what) = told(provider, &wrong);
            let what = what.within(tongue).to_string();
            refused((&api, tongue), status, next, "", &what)
        }
    }
}

/// `GET /ops/login/oidc/back`.
pub(super) async fn back(
    State(api): State<Api>,
    Extension(Remote(remote)): Extension<Remote>,
    Extension(tongue): Extension<Tongue>,
    headers: HeaderMap,
    Query(brought): Query<Brought>,
) -> Result<Response, Refusal> {
    let provider = provider(&api)?;
    // The same page in another language has nothing with it.
    let Some(state) = &brought.state else { return Ok(Redirect::to("/ops/login").into_response()) };
    let browser = cookie(&headers, SENT).unwrap_or_default();
    let taken = flow::take(&*api.pool().take().await?, state, browser).await?;
    let Some(back) = taken else {
        // Not counted by its network: any page can send a browser here with words of its own.
        api.count_refused();
        return refused((&api, tongue), StatusCode::UNAUTHORIZED, "/ops", "", OVER);
    };
    let call = Call { api: &api, provider, tongue, remote: remote.ip() };
    let answer = match &back.session {
        None => call.enter(&brought, &back).await,
        Some(session) => call.link(&brought, &back, session, &headers).await,
    };
    let mut response = answer.unwrap_or_else(Refusal::into_response);
    if let Ok(gone) = set_cookie(SENT, "").parse() {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    Ok(response)
}

/// One that came back, to be answered.
struct Call<'a> {
    api: &'a Api,
    provider: &'a Provider,
    tongue: Tongue,
    remote: IpAddr,
}

impl Call<'_> {
    fn refuse(&self, status: StatusCode, next: &str, what: Text) -> Result<Response, Refusal> {
        let what = what.within(self.tongue).to_string();
        refused((self.api, self.tongue), status, next, "", &what)
    }

    /// Lets in whoever it is, or on to the second factor.
    async fn enter(&self, brought: &Brought, back: &flow::Back) -> Result<Response, Refusal> {
        let (api, next) = (self.api, ours(Some(&back.next)));
        let client = api.pool().take().await?;
        let attempt = match Attempt::begin_sent(&client, self.remote).await {
            Err(Error::Refused(wrong)) => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                return refused((api, self.tongue), status, next, "", &wrong);
            }
            other => other?,
        };
        drop(client);
        let person = match self.provider.person(brought, &back.flow).await {
            Ok(person) => person,
            Err(wrong) => {
                let client = api.pool().take().await?;
                match &wrong {
                    Wrong::Lie(why) => {
                        drop(client);
                        self.note_sent(self.provider.issuer(), why).await?;
                    }
                    // Nobody tried anything.
                    _ => attempt.withdraw(&client).await?,
                }
                let (status, what) = told(self.provider, &wrong);
                return self.refuse(status, next, what);
            }
        };
        let Some(account) = self.account(&person).await? else {
            return self.refuse(StatusCode::FORBIDDEN, next, about(NOT_LINKED, self.provider));
        };
        let mut client = api.pool().take().await?;
        attempt.succeed(&client).await?;
        oidc::note_use(&client, self.provider.issuer(), &person.subject).await?;
        if self.provider.is_enough(&person) {
            return let_in(&mut client, api, &account, ("provider", self.remote), next).await;
        }
        let remote = self.remote.to_string();
        let half = session::open(&client, account.account, false, "provider", &remote).await?;
        let to: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let to = Redirect::to(&format!("/ops/login/code?next={to}"));
        Ok(([(header::SET_COOKIE, set_cookie(HALF, &half))], to).into_response())
    }

    /// Whose account a person's is; where nobody may come in by it, that is written down.
    async fn account(&self, person: &Person) -> Result<Option<Account>, Refusal> {
        let client = self.api.pool().take().await?;
        match oidc::known(&client, self.provider.issuer(), &person.subject).await? {
            Some((id, true)) => Ok(Some(account::find(&client, id).await?)),
            Some((id, false)) => {
                drop(client);
                let remote = self.remote.to_string();
                note_refused(self.api, Some(id), Step::Provider, &remote).await?;
                Ok(None)
            }
            None => {
                drop(client);
                self.note_sent(&person.subject, "no account is linked to this person").await?;
                Ok(None)
            }
        }
    }

    async fn note_sent(&self, name: &str, why: &str) -> Result<(), Refusal> {
        self.api.count_refused();
        let mut client = self.api.pool().take().await?;
        let (who, remote) = ((self.provider.issuer(), name), self.remote.to_string());
        Ok(failure::note_sent(&mut client, self.api.hub_key()?, who, why, &remote).await?)
    }

    /// Links the account of who began this, in the session in which they did.
    async fn link(
        &self,
        brought: &Brought,
        back: &flow::Back,
        session: &[u8],
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let (api, issuer) = (self.api, self.provider.issuer());
        let whole = cookie(headers, COOKIE).unwrap_or_default();
        let who = session::whose(&*api.pool().take().await?, whole, true).await?;
        let Some(who) = who.filter(|who| who.session == session) else {
            let what = "your session is over: log in again, nothing was changed";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, what));
        };
        let person = self.provider.person(brought, &back.flow).await.map_err(|wrong| {
            let (status, what) = told(self.provider, &wrong);
            Refusal::new(status, what)
        })?;
        let mut client = api.pool().take().await?;
        let transaction = client.transaction().await?;
        let (within, me) = (transaction.client(), &who.account);
        oidc::link(within, issuer, &person.subject, me.account, &me.shown).await?;
        note(within, api, &who, "account.link", (issuer, &person.subject)).await?;
        transaction.commit().await?;
        Ok(Redirect::to("/ops/me?done=saved").into_response())
    }
}

#[derive(Template)]
#[template(path = "linking.html")]
struct Linking<'a> {
    frame: Frame,
    label: &'a str,
    way: &'a str,
}

/// What the forms at one's own account ask for.
#[derive(Deserialize)]
pub(super) struct Changing {
    password: String,
}

/// `POST /ops/me/oidc`: the way out to link one's own account. The browser follows a link, since a form would not be let out.
pub(super) async fn begin_link(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Extension(Remote(remote)): Extension<Remote>,
    headers: HeaderMap,
    Form(changing): Form<Changing>,
) -> Result<Response, Refusal> {
    let provider = provider(&api)?;
    asked_again(&api, &who, changing.password, remote.ip()).await?;
    let earlier = cookie(&headers, SENT).unwrap_or_default();
    let client = api.pool().take().await?;
    let session = Some(who.session.as_slice());
    let flow = flow::begin(&client, session, earlier, "/ops/me", remote.ip()).await?;
    drop(client);
    let way = provider.way(&flow).await.map_err(|wrong| {
        let (status, what) = told(provider, &wrong);
        Refusal::new(status, what)
    })?;
    let label = provider.label();
    let frame = Frame::new(&who, "/ops/me", Text::from("Link with {label}").with("label", label));
    let page = html(&Linking { frame, label, way: &way })?;
    Ok(([(header::SET_COOKIE, sent(&flow))], page).into_response())
}

/// `POST /ops/me/oidc/unlink`.
pub(super) async fn unlink(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Extension(Remote(remote)): Extension<Remote>,
    Form(changing): Form<Changing>,
) -> Result<Redirect, Refusal> {
    asked_again(&api, &who, changing.password, remote.ip()).await?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    for (issuer, subject) in oidc::unlink(within, who.account.account).await? {
        note(within, &api, &who, "account.unlink", (&issuer, &subject)).await?;
    }
    transaction.commit().await?;
    Ok(Redirect::to("/ops/me?done=saved"))
}

async fn note(
    client: &tokio_postgres::Client,
    api: &Api,
    who: &Who,
    action: &str,
    (issuer, subject): (&str, &str),
) -> Result<(), Error> {
    let detail = json!({ "issuer": issuer, "subject": subject });
    let subject = who.account.name.clone();
    let deed = Deed { action, subject, tenant: None, why: "", detail };
    audit::note(client, api.hub_key()?, Actor::from(who), &deed).await
}
