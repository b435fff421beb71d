//! Looking verdicts up, as they come and one by one, with the proof of each.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use domain::Category;
use domain::journal::Sha256;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use super::extract::{Path, Query};
use super::page::{Frame, Refusal, html};
use super::words::{category, moment, short};
use crate::account::session::Who;
use crate::http::{Api, proof};
use crate::pdq::{self, Pdq};
use crate::tongue::{Text, Tongue};
use crate::verdicts::{self, Verdict};

/// What the form sends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// An id, a SHA-256 or PDQ, or the number of an author: told by its length.
    q: String,
    /// Bits in which a PDQ may differ; nothing: the hash is a SHA-256.
    distance: String,
    tenant: String,
    status: String,
    severity: String,
    category: String,
    #[serde(rename = "box")]
    of: String,
    days: String,
    cursor: String,
}

#[derive(Template)]
#[template(path = "verdicts.html")]
struct Verdicts {
    frame: Frame,
    wanted: Wanted,
    verdicts: Vec<Verdict>,
    next: Option<String>,
    categories: [Category; 14],
    tenants: Vec<String>,
    live: bool,
}

impl Verdicts {
    fn is(&self, value: &str, wanted: &str) -> bool {
        value == wanted
    }

    /// The words of a verdict's reasons, and its categories.
    fn why(&self, verdict: &Verdict) -> String {
        why(self.frame.tongue, verdict)
    }
}

fn why(tongue: Tongue, verdict: &Verdict) -> String {
    let reasons = verdict.reasons.as_array().into_iter().flatten().filter_map(|one| one.as_str());
    let touched = verdict.categories.as_object().into_iter().flatten();
    let touched = touched.map(|(slug, _)| category(tongue, slug));
    let mut all: Vec<String> = reasons.map(str::to_owned).chain(touched).collect();
    all.dedup();
    all.join(", ")
}

impl Wanted {
    fn read(&self) -> Result<verdicts::Wanted, Refusal> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut wanted = verdicts::Wanted {
            tenant: some(&self.tenant),
            status: some(&self.status),
            severity: some(&self.severity),
            category: some(&self.category),
            cursor: some(&self.cursor),
            ..verdicts::Wanted::default()
        };
        if let Some(of) = some(&self.of) {
            wanted.of = Some(of.parse().map_err(|_| Refusal::bad("box: an id"))?);
        }
        if let Some(days) = some(&self.days) {
            let days = days.parse::<f64>().ok().filter(|days| (0.0..=36_500.0).contains(days));
            let days = days.ok_or_else(|| Refusal::bad("days: a number"))?;
            wanted.since = Some(crate::account::now_s() as f64 - days * 86_400.0);
        }
        match some(&self.q) {
            None => {}
            Some(id) if id.parse::<Uuid>().is_ok() => wanted.submission = id.parse().ok(),
            Some(hash) if hash.len() == 64 => wanted.sha256 = Some(hash),
            Some(author) if author.len() == 16 => wanted.author = Some(author),
            Some(_) => {
                return Err(Refusal::bad(
                    "look for the id of a submission, 64 digits of a SHA-256 or PDQ, or 16 of an author",
                ));
            }
        }
        Ok(wanted)
    }
}

/// `GET /ops/verdicts`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let tenants = who.account.tenants.as_deref();
    let (found, next) = match wanted.distance.trim() {
        "" => verdicts::page(&client, wanted.read()?, tenants).await?,
        bits => (near(&client, &who, &wanted, bits).await?, None),
    };
    let query =
        "SELECT tenant FROM tenants WHERE $1::text[] IS NULL OR tenant = ANY($1) ORDER BY 1";
    let rows = client.query(query, &[&who.account.tenants]).await?;
    let plain = [
        &wanted.q,
        &wanted.cursor,
        &wanted.tenant,
        &wanted.status,
        &wanted.severity,
        &wanted.category,
        &wanted.of,
        &wanted.days,
    ];
    html(&Verdicts {
        frame: Frame::new(&who, "/ops/verdicts", "Verdicts"),
        live: plain.iter().all(|field| field.is_empty()),
        wanted,
        verdicts: found,
        next,
        categories: Category::ALL,
        tenants: rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
    })
}

