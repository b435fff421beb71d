//! Feature flags: what is ordered to whom, and where boxes stand otherwise.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::directive::{Address, Flag};
use domain::journal::Code;
use serde::Deserialize;
use serde_json::json;

use super::accounts::unlimited;
use super::extract::{Form, Query};
use super::own::Done;
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::Right;
use crate::account::session::Who;
use crate::audit::{self, Deed};
use crate::flags::{self, Standing};
use crate::fleet::{self, State as Stands};
use crate::http::Api;
use crate::{directives, reason, tenant};

#[derive(Template)]
#[template(path = "flags.html")]
struct Flags {
    frame: Frame,
    flags: Vec<Standing>,
    /// Addresses for which this person may order, and what people call them.
    places: Vec<(String, String)>,
}

/// `GET /ops/flags`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let seen = who.account.tenants.as_deref();
    let frame = Frame::new(&who, "/ops/flags", "Flags").with_done(done.done.as_deref());
    let mut places = Vec::new();
    if who.may(Right::Operate) {
        let all = tenant::list(&client).await?.into_iter().map(|one| one.tenant);
        let tenants = all.filter(|tenant| who.sees(tenant));
        let tenants = tenants.map(|name| {
            let shown = frame.t("tenant {name}").with("name", &name).to_string();
            (format!("tenant/{name}"), shown)
        });
        if seen.is_none() {
            places.push(("fleet".to_owned(), frame.t("the whole fleet").to_string()));
        }
        places.extend(tenants);
        if seen.is_none() {
            let members = fleet::list(&client).await?.into_iter();
            let members = members.filter(|member| member.state != Stands::Revoked);
            places.extend(members.map(|member| (format!("box/{}", member.of), member.name)));
        }
    }
    let flags = flags::list(&client, seen).await?;
    html(&Flags { frame, flags, places })
}

/// What the forms send.
#[derive(Deserialize)]
pub(super) struct Set {
    name: String,
    /// `fleet`, `tenant/NAME` or `box/UUID`.
    to: String,
    /// `on` or `off`.
    what: String,
    #[serde(default)]
    why: String,
}

/// `POST /ops/flags`: in force on each box that is connected within moments, on others when they come back.
pub(super) async fn set(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(set): Form<Set>,
) -> Result<Response, Refusal> {
    let to: Address = set.to.parse().map_err(|error| Refusal::bad(format!("to: {error}")))?;
    let tenant = match &to {
        Address::Tenant(tenant) if who.sees(tenant.as_str()) => Some(tenant.as_str().to_owned()),
        Address::Tenant(_) => return Err(Refusal::missing("there is no such tenant")),
        Address::Fleet | Address::Box(_) => {
            unlimited(&who)?;
            None
        }
    };
    let name: Code =
        set.name.trim().parse().map_err(|error| Refusal::bad(format!("name: {error}")))?;
    let on = match set.what.as_str() {
        "on" => true,
        "off" => false,
        _ => return Err(Refusal::bad("a flag is switched on or off")),
    };
    let why = reason::given(&set.why)?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    match &to {
        Address::Box(of) => drop(fleet::show(within, *of).await?),
        Address::Tenant(tenant) => tenant::known(within, tenant).await?,
        Address::Fleet => {}
    }
    let by = Code::lossy(&who.account.account.to_string());
    let order = Flag { name: name.clone(), on };
    directives::give_within(within, api.hub_key()?, to.clone(), by, order.into()).await?;
    let deed = Deed {
        action: "flag.order",
        subject: name.as_str().to_owned(),
        tenant: tenant.as_deref(),
        why,
        detail: json!({ "to": to.to_string(), "on": on }),
    };
    audit::note(within, api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    Ok(Redirect::to("/ops/flags?done=ordered").into_response())
}
