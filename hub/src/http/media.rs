//! `/v1/media`: where a medium was seen, by its bytes or by what it looks like; newest first, page by page.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use domain::journal::Sha256;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Api;
use super::problem::Problem;
use crate::pdq::{self, Pdq};

/// Rows of a page, where none is asked for, and at most.
const PAGE: u32 = 50;
const MOST: u32 = 500;

/// How far back is looked unless told otherwise, in seconds: near PDQs are found by looking at each of the range.
const RANGE_S: f64 = 7.0 * 86_400.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    sha256: Option<String>,
    pdq: Option<String>,
    distance: Option<u16>,
    tenant: Option<String>,
    /// Received at or after, and before: seconds since 1970.
    since: Option<f64>,
    until: Option<f64>,
    limit: Option<u32>,
    cursor: Option<String>,
}

const SAME: &str = "SELECT m.box, m.submission, u.tenant, (extract(epoch FROM m.received_at) * 1000000)::bigint, 0::bigint
    FROM media m JOIN submissions u USING (box, submission)
    WHERE m.sha256 = $1 AND $8::bigint IS NULL AND ($2::text IS NULL OR u.tenant = $2)";

const NEAR: &str = "SELECT m.box, m.submission, m.tenant, (extract(epoch FROM m.received_at) * 1000000)::bigint, min(bit_count(m.pdq # $1))
    FROM pdqs m WHERE bit_count(m.pdq # $1) <= $8::bigint AND ($2::text IS NULL OR m.tenant = $2)";

/// One submission is one row, whichever of its media it is, and however often it names them.
const PAGED: &str = "
    AND m.received_at >= coalesce(to_timestamp($3::float8), now() - make_interval(secs => $9::float8))
    AND m.received_at < coalesce(to_timestamp($4::float8), 'infinity')
    AND ($5::bigint IS NULL OR (m.received_at, m.box, m.submission) <
        (timestamptz 'epoch' + $5 * interval '1 microsecond', $6::uuid, $7::uuid))
    GROUP BY 1, 2, 3, m.received_at ORDER BY m.received_at DESC, m.box DESC, m.submission DESC LIMIT $10::bigint";

/// Where a page ends.
type Place = (i64, Uuid, Uuid);

fn place(text: &str) -> Option<Place> {
    let mut parts = text.split('.');
    let place =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(place)
}

/// `GET /v1/media`.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|error| Problem::bad(error.body_text()))?;
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("limit: {limit} is not within 1 to {MOST}")));
    }
    let read = |key: &str, text: &str| {
        let hash = text.parse::<Sha256>();
        hash.map_err(|error| Problem::bad(format!("{key}: {error}")))
    };
    let (query, hash, distance): (_, Box<dyn ToSql + Sync + Send>, _) =
        match (&wanted.sha256, &wanted.pdq) {
            (Some(text), None) if wanted.distance.is_none() => {
                (SAME, Box::new(read("sha256", text)?.0.to_vec()), None)
            }
            (None, Some(text)) => {
                let distance = wanted.distance.unwrap_or(pdq::SAME);
                if distance > pdq::FARTHEST {
                    return Err(Problem::bad(format!("distance: 0 to {}", pdq::FARTHEST)));
                }
                (NEAR, Box::new(Pdq(read("pdq", text)?.0)), Some(i64::from(distance)))
            }
            _ => {
                return Err(Problem::bad(
                    "write either `sha256`, or `pdq` and perhaps `distance`: 64 hexadecimal digits",
                ));
            }
        };
    let cursor = wanted.cursor.as_deref().map(|text| {
        place(text).ok_or_else(|| Problem::bad("cursor: send `next` of the page before as it is"))
    });
    let cursor = cursor.transpose()?;
    let (us, of, submission) = (cursor.map(|c| c.0), cursor.map(|c| c.1), cursor.map(|c| c.2));
    let most = i64::from(limit) + 1;
    let client = api.pool.take().await?;
    let values: [&(dyn ToSql + Sync); 10] = [
        hash.as_ref(),
        &wanted.tenant,
        &wanted.since,
        &wanted.until,
        &us,
        &of,
        &submission,
        &distance,
        &RANGE_S,
        &most,
    ];
    let rows = client.query(&format!("{query}{PAGED}"), &values).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let media = rows.iter().take(shown).map(one).collect::<Result<Vec<_>, _>>()?;
    let next = match media.last() {
        Some(((us, of, submission), _)) if rows.len() > shown => {
            Some(format!("{us}.{}.{}", of.simple(), submission.simple()))
        }
        _ => None,
    };
    let media: Vec<Value> = media.into_iter().map(|(_, medium)| medium).collect();
    Ok(Json(json!({ "media": media, "next": next })))
}

fn one(row: &Row) -> Result<(Place, Value), tokio_postgres::Error> {
    let place: Place = (row.try_get(3)?, row.try_get(0)?, row.try_get(1)?);
    let medium = json!({
        "box": place.1,
        "submission": place.2,
        "tenant": row.try_get::<_, &str>(2)?,
        "received_at": place.0 as f64 / 1e6,
        "distance": row.try_get::<_, i64>(4)?,
    });
    Ok((place, medium))
}
