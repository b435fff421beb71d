//! What a policy would have decided on what boxes have seen: each that serves the tenant is asked, and counts by itself.

use std::time::Duration;

use domain::journal::{BoxId, Code, Millis, TenantId};
use futures_util::future::join_all;
use serde::Deserialize;
use sync::request::{Ask, MOST_POLICY_BYTES, Replay};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::account::session::Who;
use crate::http::Api;
use crate::requests::Question;
use crate::screens::BY_SCREEN;
use crate::screens::page::Refusal;
use crate::tongue::Text;

/// Boxes that are asked at a time: a node asks sixteen things at once, and pictures want some of them.
const BOXES: i64 = 8;

/// Days that may be looked back.
const DAYS: std::ops::RangeInclusive<u32> = 1..=90;

/// What a box counted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Counted {
    pub seen: u64,
    pub whole: bool,
    pub without_evidence: u64,
    pub same: u64,
    pub other_reasons: u64,
    pub changed: u64,
    pub ended_early: u64,
    pub moves: Vec<Moved>,
}

/// Decisions that would become others.
#[derive(Debug, Deserialize)]
pub(super) struct Moved {
    pub from: String,
    pub to: String,
    pub count: u64,
    pub samples: Vec<Uuid>,
}

/// What came from one box.
pub(super) struct Answered {
    pub of: Uuid,
    pub name: String,
    pub counted: Option<Counted>,
    /// Why it did not count.
    pub why: String,
}

/// What came from all.
pub(super) struct Replayed {
    pub tenant: String,
    pub days: u32,
    pub boxes: Vec<Answered>,
    /// Boxes that serve the tenant.
    pub all: i64,
}

impl Replayed {
    pub fn sum(&self, of: impl Fn(&Counted) -> u64) -> u64 {
        self.boxes.iter().filter_map(|one| one.counted.as_ref()).map(of).sum()
    }

    pub fn seen(&self) -> u64 {
        self.sum(|counted| counted.seen)
    }

    pub fn changed(&self) -> u64 {
        self.sum(|counted| counted.changed)
    }
}

/// Tries a policy out on the boxes that serve a tenant and are connected.
pub(super) async fn replay(
    api: &Api,
    who: &Who,
    (tenant, days, policy): (&str, &str, &str),
) -> Result<Replayed, Refusal> {
    if !who.sees(tenant) {
        return Err(Refusal::missing("there is no such tenant"));
    }
    let name: TenantId = tenant.parse().map_err(|_| Refusal::missing("there is no such tenant"))?;
    let days = days.trim().parse().ok().filter(|days| DAYS.contains(days));
    let days = days.ok_or_else(|| Refusal::bad("days: 1 to 90"))?;
    if policy.len() > MOST_POLICY_BYTES {
        let most = MOST_POLICY_BYTES >> 10;
        let what = Text::from("boxes try out policies of at most {most} KiB");
        return Err(Refusal::bad(what.with("most", most)));
    }
    let desk = api.asks().ok_or_else(|| Refusal::bad("this hub asks no boxes"))?;
    let client = api.pool().take().await?;
    let (boxes, all) = serving(&client, tenant).await?;
    // Boxes take their time: the connection is for others meanwhile.
    drop(client);
    let since = crate::account::now_s().saturating_sub(u64::from(days) * 86_400);
    let since = Millis(i64::try_from(since * 1000).unwrap_or(i64::MAX));
    let asked = boxes.into_iter().map(async |(of, shown)| {
        let ask = Ask::Replay(Replay { tenant: name.clone(), policy: policy.to_owned(), since });
        let by = Code::lossy(&who.account.account.to_string());
        let question = Question { of: BoxId(of), ask, token: BY_SCREEN.into(), by };
        let (counted, why) = match tokio::time::timeout(PATIENCE, desk.ask(&question)).await {
            Ok(Ok(answer)) => match serde_json::from_slice(&answer.bytes) {
                Ok(counted) => (Some(counted), String::new()),
                Err(_) => (None, "its answer cannot be read".to_owned()),
            },
            Ok(Err(unmet)) => (None, unmet.to_string()),
            Err(_) => (None, "it took too long".to_owned()),
        };
        Answered { of, name: shown, counted, why }
    });
    Ok(Replayed { tenant: tenant.to_owned(), days, boxes: join_all(asked).await, all })
}

/// Below the time of a call.
const PATIENCE: Duration = Duration::from_secs(27);

/// Boxes that serve a tenant, those that spoke last first; and how many there are.
async fn serving(client: &Client, tenant: &str) -> Result<(Vec<(Uuid, String)>, i64), Refusal> {
    let query = "SELECT b.box, b.name, count(*) OVER () FROM boxes b JOIN box_tenants t USING (box)
        WHERE t.tenant = $1 AND b.state = 'enrolled'
        ORDER BY (SELECT max(c.moved_at) FROM cursors c WHERE c.box = b.box) DESC NULLS LAST, b.box LIMIT $2";
    let rows = client.query(query, &[&tenant, &BOXES]).await?;
    let all = rows.first().map(|row| row.try_get(2)).transpose()?.unwrap_or(0);
    let boxes = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok((boxes.collect::<Result<_, tokio_postgres::Error>>()?, all))
}
