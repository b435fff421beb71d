//! `/v1/verdicts/{box}/{submission}/proof`: a document that proves a decision, to be kept.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::journal::BoxId;
use serde::Deserialize;
use uuid::Uuid;

use super::Api;
use super::problem::Problem;
use crate::proof::{NotMade, decision, make};

/// Which decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The latest, where none is named.
    pub number: Option<u32>,
}

/// `GET /v1/verdicts/{box}/{submission}/proof`.
pub(super) async fn proof(
    State(api): State<Api>,
    Path((of, submission)): Path<(String, String)>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Wanted { number }) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let uuid =
        |text: &str| text.parse::<Uuid>().map_err(|_| Problem::bad(format!("`{text}` is no UUID")));
    document(&api, uuid(&of)?, uuid(&submission)?, number).await
}

/// The document, for the API and the screens.
pub(crate) async fn document(
    api: &Api,
    of: Uuid,
    submission: Uuid,
    number: Option<u32>,
) -> Result<Response, Problem> {
    let client = api.pool.take().await?;
    let place = decision(&client, BoxId(of), submission, number).await?;
    let proof = make(&client, place).await?;
    let text = proof.write().map_err(|_| NotMade::Large(place))?;
    let number = number.map(|number| format!("-{number}")).unwrap_or_default();
    let name = format!("attachment; filename=\"weir-proof-{submission}{number}.json\"");
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, text).into_response())
}

impl From<NotMade> for Problem {
    fn from(why: NotMade) -> Self {
        let code = why.code();
        match (why, code) {
            (NotMade::Failed(error), _) => error.into(),
            (why, code) => {
                Self::coded(StatusCode::CONFLICT, code.unwrap_or_default(), why.to_string())
            }
        }
    }
}
