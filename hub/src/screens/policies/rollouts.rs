//! Roll-outs: what is under way, and where one is brought.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::account::Right;
use crate::account::session::Who;
use crate::http::Api;
use crate::reason;
use crate::rollout::file::File;
use crate::rollout::{self, Rollout};
use crate::screens::accounts::unlimited;
use crate::screens::extract::{Form, Query};
use crate::screens::own::Done;
use crate::screens::page::{Frame, Refusal, html};
use crate::screens::words::moment;
use crate::tongue::Text;

/// Roll-outs that are shown.
const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "rollouts.html")]
struct Rollouts {
    frame: Frame,
    rollouts: Vec<Rollout>,
    change: bool,
    /// Whether boxes are told a release key at all.
    keyed: bool,
}

/// `GET /ops/rollouts`.
pub(in crate::screens) async fn rollouts(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let client = api.pool().take().await?;
    html(&Rollouts {
        frame: Frame::new(&who, "/ops/rollouts", "Roll-outs").with_done(done.done.as_deref()),
        rollouts: rollout::list(&client, PAGE).await?,
        change: who.may(Right::PoliciesChange),
        keyed: release_key(&api).is_ok(),
    })
}

/// The public half of the release key, as boxes are told it.
fn release_key(api: &Api) -> Result<Vec<u8>, Refusal> {
    let told = api.issuer().and_then(|issuer| issuer.told.release_key.clone());
    let key = told.and_then(|key| BASE64_STANDARD.decode(key).ok());
    key.ok_or_else(|| {
        Refusal::bad("boxes are told no release key, and take nothing that is released: `weir-hub key generate` makes one, `boxes.release_key` in the hub's settings tells it")
    })
}

/// What the form sends.
#[derive(Deserialize)]
pub(in crate::screens) struct Brought {
    file: String,
    note: String,
}

/// `POST /ops/rollouts`: checked and kept; nothing goes out yet.
pub(in crate::screens) async fn take(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Form(brought): Form<Brought>,
) -> Result<Response, Refusal> {
    unlimited(&who)?;
    let note = brought.note.trim();
    if !reason::LENGTH.contains(&note.chars().count()) {
        return Err(Refusal::bad("say what it is for, in 3 to 500 characters"));
    }
    let file: File = serde_json::from_str(brought.file.trim()).map_err(|error| {
        let what =
            Text::from("this is no file of `weir-hub rollout sign`: {error}; paste all of it");
        Refusal::bad(what.with("error", error))
    })?;
    let key = release_key(&api)?;
    let mut client = api.pool().take().await?;
    let transaction = client.transaction().await?;
    let within = transaction.client();
    let id = rollout::add(within, api.hub_key()?, (&who).into(), &file, &key, note).await?;
    transaction.commit().await?;
    Ok(Redirect::to(&format!("/ops/rollouts/{id}?done=brought")).into_response())
}