/// Days in which near PDQs are looked for unless told otherwise: each PDQ of them is compared.
const NEAR_DAYS: f64 = 7.0;
const FARTHEST_DAYS: f64 = 31.0;

/// Verdicts on what looks nearly the same.
async fn near(
    client: &Client,
    who: &Who,
    wanted: &Wanted,
    bits: &str,
) -> Result<Vec<Verdict>, Refusal> {
    let bits: i64 = bits
        .parse()
        .ok()
        .filter(|bits| (0..=i64::from(pdq::FARTHEST)).contains(bits))
        .ok_or_else(|| Refusal::bad("distance: 0 to 128 bits"))?;
    let hash: Sha256 =
        wanted.q.trim().parse().map_err(|error| Refusal::bad(format!("PDQ: {error}")))?;
    let days = wanted.days.trim().parse().unwrap_or(NEAR_DAYS);
    if !(0.0..=FARTHEST_DAYS).contains(&days) {
        let what = "days: at most {most} where a PDQ is looked for: each of them is compared";
        return Err(Refusal::bad(Text::from(what).with("most", FARTHEST_DAYS)));
    }
    let query = "SELECT submission FROM pdqs WHERE received_at > now() - make_interval(secs => $3 * 86400.0::float8)
        AND bit_count(pdq # $1) <= $2 AND ($4::text[] IS NULL OR tenant = ANY($4)) GROUP BY 1 ORDER BY min(bit_count(pdq # $1)) LIMIT 50";
    let rows = client.query(query, &[&Pdq(hash.0), &bits, &days, &who.account.tenants]).await?;
    let mut all = Vec::new();
    for row in rows {
        let wanted = verdicts::Wanted {
            submission: Some(row.try_get(0)?),
            limit: Some(1),
            ..verdicts::Wanted::default()
        };
        all.extend(verdicts::page(client, wanted, who.account.tenants.as_deref()).await?.0);
    }
    Ok(all)
}

/// How often it is looked for new ones, and how many are told at a time.
const LOOK: Duration = Duration::from_secs(2);
const FEED: u32 = 20;

/// `GET /ops/verdicts/live`: the newest ones, as they come (server-sent events).
pub(super) async fn live(State(api): State<Api>, Extension(who): Extension<Who>) -> Response {
    let (begin, stop) = (crate::account::now_s() as f64, api.ending());
    let events = stream::unfold((api, who, begin), async |(api, who, since)| {
        tokio::time::sleep(LOOK).await;
        let wanted = verdicts::Wanted {
            since: Some(since),
            limit: Some(FEED),
            ..verdicts::Wanted::default()
        };
        let look = async {
            verdicts::page(&*api.pool().take().await?, wanted, who.account.tenants.as_deref()).await
        };
        let tongue = who.tongue;
        let (event, since) = match look.await {
            Ok((found, _)) => {
                let last = found.first().map_or(since, |newest| newest.received_at + 1e-6);
                let told: Vec<_> = found.iter().map(|one| json!({
                    "box": one.of, "submission": one.submission, "tenant": one.tenant, "status": tongue.told(&one.status),
                    "severity": one.severity, "grave": tongue.told(&one.severity), "why": why(tongue, one), "at": moment(&one.received_at), "short": short(&one.submission),
                })).collect();
                (Event::default().event("verdicts").data(json!(told).to_string()), last)
            }
            Err(_) => (Event::default().comment("the database is away"), since),
        };
        Some((Ok::<_, Infallible>(event), (api, who, since)))
    });
    Sse::new(events.take_until(stop)).keep_alive(KeepAlive::default()).into_response()
}

/// An entry of the journal about the submission.
struct Place {
    verdict: Verdict,
    epoch: String,
    lane: &'static str,
    seq: i64,
    chain: String,
    /// When the hub countersigned a checkpoint behind it.
    signed_at: Option<f64>,
}

#[derive(Template)]
#[template(path = "verdict.html")]
struct One {
    frame: Frame,
    of: Uuid,
    submission: Uuid,
    box_name: String,
    places: Vec<Place>,
    media: Vec<(String, String)>,
    /// Whether it is or was in the queue.
    reviewed: bool,
    /// Whether a proof may be taken out: it carries what other tenants' entries say beside it.
    provable: bool,
}

impl One {
    fn why(&self, verdict: &Verdict) -> String {
        why(self.frame.tongue, verdict)
    }
}

/// `GET /ops/verdicts/{box}/{submission}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, submission)): Path<(Uuid, Uuid)>,
) -> Result<Response, Refusal> {
    let client = api.pool().take().await?;
    let places = places(&client, &who, of, submission).await?;
    if places.is_empty() {
        return Err(Refusal::missing("there is no such verdict"));
    }
    let row = client.query_opt("SELECT name FROM boxes WHERE box = $1", &[&of]).await?;
    let query = "SELECT DISTINCT encode(sha256, 'hex'), kind FROM media WHERE box = $1 AND submission = $2 LIMIT 50";
    let media = client.query(query, &[&of, &submission]).await?;
    let query = "SELECT 1 FROM reviews WHERE box = $1 AND subject = $2";
    let reviewed = client.query_opt(query, &[&of, &submission]).await?.is_some();
    html(&One {
        frame: Frame::new(
            &who,
            "/ops/verdicts",
            Text::from("Verdict {id}").with("id", short(&submission)),
        ),
        of,
        submission,
        box_name: row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default(),
        places,
        media: media
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, tokio_postgres::Error>>()?,
        reviewed: reviewed && who.may(crate::account::Right::Review),
        provable: who.account.tenants.is_none(),
    })
}

