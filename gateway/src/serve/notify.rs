//! Tells platforms of decisions, by Standard Webhooks: signed, retried for days, never twice under two ids.
//!
//! What is told is an effect row, written with the decision; this part only delivers it. The row's id is the message's id,
//! the same at every attempt and after every crash.

use std::sync::Arc;
use std::time::Duration;

use domain::journal::{Code, Sha256};
use serde_json::json;
use standardwebhooks::Webhook as Signer;
use store::{Again, Effect, EffectKind, NewEffect, Settled, Submission, Tell};
use tokio::task::JoinSet;

use super::tenant::Tenant;
use super::{App, outbound};
use crate::{config, secret};

/// The event of a decision.
const DECIDED: &str = "submission.decided";

/// Most bytes of a message (Standard Webhooks asks for at most 20 kB).
const PAYLOAD_BYTES: usize = 20_000;

/// Messages on their way at once.
const AT_ONCE: usize = 16;

/// How often the rows are looked at when nobody says that there is one: retries become due by themselves.
const TICK: Duration = Duration::from_secs(1);

/// An endpoint made ready.
pub struct Endpoint {
    name: Code,
    url: String,
    events: Vec<String>,
    signer: Signer,
}

impl Endpoint {
    /// Reads the secret of an endpoint.
    ///
    /// # Errors
    /// Where the file cannot be read, can be read by others, or holds no secret.
    pub fn open(hook: &config::Webhook) -> anyhow::Result<Self> {
        let secret = String::from_utf8(secret::read(&hook.secret_file)?).unwrap_or_default();
        let signer = Signer::new(secret.trim()).map_err(|_| {
            anyhow::anyhow!(
                "{} holds no secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64",
                hook.secret_file.display()
            )
        })?;
        Ok(Self {
            name: Code::lossy(&hook.name),
            url: hook.url.clone(),
            events: hook.events.clone(),
            signer,
        })
    }

    /// Its name in the settings.
    pub fn name(&self) -> &Code {
        &self.name
    }

    /// What tells its address from another one.
    pub fn address(&self) -> Sha256 {
        Sha256::of(self.url.as_bytes())
    }

    fn wants(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|e| e == event)
    }
}

/// Who is told of a decision, and what. Runs inside the store's transaction: quick and pure.
pub fn tell(tenant: &Tenant) -> Tell {
    let names = tenant.endpoints.iter().filter(|e| e.wants(DECIDED)).map(|e| e.name.clone());
    let names: Vec<Code> = names.collect();
    let profile = Arc::clone(&tenant.profile);
    Box::new(move |submission, settled| {
        let reason = settled.decision.reasons.first().map(String::as_str).unwrap_or_default();
        let language = submission.language.as_ref().map_or("en", Code::as_str);
        let message = profile.message(language, reason);
        let payload = payload(submission, settled, message);
        let told = names.iter().map(|name| NewEffect {
            event: Code::lossy(DECIDED),
            endpoint: name.clone(),
            payload: payload.clone(),
        });
        told.collect()
    })
}

/// What is sent. Neither the caption nor what was read in the picture.
fn payload(submission: &Submission, settled: &Settled, message: Option<&str>) -> Vec<u8> {
    let decision = &settled.decision;
    let standing = settled.standing.as_ref();
    let mut body = json!({
        "type": DECIDED,
        "timestamp": super::http::time(settled.at),
        "data": {
            "id": submission.id,
            "client_tag": submission.client_tag,
            "surface": submission.surface,
            "decision": settled.number,
            "supersedes": settled.supersedes,
            "status": decision.status,
            "complete": decision.complete,
            "action": decision.action,
            "severity": decision.severity,
            "categories": decision.categories,
            "reasons": decision.reasons,
            "policy": decision.policy,
            "automated": settled.number == 0,
            "message": message,
            "author": standing.map(|s| json!({
                "strikes": s.strikes, "level": s.level, "until": s.until, "struck": s.struck,
            })),
            "media": submission.media.iter().map(|m| json!({ "sha256": m.sha256 })).collect::<Vec<_>>(),
        }
    });
    let text = |body: &serde_json::Value| body.to_string().into_bytes();
    let bytes = text(&body);
    if bytes.len() <= PAYLOAD_BYTES {
        return bytes;
    }
    // A policy may have any number of reasons; the address of the whole is in the id.
    body["data"]["reasons"] = json!(decision.reasons.iter().take(20).collect::<Vec<_>>());
    body["data"]["cut"] = json!(true);
    text(&body)
}

