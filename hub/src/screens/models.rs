//! Models: bundles that boxes fetch and what became of them, versions and their stages on the boxes.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::directive::Address;
use domain::journal::{Code, Sha256};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::accounts::unlimited;
use super::extract::{Form, Query};
use super::own::Done;
use super::page::{Frame, Refusal, html};
use super::words::moment;
use crate::account::Right;
use crate::account::session::Who;
use crate::approval::{self, Grave};
use crate::audit::{self, Deed};
use crate::directives::{self, Asked};
use crate::http::Api;
use crate::models::{self, Delivery, Version};
use crate::{fleet, reason};

/// Versions of a page.
const VERSIONS: i64 = 500;

#[derive(Template)]
#[template(path = "models.html")]
struct Models {
    frame: Frame,
    deliveries: Vec<Delivery>,
    versions: Vec<Version>,
    /// Those that this person sees.
    boxes: Vec<(Uuid, String)>,
    operate: bool,
}

impl Models {
    /// `12.4 MB`, `7.0 kB`.
    fn size(&self, bytes: &i64) -> String {
        match *bytes as f64 {
            large if large >= 1e6 => format!("{:.1} MB", large / 1e6),
            small => format!("{:.1} kB", small / 1e3),
        }
    }

    /// What people call an address.
    fn whom(&self, to: &str) -> String {
        let of = to.strip_prefix("box/").and_then(|of| of.parse::<Uuid>().ok());
        let name = of.and_then(|of| self.boxes.iter().find(|(own, _)| *own == of));
        name.map_or_else(|| self.frame.t("the whole fleet").to_string(), |(_, name)| name.clone())
    }
}

/// `GET /ops/models`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let tenants = who.account.tenants.as_deref();
    let boxes = models::boxes(&client, tenants).await?;
    html(&Models {
        frame: Frame::new(&who, "/ops/models", "Models").with_done(done.done.as_deref()),
        deliveries: models::deliveries(&client, &boxes).await?,
        versions: models::versions(&client, tenants, VERSIONS).await?,
        boxes,
        operate: who.may(Right::Operate) && tenants.is_none(),
    })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Ordered {
    sha256: Sha256,
    /// `fleet` or `box/UUID`.
    to: String,
    #[serde(default)]
    why: String,
}

/// `POST /ops/models`: a bundle for one box goes out at once, one for the whole fleet takes two people.
pub(super) async fn order(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(ordered): Form<Ordered>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let to: Address = ordered.to.parse().map_err(|error| Refusal::bad(format!("to: {error}")))?;
    let why = reason::given(&ordered.why)?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    if let Address::Box(of) = &to {
        fleet::show(within, *of).await?;
    }
    let order = json!({ "kind": "bundle", "sha256": ordered.sha256 });
    let asked: Asked =
        serde_json::from_value(order.clone()).map_err(|error| Refusal::bad(error.to_string()))?;
    // Before anybody is asked to approve it.
    let checked = asked.order(within, &to).await?;
    let whole = to == Address::Fleet;
    let (action, done) = match whole {
        true => ("bundle.ask", "asked"),
        false => ("bundle.order", "ordered"),
    };
    if whole {
        approval::ask(within, &who, &Grave::Order { to: to.to_string(), order }, why).await?;
    } else {
        let by = Code::lossy(&who.account.account.to_string());
        directives::give_within(within, api.hub_key()?, to.clone(), by, checked).await?;
    }
    let subject = ordered.sha256.to_string();
    let detail = json!({ "to": to.to_string() });
    let deed = Deed { action, subject, tenant: None, why, detail };
    audit::note(within, api.hub_key()?, (&who).into(), &deed).await?;
    transaction.commit().await?;
    Ok(Redirect::to(&format!("/ops/models?done={done}")).into_response())
}
