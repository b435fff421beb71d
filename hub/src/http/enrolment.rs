//! `/v1/authority`, `/v1/enrol`, `/v1/renew`: what boxes call before they have a certificate. None wants a token of the API.

use std::time::Instant;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::IntoResponse;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sync::identity::enrol::{Ask, Granted};

use super::problem::Problem;
use super::server::Remote;
use super::{Api, Door};
use crate::enrolment::{self, Admitted};

/// `GET /v1/authority`: the authority's certificate; whoever asks knows its hash or believes nothing of it.
pub(super) async fn authority(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let pem = door(&api)?.issuer.pem.clone();
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem))
}

/// `POST /v1/enrol`: a first certificate for the secret of a token.
pub(super) async fn enrol(
    State(api): State<Api>,
    Extension(remote): Extension<Remote>,
    ask: Result<Json<Ask>, JsonRejection>,
) -> Result<Json<Granted>, Problem> {
    let (door, ask) = enter(&api, remote, ask)?;
    let mut client = api.pool.take().await?;
    let admitted =
        enrolment::enrol(&mut client, &door.issuer.authority, &ask, &remote.0.to_string()).await?;
    Ok(Json(granted(door, &admitted)))
}

/// `POST /v1/renew`: another certificate for a box that proves its key.
pub(super) async fn renew(
    State(api): State<Api>,
    Extension(remote): Extension<Remote>,
    ask: Result<Json<Ask>, JsonRejection>,
) -> Result<Json<Granted>, Problem> {
    let (door, ask) = enter(&api, remote, ask)?;
    let mut client = api.pool.take().await?;
    let admitted =
        enrolment::renew(&mut client, &door.issuer.authority, &ask, &remote.0.to_string()).await?;
    Ok(Json(granted(door, &admitted)))
}

fn door(api: &Api) -> Result<&Door, Problem> {
    let none = || Problem::missing("this hub has no authority: `weir-hub init` makes one");
    api.door.as_deref().ok_or_else(none)
}

fn enter(
    api: &Api,
    remote: Remote,
    ask: Result<Json<Ask>, JsonRejection>,
) -> Result<(&Door, Ask), Problem> {
    let door = door(api)?;
    if !door.rate.admits(remote.0.ip(), Instant::now()) {
        return Err(Problem::too_many());
    }
    let Json(ask) = ask.map_err(|error| Problem::bad(error.body_text()))?;
    Ok((door, ask))
}

fn granted(door: &Door, admitted: &Admitted) -> Granted {
    let (told, secrets) = (&door.issuer.told, admitted.tenants.iter());
    Granted {
        certificate: pem(&admitted.issued.certificate),
        authority: door.issuer.pem.clone(),
        hub_key: BASE64_STANDARD.encode(&door.hub_key),
        release_key: told.release_key.clone(),
        quic: told.quic.clone(),
        mqtt: told.mqtt.clone(),
        hubs: told.hubs.clone(),
        tenants: secrets
            .map(|(tenant, secret)| (tenant.clone(), BASE64_STANDARD.encode(secret)))
            .collect(),
    }
}

/// A certificate in PEM (RFC 7468): lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, letter) in BASE64_STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    text + "\n-----END CERTIFICATE-----\n"
}
