//! Accounts: who there is, what they may; and what takes two people.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::extract::{Form, Path, Query};
use super::own::Done;
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::session::Who;
use crate::account::{self, Account, Newcomer, Right, Role};
use crate::approval::{self, Approval, Grave};
use crate::audit::{self, Deed};
use crate::http::Api;

/// Days after which an account's rights are to be confirmed: the access review.
const CONFIRM_DAYS: f64 = 90.0;

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    frame: Frame,
    accounts: Vec<Account>,
    roles: [Role; 6],
    invitation: Option<String>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct One {
    frame: Frame,
    account: Account,
    roles: [Role; 6],
    own: bool,
    invitation: Option<String>,
}

impl Accounts {
    /// Whether somebody should look whether it is still needed.
    fn is_unconfirmed(account: &Account) -> bool {
        account.disabled_at.is_none()
            && account::now_s() as f64 - account.confirmed_at > CONFIRM_DAYS * 86_400.0
    }
}

/// `GET /ops/accounts`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let accounts = account::list(&*api.pool().take().await?).await?;
    let frame = Frame::new(&who, "/ops/accounts", "Accounts").with_done(done.done.as_deref());
    html(&Accounts { frame, accounts, roles: Role::ALL, invitation: None })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Added {
    name: String,
    shown: String,
    role: String,
    tenants: String,
}

/// `POST /ops/accounts`: adds one and shows its invitation, this once. An admin takes two people.
pub(super) async fn add(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    Form(added): Form<Added>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let role: Role = added.role.parse().map_err(Refusal::bad)?;
    let tenants: Vec<String> = added
        .tenants
        .split([',', ' '])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    // Who approves for others is made by two.
    let grave = role.may(Right::Approve);
    let first = if grave { Role::Observer } else { role };
    let newcomer = Newcomer {
        name: added.name.trim().to_lowercase(),
        shown: added.shown,
        role: first,
        tenants: (!tenants.is_empty()).then_some(tenants),
    };
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let id = account::add(transaction.client(), &who.account.shown, &newcomer).await?;
    let secret = account::invite(transaction.client(), api.hub_key()?, id).await?;
    if grave {
        let grave = Grave::Role { account: id, role };
        let why = format!("{} is new: {}", newcomer.name, role.shown());
        approval::ask(transaction.client(), &who, &grave, &why).await?;
    }
    let deed = Deed {
        action: "account.add",
        subject: newcomer.name.clone(),
        tenant: None,
        why: "",
        detail: json!({ "role": first, "asked": role, "tenants": newcomer.tenants }),
    };
    audit::note(transaction.client(), api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    let accounts = account::list(&client).await?;
    let frame = Frame::new(&who, "/ops/accounts", "Accounts");
    let invitation = Some(address(&headers, &secret));
    html(&Accounts { frame, accounts, roles: Role::ALL, invitation })
}

/// Who may see some tenants only would hand out more than they have.
pub(super) fn unlimited(who: &Who) -> Result<(), Refusal> {
    match who.account.tenants {
        None => Ok(()),
        Some(_) => Err(Refusal::forbidden(
            "your account is for some tenants only: this is for one that sees all",
        )),
    }
}

fn address(headers: &HeaderMap, secret: &str) -> String {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("HUB");
    format!("https://{host}/ops/welcome?invitation={secret}")
}

/// `GET /ops/accounts/{account}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<Uuid>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let account = account::find(&*api.pool().take().await?, id).await?;
    let own = account.account == who.account.account;
    let frame = Frame::new(&who, "/ops/accounts", account.name.clone());
    let frame = frame.with_done(done.done.as_deref());
    html(&One { frame, account, roles: Role::ALL, own, invitation: None })
}

/// What the forms send.
#[derive(Deserialize)]
pub(super) struct Changed {
    what: String,
    role: Option<String>,
    why: Option<String>,
}

/// `POST /ops/accounts/{account}`: another role, another invitation, off, on, confirmed.
pub(super) async fn change(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Form(changed): Form<Changed>,
) -> Result<Response, Refusal> {
    let why = changed.why.as_deref().unwrap_or_default().trim();
    unlimited(&who)?;
    if id == who.account.account {
        return Err(Refusal::forbidden(
            "nobody changes what they may themselves: ask another admin",
        ));
    }
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let account = account::find(within, id).await?;
    let mut deed = Deed {
        action: "account.change",
        subject: account.name.clone(),
        tenant: None,
        why,
        detail: json!({}),
    };
    let (mut done, mut invitation) = ("changed", None);
    match changed.what.as_str() {
        "role" => {
            let role: Role = changed.role.unwrap_or_default().parse().map_err(Refusal::bad)?;
            deed.action = "account.role";
            deed.detail = json!({ "from": account.role, "to": role });
            if role.may(Right::Approve) {
                approval::ask(within, &who, &Grave::Role { account: id, role }, why).await?;
                (deed.action, done) = ("account.role.ask", "asked");
            } else {
                account::set_role(within, id, role).await?;
            }
        }
        "invite" => {
            deed.action = "account.invite";
            invitation = Some(account::invite(within, api.hub_key()?, id).await?);
        }
        "off" => {
            deed.action = "account.off";
            account::switch(within, id, false).await?;
        }
        "on" => {
            deed.action = "account.on";
            account::switch(within, id, true).await?;
        }
        "confirm" => {
            deed.action = "account.confirm";
            account::confirm(within, id, &who.account.shown).await?;
        }
        _ => return Err(Refusal::bad("that is nothing that can be changed")),
    }
    audit::note(within, api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    let Some(secret) = invitation else {
        return Ok(Redirect::to(&format!("/ops/accounts/{id}?done={done}")).into_response());
    };
    let account = account::find(&client, id).await?;
    let frame = Frame::new(&who, "/ops/accounts", account.name.clone());
    let invitation = Some(address(&headers, &secret));
    html(&One { frame, account, roles: Role::ALL, own: false, invitation })
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct Approvals {
    frame: Frame,
    approvals: Vec<Approval>,
    me: Uuid,
}

impl Approvals {
    /// What would be done, by the names that people know.
    fn what(&self, one: &Approval) -> String {
        let name = |id: &dyn ToString| one.name.clone().unwrap_or_else(|| id.to_string());
        let text = match &one.wanted {
            Grave::Role { account, role } => {
                let role = self.frame.word(role.shown());
                self.frame.t("{who} becomes {role}").with("who", name(account)).with("role", role)
            }
            Grave::Revoke { of } => self.frame.t("{box} is cut off for good").with("box", name(of)),
            Grave::Stage { what, .. } => return what.clone(),
            Grave::Order { to, order } => {
                let kind = order["kind"].as_str().unwrap_or("order");
                self.frame.t("{order} for {to}").with("order", kind).with("to", name(to))
            }
        };
        text.to_string()
    }
}

/// `GET /ops/approvals`.
pub(super) async fn approvals(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let approvals = approval::list(&*api.pool().take().await?).await?;
    let frame = Frame::new(&who, "/ops/approvals", "Approvals").with_done(done.done.as_deref());
    html(&Approvals { frame, approvals, me: who.account.account })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Settled {
    grant: Option<String>,
}

/// `POST /ops/approvals/{approval}`.
pub(super) async fn settle(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<Uuid>,
    Form(settled): Form<Settled>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let grant = settled.grant.is_some();
    let mut client = api.pool().take().await?;
    approval::settle(&mut client, api.hub_key()?, &who, id, grant).await?;
    let done = if grant { "granted" } else { "denied" };
    Ok(Redirect::to(&format!("/ops/approvals?done={done}")).into_response())
}
