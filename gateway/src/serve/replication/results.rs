//! Decisions on their way to a tenant's subscribers at the hub's broker. Lossily, and from where the box stands when it begins: whoever
//! needs each of them asks the hub, or has a webhook.

use std::collections::HashMap;
use std::time::Duration;

use domain::journal::{Body, Epoch, Lane, Record, Seq, Subject};
use serde_json::json;
use store::{Error, Store};
use sync::driver::Telemetry;

/// Entries that are read at once. More in one [`PAUSE`] are left out.
const MOST: u32 = 256;

/// The pause between two looks at the journal: one for many commits.
const PAUSE: Duration = Duration::from_millis(100);

/// The pause after the journal could not be read.
const TROUBLE: Duration = Duration::from_secs(5);

/// Up to where each lane was told.
type Told = HashMap<(Epoch, Lane), Seq>;

/// Tells of each decision from now on. Never comes back.
pub(super) async fn tell(store: Store, telemetry: Telemetry) {
    let mut changes = store.changes();
    let mut told = None;
    loop {
        let (reader, tells) = (store.clone(), telemetry.clone());
        let before = told.take();
        let read = tokio::task::spawn_blocking(move || look(&reader, before, &tells)).await;
        match read {
            Ok(Ok(now)) => {
                told = Some(now);
                tokio::time::sleep(PAUSE).await;
            }
            // It begins anew from where the journal stands then.
            Ok(Err(error)) => {
                tracing::warn!(%error, "decisions are not told to subscribers");
                tokio::time::sleep(TROUBLE).await;
            }
            Err(error) => {
                tracing::warn!(%error, "decisions are not told to subscribers");
                tokio::time::sleep(TROUBLE).await;
            }
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Tells what is new since the last look; the first only sees where the lanes stand.
fn look(store: &Store, before: Option<Told>, telemetry: &Telemetry) -> Result<Told, Error> {
    let mut told = Told::new();
    for lane in store.lanes()?.into_iter().filter(|lane| !lane.forked) {
        let place = (lane.epoch, lane.head.lane);
        told.insert(place, lane.head.seq);
        let Some(before) = &before else { continue };
        let after = before.get(&place).copied().unwrap_or(Seq(0));
        if after >= lane.head.seq {
            continue;
        }
        for entry in store.entries(lane.epoch, lane.head.lane, after, MOST)? {
            if entry.seq <= lane.head.seq {
                publish(&entry.record, telemetry);
            }
        }
    }
    Ok(told)
}

/// Nothing in it is free text or names an author.
fn publish(record: &[u8], telemetry: &Telemetry) {
    let Ok(record) = Record::decode(record) else { return };
    let (Body::Decided(decided), Subject::Submission(id)) = (&record.body, record.subject) else {
        return;
    };
    let json = json!({
        "submission": id, "decision": decided.number, "supersedes": decided.supersedes, "status": decided.status,
        "severity": decided.severity, "action": decided.action, "complete": decided.complete,
        "reasons": decided.reasons, "policy": decided.policy, "at": record.at,
    });
    telemetry.result(&decided.tenant, json.to_string().into_bytes());
}