async fn places(
    client: &Client,
    who: &Who,
    of: Uuid,
    submission: Uuid,
) -> Result<Vec<Place>, Refusal> {
    let wanted = verdicts::Wanted {
        of: Some(of),
        submission: Some(submission),
        limit: Some(50),
        ..verdicts::Wanted::default()
    };
    let (all, _) = verdicts::page(client, wanted, who.account.tenants.as_deref()).await?;
    let query = "SELECT v.epoch, v.lane, v.seq, encode(e.chain, 'hex'), (SELECT extract(epoch FROM min(c.verified_at))::float8
            FROM checkpoints c WHERE c.box = v.box AND c.epoch = v.epoch AND c.verified_at IS NOT NULL AND c.received_at >= v.received_at)
        FROM verdicts v LEFT JOIN entries e ON e.box = v.box AND e.epoch = v.epoch AND e.lane = v.lane AND e.seq = v.seq AND e.received_at = v.received_at
        WHERE v.box = $1 AND v.submission = $2 AND v.number = $3 ORDER BY v.received_at LIMIT 1";
    let mut places = Vec::new();
    for verdict in all {
        let Some(row) = client.query_opt(query, &[&of, &submission, &verdict.number]).await? else {
            continue;
        };
        places.push(Place {
            epoch: format!("{:016x}", row.try_get::<_, i64>(0)?.cast_unsigned()),
            lane: if row.try_get::<_, i16>(1)? == 0 { "critical" } else { "bulk" },
            seq: row.try_get(2)?,
            chain: row
                .try_get::<_, Option<String>>(3)?
                .unwrap_or_else(|| "gone by retention".into()),
            signed_at: row.try_get(4)?,
            verdict,
        });
    }
    Ok(places)
}

/// `GET /ops/verdicts/{box}/{submission}/proof`: to be kept.
pub(super) async fn take(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path((of, submission)): Path<(Uuid, Uuid)>,
    Query(wanted): Query<proof::Wanted>,
) -> Result<Response, Refusal> {
    if who.account.tenants.is_some() {
        let what = "a proof carries the journal's entries beside it, also other tenants': ask somebody who sees all of them";
        return Err(Refusal::forbidden(what));
    }
    Ok(proof::document(&api, of, submission, wanted.number).await.into_response())
}