/// Delivers until the service is told to end.
pub async fn run(app: Arc<App>) {
    let mut stop = app.stop.clone();
    let mut under_way = JoinSet::new();
    while !app.is_draining() {
        while under_way.try_join_next().is_some() {}
        let room = AT_ONCE.saturating_sub(under_way.len());
        if room == 0 {
            under_way.join_next().await;
            continue;
        }
        let effects = match app.store.lease_effects(EffectKind::Notify, room as u32).await {
            Ok(effects) => effects,
            Err(error) => {
                tracing::warn!(%error, "cannot lease messages");
                Vec::new()
            }
        };
        if effects.is_empty() {
            tokio::select! {
                () = app.messages_ready.notified() => {}
                () = tokio::time::sleep(TICK) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            continue;
        }
        for effect in effects {
            under_way.spawn(deliver(Arc::clone(&app), effect));
        }
    }
    // Those under way are leased: the next start sends again what was not acknowledged, under the same id.
    while under_way.join_next().await.is_some() {}
}

async fn deliver(app: Arc<App>, effect: Effect) {
    let (ours, theirs) = (Arc::clone(&app), effect.clone());
    let sent = tokio::task::spawn_blocking(move || send(&ours, &theirs)).await;
    app.metrics.told(match &sent {
        Ok(Ok(())) => "delivered",
        Ok(Err(refusal)) => refusal.reason,
        Err(_) => "internal",
    });
    let noted = match sent {
        Ok(Ok(())) => app.insist(|store| store.effect_done(&effect)).await,
        Ok(Err(Refusal { reason, detail, again })) => {
            tracing::warn!(id = %effect.id, endpoint = effect.endpoint, reason, "a message was not delivered");
            app.failed(&effect, Code::lossy(reason), detail, again).await
        }
        Err(error) => {
            let detail = error.to_string();
            app.failed(&effect, Code::lossy("internal"), detail, Again::Later).await
        }
    };
    if let Err(error) = noted {
        tracing::warn!(%error, id = %effect.id, "cannot note a delivery; it may be sent again under the same id");
    }
}

/// Why a message was not delivered.
struct Refusal {
    reason: &'static str,
    detail: String,
    again: Again,
}

fn later(reason: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal { reason, detail: detail.into(), again: Again::Later }
}

fn send(app: &App, effect: &Effect) -> Result<(), Refusal> {
    let tenant =
        effect.tenant.as_ref().and_then(|id| app.tenants.get(id).map(|tenant| (id, tenant)));
    let found = tenant.as_ref().and_then(|(id, tenant)| {
        let named = tenant.endpoints.iter().find(|e| e.name.as_str() == effect.endpoint);
        named.map(|endpoint| (*id, endpoint))
    });
    let Some((tenant, endpoint)) = found else {
        return Err(later("endpoint_unknown", "the configuration has no endpoint of this name"));
    };
    if app.gone.holds(tenant, &endpoint.name, endpoint.address()) {
        return Err(Refusal {
            reason: "endpoint_gone",
            detail: "the endpoint has said 410 Gone; see `weir webhook`".into(),
            again: Again::Never,
        });
    }
    let id = format!("msg_{}", effect.id.0.simple());
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let signature = endpoint
        .signer
        .sign(&id, now, &effect.payload)
        .map_err(|error| later("unsigned", error.to_string()))?;
    let answer = app
        .agent
        .post(&endpoint.url)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", now.to_string())
        .header("webhook-signature", &signature)
        .send(&effect.payload[..]);
    let answer = answer.map_err(|error| {
        let refused = error.to_string().contains(outbound::REFUSED);
        later(if refused { "address_refused" } else { "unreachable" }, error.to_string())
    })?;
    let status = answer.status().as_u16();
    let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
    match status {
        200..300 => Ok(()),
        410 => {
            app.gone.add(&app.store, tenant, &endpoint.name, endpoint.address());
            Err(Refusal {
                reason: "endpoint_gone",
                detail: "the endpoint said 410 Gone; it is not called any more".into(),
                again: Again::Never,
            })
        }
        _ => Err(Refusal {
            reason: "status",
            detail: format!("the endpoint answered {status}"),
            again: after.map_or(Again::Later, |seconds| Again::After(Duration::from_secs(seconds))),
        }),
    }
}
